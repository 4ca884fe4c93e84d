"""Receipts: tell a contact what of its messages was read, and take what it tells of ours (PROTOCOL.md 5.4).

- *Read* is what the user says, or a program in their place; nothing is read by being shown.
- Of each contact one receipt waits, the newest. It leaves with the next envelope of a stream that is open, or with the
  next stream: nobody is dialled for it.
- Where receipts are off, for all or for one contact, none is sent and none counts: whoever does not tell is not told.
  One that came meanwhile is not kept.
"""

from __future__ import annotations

from typing import Final

from p2pchat.base.errors import DecodeError, UsageError
from p2pchat.core.events import EventKind
from p2pchat.core.params import DAY_S
from p2pchat.core.receipt import Read, decode_read, encode_read
from p2pchat.core.wire import READ
from p2pchat.services.contacts import again
from p2pchat.services.context import Context, tell
from p2pchat.store import contacts, messages, notices, receipts
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow
from p2pchat.store.notices import NoticeRow

_SET_BACK_S: Final = DAY_S  # a clock may be set back by so much without ending one


def mark_read(tx: Tx, context: Context, message: MessageRow) -> MessageRow:
    """The user has read ``message``, and whatever of its conversation came before it.

    Raises:
        UsageError: INVALID_PARAMS, it is one of their own.
    """
    if not message.incoming:
        raise UsageError("id: is that of a message which you sent", data={"param": "id"})
    changed = receipts.mark(tx, message.contact, message.id)
    tell(tx, EventKind.MESSAGE_READ, [row_id for row_id, _ in changed], message.contact)
    if any(is_text for _, is_text in changed):  # what this version cannot show is not told of
        _tell(tx, context, message)
    found = messages.get(tx, message.id)
    assert found is not None  # noqa: S101  held in this transaction
    return found


def _tell(tx: Tx, context: Context, message: MessageRow) -> None:
    owner = contacts.get(tx, message.contact)
    if owner is None or owner.state != "matched" or not receipts.are_on(tx, owner.id):
        return
    read = receipts.newest(tx, owner.id, message.id)
    if read is not None:
        notice = NoticeRow(READ, context.message_id(), encode_read(read))
        notices.put(tx, owner.id, notice, tx.now_s + context.params.message_life_s)


def parse(body: bytes) -> Read | None:
    """What an item *read* says; None if ``body`` is not of its form."""
    try:
        return decode_read(body)
    except DecodeError:
        return None  # kept by the caller, as an item of a newer version


def take(tx: Tx, contact: int, read: Read) -> None:
    """``contact`` has said what it has read."""
    if not receipts.are_on(tx, contact):
        return
    delivered, told = receipts.take(tx, contact, read)
    tell(tx, EventKind.MESSAGE_DELIVERED, delivered, contact)  # the ack was lost, or comes later
    tell(tx, EventKind.MESSAGE_READ, told, contact)


def forget(tx: Tx, context: Context) -> None:
    """What time does: a receipt that nobody has taken for so long goes."""
    notices.prune(tx, (READ,), context.params.message_life_s + _SET_BACK_S)


def switch(tx: Tx, row: ContactRow, on: bool | None) -> ContactRow:
    """Exchange receipts with ``row`` or not; None: as with everybody."""
    receipts.set_for(tx, row.id, on)
    return again(tx, row)
