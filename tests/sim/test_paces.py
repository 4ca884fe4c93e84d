"""Strangers who ask too much wait, those of one network together, and nobody else does."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.net.admission import Group
from p2pchat.net.pace import Pace
from p2pchat.net.transport import Stream
from p2pchat.net.turns import Turns
from p2pchat.services.charges import Strangers, StrangersWait


class End(Stream):
    """A stream that says who is at its other end, and where."""

    def __init__(self, name: str, host: str | None) -> None:
        self._peer = PeerId(name.encode())
        self._host = host
        self.is_gone = False

    @property
    def is_lost(self) -> bool:
        return self.is_gone

    @property
    def peer(self) -> PeerId:
        return self._peer

    @property
    def remote_host(self) -> str | None:
        return self._host

    async def read(self, max_bytes: int) -> bytes:
        raise NetError(f"{max_bytes} bytes: nobody reads here")

    async def write(self, data: bytes) -> None:
        raise NetError(f"{len(data)} bytes: nobody writes here")

    async def close(self) -> None:
        """There is nothing to close."""

    async def reset(self) -> None:
        """There is nothing to reset."""


async def took_s(pace: Pace, stream: Stream, cost_us: float, times: int = 1) -> float:
    began = trio.current_time()
    for _ in range(times):
        await pace.wait(stream, cost_us)
    return trio.current_time() - began


async def test_who_starts_with_a_full_book_waits_for_nothing(autojump_clock: MockClock) -> None:
    refusals = Refusals()
    assert await took_s(Pace(refusals), End("honest", "8.8.8.8"), 700, 2_500) == 0
    assert refusals[Refusal.REQUEST_PACED] == 0


async def test_who_asks_on_waits_and_is_answered(autojump_clock: MockClock) -> None:
    refusals = Refusals()
    pace, stream = Pace(refusals), End("eager", "8.8.8.8")
    seconds = await took_s(pace, stream, 1_000, 3_000)
    assert seconds == pytest.approx(1_000_000 / limits.REQUESTS_PEER_US_PER_S, rel=0.01)
    assert refusals[Refusal.REQUEST_PACED] > 900
    await trio.sleep(60)
    assert await took_s(pace, stream, 1_000, 100) == 0


async def test_many_peers_of_one_network_wait_for_each_other_and_for_nobody_else(autojump_clock: MockClock) -> None:
    pace = Pace(Refusals())
    sybils = [End(f"sybil {number}", f"8.8.8.{number % 250}") for number in range(1_000)]
    honest = End("honest", "9.9.9.9")
    async with trio.open_nursery() as nursery:

        async def ask(stream: Stream) -> None:
            while True:
                await pace.wait(stream, 1_000)

        for sybil in sybils:
            nursery.start_soon(ask, sybil)
        for _ in range(60):
            await trio.sleep(1)
            assert await took_s(pace, honest, 1_000) < 0.1
        nursery.cancel_scope.cancel()


async def test_through_relays_all_are_one_network(autojump_clock: MockClock) -> None:
    pace = Pace(Refusals())
    number = 0
    for number in range(5_000):
        if await took_s(pace, End(f"behind a relay {number}", None), 1_000):
            break
    assert number == pytest.approx(limits.REQUESTS_PREFIX_US / 1_000, rel=0.01)


@pytest.mark.parametrize("networks", [1, 10], ids=["of its network", "at all"])
async def test_who_comes_asks_and_leaves_holds_up_nobody_and_is_forgotten(
    autojump_clock: MockClock, networks: int
) -> None:
    pace, gone = Pace(Refusals()), 0
    streams = [End(f"fleeting {number}", f"8.8.{number % networks}.8") for number in range(20_000)]

    async def ask(stream: End) -> None:
        nonlocal gone
        try:
            await pace.wait(stream, 1_000)
        except NetError:
            gone += 1

    async with trio.open_nursery() as nursery:
        for stream in streams:
            nursery.start_soon(ask, stream)
        await trio.sleep(0.1)
        for stream in streams:
            stream.is_gone = True
        await trio.sleep(limits.REQUESTS_LOOK_S)
        assert gone > 15_000
        assert not any(task.name.endswith("ask") for task in nursery.child_tasks)
        assert await took_s(pace, End("honest", "8.8.0.9"), 1_000) < 0.1


def groups(host: str) -> list[Group]:
    """As the gate makes them."""
    parts = host.encode().split(b".")
    return [(b".".join(parts[:length]), 0) for length in (4, 3, 2)] + [(b"all", 0)]


async def test_a_newcomer_shakes_hands_before_a_crowd_that_came_first(autojump_clock: MockClock) -> None:
    refusals = Refusals()
    turns = Turns(refusals)
    done: list[str] = []

    async def come(host: str) -> None:
        await turns.wait(groups(host))
        done.append(host)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        for number in range(1_000):
            nursery.start_soon(come, f"8.8.{number % 4}.{number % 250}")
        await trio.sleep(0.1)
        before = len(done)
        most = limits.HANDSHAKES_BURST_US + 0.1 * limits.HANDSHAKES_US_PER_S
        assert before == pytest.approx(most / limits.HANDSHAKE_US, abs=2)
        began = trio.current_time()
        await come("9.9.9.9")
        assert trio.current_time() - began < 0.1
        assert len(done) - before < 5
        await trio.sleep(1)
        assert len(done) - before == pytest.approx(limits.HANDSHAKES_US_PER_S / limits.HANDSHAKE_US, rel=0.1)
        nursery.cancel_scope.cancel()
    assert refusals[Refusal.HANDSHAKE_PACED] > 700


async def test_who_gives_up_waiting_for_its_turn_takes_none(autojump_clock: MockClock) -> None:
    turns = Turns(Refusals())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        for number in range(400):
            with trio.move_on_after(0.001):
                await turns.wait(groups(f"8.8.8.{number % 250}"))
        await trio.sleep(60)
        assert not turns._waiting
        began = trio.current_time()
        await turns.wait(groups("8.8.8.8"))
        assert trio.current_time() == began
        nursery.cancel_scope.cancel()


async def test_what_ten_thousand_strangers_bring_is_bounded_whoever_they_are(autojump_clock: MockClock) -> None:
    refusals = Refusals()
    strangers = Strangers(trio.current_time, refusals)
    let_in = 0

    async def bring(number: int) -> None:
        nonlocal let_in
        with suppress(StrangersWait):
            await strangers.wait(End(f"{number}", f"{11 + number % 80}.{number % 250}.0.1"), 1_046)
            let_in += 1

    async with trio.open_nursery() as nursery:
        for number in range(10_000):
            nursery.start_soon(bring, number)
            await trio.sleep(0.001)
    most = limits.STRANGERS_US + (10 + limits.STRANGERS_WAIT_S) * limits.STRANGERS_US_PER_S
    assert let_in * 1_046 <= most * 1.01
    assert refusals[Refusal.STRANGER_REFUSED] == 10_000 - let_in
    await trio.sleep(limits.STRANGERS_WAIT_S)
    assert issubclass(StrangersWait, NetError)
    await strangers.wait(End("honest", "9.9.9.9"), 1_046)
