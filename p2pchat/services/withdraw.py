"""Take a message back before it leaves, or forget it on this node."""

from __future__ import annotations

from p2pchat.api.language import marked
from p2pchat.base.errors import UsageError
from p2pchat.core.events import EventKind
from p2pchat.services.context import tell
from p2pchat.store import idempotency, messages
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow

REASON = marked("cancelled by the user")


def cancel(tx: Tx, row: MessageRow) -> MessageRow:
    """Take ``row`` out of the outbox; what is sealed may have left, and whoever was told "sent" is not told otherwise.

    Raises:
        UsageError: it came from the contact, or is not queued any more.
    """
    if row.state == "cancelled":
        return row
    if row.incoming:
        raise UsageError("id: is a message that the contact sent", data={"param": "id"})
    if row.state != "queued":
        raise UsageError(f"id: is {row.state}; only what is queued can be cancelled", data={"param": "id"})
    messages.cancel(tx, row, REASON)
    tell(tx, EventKind.MESSAGE_CANCELLED, [row.id], row.contact)
    return _again(tx, row)


def delete(tx: Tx, row: MessageRow, shown_id: str) -> None:
    """Forget the text of ``row``. Its id stays: it is not shown again if it comes again.

    Args:
        shown_id: the id of the control API, to forget the text in what is kept of the calls that it was the result of.

    Raises:
        UsageError: it is on its way.
    """
    if row.state == "queued":
        cancel(tx, row)
    elif row.state in ("sent", "held"):
        raise UsageError("id: is on its way; it can be deleted once it is delivered", data={"param": "id"})
    messages.forget(tx, row.id)
    idempotency.empty(tx, shown_id)
    tell(tx, EventKind.MESSAGE_DELETED, [row.id], row.contact)


def _again(tx: Tx, row: MessageRow) -> MessageRow:
    found = messages.get(tx, row.id)
    assert found is not None  # noqa: S101  just written in this transaction
    return found
