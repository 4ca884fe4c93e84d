"""The conversation with oneself: a row among the contacts, in a state of its own.

It has no root, number, session or node: whoever looks for somebody to reach finds nobody there. What is put into it is
delivered in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.base.ids import ContactId
from p2pchat.core.names import NOTE_TO_SELF
from p2pchat.store import contacts
from p2pchat.store.contacts import SELF, ContactRow
from p2pchat.store.db import Tx


def conversation(tx: Tx) -> ContactRow | None:
    """The row, once there is one."""
    row = tx.one("SELECT id FROM contact WHERE state = ?", (SELF,))
    return None if row is None else contacts.get(tx, row[0])


def begin(tx: Tx, uid: ContactId) -> ContactRow:
    """Make the row, of which there is one at most."""
    row_id = tx.insert(
        "INSERT INTO contact (uid, name, state, trust) VALUES (?, ?, ?, 'in_person')", (bytes(uid), NOTE_TO_SELF, SELF)
    )
    row = contacts.get(tx, row_id)
    assert row is not None  # noqa: S101  just inserted
    return row


def keep(tx: Tx, messages: Sequence[int]) -> None:
    """queued → delivered for what was just queued here, by row ids."""
    tx.many(
        "UPDATE message SET state = 'delivered', delivered_ms = ? WHERE id = ?",
        [(tx.now_ms, message) for message in messages],
    )
