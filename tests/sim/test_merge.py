"""One person who came by an invite and is added by number, too: two contacts until the user says that they are one."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pchat.api.calls import MessageSend
from p2pchat.api.objects import Message
from p2pchat.base import limits
from p2pchat.base.errors import UsageError
from p2pchat.control import render
from p2pchat.control.once import once
from p2pchat.core.events import EventKind
from p2pchat.services import block, herald, join, standing, upkeep
from p2pchat.services import contacts as book
from p2pchat.services.send import Outbox
from p2pchat.store import contacts, eventlog
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import ALICE, BOB, is_matched
from tests.sim.test_invites import everyone, invite, matched, redeem, root_of

HOUR_S = 3600
DAY_S = 24 * HOUR_S


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(41):
        yield


async def merge(node: Node, to: str, other: str) -> ContactRow:
    assert node.running is not None
    context = node.running.context
    return await node.database.run(
        lambda tx: book.merge(tx, context, book.resolve(tx, context, to), book.resolve(tx, context, other))
    )


async def choose(node: Node, to: str, claimant: str | None) -> ContactRow:
    assert node.running is not None
    context = node.running.context
    return await node.database.run(lambda tx: book.choose(tx, context, book.resolve(tx, context, to), claimant))


async def claimed(node: Node, name: str) -> bool:
    return (await node.contact(name)).claimants > 0


async def met_by_invite(cluster: Cluster, *, numbers: tuple[str, str]) -> tuple[Node, Node]:
    """Alice and Bob, matched by an invite of hers."""
    alice, bob = await cluster.add("Alice", numbers[0]), await cluster.add("Bob", numbers[1])
    await redeem(bob, await invite(alice), "Alice")
    await eventually(lambda: matched(alice, bob), within_s=60)
    [row] = await everyone(alice)
    await alice.database.run(lambda tx: contacts.set_name(tx, row.id, "Bob"))
    return alice, bob


@pytest.mark.slow
@pytest.mark.usefixtures("rare_checks")
async def test_a_root_is_one_contacts_and_merging_loses_no_message(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await met_by_invite(cluster, numbers=(ALICE, BOB))
        await alice.add(BOB, "Bob mobile")
        await bob.add(ALICE, "Alice mobile")
        first = await alice.send("Bob mobile", "one")
        await eventually(lambda: claimed(alice, "Bob mobile"), within_s=HOUR_S)
        await eventually(lambda: claimed(bob, "Alice mobile"), within_s=HOUR_S)
        await trio.sleep(2 * DAY_S)
        assert not await is_matched(alice, "Bob mobile")
        assert (await alice.contact("Bob mobile")).root is None
        assert await bob.received("Alice") == []

        with pytest.raises(UsageError, match="another contact") as refused:
            await choose(alice, "Bob mobile", None)
        assert refused.value.data is not None
        assert refused.value.data["contact"] == (await alice.contact("Bob")).uid.hex()

        await alice.send("Bob mobile", "two")
        await alice.send("Bob", "three")  # numbered before the others are
        row = await merge(alice, "Bob", "Bob mobile")
        assert (row.number, row.state, row.root) == (BOB, "matched", root_of(bob))
        assert EventKind.CONTACT_MERGED in [event.kind for event in alice.events]

        async def arrived() -> bool:
            return len(await bob.received("Alice")) == 3

        await eventually(arrived, within_s=60)
        assert await alice.texts_sent("Bob") == ["one", "two", "three"]
        assert (await alice.conversation("Bob"))[0].id == first.id  # as scripts know it
        assert [contact.name for contact in await everyone(alice)] == ["Bob"]
        assert await alice.outbox() == 0
        await merge(bob, "Alice", "Alice mobile")
        await bob.send("Alice", "back")
        await trio.sleep(60)
        assert await alice.received("Bob") == ["back"]


async def told(node: Node, kind: EventKind) -> list[dict[str, object]]:
    """The data of the events of that kind, as a script gets them."""

    def read(tx: Tx) -> list[dict[str, object]]:
        rows = [row for row in eventlog.after(tx, 0, 1000) if row.kind == kind]
        return [msgspec.to_builtins(render.event(tx, row, lambda _: False, bytes(8)).data) for row in rows]

    return await node.database.run(read)


async def test_the_events_say_which_contact_went_into_which(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await met_by_invite(cluster, numbers=(ALICE, BOB))
        await alice.add(BOB, "Bob mobile")
        await bob.add(ALICE, "Alice mobile")
        await eventually(lambda: claimed(alice, "Bob mobile"), within_s=HOUR_S)
        stays, goes = [(await alice.contact(name)).uid.hex() for name in ("Bob", "Bob mobile")]
        await merge(alice, "Bob", "Bob mobile")
        [removed] = await told(alice, EventKind.CONTACT_REMOVED)
        [merged] = await told(alice, EventKind.CONTACT_MERGED)
        assert (removed["id"], removed["merged_into"]) == (goes, stays)
        assert (merged["id"], merged["merged_id"]) == (stays, goes)

        await alice.database.run(lambda tx: _remove(tx, alice, "Bob"))
        assert [each.get("merged_into") for each in await told(alice, EventKind.CONTACT_REMOVED)] == [stays, None]
        assert await told(alice, EventKind.CONTACT_MERGED) == [{}]  # as every event of one that is removed


def _remove(tx: Tx, node: Node, name: str) -> None:
    assert node.running is not None
    context = node.running.context
    book.remove(tx, context, book.resolve(tx, context, name))


async def test_a_call_that_is_repeated_after_the_merge_sends_nothing_twice(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await met_by_invite(cluster, numbers=(ALICE, BOB))
        await alice.add(BOB, "Bob mobile")
        await bob.add(ALICE, "Alice mobile")
        assert alice.running is not None
        context = alice.running.context
        before = await alice.contact("Bob mobile")

        async def queue() -> Message:
            def effect(tx: Tx) -> Message:
                row, outbox = book.resolve(tx, context, BOB), Outbox(tx, context)
                queued = render.message(outbox.put(row, "once"), row.uid.hex(), context.profile.store_id)
                outbox.commit()
                return queued

            params = MessageSend(to=BOB, text="once", idempotency_key="key")
            return await once(context, "message.send", params, Message, effect)

        first = await queue()
        assert first.contact_id == before.uid.hex()
        await eventually(lambda: claimed(alice, "Bob mobile"), within_s=HOUR_S)
        row = await merge(alice, "Bob", "Bob mobile")
        again = await queue()
        assert (again.replayed, again.id, again.contact_id) == (True, first.id, row.uid.hex())
        await trio.sleep(60)
        assert await bob.received("Alice") == ["once"]


async def test_a_contact_who_knows_both_numbers_does_not_get_the_number(autojump_clock: MockClock) -> None:
    """Mallory is a contact by invite and claims Bob's number: nothing is given, and Bob is who the user says he is."""
    async with Cluster.running() as cluster:
        alice, mallory = await met_by_invite(cluster, numbers=(ALICE, BOB))
        await mallory.add(ALICE, "Alice again")
        await alice.add(BOB, "Real Bob")
        await alice.send("Real Bob", "for Bob alone")
        await eventually(lambda: claimed(alice, "Real Bob"), within_s=HOUR_S)
        bob = await cluster.add("Real", BOB)
        await bob.add(ALICE, "Alice")

        async def both() -> bool:
            return (await alice.contact("Real Bob")).claimants == 2

        await eventually(both, within_s=2 * DAY_S, step_s=60)
        await choose(alice, "Real Bob", root_of(bob).hex()[:8])
        await eventually(lambda: is_matched(alice, "Real Bob"), within_s=2 * DAY_S, step_s=60)
        await trio.sleep(HOUR_S)
        assert await bob.received("Alice") == ["for Bob alone"]
        assert await mallory.received("Alice") == []
        assert (await alice.contact("Bob")).number is None  # as she is called here


