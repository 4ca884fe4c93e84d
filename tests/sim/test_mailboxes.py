"""Mailboxes where holder, owner and depositor are whole nodes: what is written to who is away arrives once and in
order, and what is said of it is true (PROTOCOL.md 6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.events import EventKind
from p2pchat.core.params import DAY_S
from p2pchat.services import block
from p2pchat.services import contacts as book
from p2pchat.store import own_mailbox
from p2pchat.store.db import Job, Tx
from p2pchat.store.offer import Offer
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.mailboxes import context_of, offering
from tests.sim.people import ALICE, BOB, is_matched
from tests.sim.three_roles import World, all_are, boxes, emptied, has, once_each, states, told, use, words, world

HOUR_S = 3600
SENT = (EventKind.MESSAGE_QUEUED, EventKind.MESSAGE_SENT, EventKind.MESSAGE_HELD, EventKind.MESSAGE_DELIVERED)
pytestmark = pytest.mark.usefixtures("rare_pings")


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(7):
        yield


def lose_sessions(tx: Tx) -> None:
    tx.execute("DELETE FROM session")


def lose_half(tx: Tx, odd: int) -> None:
    tx.execute("DELETE FROM deposit WHERE n % 2 = ?", (odd,))


async def changed_key(node: Node) -> bool:
    return any(event.kind is EventKind.CONTACT_KEY_CHANGED for event in node.events)


@pytest.mark.parametrize("pause_s", [0.0, 0.1])
@pytest.mark.parametrize("lost", [False, True], ids=["session", "no session"])
async def test_a_thousand_texts_arrive_once_and_in_order_though_a_holder_is_gone_for_good(
    lost: bool, pause_s: float, autojump_clock: MockClock
) -> None:
    async with world() as w:
        if lost:
            await w.alice.database.run(lose_sessions)
        texts = [f"text {n}" for n in range(1000)]
        for text in texts:
            await w.alice.send("Bob", text)
            await trio.sleep(pause_s)
        await eventually(lambda: all_are(w.alice, "Bob", "held"), within_s=60)
        await trio.sleep(120)
        await w.cluster.crash(w.alice)
        await w.cluster.crash(w.holders[0])
        await w.cluster.start(w.bob)
        await eventually(lambda: has(w.bob, "Alice", texts), within_s=60)
        await eventually(lambda: emptied(w.holders[1]), within_s=60)
        await w.cluster.start(w.alice)
        await eventually(lambda: all_are(w.alice, "Bob", "delivered"), within_s=900)
        await trio.sleep(60)
        assert await w.bob.received("Alice") == texts
        assert await w.alice.outbox() == 0
        assert once_each(await told(w.alice), 1000, *SENT)
        assert once_each(await told(w.bob), 1000, EventKind.MESSAGE_RECEIVED)


async def test_both_holders_and_a_stream_at_the_same_time(autojump_clock: MockClock) -> None:
    async with world() as w:
        texts = [f"text {n}" for n in range(300)]
        for text in texts[:150]:
            await w.alice.send("Bob", text)
            await trio.sleep(0.1)
        await w.cluster.start(w.bob)
        for text in texts[150:]:
            await w.alice.send("Bob", text)
            await trio.sleep(0.01)
        await eventually(lambda: has(w.bob, "Alice", texts), within_s=60)
        await eventually(lambda: all_are(w.alice, "Bob", "delivered"), within_s=60)
        await eventually(lambda: emptied(*w.holders), within_s=60)
        assert once_each(await told(w.bob), 300, EventKind.MESSAGE_RECEIVED)
        of_alice = await told(w.alice)
        assert {count for each in of_alice.values() for count in each.values()} == {1}
        assert len(of_alice[EventKind.MESSAGE_DELIVERED]) == 300


async def test_what_waits_at_mailboxes_of_a_device_that_is_lost_comes_from_the_sender_again(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        saved = await w.bob.backup()
        texts = [f"text {n}" for n in range(200)]
        for text in texts:
            await w.alice.send("Bob", text)
        await eventually(lambda: all_are(w.alice, "Bob", "held"), within_s=60)
        await w.cluster.crash(w.alice)
        again = await w.cluster.restore(w.bob, saved)
        await trio.sleep(HOUR_S)
        assert await again.received("Alice") == []
        assert await again.database.run(own_mailbox.everyone) == []
        await w.cluster.start(w.alice)
        await eventually(lambda: has(again, "Alice", texts), within_s=1200)
        await eventually(lambda: all_are(w.alice, "Bob", "delivered"), within_s=900)
        of_alice = await told(w.alice)
        assert once_each(of_alice, 200, *SENT, EventKind.MESSAGE_UNHELD)


async def test_nothing_is_held_for_a_device_that_was_replaced(autojump_clock: MockClock) -> None:
    """Alice learns of Bob's new device, and no more of it: what the mailboxes of the old one have, Bob does not get."""
    async with world() as w:
        saved = await w.bob.backup()
        await w.alice.send("Bob", "for the old device")
        await eventually(lambda: all_are(w.alice, "Bob", "held"), within_s=60)
        await trio.sleep(60)
        before = await boxes(*w.holders)
        again = await w.cluster.restore(w.bob, saved)
        await again.send("Alice", "from the new one")
        await eventually(lambda: changed_key(w.alice), within_s=1200, step_s=0.0005)
        await w.cluster.crash(again)
        assert EventKind.MESSAGE_UNHELD in await told(w.alice)
        assert (await words(w.alice, "Bob")).holders == []
        await w.alice.send("Bob", "for the new device")
        await trio.sleep(2 * HOUR_S)
        assert await boxes(*w.holders) == before
        assert "held" not in (await states(w.alice, "Bob"))[1:]
        assert "No mailbox of Bob is known" in (await words(w.alice, "Bob")).text
        await w.cluster.start(again)
        await eventually(lambda: has(again, "Alice", ["for the old device", "for the new device"]), within_s=1200)


