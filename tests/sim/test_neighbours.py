"""Nodes of one local network, which nobody has told of one another (PROTOCOL.md 7.5)."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.addresses import from_socket, parse_address
from p2pchat.net.interfaces import Attachment, OwnAddress
from p2pchat.net.lan import Announcement, Heard
from p2pchat.services.neighbours import announced, is_near
from p2pchat.testing.cluster import Node, eventually
from p2pchat.testing.memlan import MemoryLan
from tests.sim.lan import World, both_matched, connected, context_of, has, world
from tests.sim.people import ALICE, BOB

HOUR_S = 3600.0


async def two_strangers(made: World) -> tuple[Node, Node]:
    """One has stood alone for an hour when the other is started; each looks for the other's number."""
    alice = await made.cluster.add("Alice", ALICE)
    await alice.add(BOB, "Bob")
    await trio.sleep(HOUR_S)
    bob = await made.cluster.add("Bob", BOB)
    await bob.add(ALICE, "Alice")
    return alice, bob


async def neighbours(made: World) -> tuple[Node, Node]:
    alice, bob = await two_strangers(made)
    await eventually(lambda: both_matched(alice, bob), within_s=10)
    return alice, bob


class Dials:
    """What a node dials of those it heard of."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at: list[float] = []
        self.addresses: list[Address] = []
        self._dial = node.network.dial_unknown
        monkeypatch.setattr(node.network, "dial_unknown", self._note)

    async def _note(self, addresses: tuple[Address, ...]) -> PeerId:
        self.at.append(trio.current_time())
        self.addresses += addresses
        return await self._dial(addresses)


async def test_two_machines_without_a_bootstrap_node_match_by_number_within_ten_seconds(
    autojump_clock: MockClock,
) -> None:
    async with world() as made:
        alice, bob = await two_strangers(made)
        await eventually(lambda: both_matched(alice, bob), within_s=10)
        await alice.send("Bob", "hello")
        await eventually(lambda: has(bob, "Alice", "hello"), within_s=5)


async def test_who_does_not_want_the_local_network_is_not_announced_and_finds_nobody(autojump_clock: MockClock) -> None:
    async with world(lan=False) as made:
        alice, bob = await two_strangers(made)
        await trio.sleep(HOUR_S)
        assert made.lan.ever == []
        assert not await both_matched(alice, bob)


async def test_neighbours_find_each_other_again_after_both_have_moved(autojump_clock: MockClock) -> None:
    async with world() as made:
        alice, bob = await neighbours(made)
        made.unplug(alice)
        made.unplug(bob)
        await trio.sleep(60)
        made.plug_in(alice, moved=True)
        made.plug_in(bob, moved=True)
        await eventually(lambda: _connected(alice, bob), within_s=20)


async def _connected(alice: Node, bob: Node) -> bool:
    await trio.lowlevel.checkpoint()
    return connected(alice, bob)


async def test_a_neighbour_that_is_connected_is_not_dialled_again(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world() as made:
        alice, bob = await two_strangers(made)
        dials = Dials(alice, monkeypatch)
        await trio.sleep(10)
        assert connected(alice, bob)
        assert len(dials.at) == 1
        for _ in range(100):
            made.lan.forge(bob.network.addresses())
            await trio.sleep(1)
        await trio.sleep(4 * HOUR_S)  # names of both have changed
        assert len(made.lan.ever) > 6
        assert len(dials.at) == 1


async def test_a_node_is_announced_under_new_names_every_hour_and_after_a_change(autojump_clock: MockClock) -> None:
    async with world() as made:
        alice = await made.cluster.add("Alice", ALICE)
        await trio.sleep(0.9 * HOUR_S)
        assert len(made.lan.ever) == 1
        await trio.sleep(0.3 * HOUR_S)
        assert len(made.lan.ever) == 2
        made.cluster.network.move(alice.network)
        await trio.sleep(10)
        assert [each.hosts for each in made.lan.announced] == [(alice.network.host,)]
        assert len(made.lan.ever) == 3


async def test_nobody_has_a_node_knock_outside_of_its_own_networks_or_at_itself(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world() as made:
        alice = await made.cluster.add("Alice", ALICE)
        await trio.sleep(5)
        dials = Dials(alice, monkeypatch)
        for host in (
            "8.8.8.8",
            "192.168.1.1",
            "127.0.0.1",
            "::1",
            "fe80::1",
            "224.0.0.1",
            "10.255.255.255",
            "10.0.0.0",
        ):
            made.lan.forge((from_socket(host, 4001),))
        made.lan.forge((from_socket("10.0.0.77", 0),))
        made.lan.forge((parse_address("/dns4/example.org/tcp/4001")[0],))
        made.lan.forge(alice.network.addresses())
        made.lan.forge(())
        await trio.sleep(HOUR_S)
        assert dials.addresses == []


async def test_a_flood_of_announcements_has_few_of_them_dialled_and_fewer_remembered(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world() as made:
        alice = await made.cluster.add("Alice", ALICE)
        await trio.sleep(5)
        dials = Dials(alice, monkeypatch)
        for minute in range(10):
            for each in range(1_000):
                made.lan.forge((from_socket(f"10.{minute}.{each >> 8}.{each & 255 | 1}", 4001),))
            await trio.sleep(60)
        assert len(dials.at) <= limits.LAN_DIALS_BURST + 600 * limits.LAN_DIALS_PER_S
        assert len(dials.at) > limits.LAN_DIALS_BURST
        bob = await made.cluster.add("Bob", BOB)  # a real one gets through
        await eventually(lambda: _connected(alice, bob), within_s=60)


async def test_who_does_not_answer_is_tried_ever_more_rarely_whatever_it_is_called(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world() as made:
        alice = await made.cluster.add("Alice", ALICE)
        await trio.sleep(5)
        dials = Dials(alice, monkeypatch)
        for _ in range(1_000):
            made.lan.forge((from_socket("10.0.0.77", 4001),))
            await trio.sleep(1)
        gaps = [after - before for before, after in zip(dials.at, dials.at[1:], strict=False)]
        assert 5 < len(dials.at) < 12
        assert gaps == sorted(gaps)
        await trio.sleep(HOUR_S)
        assert dials.at[-1] < trio.current_time() - HOUR_S / 2  # given up


class NoMulticast(MemoryLan):
    """As where no interface takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.tried_at: list[float] = []

    async def run(self, announcements: list[Announcement], heard: Heard) -> None:  # type: ignore[override]
        await trio.lowlevel.checkpoint()
        self.tried_at.append(trio.current_time())
        if len(self.tried_at) < 10:
            raise NetError("no multicast")
        await super().run(announcements, heard)


