"""Reading the event log. Events are written by :meth:`p2pchat.store.db.Tx.emit` in the transaction of their change."""

from __future__ import annotations

from dataclasses import dataclass, field

from p2pchat.store.db import Tx


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as stored; ``seq`` is never used again."""

    seq: int
    ts_ms: int
    kind: str
    subject: int | None
    detail: bytes | None = field(repr=False)


def after(tx: Tx, seq: int, limit: int) -> list[EventRow]:
    rows = tx.all(
        "SELECT seq, ts_ms, kind, subject, detail FROM event WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
    )
    return [EventRow(*row) for row in rows]


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
    tx.execute("DELETE FROM event WHERE seq < ?", (max(first, head(tx) + 1 - keep),))


def forget(tx: Tx, contact: int) -> None:
    """Drop what earlier events kept of a contact that is removed."""
    tx.execute("UPDATE event SET detail = NULL WHERE subject = ? AND kind LIKE 'contact.%'", (contact,))
