"""Messages for a live stream alone: the flag on them and on their envelopes (PROTOCOL.md 5.5).

Each is alone in its envelope, and in one only. When it has failed the envelope's bytes are gone: nothing can send it
again. What proves that it came stays until the envelope's row goes, a quarter of an hour later or so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from p2pchat.store.db import Tx

_OPEN: Final = "live = 1 AND state IN ('queued', 'sent')"


def mark(tx: Tx, messages: Sequence[int]) -> None:
    """These, just queued, are for a live stream alone."""
    tx.many("UPDATE message SET live = 1 WHERE id = ?", [(message,) for message in messages])


def unconfirmed(tx: Tx, messages: range) -> list[tuple[int, int, bool]]:
    """Those among row ids ``messages`` that are not confirmed: row ids, contacts, and whether each may have left."""
    rows = tx.all(
        f"SELECT id, contact, state = 'sent' FROM message WHERE id BETWEEN ? AND ? AND {_OPEN} ORDER BY id",  # noqa: S608
        (messages.start, messages.stop - 1),
    )
    return [(row[0], row[1], bool(row[2])) for row in rows]


def all_unconfirmed(tx: Tx, contact: int | None = None) -> list[tuple[int, int, bool]]:
    """As :func:`unconfirmed`, all that are for ``contact``; None: for anybody."""
    rows = tx.all(
        # else SQLite goes through all messages, at every start
        f"SELECT id, contact, state = 'sent' FROM message INDEXED BY message_live WHERE {_OPEN} "  # noqa: S608
        "AND contact = coalesce(?, contact) ORDER BY id",
        (contact,),
    )
    return [(row[0], row[1], bool(row[2])) for row in rows]


def fail(tx: Tx, message: int, reason: str) -> None:
    """queued or sent → failed; the envelope is withheld, and its place in the chain stays empty."""
    tx.execute("UPDATE message SET state = 'failed', reason = ? WHERE id = ?", (reason, message))
    tx.execute("UPDATE envelope SET bytes = NULL WHERE live = ?", (message,))


def prove(tx: Tx, message: int) -> list[int]:
    """failed → delivered: a proof came late. The row ids that changed."""
    rows = tx.all(
        "UPDATE message SET state = 'delivered', delivered_ms = ? WHERE id = ? AND live = 1 AND state = 'failed' "
        "RETURNING id",
        (tx.now_ms, message),
    )
    return [row[0] for row in rows]
