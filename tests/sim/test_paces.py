"""Strangers who ask too much wait, those of one network together, and nobody else does."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.net.pace import Pace
from p2pchat.net.transport import Stream
from p2pchat.net.turns import FairTurns, TurnLost
from p2pchat.services.charges import Strangers, StrangersWait


class End(Stream):
    """A stream that says who is at its other end, and where."""

    def __init__(self, name: str, host: str | None, relay: bytes | None = None) -> None:
        self._peer = PeerId(name.encode())
        self._host = host
        self._relay = relay
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

    @property
    def relay(self) -> bytes | None:
        return self._relay

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


async def asks_on(pace: Pace, stream: Stream) -> None:
    while True:
        await pace.wait(stream, 1_000)


def crowd(name: str, hosts: Sequence[str | None], relays: Sequence[bytes | None] = (None,)) -> list[End]:
    """Two hundred peers, by turns from those hosts and through those relays."""
    return [End(f"{name} {number}", hosts[number % len(hosts)], relays[number % len(relays)]) for number in range(200)]


@asynccontextmanager
async def flooded(pace: Pace, streams: Sequence[End], for_s: float) -> AsyncGenerator[None]:
    """All of ``streams`` ask on and on; they have done so ``for_s`` when the body begins."""
    async with trio.open_nursery() as nursery:
        for stream in streams:
            nursery.start_soon(asks_on, pace, stream)
        await trio.sleep(for_s)
        yield
        nursery.cancel_scope.cancel()


async def test_three_networks_that_flood_wait_for_each_other_and_a_fourth_for_none_of_them(
    autojump_clock: MockClock,
) -> None:
    pace, honest = Pace(Refusals()), End("honest", "9.9.9.9")
    async with flooded(pace, crowd("sybil", ["8.8.1.1", "8.8.2.1", "8.8.3.1"]), 15):
        assert pace._turns.waiting > 20  # more is asked than there is for all
        for _ in range(50):
            assert await took_s(pace, honest, 1_000) < 0.02
            await trio.sleep(0.05)


async def test_two_honest_networks_have_the_same_beside_two_that_flood(autojump_clock: MockClock) -> None:
    pace = Pace(Refusals())
    had = {"9.9.9.9": 0, "7.7.7.7": 0}

    async def ask(host: str) -> None:
        stream = End(host, host)
        while True:
            await pace.wait(stream, 1_000)
            had[host] += 1

    async with flooded(pace, crowd("sybil", ["8.8.1.1", "8.8.2.1"]), 20), trio.open_nursery() as nursery:
        for host in had:
            nursery.start_soon(ask, host)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    least, most = sorted(had.values())
    assert least >= 10 * limits.REQUESTS_ALL_US_PER_S / 4 / 1_000  # who had nothing so far has more than a fourth
    assert most - least <= 2


async def test_what_a_network_had_is_forgotten_once_it_floods_no_more(autojump_clock: MockClock) -> None:
    pace = Pace(Refusals())
    async with flooded(pace, crowd("first", ["8.8.1.1"])[:20], 90):
        pass
    async with flooded(pace, crowd("next", ["8.8.2.1", "8.8.3.1"])[:40], 20):
        assert pace._turns.waiting > 20
        assert await took_s(pace, End("honest", "8.8.1.2"), 1_000) < 1


async def test_who_comes_through_one_relay_is_of_one_network(autojump_clock: MockClock) -> None:
    pace = Pace(Refusals())
    number = 0
    for number in range(5_000):
        if await took_s(pace, End(f"behind a relay {number}", None, b"relay"), 1_000):
            break
    assert number == pytest.approx(limits.REQUESTS_PREFIX_US / 1_000, rel=0.01)
    assert await took_s(pace, End("direct", "9.9.9.9"), 1_000) == 0


@pytest.mark.parametrize("relays", [1, 10])
async def test_who_has_relays_of_its_own_takes_nothing_from_those_at_others(
    relays: int, autojump_clock: MockClock
) -> None:
    pace, honest = Pace(Refusals()), End("honest", None, b"an honest relay")
    turn_s = 1_000 / limits.REQUESTS_PREFIX_US_PER_S
    async with flooded(pace, crowd("sybil", [None], [b"relay %d" % number for number in range(relays)]), 30):
        for _ in range(50):
            assert await took_s(pace, honest, 1_000) < (relays + 3) * turn_s  # one turn of each other relay at most
            await trio.sleep(0.05)


async def test_ten_relays_of_ones_own_are_worth_no_more_than_one_network(autojump_clock: MockClock) -> None:
    pace, had = Pace(Refusals()), 0

    async def ask(stream: End) -> None:
        nonlocal had
        while True:
            await pace.wait(stream, 1_000)
            had += 1

    async with trio.open_nursery() as nursery:
        for stream in crowd("sybil", [None], [b"relay %d" % number for number in range(10)]):
            nursery.start_soon(ask, stream)
        await trio.sleep(30)
        nursery.cancel_scope.cancel()
    most = limits.REQUESTS_PREFIX_US + 30 * limits.REQUESTS_PREFIX_US_PER_S
    assert had * 1_000 == pytest.approx(most, rel=0.01)


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
        await trio.sleep(limits.TURN_LOOK_S)
        assert gone > 15_000
        assert not any(task.name.endswith("ask") for task in nursery.child_tasks)
        assert await took_s(pace, End("honest", "8.8.0.9"), 1_000) < 0.1


def groups(host: str) -> list[bytes]:
    """As the gate makes them."""
    parts = host.encode().split(b".")
    return [b".".join(parts[:length]) for length in (4, 3, 2)]


def handshakes(refusals: Refusals) -> FairTurns:
    return FairTurns(
        limits.HANDSHAKES_BURST_US, limits.HANDSHAKES_US_PER_S, refusals, Refusal.HANDSHAKE_PACED, newest_first=True
    )


async def test_a_newcomer_shakes_hands_before_a_crowd_that_came_first(autojump_clock: MockClock) -> None:
    refusals = Refusals()
    turns = handshakes(refusals)
    done: list[str] = []

    async def come(host: str) -> None:
        await turns.wait(groups(host), limits.HANDSHAKE_US)
        done.append(host)

    async with trio.open_nursery() as nursery:
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
    turns = handshakes(Refusals())
    for number in range(400):
        with trio.move_on_after(0.001):
            await turns.wait(groups(f"8.8.8.{number % 250}"), limits.HANDSHAKE_US)
    await trio.sleep(60)
    assert not turns.waiting
    began = trio.current_time()
    await turns.wait(groups("8.8.8.8"), limits.HANDSHAKE_US)
    assert trio.current_time() == began


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


async def bring(strangers: Strangers, stream: End) -> None:
    while True:
        with suppress(StrangersWait):
            await strangers.wait(stream, 1_046)
        await trio.sleep(0.1)


@pytest.mark.parametrize(
    ("hosts", "relays", "honest"),
    [
        ([f"8.8.{number}.1" for number in range(8)], [None], End("honest", "9.9.9.9")),
        ([None], [b"a relay of its own"], End("honest", None, b"an honest relay")),
        ([None], [b"relay %d" % number for number in range(8)], End("honest", None, b"an honest relay")),
    ],
    ids=["eight networks", "a relay", "eight relays"],
)
async def test_a_stranger_is_heard_while_others_bring_more_than_there_is_for_all(
    hosts: list[str | None], relays: list[bytes | None], honest: End, autojump_clock: MockClock
) -> None:
    refusals = Refusals()
    strangers = Strangers(trio.current_time, refusals)
    async with trio.open_nursery() as nursery:
        for stream in crowd("sybil", hosts, relays):
            nursery.start_soon(bring, strangers, stream)
        await trio.sleep(30)
        for _ in range(10):
            began = trio.current_time()
            await strangers.wait(honest, 1_046)
            assert trio.current_time() - began < 0.1
            await trio.sleep(0.5)
        nursery.cancel_scope.cancel()
    assert refusals[Refusal.STRANGER_PACED] > 200


async def test_no_more_wait_than_may_and_the_one_from_elsewhere_is_not_who_goes(autojump_clock: MockClock) -> None:
    turns = FairTurns(0.0, 1_000.0, Refusals(), Refusal.STRANGER_PACED, most=10)
    lost = list[bytes]()

    async def come(place: bytes) -> None:
        try:
            await turns.wait([place], 1_000)
        except TurnLost:
            lost.append(place)

    async with trio.open_nursery() as nursery:
        await turns.wait([b"first"], 1_000)
        nursery.start_soon(come, b"elsewhere")
        await trio.lowlevel.checkpoint()
        for _ in range(100):
            nursery.start_soon(come, b"many")
        await trio.sleep(0.001)
        assert turns.waiting == 10
        assert lost == [b"many"] * 91


async def test_when_who_gives_out_the_turns_leaves_another_goes_on(autojump_clock: MockClock) -> None:
    turns = FairTurns(0.0, 1_000.0, Refusals(), Refusal.REQUEST_PACED)
    await turns.wait([b"first"], 1_000)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        scopes = [trio.CancelScope() for _ in range(3)]

        async def come(scope: trio.CancelScope) -> None:
            with scope:
                await turns.wait([b"many"], 1_000)

        for scope in scopes:
            nursery.start_soon(come, scope)
        await trio.sleep(0.5)
        scopes[0].cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert turns._giver is not None
    assert trio.current_time() - began == pytest.approx(2.0)
    assert [scope.cancelled_caught for scope in scopes] == [True, False, False]
    assert turns.waiting == 0
