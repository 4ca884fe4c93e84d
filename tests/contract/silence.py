"""What every :class:`p2pchat.net.transport.Network` must do where nothing comes through, or a way ends in the midst."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.net.transport import Stream
from tests.contract.lab import ECHO, HOP, PROTOCOL, Contract, Kept, Lab, Recorder, echo, pattern, read_exactly, until


class SilenceContract(Contract):
    """The suite."""

    async def through(self, lab: Lab, kept: Kept) -> tuple[Stream, Stream]:
        """Connect a to b through the gate; a stream's two ends."""
        lab.b.handle(ECHO, echo)
        lab.b.handle(PROTOCOL, kept)
        await lab.a.dial(lab.b.peer_id, lab.gate.addresses)
        return await lab.a.open(lab.b.peer_id, PROTOCOL), await kept.one()

    async def test_whatever_is_asked_of_a_silent_peer_ends_in_time(
        self, lab: Lab, clock: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.through(lab, Kept())
        lab.gate.stall()
        monkeypatch.setattr(limits, "STREAM_OPEN_S", 0.2)
        asked: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: lab.a.open(lab.b.peer_id, ECHO),
            lambda: lab.a.learn(lab.b.peer_id),
            lambda: lab.a.probe(lab.b.peer_id),
            lambda: lab.a.seen_by(lab.b.peer_id),
        )
        for ask in asked:
            started = trio.current_time()
            with trio.fail_after(3), pytest.raises(NetError):
                await ask()
            assert trio.current_time() - started >= 0.19
        assert [link.peer for link in lab.a.links()] == [lab.b.peer_id]

    async def test_dialling_a_silent_address_ends_in_time(
        self, lab: Lab, clock: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lab.gate.stall()
        for limit in ("DIAL_TOTAL_S", "CONFIRM_S", "PUNCH_S"):
            monkeypatch.setattr(limits, limit, 0.2)
        told: list[tuple[Address, str]] = []
        (address,) = lab.gate.addresses
        with trio.fail_after(3):
            with pytest.raises(NetError):
                await lab.a.dial(lab.b.peer_id, [address], lambda where, why: told.append((where, why)))
            with pytest.raises(NetError):
                await lab.a.dial_unknown([address])
            with pytest.raises(NetError):
                await lab.a.confirm(lab.b.peer_id, address)
            with pytest.raises(NetError):
                await lab.a.punch(lab.b.peer_id, [address], leads=True)
        assert told == [(address, "It did not answer in time.")]
        assert lab.a.links() == lab.b.links() == ()

    async def test_what_was_held_back_comes_in_order(self, lab: Lab, clock: object) -> None:
        ours, theirs = await self.through(lab, Kept())
        lab.gate.stall()
        data = pattern(100_000)
        await ours.write(data)
        await ours.close()
        with trio.move_on_after(0.2) as scope:
            await theirs.read(1)
        assert scope.cancelled_caught
        lab.gate.heal()
        assert await read_exactly(theirs, len(data)) == data
        assert await theirs.read(1) == b""

    async def test_a_reset_is_held_back_too(self, lab: Lab, clock: object) -> None:
        ours, theirs = await self.through(lab, Kept())
        lab.gate.stall()
        await ours.write(b"x")
        await ours.reset()
        with trio.move_on_after(0.1) as scope:
            await theirs.read(1)
        assert scope.cancelled_caught
        assert ours.is_lost
        assert not theirs.is_lost
        await theirs.write(b"into the void")
        lab.gate.heal()
        await until(lambda: theirs.is_lost)
        with pytest.raises(NetError):
            await theirs.write(b"x")

    async def test_a_connection_on_which_nothing_comes_back_is_closed(self, lab: Lab, clock: object) -> None:
        ours, _ = await self.through(lab, Kept())
        await lab.a.dial(lab.c.peer_id, lab.c.addresses())
        a = Recorder(lab.a)
        lab.gate.stall()
        await lab.a.check(0.2)
        assert [link.peer for link in lab.a.links()] == [lab.c.peer_id]
        await until(lambda: bool(a.seen))
        assert a.seen == [(lab.b.peer_id, False)]
        with pytest.raises(NetError):
            await ours.read(1)
        lab.gate.heal()
        await until(lambda: lab.b.links() == ())

    async def test_what_is_asked_on_a_way_that_is_cut_is_asked_on_another(self, lab: Lab, clock: object) -> None:
        await self.through(lab, Kept())
        await self.relayed(lab)
        await lab.a.adopt(await lab.a.open(lab.c.peer_id, HOP), lab.b.peer_id)
        await until(lambda: lab.b.load().relayed == 1)
        lab.gate.stall()
        opened: list[Stream] = []

        async def ask() -> None:
            opened.append(await lab.a.open(lab.b.peer_id, ECHO))

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked(0.01)
                await lab.gate.cut()
        assert opened[0].remote_host is None
        assert [link.path for link in lab.a.links() if link.peer == lab.b.peer_id] == ["relayed"]

    async def test_a_way_that_is_cut(self, lab: Lab, clock: object) -> None:
        ours, theirs = await self.through(lab, Kept())
        a, b = Recorder(lab.a), Recorder(lab.b)
        outcomes: list[object] = []

        async def read(end: Stream) -> None:
            try:
                outcomes.append(await end.read(1))
            except NetError:
                outcomes.append(None)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, ours)
            nursery.start_soon(read, theirs)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await lab.gate.cut()
        assert outcomes == [None, None]
        await until(lambda: len(a.seen) == len(b.seen) == 1)
        assert a.seen == [(lab.b.peer_id, False)]
        assert b.seen == [(lab.a.peer_id, False)]
        lab.gate.heal()
        again, _ = await self.through(lab, Kept())
        assert not again.is_lost
