"""Custody: who holds what, which messages are held, and what is told when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from p2pchat.base.ids import ContactId, PeerId
from p2pchat.core.params import PRODUCTION
from p2pchat.core.session import seal
from p2pchat.store import contacts, custody, messages, sessions
from p2pchat.store.custody import CustodyRow
from p2pchat.store.db import Database, Tx
from p2pchat.store.messages import MessageRow
from p2pchat.store.sessions import EnvelopeRow, SessionRow
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import HELLO, NOW_S, session_pair
from tests.unit.store.conversations import queue

ONE, TWO = PeerId(b"one"), PeerId(b"two")
ENTROPY = SeededEntropy(3)


class Clock:
    now_ms = NOW_S * 1000


@pytest.fixture
async def store() -> AsyncIterator[tuple[Database, Clock]]:
    clock = Clock()
    database = Database.open(None, bytes(32), lambda: clock.now_ms, threaded=False)
    yield database, clock
    await database.close()


def talk(tx: Tx, texts: int = 4) -> tuple[int, SessionRow, list[EnvelopeRow]]:
    """A contact, a session, and envelopes of two texts each."""
    contact = contacts.add(tx, ContactId(bytes(8)), "Bob", "+821098765432", 0).id
    row = sessions.add(tx, contact, session_pair(ENTROPY)[0])
    for n in range(1, texts + 1):
        queue(tx, contact, n, bytes([n]) * 16)
    sealed = [add(tx, row, n, n + 1) for n in range(1, texts + 1, 2)]
    messages.mark_sent(tx, contact, 1, texts)
    return contact, row, sealed


def add(tx: Tx, row: SessionRow, n0: int, n1: int, live: int | None = None) -> EnvelopeRow:
    _, sealed = seal(row.session, HELLO, ENTROPY, PRODUCTION)
    return sessions.add_envelope(tx, row, sealed, n0, n1, live=live)


def rows_of(tx: Tx, contact: int) -> list[MessageRow]:
    return messages.page_after(tx, contact, 0, 100)


def held(until_s: int, holder: PeerId = ONE) -> CustodyRow:
    return CustodyRow(holder, until_s, bytes(96))


async def test_a_message_is_held_once_and_for_good(store: tuple[Database, Clock]) -> None:
    def job(tx: Tx) -> None:
        contact, _, sealed = talk(tx)
        ids = [row.id for row in rows_of(tx, contact)]
        assert messages.held_size(tx) == 0
        assert custody.note(tx, sealed[:1], held(NOW_S + 100)) == ids[:2]
        assert messages.held_size(tx) == 2
        assert custody.note(tx, sealed, held(NOW_S + 200, TWO)) == ids[2:]
        assert custody.note(tx, sealed, held(NOW_S + 300)) == []
        assert [row.state for row in rows_of(tx, contact)] == ["held"] * 4
        assert (messages.outbox_size(tx), messages.held_size(tx)) == (4, 4)
        assert messages.mark_delivered(tx, contact, 1, 1) == ids[:1]
        assert (messages.outbox_size(tx), messages.held_size(tx)) == (3, 3)
        assert [row.state for row in rows_of(tx, contact)] == ["delivered", "held", "held", "held"]

    await store[0].run(job)


async def test_who_holds_is_told_of_many_at_once(store: tuple[Database, Clock]) -> None:
    def job(tx: Tx) -> None:
        contact, _, sealed = talk(tx)
        custody.note(tx, sealed, held(NOW_S + 100))
        custody.note(tx, sealed[1:], held(NOW_S + 200, TWO))
        custody.note(tx, sealed[1:], held(NOW_S, ONE))  # over
        rows = rows_of(tx, contact)
        found = custody.holders(tx, rows)
        assert [found.get(row.id) for row in rows] == [
            *([[(ONE, NOW_S + 100)]] * 2),
            *([[(TWO, NOW_S + 200)]] * 2),
        ]
        assert custody.holders(tx, []) == {}

    await store[0].run(job)


async def test_what_a_holder_lacks(store: tuple[Database, Clock]) -> None:
    def job(tx: Tx) -> None:
        contact, row, sealed = talk(tx)
        bare = add(tx, row, 0, 0)
        add(tx, row, 5, 5, live=queue(tx, contact, 5, bytes(16)))
        assert custody.lacks(tx, row.id, ONE, 600)

        def lacking(limit: int = 9, *, alone: bool = False) -> list[int]:
            found = custody.lacking(tx, row.id, ONE, 600, limit, messages_alone=alone)
            return [each.id for each in found]

        assert lacking() == [sealed[0].id, sealed[1].id, bare.id]
        assert lacking(alone=True) == [sealed[0].id, sealed[1].id]
        assert lacking(1) == [sealed[0].id]
        custody.note(tx, sealed[:1], held(NOW_S + 601))
        custody.note(tx, sealed[1:], held(NOW_S + 600))
        assert lacking(alone=True) == [sealed[1].id]
        custody.note(tx, sealed[1:], held(NOW_S + 601))
        assert not custody.lacks(tx, row.id, ONE, 600)  # one without a message is worth no box
        assert custody.lacks(tx, row.id, TWO, 600)

    await store[0].run(job)


async def test_the_last_custody_that_ends_is_told_once(store: tuple[Database, Clock]) -> None:
    database, clock = store

    def begin(tx: Tx) -> tuple[int, list[int]]:
        contact, _, sealed = talk(tx)
        custody.note(tx, sealed, held(NOW_S + 100))
        custody.note(tx, sealed[:1], held(NOW_S + 200, TWO))
        return contact, [row.id for row in rows_of(tx, contact)]

    contact, ids = await database.run(begin)
    assert await database.run(custody.end) == {}
    clock.now_ms += 100_000
    assert await database.run(custody.end) == {contact: ids[2:]}
    assert await database.run(custody.end) == {}
    clock.now_ms += 100_000
    assert await database.run(custody.end) == {contact: ids[:2]}
    assert {row.state for row in await database.run(lambda tx: rows_of(tx, contact))} == {"held"}


async def test_what_is_settled_or_has_ended_is_not_said_to_be_held_no_more(store: tuple[Database, Clock]) -> None:
    database, clock = store

    def begin(tx: Tx) -> None:
        contact, _, sealed = talk(tx)
        custody.note(tx, sealed, held(NOW_S + 100))
        known = sessions.sent(tx, sealed[0].eid)
        assert known is not None
        assert known.held
        sessions.settle(tx, sealed[0].id)
        messages.mark_delivered(tx, contact, 1, 2)
        messages.fail(tx, contact, "blocked")
        assert custody.note(tx, sealed[:1], held(NOW_S + 100, TWO)) == []  # it came too late
        custody.forget(tx, sealed[0].id)
        assert tx.all("SELECT envelope FROM custody") == [(sealed[1].id,)]

    await database.run(begin)
    clock.now_ms += 100_000
    assert await database.run(custody.end) == {}


async def test_a_text_that_is_sealed_again_is_held_until_the_last_of_both(store: tuple[Database, Clock]) -> None:
    database, clock = store

    def begin(tx: Tx) -> tuple[int, int]:
        contact, row, sealed = talk(tx, 2)
        custody.note(tx, sealed, held(NOW_S + 100))
        other = sessions.add(tx, contact, session_pair(ENTROPY)[0])
        custody.note(tx, [add(tx, other, 1, 2)], held(NOW_S + 200))
        return contact, row.id

    contact, session = await database.run(begin)
    clock.now_ms += 100_000
    assert await database.run(custody.end) == {}
    await database.run(lambda tx: sessions.forget(tx, session))
    clock.now_ms += 100_000
    assert list(await database.run(custody.end)) == [contact]
