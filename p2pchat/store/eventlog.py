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


def drop(tx: Tx, before_ms: int, keep: int, up_to: int | None, rows: int) -> dict[str, int]:
    """Forget of the oldest ``rows`` rows those that are older than ``before_ms`` or not of the newest ``keep`` events.

    Args:
        up_to: nothing behind this seq; None: there is no such bound.

    Returns:
        the last seq of each type of which something was forgotten; nothing: there is no more to forget.
    """
    surplus = head(tx) - keep
    oldest_rows = tx.all("SELECT seq, seq + more, ts_ms, kind FROM event ORDER BY seq LIMIT ?", (rows,))
    gone: dict[str, int] = {}
    first_kept: int | None = None
    for first, last, ts_ms, kind in oldest_rows:
        if (ts_ms >= before_ms and last > surplus) or (up_to is not None and last > up_to):
            first_kept = first
            break
        gone[kind] = last
    if gone:
        bound = max(gone.values()) + 1 if first_kept is None else first_kept
        tx.execute("DELETE FROM event WHERE seq < ?", (bound,))
    return gone


def forget(tx: Tx, contact: int) -> None:
    """Drop what earlier events kept of a contact that is removed."""
    tx.execute("UPDATE event SET detail = NULL WHERE subject = ? AND kind LIKE 'contact.%'", (contact,))