@pytest.mark.parametrize("how", ["block", "remove"])
async def test_a_mailbox_at_the_node_of_somebody_who_was_matched_later_goes_with_them(
    how: str, autojump_clock: MockClock
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
        await offering(alice, Offer("anyone"))
        await trio.sleep(10)
        await use(bob, alice)
        await trio.sleep(280)  # nothing looks whose it is for the next minutes
        await alice.add(BOB, "Bob")
        await bob.add(ALICE, "Alice")
        await eventually(lambda: is_matched(bob, "Alice"), within_s=10)
        row, context = await bob.contact("Alice"), context_of(bob)
        part = block.block if how == "block" else book.remove
        await bob.database.run(lambda tx: part(tx, context, row))
        assert await bob.database.run(own_mailbox.everyone) == []


async def test_the_sender_is_no_mailbox_for_what_it_sends(autojump_clock: MockClock) -> None:
    """Two who hold for each other: what one of them sends waits where it is, and nobody is told otherwise."""
    async with world(0) as w:
        await w.cluster.start(w.bob)
        for each in (w.alice, w.bob):
            await offering(each, Offer("contacts"))
        await trio.sleep(60)
        await use(w.bob, w.alice)
        await use(w.alice, w.bob)
        await trio.sleep(1000)
        await w.cluster.crash(w.bob)
        await w.alice.send("Bob", "there")
        await trio.sleep(60)
        assert await boxes(w.alice) == 0
        assert "No mailbox of Bob is known" in (await words(w.alice, "Bob")).text
        await w.cluster.crash(w.alice)
        await w.cluster.start(w.bob)
        await w.bob.send("Alice", "and back")
        await trio.sleep(60)
        await w.cluster.start(w.alice)
        await eventually(lambda: all_are(w.alice, "Bob", "delivered"), within_s=900)
        await eventually(lambda: all_are(w.bob, "Alice", "delivered"), within_s=900)


async def test_everybody_holds_for_everybody(autojump_clock: MockClock) -> None:
    async with world(0) as w:
        await w.cluster.start(w.bob)
        dave = w.cluster.nodes["Dave"]
        for each in (w.alice, w.bob, dave):
            await offering(each, Offer("anyone"))
        await trio.sleep(10)
        await use(w.bob, w.alice, dave)
        await use(w.alice, w.bob, dave)
        await trio.sleep(1000)
        await w.cluster.crash(w.bob)
        await w.alice.send("Bob", "there")
        await eventually(lambda: all_are(w.alice, "Bob", "held"), within_s=60)
        await w.cluster.crash(w.alice)
        await w.cluster.start(w.bob)
        await eventually(lambda: has(w.bob, "Alice", ["there"]), within_s=60)
        await w.bob.send("Alice", "and back")
        await eventually(lambda: all_are(w.bob, "Alice", "held"), within_s=60)
        await w.cluster.crash(w.bob)
        await w.cluster.start(w.alice)
        await eventually(lambda: has(w.alice, "Bob", ["and back"]), within_s=60)
        await eventually(lambda: all_are(w.alice, "Bob", "delivered"), within_s=60)  # the ack lay in a box
        await w.cluster.start(w.bob)
        await eventually(lambda: all_are(w.bob, "Alice", "delivered"), within_s=900)
        await eventually(lambda: emptied(w.alice, w.bob, dave), within_s=60)


def kill_at(w: World, node: Node, nth: int, *, after: bool, monkeypatch: pytest.MonkeyPatch) -> trio.Event:
    """Has ``node`` killed at its ``nth`` job on the store from now on, just before or after the commit; set then."""
    run, killed, count = node.database.run, trio.Event(), 0

    async def kill() -> None:
        assert node.running is not None
        w.cluster.network.down(node.network)
        node.running.scope.cancel()
        killed.set()
        await trio.sleep_forever()

    async def counted(job: Job[object]) -> object:
        nonlocal count
        count += 1
        is_last = count == nth
        if is_last and not after:
            await kill()
        result = await run(job)
        if is_last and after:
            await kill()
        return result

    monkeypatch.setattr(node.database, "run", counted)
    return killed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("role", "nth"),
    [("holder", 1), ("holder", 2), *[(role, n) for role in ("depositor", "owner") for n in range(1, 15, 2)]],
)
async def test_a_node_that_is_killed_at_any_commit_loses_nothing_and_shows_nothing_twice(
    role: str, nth: int, after: bool, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(1) as w:
        node = {"depositor": w.alice, "holder": w.holders[0], "owner": w.bob}[role]
        await w.alice.send("Bob", "hello")
        if role == "owner":
            await eventually(lambda: all_are(w.alice, "Bob", "held"), within_s=60)
            await w.cluster.crash(w.alice)
            await w.cluster.start(w.bob)
        killed = kill_at(w, node, nth, after=after, monkeypatch=monkeypatch)
        with trio.fail_after(60):
            await killed.wait()
        monkeypatch.undo()
        await w.cluster.crash(node)
        await w.cluster.start(node)
        if role != "owner":
            await eventually(lambda: all_are(w.alice, "Bob", "held"), within_s=120)
            await trio.sleep(60)
            await w.cluster.crash(w.alice)
            await w.cluster.start(w.bob)
        await eventually(lambda: has(w.bob, "Alice", ["hello"]), within_s=60)
        await eventually(lambda: emptied(*w.holders), within_s=60)
        await w.cluster.start(w.alice)
        await eventually(lambda: all_are(w.alice, "Bob", "delivered"), within_s=900)
        assert await w.bob.received("Alice") == ["hello"]
        assert once_each(await told(w.bob), 1, EventKind.MESSAGE_RECEIVED)
        assert once_each(await told(w.alice), 1, *SENT)


async def held_by_all(w: World) -> None:
    await w.alice.send("Bob", "hello")
    await eventually(lambda: all_are(w.alice, "Bob", "held"), within_s=60)
    await trio.sleep(60)
    await w.cluster.crash(w.alice)


@pytest.mark.parametrize("behind_s", [2 * DAY_S, 3650 * DAY_S])
async def test_what_is_fetched_while_the_clock_is_behind_is_opened(behind_s: int, autojump_clock: MockClock) -> None:
    """As of a machine without a battery, until it is told the time: what cannot be opened would be gone."""
    async with world() as w:
        await held_by_all(w)
        w.bob.now.skew_s = -behind_s
        await w.cluster.start(w.bob)
        await eventually(lambda: emptied(*w.holders), within_s=120)
        assert await w.bob.received("Alice") == ["hello"]


async def test_a_first_flight_is_opened_though_the_clock_was_behind_at_the_start(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.alice.database.run(lose_sessions)
        await held_by_all(w)
        for each in w.holders:
            w.cluster.network.cut(w.bob.network, each.network)
        w.bob.now.skew_s = -3650 * DAY_S
        await w.cluster.start(w.bob)
        await trio.sleep(10)
        w.bob.now.skew_s = 0
        for each in w.holders:
            w.cluster.network.heal(w.bob.network, each.network)
        await eventually(lambda: has(w.bob, "Alice", ["hello"]), within_s=900)
        await eventually(lambda: emptied(*w.holders), within_s=120)


async def test_what_has_expired_is_held_no_longer(autojump_clock: MockClock) -> None:
    async with world(params=replace(CHEAP, message_life_s=3 * HOUR_S)) as w:
        await w.alice.send("Bob", "hello")
        await eventually(lambda: all_are(w.alice, "Bob", "held"), within_s=60)
        await trio.sleep(60)
        for each in (w.alice, w.cluster.nodes["Dave"]):
            await w.cluster.crash(each)
        await trio.sleep(3 * HOUR_S)
        assert await boxes(*w.holders) == 0
        await w.cluster.start(w.alice)
        await eventually(lambda: all_are(w.alice, "Bob", "expired"), within_s=60)
        assert "may have arrived all the same" in (await words(w.alice, "Bob")).text


async def test_a_part_from_each_holder_in_any_order_is_shown_in_order(autojump_clock: MockClock) -> None:
    async with world() as w:
        texts = [f"text {n}" for n in range(20)]
        for text in texts:
            await w.alice.send("Bob", text)
            await trio.sleep(1)
        await trio.sleep(60)
        await w.cluster.crash(w.alice)
        for odd, holder in enumerate(w.holders):
            await holder.database.run(partial(lose_half, odd=odd))
        await w.holders[1].database.run(lambda tx: tx.execute("UPDATE deposit SET n = 1000 - n"))
        await w.cluster.start(w.bob)
        await eventually(lambda: has(w.bob, "Alice", texts), within_s=60)
        assert once_each(await told(w.bob), 20, EventKind.MESSAGE_RECEIVED)
