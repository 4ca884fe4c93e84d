"""Hard cases end in one working session, and every text arrives once and in the order of its sender.

Whatever is lost here is lost on streams that live or in stores that were thrown back: what merely breaks connections is
in test_faults. ``whole`` is what must hold at the end of each: nothing waits, nothing is missing or double, and both
send on the same session.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.params import DAY_S
from p2pchat.core.wire import Ack, Flight
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.convergence import Snapshot, both_say, converge, forget_sessions, sending, whole
from tests.sim.loss import Loss
from tests.sim.people import meet

HOUR_S = 3600
NARROW = replace(CHEAP, skip_per_message=20)


@pytest.mark.parametrize("seed", range(4))
async def test_first_flights_that_cross(seed: int, autojump_clock: MockClock) -> None:
    with fixed_schedule(seed):
        async with Cluster.running(seed=seed) as cluster:
            alice, bob = await meet(cluster)
            cluster.network.cut(alice.network, bob.network)
            for node in (alice, bob):
                await node.database.run(forget_sessions)
            await both_say(alice, bob, "one", "two")
            cluster.network.heal(alice.network, bob.network)
            await converge(alice, bob)


@pytest.mark.parametrize("number", [1, 2, 5])
async def test_first_flights_that_are_lost_in_both_directions(
    number: int, loss: Loss, autojump_clock: MockClock
) -> None:
    with fixed_schedule(number):
        async with Cluster.running(seed=number) as cluster:
            loss.first(number, Flight)
            alice, bob = await cluster.add("Alice", "+821012345678"), await cluster.add("Bob", "+821098765432")
            await alice.add(bob.number, "Bob")
            await bob.add(alice.number, "Alice")
            await both_say(alice, bob, "one", "two")
            await converge(alice, bob, 2 * HOUR_S)
            assert loss.count >= number


@pytest.mark.parametrize("losers", ["a", "b", "ab"])
@pytest.mark.parametrize("seed", range(3))
async def test_sessions_that_are_lost_while_messages_fly(
    seed: int, losers: str, loss: Loss, autojump_clock: MockClock
) -> None:
    with fixed_schedule(seed):
        async with Cluster.running(seed=seed) as cluster:
            alice, bob = await meet(cluster)
            await both_say(alice, bob, "before")
            await converge(alice, bob)
            loss.all(Ack)
            await both_say(alice, bob, "one", "two", "three")
            await trio.sleep(1)
            for name, node in (("a", alice), ("b", bob)):
                if name in losers:
                    await node.database.run(forget_sessions)
            await both_say(alice, bob, "four")
            loss.nothing()
            await converge(alice, bob)


async def test_acks_that_are_lost_for_an_hour(loss: Loss, autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            loss.all(Ack)
            for number in range(6):
                await both_say(alice, bob, str(number))
                await trio.sleep(HOUR_S / 6)
            assert loss.count > 100  # each stream carries all again
            loss.nothing()
            await converge(alice, bob)


@pytest.mark.parametrize("seed", range(2))
async def test_a_store_thrown_back_beyond_what_can_be_skipped(seed: int, autojump_clock: MockClock) -> None:
    with fixed_schedule(seed):
        async with Cluster.running(seed=seed, params=NARROW) as cluster:
            alice, bob = await meet(cluster)
            await both_say(alice, bob, "before")
            await converge(alice, bob)
            before = await Snapshot.of(bob)
            first = await sending(alice, "Bob")
            for number in range(NARROW.skip_per_message + 1):
                await alice.send("Bob", str(number))
                await eventually(lambda: whole(alice, bob))  # each in an envelope of its own
            await before.restore(bob)
            await alice.send("Bob", "far ahead")
            await converge(alice, bob)
            assert await sending(alice, "Bob") != first


@pytest.mark.parametrize("thrown_back", ["a", "b", "ab"])
async def test_stores_thrown_back_by_a_few_steps(thrown_back: str, autojump_clock: MockClock) -> None:
    with fixed_schedule(7):
        async with Cluster.running(seed=7) as cluster:
            alice, bob = await meet(cluster)
            await converge(alice, bob)
            nodes = [node for name, node in (("a", alice), ("b", bob)) if name in thrown_back]
            before = [(node, await Snapshot.of(node)) for node in nodes]
            for number in range(5):
                await both_say(alice, bob, str(number))
                await eventually(lambda: whole(alice, bob))
            for node, snapshot in before:
                await snapshot.restore(node)
            await both_say(alice, bob, "one", "two")
            await converge(alice, bob, 2 * HOUR_S)


@pytest.mark.parametrize("days", [1.05, 14.0])
async def test_a_flight_that_arrives_when_the_key_of_its_bundle_is_gone(
    days: float, loss: Loss, rare_pings: None, autojump_clock: MockClock
) -> None:
    with fixed_schedule(2):
        async with Cluster.running(seed=2) as cluster:
            alice, bob = await meet(cluster)
            for node in (alice, bob):
                await node.database.run(forget_sessions)
            loss.all(Flight)
            await both_say(alice, bob, "one", "two")
            await eventually(lambda: _has_session(alice, "Bob"), within_s=30)
            for node in (alice, bob):
                await cluster.crash(node)
            await trio.sleep(days * DAY_S)
            loss.nothing()
            for node in (alice, bob):
                await cluster.start(node)
            await converge(alice, bob, 2 * HOUR_S)


async def _has_session(node: Node, name: str) -> bool:
    return await sending(node, name) is not None


@pytest.mark.parametrize("hours", [20, -20, 24, -24, 24 * 365, -24 * 365])
async def test_a_clock_that_was_wrong_while_sessions_were_lost(
    hours: int, rare_pings: None, autojump_clock: MockClock
) -> None:
    with fixed_schedule(3):
        async with Cluster.running(seed=3) as cluster:
            alice, bob = await meet(cluster)
            await converge(alice, bob)
            alice.now.skew_s = hours * HOUR_S
            await both_say(alice, bob, "wrong")
            await eventually(lambda: whole(alice, bob), within_s=60)  # what is there goes on
            for node in (alice, bob):
                await node.database.run(forget_sessions)
            await both_say(alice, bob, "one", "two")
            await trio.sleep(3 * HOUR_S)
            alice.now.skew_s = 0.0
            await converge(alice, bob, 2 * HOUR_S)


async def test_a_month_in_which_only_one_writes(rare_pings: None, autojump_clock: MockClock) -> None:
    with fixed_schedule(4):
        async with Cluster.running(seed=4) as cluster:
            alice, bob = await meet(cluster)
            for day in range(32):
                await alice.send("Bob", f"day {day}")
                await eventually(lambda: whole(alice, bob), within_s=60)
                for node in (alice, bob):
                    await cluster.crash(node)
                await trio.sleep(DAY_S)
                for node in (alice, bob):
                    await cluster.start(node)
            await converge(alice, bob)


async def test_a_session_that_only_receives_goes_after_45_days_and_the_other_stays(
    loss: Loss, rare_pings: None, autojump_clock: MockClock
) -> None:
    with fixed_schedule(5):
        async with Cluster.running(seed=5) as cluster:
            alice, bob = await meet(cluster)
            await converge(alice, bob)
            await bob.database.run(forget_sessions)
            await alice.send("Bob", "are you there?")
            await converge(alice, bob)
            assert await _sessions(alice) > await _sessions(bob)
            for node in (alice, bob):
                await cluster.crash(node)
            await trio.sleep(44 * DAY_S)
            await cluster.start(alice)
            await trio.sleep(1)
            assert await _sessions(alice) > 1
            await cluster.crash(alice)
            await trio.sleep(1.1 * DAY_S)
            for node in (alice, bob):
                await cluster.start(node)
            await trio.sleep(1)
            assert await _sessions(alice) == await _sessions(bob) == 1
            await converge(alice, bob)


async def _sessions(node: Node) -> int:
    return len(await node.database.run(lambda tx: tx.all("SELECT id FROM session")))
