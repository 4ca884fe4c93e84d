"""What is for a live stream alone, in the store: ranges go around it, later streams do without it, a proof counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from p2pchat.base.ids import ContactId
from p2pchat.core.session import seal
from p2pchat.store import live, messages, notes, sessions
from p2pchat.store.db import Tx
from p2pchat.store.migrate import migrate
from p2pchat.store.sessions import SessionRow
from p2pchat.store.sqlite import connect, integrity_error
from p2pchat.testing.cluster import CHEAP
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.sessions import session_pair
from tests.unit.store.conversations import queue

NOW_MS = 1_800_000_000_000
FIRST, ALIVE, LAST = 1, 2, 3


@pytest.fixture
def tx() -> Iterator[Tx]:
    """Three messages wait for one contact, the second of them for a live stream alone."""
    connection = connect(None, bytes(32))
    migrate(connection)
    tx = Tx(connection, NOW_MS)
    tx.execute("INSERT INTO contact (uid, name, state, trust) VALUES (zeroblob(8), 'Bob', 'matched', 'claimed')")
    for n in (FIRST, ALIVE, LAST):
        queue(tx, 1, n, bytes((n,)) * 16)
    live.mark(tx, [ALIVE])
    yield tx
    connection.close()


def sealed_alone(tx: Tx) -> tuple[SessionRow, bytes]:
    """The session in which the live one is sealed, and its eid."""
    entropy = SeededEntropy(1)
    _, session = session_pair(entropy)
    row = sessions.add(tx, 1, session)
    session, sealed = seal(session, bytes(100), entropy, CHEAP)
    messages.mark_sent(tx, 1, ALIVE, ALIVE)
    return row, sessions.add_envelope(tx, row, sealed, ALIVE, ALIVE, live=ALIVE).eid


def states(tx: Tx) -> list[str]:
    return [row.state for row in messages.page(tx, 1, None, 9)[::-1]]


def waiting(tx: Tx, live_after: int = 0) -> list[int]:
    return [row.n for row in messages.unsealed(tx, 1, 0, 9, 999, live_after)]


def test_only_a_stream_of_before_it_was_queued_is_given_it_to_seal(tx: Tx) -> None:
    assert waiting(tx, ALIVE - 1) == [FIRST, ALIVE, LAST]
    assert waiting(tx, ALIVE) == [FIRST, LAST]
    assert [row.live for row in messages.unsealed(tx, 1, 0, 9, 999)] == [False, True, False]


def test_it_is_sealed_once(tx: Tx) -> None:
    sealed_alone(tx)
    assert waiting(tx) == [FIRST, LAST]


def test_only_such_a_stream_carries_its_envelope(tx: Tx) -> None:
    row, eid = sealed_alone(tx)
    assert [each.eid for each in sessions.unacknowledged(tx, row.id, 0, 9, ALIVE - 1)] == [eid]
    assert sessions.unacknowledged(tx, row.id, 0, 9, ALIVE) == []


def test_ranges_go_around_it(tx: Tx) -> None:
    messages.mark_sent(tx, 1, FIRST, LAST)
    assert states(tx) == ["sent", "queued", "sent"]
    assert messages.mark_delivered(tx, 1, FIRST, LAST) == [FIRST, LAST]
    messages.mark_sent(tx, 1, ALIVE, ALIVE)
    assert states(tx) == ["delivered", "sent", "delivered"]
    assert messages.mark_delivered(tx, 1, ALIVE, ALIVE) == [ALIVE]


def test_what_is_unconfirmed_is_found(tx: Tx) -> None:
    assert live.unconfirmed(tx, range(1, 9)) == live.all_unconfirmed(tx) == [(ALIVE, 1, False)]
    assert live.unconfirmed(tx, range(LAST, 9)) == live.unconfirmed(tx, range(1, ALIVE)) == []
    sealed_alone(tx)
    assert live.all_unconfirmed(tx, 1) == [(ALIVE, 1, True)]
    assert live.all_unconfirmed(tx, 2) == []
    live.fail(tx, ALIVE, "why")
    assert live.all_unconfirmed(tx) == []


def test_when_it_has_failed_nothing_can_send_it_and_a_proof_still_counts_once(tx: Tx) -> None:
    row, eid = sealed_alone(tx)
    assert live.prove(tx, ALIVE) == []
    live.fail(tx, ALIVE, "why")
    assert states(tx) == ["queued", "failed", "queued"]
    assert sessions.unacknowledged(tx, row.id, 0, 9) == []
    sent = sessions.sent(tx, eid)
    assert sent is not None
    assert sent.live == ALIVE
    sessions.settle(tx, sent.id)
    assert sessions.sent(tx, eid) is None
    assert live.prove(tx, ALIVE) == [ALIVE]
    assert live.prove(tx, ALIVE) == []
    assert states(tx) == ["queued", "delivered", "queued"]


def test_nothing_else_that_failed_is_proven(tx: Tx) -> None:
    messages.fail(tx, 1, "the contact is blocked")
    assert live.prove(tx, FIRST) == []


def test_there_is_one_conversation_with_oneself(tx: Tx) -> None:
    assert notes.conversation(tx) is None
    row = notes.begin(tx, ContactId(bytes(range(8))))
    assert notes.conversation(tx) == row
    with pytest.raises(integrity_error):
        notes.begin(tx, ContactId(b"another "))