async def test_a_network_without_multicast_is_said_once_and_tried_again(autojump_clock: MockClock) -> None:
    async with world() as made:
        made.lan = lan = NoMulticast()
        with capture_logs() as logs:
            alice = await made.cluster.add("Alice", ALICE)
            await trio.sleep(100)
            tries = len(lan.tried_at)
            assert 5 < tries < 10
            made.cluster.network.move(alice.network)
            await trio.sleep(5)
            assert len(lan.tried_at) == tries + 1  # at once after a change
            await trio.sleep(HOUR_S)
        assert [entry["event"] for entry in logs].count("lan.unavailable") == 1
        assert lan.announced
        assert context_of(alice).dht.peers() == 0


def attached(*hosts: str) -> Attachment:
    return Attachment(frozenset(OwnAddress(index, ip_interface(host)) for index, host in enumerate(hosts, 1)))


def test_what_is_announced_stands_on_an_interface_and_reaches_no_farther_than_it() -> None:
    attachment = attached(
        "127.0.0.1/8", "192.168.1.7/24", "8.8.8.8/24", "fd00::7/64", "fe80::7/64", "100.64.0.7/10", "2606:4700::7/64"
    )
    hosts = ("127.0.0.1", "192.168.1.7", "8.8.8.8", "10.9.9.9", "100.64.0.7")
    addresses = [from_socket(host, 4001) for host in hosts]
    addresses += [from_socket(host, 4002) for host in ("fd00::7", "2606:4700::7", "::1")]
    addresses += [from_socket("192.168.1.7", 443, ws=True)]  # whoever hears of a port speaks plainly there
    assert announced(attachment, addresses) == [
        Announcement(2, 4001, ("192.168.1.7",)),
        Announcement(4, 4002, ("fd00::7",)),
    ]
    assert announced(attachment, [from_socket("127.0.0.1", 4001)]) == []  # a node that listens on loopback alone


def test_a_neighbour_is_in_a_network_of_an_own_interface() -> None:
    attachment = attached("192.168.1.7/24", "fd00::7/64", "169.254.3.4/16", "10.8.0.1/32")
    for host in ("192.168.1.9", "fd00::9", "169.254.77.77", "192.168.1.7"):
        assert is_near(from_socket(host, 1), attachment)
    for host in ("192.168.2.9", "fd01::9", "192.168.1.255", "192.168.1.0", "10.8.0.2", "0.0.0.0"):  # noqa: S104
        assert not is_near(from_socket(host, 1), attachment)
    assert not is_near(from_socket("192.168.1.9", 0), attachment)
