"""Queue a text: the plaintext outbox row and its event in one commit. Delivery is another verb."""

from __future__ import annotations

from p2pchat.api.text import is_unicode
from p2pchat.base.errors import UsageError
from p2pchat.core.events import EventKind
from p2pchat.services.contacts import refuse_blocked
from p2pchat.services.context import Context, message_event
from p2pchat.store import contacts, messages
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow


def send(tx: Tx, context: Context, to: ContactRow, text: str) -> MessageRow:
    """Put ``text`` into the outbox; toward a pending contact it waits for the match.

    Args:
        text: 1 to ``params.text_bytes`` bytes of UTF-8, every code point kept.

    Raises:
        UsageError: BLOCKED; INVALID_PARAMS for an empty text or lone surrogates, TOO_LARGE.
    """
    refuse_blocked(to)
    if to.state == "request":
        raise UsageError("They asked to become a contact: accept it first.", data={"param": "to"})
    if not is_unicode(text):
        raise UsageError("The text is not valid Unicode.", data={"param": "text"})
    size = len(text.encode("utf-8"))
    if size == 0:
        raise UsageError("The text is empty.", data={"param": "text"})
    if size > context.params.text_bytes:
        raise UsageError(
            f"The text has {size} bytes; at most {context.params.text_bytes} fit.",
            name="TOO_LARGE",
            data={"param": "text", "limit": context.params.text_bytes},
        )
    n = contacts.take_n(tx, to.id)
    row = messages.queue(tx, to.id, n, context.message_id(), text)
    tx.emit(message_event(EventKind.MESSAGE_QUEUED, row.id, to.id))
    return row
