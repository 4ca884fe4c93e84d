"""What has expired does not arrive later, and what a clock that was not set has dated does not expire for it."""

from __future__ import annotations

import dataclasses

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.params import DAY_S
from p2pchat.core.wire import Batch, Flight
from p2pchat.services import deliver
from p2pchat.store import presence, sessions
from p2pchat.testing.cluster import CHEAP, START_S, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.loss import Loss
from tests.sim.people import meet

HOUR_S = 3600
NARROW = dataclasses.replace(CHEAP, skip_per_message=3)
LASTING = dataclasses.replace(CHEAP, presence_life_s=99 * DAY_S)  # there is no newer presence to give


async def states(node: Node, name: str) -> list[str]:
    return [row.state for row in await node.conversation(name) if not row.incoming]


async def arrived(node: Node, name: str, *texts: str) -> bool:
    return await node.received(name) == list(texts)


async def days_pass(cluster: Cluster, days: float, *nodes: Node) -> None:
    """All are down meanwhile, which takes no time; then ``nodes`` are up again and have looked after their stores."""
    for node in cluster.nodes.values():
        await cluster.crash(node)
    await trio.sleep(days * DAY_S)
    for node in nodes:
        await cluster.start(node)
    await trio.sleep(1)


async def seal_and_lose(cluster: Cluster, alice: Node, bob: Node, loss: Loss, *texts: str) -> None:
    """Alice's texts are sealed each in an envelope of its own that nobody gets, and then the two are parted."""
    loss.all(Batch, Flight)
    for text in texts:
        await alice.send("Bob", text)
        await trio.sleep(1)
    assert set(await states(alice, "Bob")) == {"sent"}
    await cluster.crash(bob)
    loss.nothing()


@pytest.mark.parametrize(("texts", "same_session"), [(1, True), (3, True), (5, False)])
async def test_what_expired_after_it_was_sealed_does_not_arrive_and_what_follows_does(
    texts: int, same_session: bool, loss: Loss, rare_pings: None, autojump_clock: MockClock
) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1, params=NARROW) as cluster:
            alice, bob = await meet(cluster)
            await trio.sleep(60)
            contact = await alice.contact("Bob")
            before = await alice.database.run(lambda tx: deliver.sending_session(tx, contact.id))
            await seal_and_lose(cluster, alice, bob, loss, *map(str, range(texts)))
            await days_pass(cluster, 30.1, alice)
            assert await states(alice, "Bob") == ["expired"] * texts
            await cluster.start(bob)
            await alice.send("Bob", "after")
            await eventually(lambda: arrived(bob, "Alice", "after"), within_s=2 * HOUR_S)
            await trio.sleep(HOUR_S)
            assert await bob.received("Alice") == ["after"]
            assert await states(alice, "Bob") == ["expired"] * texts + ["delivered"]
            after = await alice.database.run(lambda tx: deliver.sending_session(tx, contact.id))
            assert before is not None
            assert after is not None
            assert (before.session.ad == after.session.ad) is same_session  # the gap may be more than can be skipped
            assert await alice.database.run(lambda tx: sessions.unacknowledged(tx, after.id, 0, 10)) == []


@pytest.mark.parametrize("too_late", [False, True])
async def test_what_was_sealed_with_a_later_one_expires_with_that(
    too_late: bool, loss: Loss, rare_pings: None, autojump_clock: MockClock
) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await cluster.crash(bob)
            await alice.send("Bob", "old")
            await days_pass(cluster, 20, alice)
            await alice.send("Bob", "young")
            loss.all(Batch, Flight)
            await cluster.start(bob)
            await trio.sleep(HOUR_S)
            await days_pass(cluster, 29, alice)
            assert await states(alice, "Bob") == ["sent", "sent"]
            if too_late:
                await days_pass(cluster, 1.1, alice)
                assert await states(alice, "Bob") == ["expired", "expired"]
            loss.nothing()
            await cluster.start(bob)
            await alice.send("Bob", "after")
            texts = ["after"] if too_late else ["old", "young", "after"]
            await eventually(lambda: arrived(bob, "Alice", *texts), within_s=HOUR_S)


async def test_a_presence_that_went_with_what_expired_is_given_again(
    loss: Loss, rare_pings: None, autojump_clock: MockClock
) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1, params=LASTING) as cluster:
            alice, bob = await meet(cluster)
            await trio.sleep(60)
            await alice.database.run(lambda tx: tx.execute("UPDATE session SET presence_n = 0"))
            contact = await bob.contact("Alice")
            await bob.database.run(lambda tx: tx.execute("DELETE FROM contact_presence"))
            await seal_and_lose(cluster, alice, bob, loss, "gone")
            await days_pass(cluster, 30.1, alice)
            assert await states(alice, "Bob") == ["expired"]
            await cluster.start(bob)
            await alice.send("Bob", "after")
            await eventually(lambda: arrived(bob, "Alice", "after"), within_s=2 * HOUR_S)
            assert await bob.database.run(lambda tx: presence.held(tx, contact.id)) is not None


@pytest.mark.parametrize("restored", [False, True])
async def test_what_was_queued_and_sought_before_the_clock_was_set_lives_from_then_on(
    restored: bool, rare_pings: None, autojump_clock: MockClock
) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await cluster.crash(bob)
            saved = await alice.backup()
            await cluster.crash(alice)
            if restored:
                await trio.sleep(60)
                alice = await cluster.restore(alice, saved)
                await cluster.crash(alice)
            alice.now.skew_s = -float(START_S)  # the first of January, 1970
            await cluster.start(alice)
            await alice.send("Bob", "from the past")
            await alice.add("+821055555555", "Carol")
            await trio.sleep(HOUR_S)
            alice.now.skew_s = 0.0
            await trio.sleep(HOUR_S)
            (row,) = await alice.conversation("Bob")
            assert (row.state, row.created_ms > START_S * 1000) == ("queued", True)
            assert (await alice.contact("Carol")).searching
            await cluster.start(bob)
            await eventually(lambda: arrived(bob, "Alice", "from the past"), within_s=HOUR_S)
            await cluster.crash(bob)
            await alice.send("Bob", "never")
            await days_pass(cluster, 29.9, alice)
            assert (await states(alice, "Bob"))[-1] == "queued"
            await days_pass(cluster, 0.2, alice)
            assert (await states(alice, "Bob"))[-1] == "expired"
            assert not (await alice.contact("Carol")).searching
