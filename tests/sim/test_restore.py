"""A device is lost and its backup restored: both directions converge to one session, nothing is lost or shown twice."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.events import EventKind
from p2pchat.core.keys import load_identity
from p2pchat.core.params import DAY_S
from p2pchat.services import contacts as book
from p2pchat.services import invites, presence
from p2pchat.services.deliver import sending_session
from p2pchat.store import contacts, meta
from p2pchat.store import presence as presences
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import ALICE, BOB, is_matched, meet

YEAR_S = 365 * DAY_S


def distrust_nobody(tx: Tx) -> None:
    """Number verified: the pair slots are left alone, so that presence alone can help."""
    tx.execute("UPDATE contact SET trust = 'in_person'")


async def settled(*nodes: Node) -> bool:
    return not any([await node.outbox() for node in nodes])


async def talk(alice: Node, bob: Node, what: str) -> None:
    """A few messages each way, all of them delivered."""
    for number in range(3):
        await alice.send("Bob", f"{what}, Alice {number}")
        await bob.send("Alice", f"{what}, Bob {number}")
    await eventually(partial(settled, alice, bob), within_s=900)


async def session_of(node: Node, name: str) -> bytes:
    """The name of the session that ``node`` sends on."""
    contact = await node.contact(name)

    def chosen(tx: Tx) -> bytes:
        row = sending_session(tx, contact.id)
        assert row is not None
        assert row.session.confirmed
        return row.session.ad

    return await node.database.run(chosen)


async def agree(alice: Node, bob: Node) -> bool:
    """Whether both send on the same session."""
    return await session_of(alice, "Bob") == await session_of(bob, "Alice")


def epoch_ms(node: Node) -> int:
    assert node.running is not None
    return node.running.context.identity.cert.epoch_ms


@pytest.mark.parametrize("schedule", range(6))
async def test_an_older_backup_is_restored_while_the_other_went_on(schedule: int, autojump_clock: MockClock) -> None:
    with fixed_schedule(schedule):
        async with Cluster.running(seed=schedule) as cluster:
            alice, bob = await meet(cluster)
            await talk(alice, bob, "first")
            await cluster.crash(bob)
            await alice.send("Bob", "on its way")  # not acknowledged when the backup is made, and delivered after it
            saved = await alice.backup()
            await cluster.start(bob)
            await talk(alice, bob, "after the backup")
            await cluster.crash(alice)
            for number in range(3):
                await bob.send("Alice", f"nobody there {number}")
            before_bob = await bob.received("Alice")

            again = await cluster.restore(alice, saved)
            assert (await again.contact("Bob")).state == "matched"
            await again.send("Bob", "back")
            await eventually(partial(settled, again, bob), within_s=900)
            await talk(again, bob, "and on")

            assert await bob.received("Alice") == [*before_bob, "back", *(f"and on, Alice {n}" for n in range(3))]
            assert await again.received("Bob") == [
                *(f"first, Bob {n}" for n in range(3)),
                *(f"nobody there {n}" for n in range(3)),
                *(f"and on, Bob {n}" for n in range(3)),
            ]
            assert (await again.texts_sent("Bob"))[:4] == [*(f"first, Alice {n}" for n in range(3)), "on its way"]
            assert await agree(again, bob)


async def test_what_the_backup_has_and_the_sender_does_not_know_of_is_shown_once(autojump_clock: MockClock) -> None:
    """The ack of a message that is in the backup was lost: it is sealed again for the new device."""
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await talk(alice, bob, "first")
            saved = await alice.backup()
            await cluster.crash(alice)
            await bob.database.run(lambda tx: tx.execute("UPDATE message SET state = 'sent' WHERE incoming = 0"))
            assert await bob.outbox() == 3
            again = await cluster.restore(alice, saved)
            await eventually(partial(settled, again, bob), within_s=900)
            assert await again.received("Bob") == [f"first, Bob {n}" for n in range(3)]


async def test_an_invite_of_before_leads_to_the_new_device(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            await cluster.add("Router")
            alice = await cluster.add("Alice")
            assert alice.running is not None
            context = alice.running.context
            row = await alice.database.run(lambda tx: invites.create(tx, context, 1, 7 * DAY_S, ask=False))
            link = invites.link(context, row)
            saved = await alice.backup()
            await cluster.crash(alice)
            again = await cluster.restore(alice, saved)
            bob = await cluster.add("Bob")
            assert bob.running is not None
            guest = bob.running.context
            await bob.database.run(lambda tx: invites.redeem(tx, guest, link, "Alice"))
            await bob.send("Alice", "by your link")
            await eventually(partial(settled, bob), within_s=DAY_S, step_s=1)
            (came,) = await again.database.run(contacts.everyone)
            assert (came.state, came.invite is not None) == ("matched", True)


async def test_who_came_by_an_invite_that_is_used_up_and_went_back_to_before_it_is_found_again(
    rare_pings: None, autojump_clock: MockClock
) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            await cluster.add("Router")
            alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
            assert alice.running is not None
            assert bob.running is not None
            context, guest = alice.running.context, bob.running.context
            row = await alice.database.run(lambda tx: invites.create(tx, context, 1, 7 * DAY_S, ask=False))
            link = invites.link(context, row)
            saved = await bob.backup()
            await bob.database.run(lambda tx: invites.redeem(tx, guest, link, "Alice"))
            await eventually(partial(is_matched, bob, "Alice"), within_s=60)
            await cluster.crash(bob)
            again = await cluster.restore(bob, saved)
            assert again.running is not None
            restored = again.running.context
            await again.database.run(lambda tx: invites.redeem(tx, restored, link, "Alice"))
            await again.send("Alice", "by the same link")
            await eventually(partial(settled, again), within_s=DAY_S, step_s=600)


async def test_the_contact_is_told_of_the_new_device_and_trusts_the_same_person(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            row = await bob.contact("Alice")
            await bob.database.run(
                lambda tx: tx.execute("UPDATE contact SET trust = 'in_person' WHERE id = ?", (row.id,))
            )
            saved = await alice.backup()
            await cluster.crash(alice)
            await trio.sleep(3600)
            again = await cluster.restore(alice, saved)
            await talk(again, bob, "hello")
            after = await bob.contact("Alice")
            assert (after.root, after.trust, after.state) == (row.root, "in_person", "matched")
            assert after.epoch_ms == epoch_ms(again) > row.epoch_ms
            assert [event.kind for event in bob.events].count(EventKind.CONTACT_KEY_CHANGED) == 1


async def test_two_devices_with_one_root_leave_one_that_is_written_to(autojump_clock: MockClock) -> None:
    """The lost device comes back: what the contact holds stays the new one's, and nothing that it sends is lost."""
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await talk(alice, bob, "first")
            saved = await alice.backup()
            await cluster.crash(alice)
            await trio.sleep(60)
            again = await cluster.restore(alice, saved)
            await talk(again, bob, "restored")
            contact = await bob.contact("Alice")
            mine = await bob.database.run(lambda tx: presences.held(tx, contact.id))

            await cluster.start(alice)  # under the old keys
            await alice.send("Bob", "from the old device")
            await trio.sleep(3 * 3600)
            await talk(again, bob, "and on")
            held = await bob.database.run(lambda tx: presences.held(tx, contact.id))
            assert mine is not None
            assert held is not None
            assert (held.device_ms, held.key.gate) == (epoch_ms(again), mine.key.gate)
            assert (await bob.contact("Alice")).epoch_ms == epoch_ms(again)
            assert await agree(again, bob)
            received = await bob.received("Alice")
            assert len(received) == len(set(received))
            assert await again.received("Bob") == [
                *(f"first, Bob {n}" for n in range(3)),
                *(f"restored, Bob {n}" for n in range(3)),
                *(f"and on, Bob {n}" for n in range(3)),
            ]


