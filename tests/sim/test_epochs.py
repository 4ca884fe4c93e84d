"""Boundaries in time (PROTOCOL.md 3.1, 3.3): epochs and eras overlap, watches last, a search ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.events import EventKind
from p2pchat.core.slots import derive_root, era, next_slot_s
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule

ALICE, BOB = "+821012345678", "+821098765432"
pytestmark = pytest.mark.usefixtures("rare_checks")

HOUR_S = 3600
DAY_S = 24 * HOUR_S


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(13):
        yield


async def both_matched(alice: Node, bob: Node) -> bool:
    return (await alice.contact("Bob")).state == (await bob.contact("Alice")).state == "matched"


def until_epoch_s(cluster: Cluster) -> int:
    """Seconds until the next epoch of the pair begins."""
    now = int(cluster.now())
    root = derive_root(ALICE, BOB, era(now, CHEAP), CHEAP)
    return next_slot_s(root, now, CHEAP) + CHEAP.publish_next_s


def until_era_s(cluster: Cluster) -> int:
    return CHEAP.era_s - int(cluster.now()) % CHEAP.era_s


@pytest.mark.parametrize("boundary", ["epoch", "era"])
@pytest.mark.parametrize("before_s", [50 * HOUR_S, HOUR_S, 1])
@pytest.mark.parametrize("after_s", [-1, 60, 26 * HOUR_S])
async def test_who_looks_before_a_boundary_and_who_looks_after_it_match_at_once(
    boundary: str, before_s: int, after_s: int, autojump_clock: MockClock
) -> None:
    """The first one stays online: however long ago it was, the second must not wait for its next poll."""
    async with Cluster.running() as cluster:
        left_s = until_epoch_s(cluster) if boundary == "epoch" else until_era_s(cluster)
        while left_s <= before_s:
            left_s += CHEAP.epoch_s
        await trio.sleep(left_s - before_s)
        alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
        await alice.add(BOB, "Bob")
        await trio.sleep(before_s + after_s)
        await bob.add(ALICE, "Alice")
        assert await eventually(lambda: both_matched(alice, bob), within_s=60) < 15


@pytest.mark.parametrize("hours", [0.4, 0.9, 1.5, 30])
async def test_two_who_are_online_match_at_once_however_long_the_first_has_waited(
    hours: float, autojump_clock: MockClock
) -> None:
    async with Cluster.running() as cluster:
        await cluster.add("Carol")
        alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
        await alice.add(BOB, "Bob")
        await trio.sleep(hours * HOUR_S)
        await bob.add(ALICE, "Alice")
        assert await eventually(lambda: both_matched(alice, bob), within_s=60) < 15


@pytest.mark.parametrize("ahead_s", [HOUR_S, 30 * HOUR_S])
async def test_what_a_clock_that_was_ahead_has_dated_holds_nobody_up(ahead_s: int, autojump_clock: MockClock) -> None:
    """Records of a later time nobody takes; they are written anew, and not after that time has come."""
    async with Cluster.running() as cluster:
        await cluster.add("Carol")
        alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
        await bob.add(ALICE, "Alice")
        await trio.sleep(60)
        alice.now.skew_s = ahead_s
        await alice.add(BOB, "Bob")
        await trio.sleep(60)
        assert not await both_matched(alice, bob)
        alice.now.skew_s = 0
        assert await eventually(lambda: both_matched(alice, bob), within_s=HOUR_S) < 600


@pytest.mark.parametrize("others", [1, 2])
async def test_a_clock_that_is_behind_makes_nobody_sign_an_earlier_seq(others: int, autojump_clock: MockClock) -> None:
    """Storers have the later one, and would refuse it; the own one takes neither."""

    async def seqs() -> dict[bytes, int]:
        bob = (await alice.contact("Bob")).id
        rows = await alice.database.run(lambda tx: tx.all("SELECT loc, seq FROM published WHERE contact = ?", (bob,)))
        return {bytes(loc): seq for loc, seq in rows}

    async with Cluster.running() as cluster:
        alice, dave = await cluster.add("Alice", ALICE), await cluster.add("Dave", "+821011112222")
        for number in range(others - 1):
            await cluster.add(f"Carol {number}")
        await alice.add(dave.number, "Dave")
        await dave.add(ALICE, "Alice")
        await alice.add(BOB, "Bob")
        await trio.sleep(60)
        before = await seqs()
        assert before
        alice.now.skew_s = -3 * HOUR_S
        await trio.sleep(3 * HOUR_S)  # with polls after 5 and 30 minutes and 2 hours
        between = await seqs()
        assert all(between.get(loc, 0) >= seq for loc, seq in before.items())
        await trio.sleep(3 * DAY_S)
        after = await seqs()
        assert all(after.get(loc, 0) > seq for loc, seq in between.items())


async def test_a_search_expires_and_is_renewed_by_adding_again(autojump_clock: MockClock) -> None:
    assert CHEAP.pending_life_s == 28 * DAY_S
    async with Cluster.running(params=dataclasses.replace(CHEAP, pending_life_s=3 * DAY_S)) as cluster:
        alice = await cluster.add("Alice", ALICE)
        await alice.add(BOB, "Bob")
        await trio.sleep(3 * DAY_S - HOUR_S)
        assert EventKind.CONTACT_EXPIRED not in [event.kind for event in alice.events]
        await trio.sleep(2 * HOUR_S)
        assert [event.kind for event in alice.events].count(EventKind.CONTACT_EXPIRED) == 1
        assert (await alice.contact("Bob")).state == "pending"
        await trio.sleep(2 * DAY_S)
        bob = await cluster.add("Bob", BOB)
        await bob.add(ALICE, "Alice")
        await trio.sleep(DAY_S)
        assert not await both_matched(alice, bob)
        await alice.add(BOB, "Bob")
        assert await eventually(lambda: both_matched(alice, bob), within_s=60) < 15


async def test_a_hello_that_expired_in_the_epoch_before_does_not_hold_a_match_up(autojump_clock: MockClock) -> None:
    """Alice finds a hello there which Bob wrote when hers stood nowhere, and hers has expired since. No card could
    come to it, and for a day it would count as somebody else who claims to be Bob."""
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        await trio.sleep(until_epoch_s(cluster) - 40 * HOUR_S)
        await alice.add(BOB, "Bob")
        await trio.sleep(HOUR_S)
        await cluster.crash(alice)
        await cluster.add("Carol")
        bob = await cluster.add("Bob", BOB)
        await trio.sleep(20 * HOUR_S)
        await bob.add(ALICE, "Alice")
        await trio.sleep(HOUR_S)
        await cluster.crash(bob)
        await trio.sleep(53 * HOUR_S)  # 35 h into the new epoch: what Alice published has expired, not what Bob did
        await cluster.start(alice)
        await trio.sleep(HOUR_S)
        assert (await alice.contact("Bob")).state == "pending"
        await cluster.start(bob)
        assert await eventually(lambda: both_matched(alice, bob), within_s=120) < 60
