"""Reading the event log. Events are written by :meth:`p2pchat.store.db.Tx.emit` in the transaction of their change.

A row may stand for many events of one kind, whose subjects and seqs follow each other: a thousand messages that were
sent together are one row. Here it is many again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import msgspec

from p2pchat.store import meta
from p2pchat.store.db import Row, Tx
from p2pchat.store.log_ends import head, oldest

__all__ = ["EventRow", "after", "drop", "forget", "has_lost", "head", "oldest", "pass_over"]

_DROPPED: Final = "events_dropped"
_ANY: Final = ""
"""Stands for the types of what was dropped before it was noted which they were."""

_last_of_type: Final = msgspec.msgpack.Decoder(dict[str, int])


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
        before = _dropped(tx) or {_ANY: oldest_rows[0][0] - 1}
        meta.put(tx, _DROPPED, msgspec.msgpack.encode(before | gone))
        bound = max(gone.values()) + 1 if first_kept is None else first_kept
        tx.execute("DELETE FROM event WHERE seq < ?", (bound,))
        tx.oldest = bound
    return gone


def has_lost(tx: Tx, seq: int, reads: Callable[[str], bool]) -> bool:
    """Whether something was dropped after the event of ``seq`` that is of a type which ``reads`` says is read."""
    first = oldest(tx)
    if seq + 1 >= first:
        return False
    dropped = _dropped(tx) or {_ANY: first - 1}
    return any(last > seq and (kind == _ANY or reads(kind)) for kind, last in dropped.items())


def _dropped(tx: Tx) -> dict[str, int]:
    """The last seq of each type of which something was ever dropped; empty: nothing was noted."""
    data = meta.get(tx, _DROPPED)
    return {} if data is None else _last_of_type.decode(data)


def pass_over(tx: Tx, seq: int, reads: Callable[[str], bool], before_ms: int, rows: int) -> tuple[int, bool, bool]:
    """Go on from the event of ``seq`` over what is not read and is older than ``before_ms``.

    Args:
        rows: that are looked at.

    Returns:
        the seq of the last event that was passed over, ``seq`` if none was; whether what follows it is read and is
        as old; whether there may be more to pass over.
    """
    found = tx.all(
        "SELECT seq + more, ts_ms, kind FROM event "
        "WHERE seq >= (SELECT coalesce(max(seq), 0) FROM event WHERE seq <= ?1) AND seq + more > ?1 "
        "ORDER BY seq LIMIT ?2",
        (seq, rows),
    )
    for last, ts_ms, kind in found:
        if ts_ms >= before_ms:
            return seq, False, False
        if reads(kind):
            return seq, True, False
        seq = last
    return seq, False, len(found) == rows


def forget(tx: Tx, contact: int) -> None:
    """Drop what earlier events kept of a contact that is removed."""
    tx.execute("UPDATE event SET detail = NULL WHERE subject = ? AND kind LIKE 'contact.%'", (contact,))