@pytest.mark.parametrize("seed", range(3))
async def test_two_who_both_moved_since_the_backup_find_each_other(seed: int, autojump_clock: MockClock) -> None:
    """The other has ended every presence that the backup knows, and has another node key: a session's slots remain."""
    with fixed_schedule(seed):
        async with Cluster.running(seed=seed) as cluster:
            router = await cluster.add("Router")
            alice, bob = await meet(cluster)
            await talk(alice, bob, "first")
            saved = await alice.backup()
            await cluster.crash(alice)
            await bob.add("+821055555555", "Eve")
            eve = await bob.contact("Eve")
            assert bob.running is not None
            context = bob.running.context
            known = await bob.database.run(lambda tx: presences.own(tx))
            await bob.database.run(
                lambda tx: tx.execute("UPDATE contact SET root = zeroblob(32) WHERE id = ?", (eve.id,))
            )
            moved = await bob.contact("Eve")
            await bob.database.run(lambda tx: book.remove(tx, context, moved))
            now = await bob.database.run(lambda tx: presences.own(tx))
            assert known is not None
            assert now is not None
            assert now.n > known.n
            await trio.sleep(DAY_S)
            assert router.running is not None

            again = await cluster.restore(alice, saved)
            await again.send("Bob", "where are you?")
            await eventually(partial(settled, again), within_s=2 * DAY_S, step_s=60)
            assert (await bob.received("Alice"))[-1] == "where are you?"
            await talk(again, bob, "and on")
            contact = await again.contact("Bob")
            await eventually(lambda: _no_meeting(again, contact.id), within_s=900)


