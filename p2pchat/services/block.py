"""Block a contact, and take that back (PROTOCOL.md 3.4)."""

from __future__ import annotations

from p2pchat.api.language import marked
from p2pchat.base.errors import UsageError
from p2pchat.core.events import EventKind
from p2pchat.services.contacts import again, contact_event
from p2pchat.services.context import Context, tell
from p2pchat.services.renewal import renew
from p2pchat.store import contacts, messages, own_mailbox
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx


def block(tx: Tx, context: Context, row: ContactRow) -> ContactRow:
    """Hear and say nothing more: sessions, slots and addresses go, the conversation stays, what waits fails."""
    if row.state == "blocked":
        return row
    own_mailbox.name_contacts(tx)  # one at a node of theirs goes, and whose it is could not be told after this
    contacts.block(tx, row.id)
    tell(tx, EventKind.MESSAGE_FAILED, messages.fail(tx, row.id, marked("the contact is blocked")), row.id)
    tx.emit(contact_event(tx, EventKind.CONTACT_BLOCKED, row.id))
    renew(tx, context, row)
    return again(tx, row)


def unblock(tx: Tx, context: Context, row: ContactRow) -> ContactRow:
    """Look for the contact again, for the same person as before."""
    if row.state != "blocked":
        raise UsageError("This contact is not blocked.", data={"param": "to"})
    if row.invite is not None and row.highest_ms == 0:
        contacts.set_request(tx, row.id)  # there never was a session: whether it becomes a contact is still to be said
    else:
        contacts.set_pending(tx, row.id, tx.now_s + context.params.pending_life_s)
    tx.emit(contact_event(tx, EventKind.CONTACT_UNBLOCKED, row.id))
    return again(tx, row)