async def test_what_cannot_be_merged_is_refused_and_nothing_changes(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await met_by_invite(cluster, numbers=(ALICE, BOB))
        await alice.add(BOB, "Bob mobile")
        await alice.add("+821055554444", "Carol")
        before = await everyone(alice)

        async def refused(to: str, other: str, why: str) -> None:
            with pytest.raises(UsageError, match=why):
                await merge(alice, to, other)
            assert await everyone(alice) == before

        await refused("Bob", "Bob", "the same contact")
        await refused("Bob", "Bob mobile", "has claimed that number yet")
        await refused("Bob mobile", "Bob", "not settled itself")
        await refused("Carol", "Bob mobile", "not settled itself")
        assert alice.running is not None
        context = alice.running.context
        bob = await alice.contact("Bob")
        await alice.database.run(lambda tx: block.block(tx, context, bob))
        before = await everyone(alice)
        await refused("Bob", "Bob mobile", "blocked")


@pytest.mark.slow
@pytest.mark.usefixtures("rare_pings")
@pytest.mark.parametrize(("blocked_for_days", "by_itself"), [(10, True), (35, False)])
async def test_who_was_unblocked_long_after_is_found_where_the_invite_led(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, blocked_for_days: int, by_itself: bool
) -> None:
    """Where his presence is another by then: for a month he looks by himself; from then on where he uses the same link
    once more.
    """
    # what looks every minute whether something changed looks every few hours: the days go by so much faster
    monkeypatch.setattr(herald, "_CHECK_S", HOUR_S)
    monkeypatch.setattr(join, "ALONE_CHECK_S", HOUR_S)
    monkeypatch.setattr(limits, "REFRESH_CHECK_S", 6 * HOUR_S)
    monkeypatch.setattr(limits, "REFRESH_AFTER_S", DAY_S)
    monkeypatch.setattr(standing, "_UNDECIDED_S", HOUR_S)
    monkeypatch.setattr(upkeep, "_EVERY_S", 6 * HOUR_S)
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        link = await invite(alice, expires_s=60 * DAY_S)
        await redeem(bob, link, "Alice")
        await eventually(lambda: matched(alice, bob), within_s=60)
        assert alice.running is not None
        context = alice.running.context
        [met] = await everyone(alice)
        await bob.send("Alice", "before")
        await trio.sleep(60)
        await alice.database.run(lambda tx: block.block(tx, context, met))
        await alice.database.run(lambda tx: tx.execute("DELETE FROM contact_presence"))  # his is another by now
        await trio.sleep(blocked_for_days * DAY_S)
        await bob.send("Alice", "while he was blocked")
        [held] = await everyone(alice, "blocked")
        await alice.database.run(lambda tx: block.unblock(tx, context, held))

        async def heard() -> bool:
            return "while he was blocked" in await alice.received(met.name)

        if not by_itself:
            await trio.sleep(2 * DAY_S)
            assert not await matched(alice)
            row = await redeem(bob, link)
            assert (row.state, row.name) == ("matched", "Alice")
        await eventually(heard, within_s=2 * DAY_S, step_s=60)
        await bob.send("Alice", "after")
        await trio.sleep(60)
        assert await alice.received(met.name) == ["before", "while he was blocked", "after"]
        assert await matched(alice, bob)
        assert (await bob.contact("Alice")).pending_until_s is None


async def test_whoever_was_taken_for_the_number_is_out_when_it_is_merged_with_its_owner(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, mallory = await cluster.add("Alice", ALICE), await cluster.add("Mallory", BOB)
        await alice.add(BOB, "Bob mobile")
        await mallory.add(ALICE, "Alice")
        await eventually(lambda: is_matched(alice, "Bob mobile"), within_s=HOUR_S)
        await mallory.send("Alice", "it is me")
        await trio.sleep(60)
        await cluster.crash(mallory)
        await alice.send("Bob mobile", "for Bob alone")
        bob = await cluster.add("Bob", BOB)
        await redeem(bob, await invite(alice), "Alice")
        await eventually(lambda: matched(alice, bob, count=1), within_s=HOUR_S)
        await bob.add(ALICE, "Alice mobile")
        name = next(row.name for row in await everyone(alice) if row.root == root_of(bob))

        async def both() -> bool:
            return (await alice.contact("Bob mobile")).claimants == 2

        await eventually(both, within_s=15 * DAY_S, step_s=600)
        with pytest.raises(UsageError, match="another contact"):
            await choose(alice, "Bob mobile", root_of(bob).hex())
        row = await merge(alice, name, "Bob mobile")
        assert (row.number, row.root, row.state) == (BOB, root_of(bob), "matched")
        assert [row.root for row in await everyone(alice)] == [root_of(bob)]
        assert EventKind.NODE_RENEWED in [event.kind for event in alice.events]  # Mallory knows where it was
        await cluster.start(mallory)
        await eventually(lambda: heard_by(bob, "for Bob alone"), within_s=DAY_S, step_s=60)
        await trio.sleep(HOUR_S)
        assert await mallory.received("Alice") == []
        assert await alice.received(name) == ["it is me"]


async def heard_by(bob: Node, text: str) -> bool:
    return text in await bob.received("Alice")
