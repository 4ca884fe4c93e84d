"""The event log: rows that stand for many events are many again wherever they are read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.store import eventlog
from p2pchat.store.db import Tx
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import connect

KEY = bytes(32)


@pytest.fixture
def tx() -> Iterator[Tx]:
    connection = connect(None, KEY)
    migrate(connection)
    yield Tx(connection, 1_000)
    connection.close()


def tell(tx: Tx, first: int, count: int) -> None:
    tx.emit(DomainEvent(EventKind.MESSAGE_QUEUED, first, contact=1, more=count - 1))


def seqs(tx: Tx) -> list[int]:
    return [event.seq for event in eventlog.after(tx, 0, 10)]


def test_every_event_of_a_row_has_its_own_seq_and_subject(tx: Tx) -> None:
    tell(tx, 10, 3)
    tell(tx, 20, 1)
    assert [(event.seq, event.subject) for event in eventlog.after(tx, 0, 10)] == [(1, 10), (2, 11), (3, 12), (4, 20)]
    assert eventlog.head(tx) == 4
    assert eventlog.oldest(tx) == 1


@given(st.lists(st.integers(1, 5), max_size=8), st.data())
def test_reading_on_from_anywhere_misses_and_repeats_nothing(counts: list[int], data: st.DataObject) -> None:
    connection = connect(None, KEY)
    migrate(connection)
    tx, expected = Tx(connection, 1_000), list[int]()
    for index, count in enumerate(counts):
        tell(tx, 100 * index, count)
        expected += [100 * index + offset for offset in range(count)]
    seq, read = data.draw(st.integers(0, len(expected))), list[int | None]()
    since = seq
    while page := eventlog.after(tx, seq, data.draw(st.integers(1, 7))):
        assert [event.seq for event in page] == list(range(seq + 1, seq + 1 + len(page)))
        read += [event.subject for event in page]
        seq = page[-1].seq
    assert read == expected[since:]
    assert seq == eventlog.head(tx) == len(expected)
    connection.close()


def test_a_row_is_forgotten_when_all_its_events_are(tx: Tx) -> None:
    tell(tx, 10, 3)
    tell(tx, 20, 2)
    assert eventlog.drop(tx, 0, 3, None, 9) == {}
    assert seqs(tx) == [1, 2, 3, 4, 5]
    assert eventlog.drop(tx, 0, 2, None, 9) == {"message.queued": 3}
    assert seqs(tx) == [4, 5]
    assert eventlog.oldest(tx) == 4
    assert eventlog.drop(tx, 2_000, 2, 4, 9) == {}, "the last event of the row is held back, and so is the row"
    assert eventlog.drop(tx, 2_000, 2, 5, 9) == {"message.queued": 5}
    assert eventlog.after(tx, 0, 10) == []
    tell(tx, 30, 2)
    assert seqs(tx) == [6, 7]


def test_so_many_rows_are_forgotten_at_once(tx: Tx) -> None:
    for first in range(5):
        tx.emit(DomainEvent(EventKind.CONTACT_ADDED if first % 2 else EventKind.NODE_STARTED, first))
    assert eventlog.drop(tx, 2_000, 9, None, 2) == {"node.started": 1, "contact.added": 2}
    assert seqs(tx) == [3, 4, 5]
    assert eventlog.drop(tx, 0, 2, None, 2) == {"node.started": 3}
    assert eventlog.drop(tx, 0, 2, None, 2) == {}


def test_an_old_event_behind_a_young_one_stays(tx: Tx) -> None:
    tell(tx, 10, 1)
    tx.now_ms = 500  # the clock was set back
    tell(tx, 11, 1)
    assert eventlog.drop(tx, 600, 9, None, 9) == {}
    assert seqs(tx) == [1, 2]


def test_a_range_that_was_undone_leaves_no_gap(tx: Tx) -> None:
    tx.execute("SAVEPOINT job")
    tell(tx, 10, 3)
    tx.execute("ROLLBACK TO job")
    tx.execute("RELEASE job")
    tell(tx, 10, 2)
    assert [event.seq for event in eventlog.after(tx, 0, 10)] == [1, 2]
