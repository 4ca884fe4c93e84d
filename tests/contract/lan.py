"""What every :class:`p2pchat.net.lan.Lan` must do: the one in memory, and zeroconf in tests/net/lan_scenarios.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.net.addresses import from_socket
from p2pchat.net.lan import Announcement, Lan


@dataclass(frozen=True)
class LanLab:
    """One local network.

    ``adapter``: another machine's way to it; ``hosts``: some more addresses than are told of one service, at any of
    which any machine may listen; ``unusable``: nothing can be announced for a while.
    """

    adapter: Callable[[], Lan]
    hosts: tuple[str, ...]
    unusable: Callable[[], AbstractContextManager[None]]


class Heard(list[tuple[Address, ...]]):
    """What a machine was told, and that it was on trio's thread."""

    def __call__(self, addresses: tuple[Address, ...]) -> None:
        trio.lowlevel.current_task()  # raises elsewhere, as does current_time
        self.append(addresses)

    async def until(self, wanted: Address) -> None:
        with trio.fail_after(10):
            while wanted not in self.all():  # noqa: ASYNC110  another thread fills it
                await trio.sleep(0.02)

    def all(self) -> set[Address]:
        return {address for each in self for address in each}


class LanContract:
    """The suite."""

    def announce(
        self, lab: LanLab, nursery: trio.Nursery, port: int, hosts: Sequence[str] = ()
    ) -> tuple[Heard, trio.CancelScope]:
        """Run one more machine; what it hears, and what ends it."""
        heard, scope = Heard(), trio.CancelScope()

        async def run() -> None:
            with scope:
                await lab.adapter().run([Announcement(1, port, tuple(hosts or lab.hosts[:1]))], heard)

        nursery.start_soon(run)
        return heard, scope

    async def test_those_who_come_hear_of_those_who_are_there_and_are_heard(self, lab: LanLab, clock: object) -> None:
        first, second, third = (from_socket(lab.hosts[0], port) for port in (4001, 4002, 4003))
        async with trio.open_nursery() as nursery:
            one, _ = self.announce(lab, nursery, 4001)
            two, _ = self.announce(lab, nursery, 4002)
            await one.until(second)
            await two.until(first)
            three, _ = self.announce(lab, nursery, 4003)
            for heard, wanted in ((one, third), (two, third), (three, first), (three, second)):
                await heard.until(wanted)
            nursery.cancel_scope.cancel()

    async def test_who_has_ended_is_heard_of_no_more_and_hears_nothing(self, lab: LanLab, clock: object) -> None:
        async with trio.open_nursery() as nursery:
            one, end = self.announce(lab, nursery, 4011)
            two, _ = self.announce(lab, nursery, 4012)
            await two.until(from_socket(lab.hosts[0], 4011))
            await one.until(from_socket(lab.hosts[0], 4012))
            end.cancel()
            await trio.sleep(limits.LAN_STOP_S)
            three, _ = self.announce(lab, nursery, 4013)
            await three.until(from_socket(lab.hosts[0], 4012))
            await two.until(from_socket(lab.hosts[0], 4013))
            assert from_socket(lab.hosts[0], 4011) not in three.all()
            assert from_socket(lab.hosts[0], 4013) not in one.all()
            nursery.cancel_scope.cancel()

    async def test_what_is_told_of_a_service_is_bounded(self, lab: LanLab, clock: object) -> None:
        assert len(lab.hosts) > limits.LAN_ADDRESSES
        async with trio.open_nursery() as nursery:
            self.announce(lab, nursery, 4021, lab.hosts)
            heard, _ = self.announce(lab, nursery, 4022)
            offered = {from_socket(host, 4021) for host in lab.hosts}
            with trio.fail_after(10):
                while not heard.all() & offered:  # noqa: ASYNC110  another thread fills it
                    await trio.sleep(0.02)
            assert {len(each) for each in heard if offered & set(each)} == {limits.LAN_ADDRESSES}
            assert () not in heard
            nursery.cancel_scope.cancel()

    async def test_it_ends_soon_whenever_it_is_told_to(self, lab: LanLab, clock: object) -> None:
        for after_s in (0.0, 0.05, 1.1):
            started = trio.current_time()
            with trio.move_on_after(after_s):
                await lab.adapter().run([Announcement(1, 4031, lab.hosts[:1])], Heard())
            assert trio.current_time() - started - after_s < limits.LAN_STOP_S + 0.5

    async def test_where_nothing_can_be_announced_it_says_so(self, lab: LanLab, clock: object) -> None:
        with lab.unusable(), trio.fail_after(8):
            try:
                await lab.adapter().run([Announcement(1, 4041, lab.hosts[:1])], Heard())
            except NetError:
                return
        raise AssertionError("it has announced itself")