async def _no_meeting(node: Node, contact: int) -> bool:
    rows = await node.database.run(lambda tx: tx.all("SELECT 1 FROM meeting WHERE contact = ?", (contact,)))
    return rows == []


async def test_a_presence_after_a_restore_has_a_number_that_no_contact_holds(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            saved = await alice.backup()
            assert alice.running is not None
            context = alice.running.context
            for _ in range(5):
                await alice.database.run(lambda tx: presence.replace_own(tx, context))
            newest = await alice.database.run(presences.own)
            await cluster.crash(alice)
            again = await cluster.restore(alice, saved)
            await talk(again, bob, "hello")
            made = await again.database.run(presences.own)
            assert newest is not None
            assert made is not None
            assert made.n > newest.n
            assert made.seed != newest.seed


@pytest.mark.parametrize("behind_s", [3 * 3600, 20 * DAY_S])
async def test_a_clock_that_is_behind_at_the_restore_locks_nobody_out(
    behind_s: float, autojump_clock: MockClock
) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await talk(alice, bob, "first")
            saved = await alice.backup()
            await cluster.crash(alice)
            await trio.sleep(10)
            again = await cluster.restore(alice, saved, skew_s=-behind_s)
            assert epoch_ms(again) == epoch_ms_of(alice) + 1
            await again.send("Bob", "from the past")
            await trio.sleep(1800)
            again.now.skew_s = 0.0
            await talk(again, bob, "in time")
            assert "from the past" in await bob.received("Alice")
            assert epoch_ms(again) == epoch_ms_of(alice) + 1
            assert await agree(again, bob)


def epoch_ms_of(node: Node) -> int:
    return load_identity(node.profile.identity).cert.epoch_ms


@pytest.mark.parametrize("ahead_s", [3 * 3600, YEAR_S])
async def test_a_clock_that_is_ahead_at_the_restore_locks_nobody_out(ahead_s: float, autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await talk(alice, bob, "first")
            saved = await alice.backup()
            await cluster.crash(alice)
            await trio.sleep(10)
            again = await cluster.restore(alice, saved, skew_s=ahead_s)
            await again.send("Bob", "from the future")
            await trio.sleep(1200)
            assert "from the future" not in await bob.received("Alice")
            again.now.skew_s = 0.0
            await again.send("Bob", "in time")
            await eventually(partial(settled, again), within_s=5400, step_s=30)
            await talk(again, bob, "and on")
            assert {"from the future", "in time"} <= set(await bob.received("Alice"))
            assert await agree(again, bob)


@pytest.mark.parametrize("ahead_s", [3 * 3600, YEAR_S])
async def test_a_profile_that_was_made_by_a_clock_ahead_is_not_locked_out_for_that_long(
    ahead_s: float, autojump_clock: MockClock
) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice = await cluster.add("Alice", ALICE, skew_s=ahead_s)
            bob = await cluster.add("Bob", BOB)
            await bob.add(ALICE, "Alice")
            await alice.add(BOB, "Bob")
            await trio.sleep(610)
            alice.now.skew_s = 0.0
            await alice.add(BOB, "Bob")  # it is published at once, still under the keys of the future
            await eventually(lambda: is_matched(alice, "Bob"), within_s=9000, step_s=30)
            await talk(alice, bob, "hello")
            assert epoch_ms(alice) <= cluster.now() * 1000
            await cluster.crash(alice)
            profile = await alice.database.run(meta.load_profile)
            alice.profile = profile
            await cluster.start(alice)
            await talk(alice, bob, "after a restart")


async def test_a_clock_that_falls_behind_dates_no_device_anew(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            dated = epoch_ms(alice)
            alice.now.skew_s = -YEAR_S
            await trio.sleep(3600)
            alice.now.skew_s = 0.0
            assert epoch_ms(alice) == dated
            await talk(alice, bob, "hello")


async def test_a_contact_whose_clock_fell_behind_for_a_while_lets_the_restored_one_in(
    autojump_clock: MockClock,
) -> None:
    """Bob's presence is another one then, whose record is dated earlier than what the backup knows of his node."""
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await cluster.add("Carol")  # somebody whose node keeps the records
            for node in (alice, bob):
                await node.database.run(distrust_nobody)
            await trio.sleep(120)
            bob.now.skew_s = -3600.0
            await trio.sleep(120)
            row, running = await alice.contact("Bob"), alice.running
            assert running is not None
            await presence.seek(running.context, row.id)
            bob.now.skew_s = 0.0
            await talk(alice, bob, "his clock is right again")
            saved = await alice.backup()
            await cluster.crash(alice)
            again = await cluster.restore(alice, saved)
            await again.send("Bob", "back")
            await eventually(partial(settled, again), within_s=60)


async def test_who_was_pending_at_the_backup_is_found(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice = await cluster.add("Alice", ALICE)
            await alice.add(BOB, "Bob")
            await alice.send("Bob", "hello, once you are there")
            saved = await alice.backup()
            await cluster.crash(alice)
            bob = await cluster.add("Bob", BOB)
            await bob.add(ALICE, "Alice")
            again = await cluster.restore(alice, saved)
            await eventually(partial(settled, again), within_s=DAY_S, step_s=10)
            assert await bob.received("Alice") == ["hello, once you are there"]


async def test_both_are_restored(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            await cluster.add("Router")
            alice, bob = await meet(cluster)
            await talk(alice, bob, "first")
            saved = await alice.backup(), await bob.backup()
            for node in (alice, bob):
                await cluster.crash(node)
            await trio.sleep(3600)
            alices, bobs = await cluster.restore(alice, saved[0]), await cluster.restore(bob, saved[1])
            await alices.send("Bob", "are you there?")
            await eventually(partial(settled, alices), within_s=4 * DAY_S, step_s=60)
            await talk(alices, bobs, "both")
            assert await agree(alices, bobs)
            first = [f"first, Alice {n}" for n in range(3)]
            assert await bobs.received("Alice") == [*first, "are you there?", *(f"both, Alice {n}" for n in range(3))]


async def test_a_message_that_is_too_old_at_the_restore_ends_and_says_so(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await cluster.crash(bob)
            await alice.send("Bob", "stale")
            saved = await alice.backup()
            await cluster.crash(alice)
            await trio.sleep(31 * DAY_S)
            again = await cluster.restore(alice, saved)
            await trio.sleep(60)
            assert [row.state for row in await again.conversation("Bob")] == ["expired"]
            assert EventKind.MESSAGE_EXPIRED in [event.kind for event in again.events]
