"""Texts for a contact who is away wait at its mailboxes (PROTOCOL.md 6.3, 6.5), whatever the holders do."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.events import EventKind
from p2pchat.core.mailbox import Answer, Deposit, Reason, Refused, Request, seal_bundle, unseal_bundle
from p2pchat.core.params import DAY_S
from p2pchat.core.wire import TEXT, Ack, Batch, Flight
from p2pchat.services import block, presence
from p2pchat.services import contacts as book
from p2pchat.services.context import Context
from p2pchat.services.deposit import leave_acks
from p2pchat.services.send import Outbox
from p2pchat.store import contacts, live, messages
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow
from p2pchat.testing.cluster import Cluster, Node, eventually
from tests.sim.holders import BUNDLE_KEY, FakeHolder, Mailboxes, fetch, give_bundle, tell
from tests.sim.people import meet


@dataclass(frozen=True, slots=True)
class World:
    cluster: Cluster
    alice: Node
    bob: Node
    mailboxes: Mailboxes

    @property
    def holders(self) -> list[FakeHolder]:
        return self.mailboxes.holders

    async def states(self) -> list[str]:
        return [row.state for row in await self.alice.conversation("Bob") if not row.incoming]

    async def all_are(self, state: str) -> bool:
        return set(await self.states()) == {state}

    async def until_all(self, state: str, within_s: float = 30.0) -> float:
        return await eventually(lambda: self.all_are(state), within_s=within_s)

    def told(self, kind: EventKind) -> Counter[int]:
        """How often Alice's node told that of each of its messages."""
        return Counter(subject for event in self.alice.events if event.kind is kind for subject in event.subjects)

    async def custodies(self) -> int:
        return int((await self.alice.database.run(lambda tx: tx.all("SELECT count(*) FROM custody")))[0][0])


@asynccontextmanager
async def world(monkeypatch: pytest.MonkeyPatch, holders: int = 2) -> AsyncGenerator[World]:
    """Alice and Bob are matched, Alice has read where Bob's mailboxes are, and Bob is away."""
    async with Cluster.running() as cluster:
        await cluster.add("Carol")  # somebody whose node keeps the records
        alice, bob = await meet(cluster)
        mailboxes = Mailboxes(holders=[FakeHolder(cluster, seed) for seed in range(1, holders + 1)])
        tell(monkeypatch, bob, mailboxes)
        await give_bundle(bob, mailboxes.holders)
        await trio.sleep(100)  # read while he is here
        await cluster.crash(bob)
        yield World(cluster, alice, bob, mailboxes)


def deposits(holder: FakeHolder) -> int:
    return sum(isinstance(request, Deposit) for request in holder.asked)


# -- held --------------------------------------------------------------------------------------------------------------


