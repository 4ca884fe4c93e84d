"""Messages, both directions: the outbox is the outgoing ones that are queued or sent.

The state of an outgoing one goes forward only: queued → sent → delivered → read, or it ends in expired, failed,
cancelled. An incoming one is received.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from p2pchat.store.db import Row, Tx

_BEYOND: Final = (1 << 63) - 1
_SELECT: Final = (
    "SELECT id, contact, incoming, n, wire_id, kind, text, state, reason, created_ms, sent_ms, delivered_ms, read_ms "
    "FROM message"
)


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message; ``id`` rises with every message of this node and is its position in the conversation."""

    id: int
    contact: int
    incoming: bool
    n: int
    wire_id: bytes
    kind: int
    text: str | None = field(repr=False)
    state: str
    reason: str | None
    created_ms: int
    sent_ms: int | None
    delivered_ms: int | None
    read_ms: int | None


def _row(row: Row) -> MessageRow:
    return MessageRow(row[0], row[1], bool(row[2]), row[3], bytes(row[4]), *row[5:])


def queue(tx: Tx, contact: int, n: int, wire_id: bytes, text: str) -> MessageRow:
    """A new message in the outbox, in plaintext; it is sealed when a stream to the contact is open."""
    row_id = tx.insert(
        "INSERT INTO message (contact, incoming, n, wire_id, text, state, created_ms) "
        "VALUES (?, 0, ?, ?, ?, 'queued', ?)",
        (contact, n, wire_id, text, tx.now_ms),
    )
    return MessageRow(row_id, contact, False, n, wire_id, 1, text, "queued", None, tx.now_ms, None, None, None)


def receive(tx: Tx, contact: int, n: int, wire_id: bytes, text: str, created_ms: int) -> int | None:
    """Store an incoming text; its row id, or None when this contact's message with that id is here already."""
    return _receive(tx, (contact, n, wire_id, 1, text, None, created_ms, tx.now_ms))


def receive_unknown(tx: Tx, contact: int, wire_id: bytes, kind: int, body: bytes) -> int | None:
    """Store an item that this version cannot read, as "sent by a newer version" (PROTOCOL.md 4.5)."""
    return _receive(tx, (contact, 0, wire_id, kind, None, body, tx.now_ms, tx.now_ms))


def _receive(tx: Tx, values: tuple[object, ...]) -> int | None:
    row = tx.one(
        "INSERT INTO message (contact, incoming, n, wire_id, kind, text, body, state, created_ms, delivered_ms) "
        "VALUES (?, 1, ?, ?, ?, ?, ?, 'received', ?, ?) ON CONFLICT DO NOTHING RETURNING id",
        values,
    )
    return None if row is None else int(row[0])


def get(tx: Tx, message: int) -> MessageRow | None:
    row = tx.one(_SELECT + " WHERE id = ?", (message,))
    return None if row is None else _row(row)


def page(tx: Tx, contact: int, before: int | None, limit: int, search: str | None) -> list[MessageRow]:
    """Up to ``limit`` messages of a conversation, newest first, older than position ``before``."""
    condition = " WHERE contact = ? AND id < ?"
    values: list[object] = [contact, before if before is not None else _BEYOND]
    if search is not None:
        condition += " AND instr(lower(text), lower(?)) > 0"
        values.append(search)
    rows = tx.all(_SELECT + condition + " ORDER BY id DESC LIMIT ?", [*values, limit])
    return [_row(row) for row in rows]


def page_after(tx: Tx, contact: int, after: int, limit: int, search: str | None) -> list[MessageRow]:
    """Up to ``limit`` messages of a conversation, oldest first, newer than position ``after``."""
    condition = " WHERE contact = ? AND id > ?"
    values: list[object] = [contact, after]
    if search is not None:
        condition += " AND instr(lower(text), lower(?)) > 0"
        values.append(search)
    rows = tx.all(_SELECT + condition + " ORDER BY id LIMIT ?", [*values, limit])
    return [_row(row) for row in rows]


def unsealed(tx: Tx, contact: int, after_n: int, limit: int, limit_bytes: int) -> list[MessageRow]:
    """What waits for ``contact`` and is not in the session that has sealed up to ``after_n``, in order.

    Args:
        limit_bytes: no more rows are read once their texts have that many bytes; the first one always is.
    """
    waiting: list[MessageRow] = []
    size = 0
    for row in tx.execute(
        _SELECT + " WHERE incoming = 0 AND contact = ? AND n > ? AND state IN ('queued', 'sent') ORDER BY n LIMIT ?",
        (contact, after_n, limit),
    ):
        message = _row(row)
        waiting.append(message)
        size += len((message.text or "").encode())
        if size >= limit_bytes:
            break
    return waiting


def mark_sent(tx: Tx, contact: int, n0: int, n1: int) -> list[int]:
    """queued → sent for a range of numbers; the row ids that changed."""
    rows = tx.all(
        "UPDATE message SET state = 'sent', sent_ms = ? WHERE incoming = 0 AND contact = ? AND n BETWEEN ? AND ? "
        "AND state = 'queued' RETURNING id",
        (tx.now_ms, contact, n0, n1),
    )
    return sorted(row[0] for row in rows)


def mark_delivered(tx: Tx, contact: int, n0: int, n1: int) -> list[int]:
    """queued or sent → delivered for a range of numbers; the row ids that changed."""
    rows = tx.all(
        "UPDATE message SET state = 'delivered', delivered_ms = ? WHERE incoming = 0 AND contact = ? "
        "AND n BETWEEN ? AND ? AND state IN ('queued', 'sent') RETURNING id",
        (tx.now_ms, contact, n0, n1),
    )
    return sorted(row[0] for row in rows)


def expire(tx: Tx, before_ms: int) -> list[int]:
    """Outbox messages queued before ``before_ms`` → expired; the row ids that changed.

    One that is sealed in an envelope with a later one waits for that: the envelope is sent again until then.
    """
    rows = tx.all(
        "UPDATE message SET state = 'expired', reason = 'not delivered in time' WHERE incoming = 0 "
        "AND state IN ('queued', 'sent') AND created_ms < ?1 AND NOT EXISTS (SELECT 1 FROM envelope "
        "JOIN message later ON later.incoming = 0 AND later.contact = envelope.contact AND later.n BETWEEN n0 AND n1 "
        "WHERE envelope.contact = message.contact AND bytes IS NOT NULL AND message.n BETWEEN n0 AND n1 "
        "AND later.state IN ('queued', 'sent') AND later.created_ms >= ?1) RETURNING id",
        (before_ms,),
    )
    return sorted(row[0] for row in rows)


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


def outbox_size(tx: Tx) -> int:
    row = tx.one("SELECT count(*) FROM message WHERE incoming = 0 AND state IN ('queued', 'sent')")
    return int(row[0]) if row else 0


def highest(tx: Tx) -> int:
    """The highest row id so far."""
    row = tx.one("SELECT coalesce(max(id), 0) FROM message")
    return int(row[0]) if row else 0
