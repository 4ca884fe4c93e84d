"""Notices: what a contact must be told inside the session, though it is no message (PROTOCOL.md 4.5).

One waits until an envelope that carried it is acknowledged, or until it has no use any more. It keeps its message id
when it is sealed again in another session, and of one kind the newest replaces what was there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from p2pchat.store.db import Tx


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """A notice that waits. ``kind``: the item's type; ``wire_id``: its message id."""

    kind: int
    wire_id: bytes = field(repr=False)
    body: bytes = field(repr=False)


def put(tx: Tx, contact: int, notice: NoticeRow, until_s: int) -> None:
    """Let ``notice`` wait for ``contact`` until unix second ``until_s``, in place of one of its kind."""
    tx.execute(
        "INSERT OR REPLACE INTO notice VALUES (?, ?, ?, ?, ?, NULL)",
        (contact, notice.kind, notice.wire_id, notice.body, until_s),
    )


def unsealed(tx: Tx, contact: int, session: int) -> list[NoticeRow]:
    """What waits for ``contact`` and is in no envelope of ``session``, in the order of kinds."""
    rows = tx.all(
        "SELECT kind, wire_id, body FROM notice LEFT JOIN envelope ON envelope.id = notice.envelope "
        "WHERE notice.contact = ? AND until_s > ? AND envelope.session IS NOT ? ORDER BY kind",
        (contact, tx.now_s, session),
    )
    return [NoticeRow(row[0], bytes(row[1]), bytes(row[2])) for row in rows]


def sealed(tx: Tx, contact: int, wire_ids: Sequence[bytes], envelope: int) -> None:
    """These are in ``envelope`` now."""
    tx.many(
        "UPDATE notice SET envelope = ? WHERE contact = ? AND wire_id = ?",
        [(envelope, contact, wire_id) for wire_id in wire_ids],
    )


def settle(tx: Tx, envelope: int) -> None:
    """The peer has what ``envelope`` carried."""
    tx.execute("DELETE FROM notice WHERE envelope = ?", (envelope,))


def withdraw(tx: Tx, contact: int, kind: int) -> None:
    """A notice of that kind has no use any more."""
    tx.execute("DELETE FROM notice WHERE contact = ? AND kind = ?", (contact, kind))


def prune(tx: Tx, kinds: Iterable[int], longest_s: int) -> None:
    """Of ``kinds`` forget what has no use any more; also what a clock that was ahead has dated beyond ``longest_s``
    from now.
    """
    tx.many(
        "DELETE FROM notice WHERE kind = ? AND until_s NOT BETWEEN ? AND ?",
        [(kind, tx.now_s + 1, tx.now_s + longest_s) for kind in kinds],
    )
