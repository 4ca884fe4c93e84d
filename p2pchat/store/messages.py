"""Messages, both directions: the outbox is the outgoing ones that are queued or sent.

The state of an outgoing one goes forward only: queued → sent → held → delivered → read, or it ends in expired,
failed, cancelled. *Held* is one that was at a mailbox; in SQL it is sent. An incoming one is received. Of a deleted one
there is the id, which nobody is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from p2pchat.base.silent import Silent
from p2pchat.store import order, word_index
from p2pchat.store.db import Row, Tx

_BEYOND: Final = (1 << 63) - 1
_COLUMNS: Final = (
    "id, contact, incoming, n, wire_id, kind, text, "
    "CASE WHEN state = 'sent' AND held_ms IS NOT NULL THEN 'held' ELSE state END, "
    "reason, created_ms, sent_ms, delivered_ms, read_ms, live, "
    "coalesce((SELECT told * (n1 - n0 + 1) FROM gap WHERE above = message.id), 0)"
)
_SELECT: Final = f"SELECT {_COLUMNS} FROM message"  # noqa: S608  names of ours


class MessageRow(Silent, msgspec.Struct, frozen=True, gc=False):
    """One message; ``id`` is its position in the conversation, and rises with every message of this node but those that
    came late. ``live``: only a stream of the time at which it was queued may carry it, and no mailbox. ``missing``: so
    many of the contact's that belong directly before it have not arrived.
    """

    id: int
    contact: int
    incoming: bool
    n: int
    wire_id: bytes
    kind: int
    text: str | None
    state: str
    reason: str | None
    created_ms: int
    sent_ms: int | None
    delivered_ms: int | None
    read_ms: int | None
    live: bool = False
    missing: int = 0


def _row(row: Row) -> MessageRow:
    return MessageRow(row[0], row[1], bool(row[2]), row[3], bytes(row[4]), *row[5:])


def queue(tx: Tx, rows: Sequence[MessageRow]) -> None:
    """New messages in the outbox, in plaintext; they are sealed when a stream to the contact is open.

    Args:
        rows: with ids from :func:`highest` + 1 on, in their order.
    """
    tx.insert_many(
        "INSERT INTO message (id, contact, incoming, n, wire_id, text, state, created_ms)",
        "(?, ?, 0, ?, ?, ?, 'queued', ?)",
        [(row.id, row.contact, row.n, row.wire_id, row.text, row.created_ms) for row in rows],
    )


class Incoming(Silent, msgspec.Struct, frozen=True, gc=False):
    """What a contact sent: a text, or else the ``body`` of an item that this version cannot read (PROTOCOL.md 4.5)."""

    n: int
    wire_id: bytes
    kind: int
    text: str | None
    body: bytes | None
    created_ms: int


def receive(tx: Tx, contact: int, device_ms: int, arrived: Sequence[Incoming]) -> list[int]:
    """Store what has not come before, each in its place; the row ids, in the order of ``arrived``.

    A contact's message is known by its id: whatever way it comes again, it is here once.

    Args:
        device_ms: epoch_ms of the device that sent it.
    """
    first, arrivals = order.next_id(tx), order.Arrivals(tx, contact, device_ms)
    placed = [(row_id, each) for each in arrived if (row_id := arrivals.place(each.n, each.wire_id)) is not None]
    tx.insert_many(
        "INSERT INTO message (id, contact, incoming, n, wire_id, kind, text, body, state, created_ms, delivered_ms)",
        "(?, ?, 1, ?, ?, ?, ?, ?, 'received', ?, ?)",
        [
            (row_id, contact, each.n, each.wire_id, each.kind, each.text, each.body, each.created_ms, tx.now_ms)
            for row_id, each in placed
        ],
        "ON CONFLICT (contact, incoming, wire_id) DO NOTHING",
    )
    arrivals.settle()
    new = sum(row_id >= first for row_id, _ in placed)  # a late one may have come into a gap of this very envelope
    if tx.one("SELECT count(*) FROM message WHERE id >= ?", (first,)) == (new,):
        return [row_id for row_id, _ in placed]
    there = {row[0] for row in tx.all("SELECT id FROM message WHERE id >= ?", (first,))}.union(arrivals.late)
    return [row_id for row_id, _ in placed if row_id in there]


def get(tx: Tx, message: int) -> MessageRow | None:
    row = tx.one(_SELECT + " WHERE id = ?", (message,))
    return None if row is None else _row(row)


def page(tx: Tx, contact: int, before: int | None, limit: int) -> list[MessageRow]:
    """Up to ``limit`` messages of a conversation, newest first, older than position ``before``."""
    rows = tx.all(
        _SELECT + " WHERE contact = ? AND id < ? AND state != 'deleted' ORDER BY id DESC LIMIT ?",
        (contact, before if before is not None else _BEYOND, limit),
    )
    return [_row(row) for row in rows]


def page_after(tx: Tx, contact: int, after: int, limit: int) -> list[MessageRow]:
    """Up to ``limit`` messages of a conversation, oldest first, newer than position ``after``."""
    rows = tx.all(
        _SELECT + " WHERE contact = ? AND id > ? AND state != 'deleted' ORDER BY id LIMIT ?", (contact, after, limit)
    )
    return [_row(row) for row in rows]


def between(tx: Tx, contact: int | None, low: int, high: int, rising: bool) -> Iterator[MessageRow]:
    """Messages ``low`` to ``high``, both included, of one conversation or all; read as they are asked for."""
    order = "" if rising else " DESC"
    if contact is None:
        found = tx.execute(f"{_SELECT} WHERE id BETWEEN ? AND ? ORDER BY id{order}", (low, high))
    else:
        sql = f"{_SELECT} WHERE contact = ? AND id BETWEEN ? AND ? ORDER BY id{order}"
        found = tx.execute(sql, (contact, low, high))
    return map(_row, found)


def matching(tx: Tx, expression: str, low: int, high: int, rising: bool) -> Iterator[MessageRow]:
    """As :func:`between`, those of which the index of words holds what ``expression``, in its language, wants."""
    order = "" if rising else " DESC"
    found = tx.execute(
        f"SELECT {_COLUMNS} FROM word CROSS JOIN message ON message.id = word.rowid "  # noqa: S608  names of ours
        f"WHERE word MATCH ? AND word.rowid BETWEEN ? AND ? ORDER BY word.rowid{order}",
        (expression, low, high),
    )
    return map(_row, found)


def these(tx: Tx, ids: Iterable[int]) -> Iterator[MessageRow]:
    """Those messages, in that order; one that is not there is left out."""
    return (row for row in (get(tx, message) for message in ids) if row is not None)


def unsealed(tx: Tx, contact: int, after_n: int, limit: int, limit_bytes: int, live_after: int = 0) -> list[MessageRow]:
    """What waits for ``contact`` and is not in the session that has sealed up to ``after_n``, in order.

    Args:
        limit_bytes: no more rows are read once their texts have that many bytes; the first one always is.
        live_after: what is for a live stream alone is left out up to this row id, and once it was sealed.
    """
    waiting: list[MessageRow] = []
    size = 0
    for row in tx.execute(
        _SELECT + " WHERE incoming = 0 AND contact = ? AND n > ? AND state IN ('queued', 'sent') "
        "AND (live = 0 OR (state = 'queued' AND id > ?)) ORDER BY n LIMIT ?",
        (contact, after_n, live_after, limit),
    ):
        message = _row(row)
        waiting.append(message)
        size += len((message.text or "").encode())
        if size >= limit_bytes:
            break
    return waiting


def wait_between(tx: Tx, contact: int, after_n: int, before_n: int) -> bool:
    """Whether any number between these two, without them, waits in the outbox."""
    return (
        after_n + 1 < before_n
        and tx.one(
            "SELECT 1 FROM message WHERE incoming = 0 AND contact = ? AND n > ? AND n < ? "
            "AND state IN ('queued', 'sent') LIMIT 1",
            (contact, after_n, before_n),
        )
        is not None
    )


def are_queued(tx: Tx, queued: Sequence[MessageRow]) -> bool:
    """Whether these, which this transaction has queued for one contact, are queued still, under their numbers: one that
    is numbered anew goes down, and none comes in its place that is not among them."""
    first, last = queued[0], queued[-1]
    row = tx.one(
        "SELECT count(*) FROM message WHERE incoming = 0 AND contact = ? AND n BETWEEN ? AND ? AND state = 'queued'",
        (first.contact, first.n, last.n),
    )
    return row == (len(queued),)


def mark_sent(tx: Tx, contact: int, n0: int, n1: int) -> None:
    """queued → sent for a range of numbers; one for a live stream alone is no part of a longer range."""
    tx.execute(
        "UPDATE message SET state = 'sent', sent_ms = ?1 WHERE incoming = 0 AND contact = ?2 AND n BETWEEN ?3 AND ?4 "
        "AND state = 'queued' AND (live = 0 OR ?3 = ?4)",
        (tx.now_ms, contact, n0, n1),
    )


def mark_delivered(tx: Tx, contact: int, n0: int, n1: int) -> list[int]:
    """queued or sent → delivered for a range of numbers, as :func:`mark_sent`; the row ids that changed."""
    rows = tx.all(
        "UPDATE message SET state = 'delivered', delivered_ms = ?1 WHERE incoming = 0 AND contact = ?2 "
        "AND n BETWEEN ?3 AND ?4 AND state IN ('queued', 'sent') AND (live = 0 OR ?3 = ?4) RETURNING id",
        (tx.now_ms, contact, n0, n1),
    )
    return sorted(row[0] for row in rows)


def newest_ms(tx: Tx, contact: int, n0: int, n1: int) -> int:
    """When the last of these that waits was queued, unix ms; 0: none does."""
    row = tx.one(
        "SELECT max(created_ms) FROM message WHERE incoming = 0 AND contact = ? AND n BETWEEN ? AND ? "
        "AND state IN ('queued', 'sent')",
        (contact, n0, n1),
    )
    return 0 if row is None or row[0] is None else int(row[0])


def expire(tx: Tx, before_ms: int) -> dict[int, list[int]]:
    """Outbox messages queued before ``before_ms`` → expired; by contact, the row ids that changed.

    One that is sealed in an envelope with a later one waits for that: the envelope is sent again until then.
    """
    rows = tx.all(
        "UPDATE message SET state = 'expired', reason = 'not delivered in time' WHERE incoming = 0 "
        "AND state IN ('queued', 'sent') AND created_ms < ?1 AND NOT EXISTS (SELECT 1 FROM envelope "
        "JOIN message later ON later.incoming = 0 AND later.contact = envelope.contact AND later.n BETWEEN n0 AND n1 "
        "WHERE envelope.contact = message.contact AND bytes IS NOT NULL AND message.n BETWEEN n0 AND n1 "
        "AND later.state IN ('queued', 'sent') AND later.created_ms >= ?1) RETURNING contact, id",
        (before_ms,),
    )
    changed: dict[int, list[int]] = {}
    for contact, message in sorted(rows):
        changed.setdefault(contact, []).append(message)
    return changed


def redate(tx: Tx, before_ms: int) -> None:
    """Outbox messages that seem to be queued before ``before_ms``, when the clock was wrong, were queued now."""
    tx.execute(
        "UPDATE message SET created_ms = ? WHERE incoming = 0 AND state IN ('queued', 'sent') AND created_ms < ?",
        (tx.now_ms, before_ms),
    )


def fail(tx: Tx, contact: int, reason: str) -> list[int]:
    """What waits for ``contact`` → failed; the row ids that changed."""
    rows = tx.all(
        "UPDATE message SET state = 'failed', reason = ? WHERE incoming = 0 AND contact = ? "
        "AND state IN ('queued', 'sent') RETURNING id",
        (reason, contact),
    )
    return sorted(row[0] for row in rows)


def cancel(tx: Tx, row: MessageRow, reason: str) -> None:
    """queued → cancelled. The ones after it are as unsent as it is, and take its number: nobody misses it."""
    tx.execute("UPDATE message SET state = 'cancelled', reason = ? WHERE id = ?", (reason, row.id))
    later = "FROM message WHERE incoming = 0 AND contact = ? AND n > ?"
    left = "(sent_ms IS NOT NULL OR state IN ('sent', 'delivered', 'read'))"  # also what was deleted or failed since
    if tx.one(f"SELECT 1 {later} AND {left} LIMIT 1", (row.contact, row.n)) is None:
        tx.execute("UPDATE message SET n = n - 1 WHERE incoming = 0 AND contact = ? AND n > ?", (row.contact, row.n))
        tx.execute("UPDATE contact SET next_n = next_n - 1 WHERE id = ?", (row.contact,))


def forget(tx: Tx, message: int) -> None:
    """Drop what a message says, for ever; its id stays."""
    word_index.forget(tx, [message])
    tx.execute("UPDATE message SET state = 'deleted', text = NULL, body = NULL, reason = NULL WHERE id = ?", (message,))


def outbox_size(tx: Tx) -> int:
    row = tx.one("SELECT count(*) FROM message WHERE incoming = 0 AND state IN ('queued', 'sent')")
    return int(row[0]) if row else 0


def held_size(tx: Tx) -> int:
    """How many of the outbox a holder has taken."""
    row = tx.one(
        "SELECT count(*) FROM message WHERE incoming = 0 AND state IN ('queued', 'sent') "
        "AND state = 'sent' AND held_ms IS NOT NULL"
    )
    return int(row[0]) if row else 0


def ids(tx: Tx, contact: int) -> list[int]:
    """The row ids of a whole conversation."""
    return [row[0] for row in tx.all("SELECT id FROM message WHERE contact = ?", (contact,))]


def ids_between(tx: Tx, contact: int, low: int, high: int, limit: int) -> list[int]:
    """Up to ``limit`` row ids of a conversation, from ``low`` to ``high``, both included."""
    rows = tx.all(
        "SELECT id FROM message WHERE contact = ? AND id BETWEEN ? AND ? LIMIT ?", (contact, low, high, limit)
    )
    return [row[0] for row in rows]


def highest(tx: Tx) -> int:
    """The highest row id that there ever was."""
    return order.next_id(tx) - 1
