"""Reading the event log. Events are written by :meth:`p2pchat.store.db.Tx.emit` in the transaction of their change.

A row may stand for many events of one kind, whose subjects and seqs follow each other: a thousand messages that were
sent together are one row. Here it is many again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from p2pchat.store.db import Row, Tx


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as stored; ``seq`` is never used again."""

    seq: int
    ts_ms: int
    kind: str
    subject: int | None
    detail: bytes | None = field(repr=False)


def after(tx: Tx, seq: int, limit: int) -> list[EventRow]:
    """Up to ``limit`` events after the one of ``seq``, in their order."""
    rows = tx.execute(
        "SELECT seq, ts_ms, kind, subject, detail, more FROM event "
        "WHERE seq >= (SELECT coalesce(max(seq), 0) FROM event WHERE seq <= ?1) AND seq + more > ?1 "
        "ORDER BY seq LIMIT ?2",
        (seq, limit),
    )
    events = (event for row in rows for event in _each(row, seq))
    return list(islice(events, limit))


def _each(row: Row, after_seq: int) -> Iterator[EventRow]:
    first, ts_ms, kind, subject, detail, more = row
    for offset in range(max(0, after_seq + 1 - first), more + 1):
        yield EventRow(first + offset, ts_ms, kind, None if subject is None else subject + offset, detail)


def head(tx: Tx) -> int:
    """The seq of the newest event; 0 when there never was one."""
    row = tx.one("SELECT seq FROM sqlite_sequence WHERE name = 'event'")
    return int(row[0]) if row else 0


def oldest(tx: Tx) -> int:
    """The seq of the oldest event kept; ``head + 1`` when there is none."""
    row = tx.one("SELECT min(seq) FROM event")
    return int(row[0]) if row and row[0] is not None else head(tx) + 1


def prune(tx: Tx, before_ms: int, keep: int) -> None:
    """Forget events older than ``before_ms`` and all but the newest ``keep``."""
    kept = tx.one("SELECT seq FROM event WHERE ts_ms >= ? ORDER BY seq LIMIT 1", (before_ms,))
    first = head(tx) + 1 if kept is None else int(kept[0])
    tx.execute("DELETE FROM event WHERE seq + more < ?", (max(first, head(tx) + 1 - keep),))


def forget(tx: Tx, contact: int) -> None:
    """Drop what earlier events kept of a contact that is removed."""
    tx.execute("UPDATE event SET detail = NULL WHERE subject = ? AND kind LIKE 'contact.%'", (contact,))
