"""Presence (PROTOCOL.md 3.4): given inside the session, published for all contacts, and the way back to each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.presence import OwnPresence, PresenceKey, encode_presence_key, open_presence, presence_epoch
from p2pchat.services import presence
from p2pchat.services.context import Context
from p2pchat.store import contacts, sessions
from p2pchat.store import presence as store
from p2pchat.store.db import Tx
from p2pchat.store.presence import HeldPresence
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule

ALICE, BOB = "+821012345678", "+821098765432"
DAY_S = 86_400
SHORT = dataclasses.replace(CHEAP, epoch_s=DAY_S, read_previous_s=6 * 3600)  # a week is a day


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(5):
        yield


async def meet(cluster: Cluster) -> tuple[Node, Node]:
    alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
    await alice.add(BOB, "Bob")
    await bob.add(ALICE, "Alice")

    async def both_know() -> bool:
        rows = [(alice, await alice.contact("Bob")), (bob, await bob.contact("Alice"))]
        return all([await node.database.run(partial(store.held, contact=row.id)) is not None for node, row in rows])

    await eventually(both_know, within_s=30)
    return alice, bob


async def own(node: Node) -> OwnPresence:
    found = await node.database.run(store.own)
    assert found is not None
    return found


async def held(node: Node, name: str) -> HeldPresence:
    contact = await node.contact(name)
    found = await node.database.run(lambda tx: store.held(tx, contact.id))
    assert found is not None
    return found


async def delivered(sender: Node, to: str) -> bool:
    return {row.state for row in await sender.conversation(to) if not row.incoming} == {"delivered"}


def distrust_nobody(tx: Tx) -> None:
    """Number verified: the pair slots are left alone, so that presence alone can help."""
    tx.execute("UPDATE contact SET trust = 'in_person'")


async def test_each_holds_the_others_after_the_match_and_can_read_it(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await trio.sleep(60)
        key = (await held(alice, "Bob")).key
        assert key == (await own(bob)).given(key.epoch, CHEAP)
        assert alice.running is not None
        records = (await alice.running.context.dht.walk(key.loc)).records
        seen = [open_presence(key, raw, int(cluster.now()), CHEAP) for raw in records]
        assert [sighting.presence.peer_id for sighting in seen] == [bob.network.peer_id]
        assert seen[0].presence.addresses == bob.network.addresses()
        # nothing of it was shown as a message
        assert await alice.conversation("Bob") == await bob.conversation("Alice") == []


@pytest.mark.parametrize("who", ["bob", "both"])
async def test_those_who_moved_while_they_were_apart_find_each_other(who: str, autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        await cluster.add("Carol")  # somebody whose node keeps the records
        alice, bob = await meet(cluster)
        await alice.database.run(distrust_nobody)
        await bob.database.run(distrust_nobody)
        await cluster.crash(bob)
        await cluster.crash(alice)
        cluster.network.move(bob.network)
        if who == "both":
            cluster.network.move(alice.network)
        await cluster.start(bob)
        await trio.sleep(30)
        # Bob finds nobody where Alice was, and Alice will not find Bob where he was
        await cluster.start(alice)
        await alice.send("Bob", "where are you?")
        took = await eventually(lambda: delivered(alice, "Bob"), within_s=600)
        assert took < 60


async def test_a_node_that_moves_while_it_runs_says_so_soon(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        await cluster.add("Carol")
        alice, bob = await meet(cluster)
        await trio.sleep(10)
        cluster.network.move(bob.network)
        await trio.sleep(120)
        key = (await held(alice, "Bob")).key
        assert alice.running is not None
        records = (await alice.running.context.dht.walk(key.loc)).records
        said = [open_presence(key, raw, int(cluster.now()), CHEAP).presence for raw in records]
        assert [presence.addresses for presence in said] == [bob.network.addresses()]


async def test_the_record_is_renewed_as_the_weeks_go_by_and_old_keys_are_gone(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running(params=SHORT) as cluster:
        alice, bob = await meet(cluster)
        first = await own(bob)
        await cluster.crash(alice)
        await trio.sleep(3 * DAY_S)
        later = await own(bob)
        week = presence_epoch(int(cluster.now()) - SHORT.read_previous_s, SHORT)
        assert later == first.forget_before(week, SHORT)
        assert later.epoch >= first.epoch + 2
        await cluster.start(alice)
        await alice.send("Bob", "back")
        await eventually(lambda: delivered(alice, "Bob"), within_s=600)
        assert alice.running is not None
        context = alice.running.context
        contact = await alice.contact("Bob")
        await presence.seek(context, contact.id)
        now = await held(alice, "Bob")
        assert now.key.epoch == presence_epoch(now.seq, SHORT) > first.epoch + 1


async def test_it_is_given_again_in_every_new_session(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)

        def lose(tx: Tx) -> None:
            tx.execute("DELETE FROM session")
            tx.execute("DELETE FROM contact_presence")

        # both forget: what was given, that it was given, and the session that could carry it
        await cluster.crash(alice)
        await alice.database.run(lose)
        await bob.database.run(lose)
        await cluster.start(alice)

        async def again() -> bool:
            contact = await alice.contact("Bob")
            known = await alice.database.run(lambda tx: store.held(tx, contact.id))
            return known is not None

        await eventually(again, within_s=900)


async def test_a_clock_that_was_ahead_costs_a_presence_and_no_contact(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        assert bob.running is not None
        context = bob.running.context
        first = await own(bob)
        ahead = first.forget_before(first.epoch + 3, CHEAP)
        await bob.database.run(lambda tx: store.step_own(tx, ahead))
        renewed = await bob.database.run(lambda tx: presence.own(tx, context))
        assert renewed.n == 2
        assert renewed.seed != first.seed
        await bob.send("Alice", "my clock was wrong")

        async def learnt() -> bool:
            return (await held(alice, "Bob")).key.n == 2

        await eventually(learnt, within_s=60)


async def test_a_clock_that_goes_to_and_fro_does_not_heap_presences(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        _, bob = await meet(cluster)
        for hours in range(1, 7):
            bob.now.skew_s = -3600.0 * hours
            await trio.sleep(120)
        numbers = [each.n for each in await bob.database.run(store.all_own)]
        assert numbers == [7, 6, 5, 4]


async def test_of_several_the_newest_devices_and_then_the_highest_number_counts(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        row = await alice.add(BOB, "Bob")

        async def take(device_ms: int, n: int) -> tuple[int, int]:
            body = encode_presence_key(PresenceKey(n, bytes(32), 1, bytes(32)))
            assert await alice.database.run(lambda tx: presence.take(tx, row.id, device_ms, body))
            now = await held(alice, "Bob")
            return now.device_ms, now.key.n

        assert await take(5, 2) == (5, 2)
        assert await take(5, 1) == (5, 2)
        assert await take(4, 9) == (5, 2)
        assert await take(5, 3) == (5, 3)
        assert await take(6, 1) == (6, 1)
        assert not await alice.database.run(lambda tx: presence.take(tx, row.id, 7, b"junk"))


async def test_a_pending_contact_is_given_nothing_and_a_removed_one_is_forgotten(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        assert alice.running is not None
        context = alice.running.context
        contact = await alice.contact("Bob")

        def given(tx: Tx) -> list[object]:
            tx.execute("UPDATE contact SET state = 'pending'")
            tx.execute("UPDATE session SET presence_n = 0")
            rows = sessions.of_contact(tx, contact.id)
            return [presence.to_give(tx, context, row) for row in rows]

        sealed_with = await alice.database.run(given)  # in each session: both may have begun one
        assert sealed_with == [None] * len(sealed_with) != []
        await alice.database.run(lambda tx: contacts.remove(tx, contact.id))
        assert await alice.database.run(lambda tx: store.held(tx, contact.id)) is None
        assert (await own(bob)).n == 1


async def test_it_is_read_again_after_a_minute_and_at_once_for_a_new_message(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Cluster.running() as cluster:
        await cluster.add("Carol")
        alice, bob = await meet(cluster)
        readings: list[float] = []
        seek = presence.seek

        async def counted(context: Context, contact: int) -> bool | None:
            readings.append(trio.current_time())
            return await seek(context, contact)

        await trio.sleep(60)
        monkeypatch.setattr(presence, "seek", counted)
        gone_at = trio.current_time()
        await cluster.crash(bob)
        await trio.sleep(300)
        gaps = [later - earlier for earlier, later in pairwise(readings)]
        assert readings[0] - gone_at < 15
        assert 45 < gaps[0] < 75
        assert 90 < gaps[1] < 150
        await trio.sleep(10)
        asked_at, count = trio.current_time(), len(readings)
        await alice.send("Bob", "now")
        await trio.sleep(15)
        assert len(readings) == count + 1
        assert readings[-1] - asked_at < 12
