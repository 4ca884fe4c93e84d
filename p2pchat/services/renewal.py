"""Begin anew after a parting (PROTOCOL.md 3.4).

Whoever was told where this node is keeps what it has. So that this leads nowhere any more there is another node key at
once, another port where the system chose the last one, another presence and ask32, and other tokens and keys for
mailboxes; those at that contact's node are left, and so are those at nodes that are no contact's. The other contacts
learn of it inside their sessions.
"""

from __future__ import annotations

import msgspec

from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.services import presence
from p2pchat.services.context import Context
from p2pchat.store import meta, own_mailbox
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx


def renew(tx: Tx, context: Context, left: ContactRow) -> None:
    """Begin anew, if ``left`` may know where this node is: the reach is given to nobody before there is a root, nor to
    one who only asked; and after a block it was done.
    """
    own_mailbox.part(tx, left.id)
    if left.root is None or left.state in ("blocked", "request"):
        return
    profile = msgspec.structs.replace(meta.load_profile(tx), node_seed=context.entropy.bytes(32))
    meta.save_profile(tx, profile)
    meta.forget_listening(tx)
    meta.forget_relays(tx)
    presence.replace_own(tx, context)
    own_mailbox.leave_strangers(tx, context.entropy)
    tx.emit(DomainEvent(EventKind.NODE_RENEWED))