async def test_a_text_for_who_is_away_is_held_by_both_soon_and_told_once(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        row = await w.alice.send("Bob", "hello")
        assert await w.until_all("held") < 10
        await trio.sleep(60)
        assert [len(holder.boxes) for holder in w.holders] == [1, 1]
        assert w.holders[0].boxes[0] != w.holders[1].boxes[0]
        assert w.told(EventKind.MESSAGE_HELD) == {row.id: 1}
        assert await w.custodies() >= 2


async def test_mailboxes_are_known_though_the_record_is_gone_when_they_are_needed(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        await w.cluster.crash(w.alice)
        await trio.sleep(4 * DAY_S)
        await w.cluster.start(w.alice)
        await w.alice.send("Bob", "hello")
        assert await w.until_all("held", 60) < 30


async def test_what_is_queued_while_a_box_is_on_its_way_shares_the_next(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch, holders=1) as w:
        w.holders[0].answer_after_s = 5.0
        for number in range(50):
            await w.alice.send("Bob", f"text {number}")
            await trio.sleep(0.2)
        await w.until_all("held", 60)
        await trio.sleep(60)
        assert len(w.holders[0].boxes) <= 6
        (frame, *_) = w.holders[0].frames(w.mailboxes.key)
        assert isinstance(frame, Batch)


async def test_who_comes_on_fetches_all_once_and_acks_through_the_mailbox(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        texts = [f"text {number}" for number in range(30)]
        for text in texts:
            await w.alice.send("Bob", text)
        await w.until_all("held")
        await trio.sleep(30)
        await w.cluster.crash(w.alice)
        await w.cluster.start(w.bob)
        acks: list[tuple[bytes, bytes]] = []
        for holder in w.holders:
            acks = await fetch(w.bob, w.alice, holder.frames(w.mailboxes.key))
        assert await w.bob.received("Alice") == texts
        assert w.bob.running is not None
        alices = Mailboxes(holders=[FakeHolder(w.cluster, 5)])
        tell(monkeypatch, w.alice, alices)
        await w.cluster.start(w.alice)
        w.cluster.network.cut(w.alice.network, w.bob.network)
        await trio.sleep(200)
        bobs = (await w.bob.contact("Alice")).id
        # what a backup holds, or who was away for long: nothing of where Alice's mailboxes are
        await w.bob.database.run(lambda tx: tx.execute("UPDATE contact_presence SET said_s = 0, mailboxes = NULL"))
        await leave_acks(w.bob.running.context, bobs, acks)
        acked = alices.holders[0].frames(alices.key)
        assert all(isinstance(frame, Ack) for frame in acked)
        await fetch(w.alice, w.bob, acked)
        assert await w.states() == ["delivered"] * 30
        assert await w.custodies() == 0


async def test_what_a_holder_has_goes_on_the_stream_as_well_and_is_there_once(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        await w.alice.send("Bob", "one")
        await w.until_all("held")
        await w.cluster.start(w.bob)
        await w.alice.send("Bob", "two")
        await w.until_all("delivered", 700)
        await fetch(w.bob, w.alice, w.holders[0].frames(w.mailboxes.key))
        assert await w.bob.received("Alice") == ["one", "two"]
        assert await w.custodies() == 0
        assert w.told(EventKind.MESSAGE_DELIVERED).total() == 2


async def begun(w: World) -> bool:
    return any(deposits(holder) for holder in w.holders)


async def test_who_comes_on_while_boxes_are_left_gets_the_rest_on_the_stream(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        for holder in w.holders:
            holder.answer_after_s = 15.0
        await w.alice.database.run(lose_sessions)
        texts = [f"{number}".ljust(60_000) for number in range(9)]  # each a Flight, and so a box, of its own
        for text in texts:
            await w.alice.send("Bob", text)
        await eventually(lambda: begun(w), within_s=60)
        await w.cluster.start(w.bob)
        await w.until_all("delivered", 700)
        assert await w.bob.received("Alice") == texts
        await trio.sleep(60)
        assert sum(deposits(holder) for holder in w.holders) == 1


# -- holders that do not -----------------------------------------------------------------------------------------------


async def test_a_dead_holder_holds_up_no_other(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(monkeypatch) as w:
        w.cluster.network.down(w.holders[0].network)
        await w.alice.send("Bob", "hello")
        assert await w.until_all("held") < 20
        assert await w.custodies() == 1
        w.cluster.network.up(w.holders[0].network)

        async def both() -> bool:
            return await w.custodies() == 2

        await eventually(both, within_s=3600)
        assert [len(holder.boxes) for holder in w.holders] == [1, 1]
        assert w.told(EventKind.MESSAGE_HELD).total() == 1


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        (Reason.NO_SPACE, "It has no space left."),
        (Reason.TOO_OFTEN, "It was asked too often."),
        (Reason.REFUSED, "It refused."),
    ],
)
async def test_a_holder_that_refuses_is_left_alone_and_tried_later(
    reason: Reason, why: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        w.holders[0].answer = lambda request: Refused(reason, 300) if isinstance(request, Deposit) else None
        await w.alice.send("Bob", "hello")
        assert await w.until_all("held") < 20
        await trio.sleep(200)
        assert deposits(w.holders[0]) == 1  # for retry_s it is asked nothing
        assert w.alice.running is not None
        contact = await w.alice.contact("Bob")
        tries = [each for each in w.alice.running.context.attempts.of(contact.id) if each.mailbox]
        assert [(each.why, each.address) for each in tries] == [(why, w.holders[0].network.addresses()[0])]
        w.holders[0].answer = lambda _: None
        await trio.sleep(3600)
        assert len(w.holders[0].boxes) == 1


async def test_nobody_is_asked_without_end(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(monkeypatch) as w:
        for holder in w.holders:
            holder.answer = lambda request: Refused(Reason.REFUSED, 0)
        await w.alice.send("Bob", "hello")
        await trio.sleep(DAY_S)
        assert await w.states() == ["sent"]  # sealed for a holder that had answered, and that is all
        assert all(len(holder.asked) < 60 for holder in w.holders)


def lies(kind: str, holder: FakeHolder, request: Request, now_s: int) -> Answer | None:
    if not isinstance(request, Deposit):
        return None
    match kind:
        case "another box":
            return holder.custody(request.box[::-1], now_s + request.ttl_s)
        case "too far":
            return holder.custody(request.box, now_s + request.ttl_s + 3600)
        case "over":
            return holder.custody(request.box, now_s)
        case _:
            return FakeHolder.custody(holder, request.box, now_s + 60)  # true, and of no use


@pytest.mark.parametrize("kind", ["another box", "too far", "over"])
async def test_a_custody_that_is_none_counts_for_nothing(
    kind: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch, holders=1) as w:
        holder = w.holders[0]
        holder.answer = lambda request: lies(kind, holder, request, int(w.cluster.now()))
        await w.alice.send("Bob", "hello")
        await trio.sleep(600)
        assert await w.states() == ["sent"]
        assert await w.custodies() == 0
        assert deposits(holder) < 10


async def test_a_holder_that_keeps_for_a_moment_is_not_given_box_after_box(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch, holders=1) as w:
        holder = w.holders[0]
        holder.answer = lambda request: lies("a minute", holder, request, int(w.cluster.now()))
        await w.alice.send("Bob", "hello")
        await trio.sleep(DAY_S)
        assert deposits(holder) < 60


async def test_a_token_that_is_refused_leads_to_another_reading(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, rare_pings: None
) -> None:
    async with world(monkeypatch, holders=1) as w:
        await w.alice.send("Bob", "hello")
        await w.until_all("held")
        await trio.sleep(6 * 3600)  # readings are rare by now

        def forget(tx: Tx) -> None:
            tx.execute("UPDATE contact_presence SET seq = seq - 1000")
            tx.execute("DELETE FROM custody")

        w.holders[0].token = bytes(32)  # as the record tells that was put since the last reading
        await w.alice.database.run(forget)

        async def again() -> bool:
            return await w.custodies() > 0

        assert await eventually(again, within_s=6 * 3600) < 1800


# -- new sessions ------------------------------------------------------------------------------------------------------


def lose_sessions(tx: Tx) -> None:
    tx.execute("DELETE FROM session")


async def test_a_first_flight_goes_through_a_mailbox_each_envelope_for_itself(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        await w.alice.database.run(lose_sessions)
        for number in range(3):
            await w.alice.send("Bob", f"text {number}")
            await w.until_all("held")
        await trio.sleep(30)
        frames = w.holders[1].frames(w.mailboxes.key)
        assert len(frames) == 3
        flights = [frame for frame in frames if isinstance(frame, Flight)]
        assert len(flights) == 3
        assert len({(each.ephemeral, each.kem_ciphertext, each.prekey_id, each.sender) for each in flights}) == 1
        await w.cluster.crash(w.alice)
        await w.cluster.start(w.bob)
        acks = await fetch(w.bob, w.alice, list(reversed(frames)))  # in whatever order they come
        assert sorted(await w.bob.received("Alice")) == ["text 0", "text 1", "text 2"]
        await w.cluster.start(w.alice)
        await fetch(w.alice, w.bob, [Ack(tuple(acks))])
        assert await w.states() == ["delivered"] * 3


async def test_a_session_that_a_stream_has_begun_and_nobody_confirmed_is_replaced(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch, holders=1) as w:
        await w.alice.database.run(lose_sessions)
        await w.alice.send("Bob", "one")
        await w.until_all("held")
        await w.alice.database.run(lambda tx: tx.execute("UPDATE session SET kept_s = NULL"))
        await w.alice.send("Bob", "two")
        await w.until_all("held")
        rows = await w.alice.database.run(lambda tx: tx.all("SELECT kept_s IS NULL FROM session ORDER BY id"))
        assert rows == [(1,), (0,)]  # the first may have arrived
        await give_bundle_is_old(w)
        await w.alice.send("Bob", "three")
        await w.until_all("held")
        assert await w.alice.database.run(lambda tx: tx.all("SELECT count(*) FROM session")) == [(3,)]


async def give_bundle_is_old(w: World) -> None:
    """The session's bundle was made 21 days ago."""

    def age(tx: Tx) -> None:
        tx.execute("UPDATE session SET kept_s = kept_s - ? WHERE kept_s IS NOT NULL", (21 * DAY_S,))

    await w.alice.database.run(age)


async def test_a_flight_that_waits_in_a_mailbox_flies_on_a_stream_as_well(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        await w.alice.database.run(lose_sessions)
        await w.alice.send("Bob", "hello")
        await w.until_all("held")
        await w.cluster.start(w.bob)
        await w.until_all("delivered", 900)
        await fetch(w.bob, w.alice, w.holders[0].frames(w.mailboxes.key))
        assert await w.bob.received("Alice") == ["hello"]


@pytest.mark.parametrize("kind", ["none", "altered", "old", "another's"])
async def test_no_session_comes_of_a_bundle_that_is_not_the_contacts(
    kind: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch, holders=1) as w:
        holder = w.holders[0]
        good = holder.bundle
        await w.alice.database.run(lose_sessions)
        match kind:
            case "none":
                holder.bundle = b""
            case "altered":
                holder.bundle = good[:-1] + bytes([good[-1] ^ 1])
            case "old":
                await trio.sleep(2 * DAY_S)  # beyond the exp of these
            case _:
                await give_bundle(w.cluster.nodes["Carol"], [holder])
        await w.alice.send("Bob", "hello")
        await trio.sleep(300)
        assert await w.states() == ["queued"]
        assert holder.boxes == []
        assert await w.alice.database.run(lambda tx: tx.all("SELECT * FROM session")) == []
        if kind != "old":
            holder.bundle = good
            await w.until_all("held", 3600)


async def readings(w: World, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When Bob's presence is read from now on; that is rare by now, and a record was put since the last time."""
    await w.alice.send("Bob", "one")
    await w.until_all("held")
    await trio.sleep(6 * 3600)
    await w.alice.database.run(lambda tx: tx.execute("UPDATE contact_presence SET seq = seq - 1000"))
    await w.alice.database.run(lose_sessions)
    times: list[float] = []
    seek = presence.seek

    async def noted(context: Context, contact: int) -> bool | None:
        times.append(trio.current_time())
        return await seek(context, contact)

    monkeypatch.setattr(presence, "seek", noted)
    return times


async def test_a_bundle_that_does_not_open_leads_to_another_reading(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, rare_pings: None
) -> None:
    async with world(monkeypatch, holders=1) as w:
        await readings(w, monkeypatch)
        holder, key = w.holders[0], bytes([8]) * 32
        holder.bundle = seal_bundle(unseal_bundle(holder.bundle, BUNDLE_KEY), key, bytes(24))
        w.mailboxes.bundle_key = key
        await w.alice.send("Bob", "two")
        assert await w.until_all("held", 6 * 3600) < 120


async def test_a_bundle_that_never_opens_leads_to_one_reading_alone(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, rare_pings: None
) -> None:
    async with world(monkeypatch, holders=1) as w:
        times = await readings(w, monkeypatch)
        w.holders[0].bundle = bytes(len(w.holders[0].bundle))
        await w.alice.send("Bob", "two")
        await trio.sleep(DAY_S)
        assert 1 <= len(times) < 8  # 6 h apart but for that one


async def test_a_device_that_was_made_from_a_backup_leaves_what_the_one_before_had_left(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        for number in range(3):
            await w.alice.send("Bob", f"text {number}")
        await w.until_all("held")
        records = await w.alice.backup()
        await w.cluster.crash(w.alice)
        new = await w.cluster.restore(w.alice, records)  # the record that told of the mailboxes is the one of before
        again = replace(w, alice=new)
        await new.send("Bob", "text 3")
        await again.until_all("held", 120)
        frames = w.holders[0].frames(w.mailboxes.key)[-4:]
        await w.cluster.crash(new)
        await w.cluster.start(w.bob)
        flights = [frame for frame in frames if isinstance(frame, Flight)]
        await fetch(w.bob, new, list(flights))
        assert await w.bob.received("Alice") == [f"text {number}" for number in range(4)]


# -- what is never left ------------------------------------------------------------------------------------------------


async def test_what_is_for_a_live_stream_alone_is_in_no_box(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        await w.cluster.start(w.bob)
        assert w.alice.running is not None
        context, life = w.alice.running.context, w.alice.running.life
        contact = await w.alice.contact("Bob")

        async def here() -> bool:
            return life.online(contact.id)

        await eventually(here, within_s=900)
        w.cluster.network.stall(w.alice.network, w.bob.network)

        def queue(tx: Tx) -> None:
            outbox = Outbox(tx, context, life.online)
            outbox.put(contact, "now or never", live_only=True)
            outbox.put(contact, "some time")
            outbox.commit()

        await w.alice.database.run(queue)
        await trio.sleep(5)
        await w.cluster.crash(w.bob)

        async def settled() -> bool:
            return sorted(await w.states()) == ["failed", "held"]

        await eventually(settled, within_s=200)
        await trio.sleep(300)
        # what is in the boxes is one text, as the one message that they were written down for
        held = await w.alice.database.run(
            lambda tx: tx.all("SELECT DISTINCT n0, n1 FROM custody JOIN envelope ON id = envelope WHERE n1 > 0")
        )
        texts = {row.n: row.text for row in await w.alice.conversation("Bob") if not row.incoming}
        assert [texts[n] for n0, n1 in held for n in range(n0, n1 + 1)] == ["some time"]


async def test_what_still_waits_for_a_live_stream_is_not_sealed_for_a_box(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        first = await w.alice.send("Bob", "some time")
        await w.until_all("held")

        def queue(tx: Tx) -> None:
            """As it stands until the end of its stream has been noted."""
            at = (tx.now_ms, None, None, None)
            row = MessageRow(
                first.id + 1, first.contact, False, first.n + 1, bytes(16), TEXT, "now", "queued", None, *at
            )
            messages.queue(tx, [row])
            live.mark(tx, [row.id])
            contacts.set_next_n(tx, first.contact, first.n + 2)

        await w.alice.database.run(queue)
        await w.alice.send("Bob", "some time later")
        await trio.sleep(60)
        assert sorted(await w.states()) == ["held", "held", "queued"]


@pytest.mark.parametrize("state", ["blocked", "pending", "request"])
async def test_only_who_is_matched_is_left_anything(
    state: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        await w.alice.database.run(lambda tx: tx.execute("UPDATE contact SET state = ?", (state,)))
        contact = await w.alice.contact("Bob")
        before = [len(holder.asked) for holder in w.holders]
        await w.alice.send("Bob", "hello") if state == "pending" else None
        assert w.alice.running is not None
        await leave_acks(w.alice.running.context, contact.id, [(bytes(16), bytes(16))])
        await trio.sleep(1000)
        assert [len(holder.asked) for holder in w.holders] == before


@pytest.mark.parametrize("what", ["block", "remove"])
async def test_blocking_and_removing_end_a_deposit_at_once(
    what: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        for holder in w.holders:
            holder.answer_after_s = 10.0
        await w.alice.send("Bob", "hello")
        await trio.sleep(6)
        assert sum(deposits(holder) for holder in w.holders) == 1
        assert w.alice.running is not None
        context = w.alice.running.context
        contact = await w.alice.contact("Bob")
        if what == "block":
            await w.alice.database.run(lambda tx: block.block(tx, context, contact))
        else:
            await w.alice.database.run(lambda tx: book.remove(tx, context, contact))
        await trio.sleep(1000)
        assert sum(deposits(holder) for holder in w.holders) == 1
        assert await w.custodies() == 0
        assert not w.told(EventKind.MESSAGE_HELD)


def was_said(tx: Tx, days_ago: int) -> None:
    """The record that told of Bob's mailboxes is so old, and there is no other."""
    tx.execute("UPDATE contact_presence SET said_s = said_s - ?, seq = seq + 99999", (days_ago * DAY_S,))


async def test_nothing_is_left_for_a_presence_that_was_said_too_long_ago(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        await w.alice.database.run(partial(was_said, days_ago=15))
        await w.alice.send("Bob", "hello")
        await trio.sleep(600)
        assert await w.states() == ["queued"]
        assert [holder.asked for holder in w.holders] == [[], []]


async def test_boxes_are_held_for_as_long_as_the_user_wants(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch, holders=1) as w:
        assert w.alice.running is not None
        w.alice.running.context.box_ttl_s = 14 * DAY_S
        await w.alice.send("Bob", "hello")
        await w.until_all("held")
        ttls = {request.ttl_s for request in w.holders[0].asked if isinstance(request, Deposit)}
        assert ttls == {14 * DAY_S}


async def test_no_box_is_asked_to_be_held_longer_than_its_key_may_be_there(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch, holders=1) as w:
        await w.alice.database.run(partial(was_said, days_ago=14))
        await w.alice.send("Bob", "hello")
        await w.until_all("held", 600)
        ttls = [request.ttl_s for request in w.holders[0].asked if isinstance(request, Deposit)]
        assert all(ttl < DAY_S + 100 for ttl in ttls)


# -- the end of it -----------------------------------------------------------------------------------------------------


async def test_when_custody_ends_it_is_told_and_the_text_is_left_again(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, rare_pings: None
) -> None:
    async with world(monkeypatch, holders=1) as w:
        row = await w.alice.send("Bob", "hello")
        await w.until_all("held")
        w.cluster.network.down(w.holders[0].network)  # until then nobody renews it
        await trio.sleep(3 * DAY_S + 2000)
        assert w.told(EventKind.MESSAGE_UNHELD) == {row.id: 1}
        assert await w.custodies() == 0
        assert await w.states() == ["held"]  # it was once, and no state goes back
        w.cluster.network.up(w.holders[0].network)

        async def again() -> bool:
            return await w.custodies() == 1

        await eventually(again, within_s=8 * 3600)
        assert len(w.holders[0].boxes) == 2
        assert w.told(EventKind.MESSAGE_HELD) == {row.id: 2}  # each custody that ends has its beginning


async def test_custody_is_renewed_before_it_ends(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, rare_pings: None
) -> None:
    async with world(monkeypatch, holders=1) as w:
        await w.alice.send("Bob", "hello")
        await w.until_all("held")
        await trio.sleep(3 * DAY_S + 2000)
        assert len(w.holders[0].boxes) == 2
        assert await w.custodies() == 1


async def test_a_crash_at_any_moment_loses_nothing_and_tells_nothing_twice(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(monkeypatch) as w:
        for holder in w.holders:
            holder.answer_after_s = 0.7
        rows = [await w.alice.send("Bob", f"text {number}") for number in range(3)]
        for moment in range(12):
            await trio.sleep(0.4 + 0.35 * moment)
            await w.cluster.crash(w.alice)
            await w.cluster.start(w.alice)
        await w.until_all("held", 120)
        await trio.sleep(120)
        assert w.told(EventKind.MESSAGE_HELD) == {row.id: 1 for row in rows}
        await w.cluster.crash(w.alice)
        await w.cluster.start(w.bob)
        for holder in w.holders:
            await fetch(w.bob, w.alice, holder.frames(w.mailboxes.key))
        assert await w.bob.received("Alice") == [f"text {number}" for number in range(3)]
