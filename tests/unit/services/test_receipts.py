"""Receipts in one node's store: whom none is kept for, and how long one waits."""

from __future__ import annotations

from functools import partial

from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.params import DAY_S
from p2pchat.core.receipt import Read, decode_read, encode_read
from p2pchat.core.session import Session, seal
from p2pchat.core.wire import READ, Item, encode_content
from p2pchat.services import receipts
from p2pchat.store import contacts, messages
from p2pchat.store.db import Row, Tx
from tests.unit.services.receiving import Receiving, text
from tests.unit.store.conversations import queue


async def heard_from_alice(bob: Receiving, words: int) -> tuple[int, Session]:
    """The contact that Alice is to Bob, with so many messages of hers; and her session."""
    row = await bob.knows(bob.alice)
    session, flight = bob.flies(bob.alice, (await bob.gives()).bundle)
    await bob.accepts(flight)
    for number in range(1, words + 1):
        session, sealed = seal(session, text(number, f"text {number}"), bob.entropy, bob.context.params)
        await bob.accepts(sealed.envelope)
    return row.id, session


async def mark(bob: Receiving, message: int) -> None:
    def job(tx: Tx) -> None:
        row = messages.get(tx, message)
        assert row is not None
        assert receipts.mark_read(tx, bob.context, row).state == "read"

    await bob.db.run(job)


def become(tx: Tx, state: str) -> None:
    tx.execute("UPDATE contact SET state = ?", (state,))


async def waiting(bob: Receiving) -> list[Row]:
    return [row for row in await bob.rows("notice") if row[1] == READ]


async def test_the_newest_waits_for_a_month_and_no_longer() -> None:
    bob = Receiving()
    alice, _ = await heard_from_alice(bob, 2)
    await mark(bob, 1)
    await bob.days_pass(20)
    await mark(bob, 2)
    ((contact, _, _, body, until_s, _),) = await waiting(bob)
    assert contact == alice
    assert decode_read(body).run == 2
    assert until_s == bob.now_s + 30 * DAY_S
    await bob.days_pass(29.9)
    assert len(await waiting(bob)) == 1
    await bob.days_pass(0.1)
    assert await waiting(bob) == []
    await bob.db.close()


async def test_a_clock_that_is_set_back_ends_none_unless_it_was_far_ahead() -> None:
    bob = Receiving()
    await heard_from_alice(bob, 1)
    await mark(bob, 1)
    await bob.days_pass(-0.9)
    assert len(await waiting(bob)) == 1
    await bob.days_pass(-300)
    assert await waiting(bob) == []
    await bob.db.close()


async def test_none_waits_for_who_is_not_matched() -> None:
    bob = Receiving()
    alice, _ = await heard_from_alice(bob, 3)
    for message, state in enumerate(("pending", "request", "blocked"), 1):
        await bob.db.run(partial(become, state=state))
        await mark(bob, message)
        assert await waiting(bob) == []
    await bob.db.run(lambda tx: contacts.remove(tx, alice))
    await bob.db.close()


async def test_of_several_in_one_envelope_the_last_counts() -> None:
    """A thousand of them are one look at what was sent."""
    bob = Receiving()
    alice, session = await heard_from_alice(bob, 0)
    told: list[DomainEvent] = []
    bob.db.listen(told.extend)

    def sent(tx: Tx) -> None:
        for n in range(1, 5):
            queue(tx, alice, n, n.to_bytes(16, "big"))
            messages.mark_sent(tx, alice, n, n)

    await bob.db.run(sent)
    bodies = [encode_read(Read(n.to_bytes(16, "big"), n)) for n in (4, 1, 2)]
    items = [Item(bytes(15) + bytes((at,)), READ, body) for at, body in enumerate((*bodies, b"junk"))]
    _, sealed = seal(session, encode_content(items), bob.entropy, bob.context.params)
    await bob.accepts(sealed.envelope)
    rows = await bob.db.run(lambda tx: messages.page_after(tx, alice, 0, 9))
    assert [row.state for row in rows] == ["read", "read", "sent", "sent", "received"]
    assert [(event.kind, len(event.subjects)) for event in told if event.kind.startswith("message.")] == [
        (EventKind.MESSAGE_RECEIVED, 1),
        (EventKind.MESSAGE_DELIVERED, 2),
        (EventKind.MESSAGE_READ, 2),
    ]
    await bob.db.close()
