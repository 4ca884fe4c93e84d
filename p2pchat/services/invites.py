"""Invites: make and close them, use one, and answer those who were asked about (PROTOCOL.md 3.5)."""

from __future__ import annotations

from typing import Final

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import ContactId, RootKey
from p2pchat.base.limits import INVITES, REQUESTS_PER_INVITE
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.invite import INVITE_ADDRESSES, SECRET_BYTES, Invite, decode_invite, encode_invite
from p2pchat.core.names import contact_name
from p2pchat.net.whereabouts import reached_at
from p2pchat.services.contacts import again, contact_event, refuse_blocked
from p2pchat.services.context import Context
from p2pchat.store import contacts, invites, known_peers
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.store.invites import InviteRow

_UID_BYTES: Final = 8


def create(tx: Tx, context: Context, uses: int, expires_s: int, *, ask: bool) -> InviteRow:
    """A new invite.

    Args:
        uses: for how many people.
        expires_s: seconds from now.
        ask: whoever uses it waits for :func:`accept`.

    Raises:
        UsageError: RATE_LIMITED, too many are open.
    """
    if sum(not row.closed for row in invites.everyone(tx)) >= INVITES:
        raise UsageError(f"There are {INVITES} open invites: close some with `p2pchat id revoke`.", name="RATE_LIMITED")
    tx.need_room()
    secret, until_s = context.entropy.bytes(SECRET_BYTES), tx.now_s + expires_s
    row = invites.add(tx, context.entropy.bytes(_UID_BYTES), secret, uses, ask, until_s)
    tx.emit(DomainEvent(EventKind.INVITE_CREATED, row.id, row.uid))
    return row


def link(context: Context, row: InviteRow) -> str:
    """What is handed over; the addresses in it are those of now."""
    root, network = RootKey(context.identity.root.public), context.network
    addresses = reached_at(network, INVITE_ADDRESSES)
    return encode_invite(Invite(row.secret, root, row.expires_s, network.peer_id, addresses))


def revoke(tx: Tx, uid: str) -> InviteRow:
    """Let nobody in any more; whom it let in already stays.

    Raises:
        UsageError: INVALID_PARAMS, there is no such invite.
    """
    row = next((row for row in invites.everyone(tx) if row.uid.hex() == uid), None)
    if row is None:
        raise UsageError("id: is that of no invite", data={"param": "id"})
    close(tx, row.id)
    found = invites.get(tx, row.id)
    assert found is not None  # noqa: S101  held in this transaction
    return found


def close(tx: Tx, invite: int) -> None:
    row = invites.get(tx, invite)
    if row is not None and not row.closed:
        invites.close(tx, invite)
        tx.emit(DomainEvent(EventKind.INVITE_CLOSED, invite, row.uid))


def redeem(tx: Tx, context: Context, text: str, name: str | None) -> ContactRow:
    """Become a contact of whoever made the invite ``text``; of one who is there already the search begins again.

    Raises:
        UsageError: INVALID_PARAMS no invite, expired or one's own; BLOCKED.
    """
    invite = decode_invite(text)
    if invite.root == context.identity.root.public:
        raise UsageError("invite: is one that this profile has made", data={"param": "invite"})
    if invite.expires_s <= tx.now_s:
        raise UsageError("invite: has expired; ask for another one", data={"param": "invite"})
    known_peers.add(tx, invite.peer_id, invite.addresses)
    until_s = tx.now_s + context.params.pending_life_s
    known = contacts.by_root(tx, invite.root)
    if known is not None:
        refuse_blocked(known)
    else:
        known = _add(tx, context, invite.root, name)
    contacts.set_invite_secret(tx, known.id, invite.secret)
    # its number, where it has one, leads to it for as long as any
    until_s = until_s if known.number is not None else min(until_s, invite.expires_s)
    if known.state == "matched":
        # the link was perhaps handed over again because they lost or had blocked this one
        contacts.set_pending_until(tx, known.id, until_s)
        tx.emit(contact_event(tx, EventKind.CONTACT_SOUGHT, known.id))
        return again(tx, known) if name is None else _named(tx, known, name)
    contacts.set_pending(tx, known.id, until_s)
    tx.emit(contact_event(tx, EventKind.CONTACT_ADDED, known.id))
    return again(tx, known)


def _named(tx: Tx, row: ContactRow, name: str) -> ContactRow:
    contacts.set_name(tx, row.id, contact_name(name))
    return again(tx, row)


def _add(tx: Tx, context: Context, root: RootKey, name: str | None) -> ContactRow:
    """Names are told to nobody in this version: the beginning of the root key stands for one until the user knows."""
    uid = ContactId(context.entropy.bytes(8))
    shown = contact_name(name) if name is not None else f"Contact {root.hex()[:8]}"
    row = contacts.add(tx, uid, shown, None, None)
    contacts.set_root(tx, row.id, root, 0)
    return again(tx, row)


# -- at the other end --------------------------------------------------------------------------------------------------


def let_in(tx: Tx, context: Context, invite: InviteRow, root: RootKey, *, anew: bool) -> None:
    """Somebody has shown a valid card in a slot of ``invite``: a contact, or a request to become one.

    Args:
        anew: the card came now. One that stands there from before does not bring back whoever has come through another
            invite since: the two invites would take each other's contact, and a use each time.
    """
    if invites.is_refused(tx, invite.id, root):
        return
    known = contacts.by_root(tx, root)
    if known is not None and (known.state == "blocked" or known.invite == invite.id):
        return
    if known is not None and known.invite is not None and not anew:
        return
    if invite.closed or invite.expires_s <= tx.now_s:
        return
    asked = invite.ask and (known is None or known.state == "request")  # whoever is in the book was wanted by the user
    if known is None:
        if invite.ask and contacts.count_requests(tx, invite.id) >= REQUESTS_PER_INVITE:
            return
        known = _add(tx, context, root, None)
    contacts.set_invite(tx, known.id, invite.id)
    if known.state == "matched":
        _used(tx, invite.id)  # known already, and perhaps on a new device: where this node is may be told
    elif asked:
        contacts.set_request(tx, known.id)
        tx.emit(contact_event(tx, EventKind.CONTACT_REQUEST, known.id))
    else:
        _admit(tx, context, known, invite.id)


def accept(tx: Tx, context: Context, row: ContactRow) -> ContactRow:
    """Become a contact of whoever asked.

    Raises:
        UsageError: INVALID_PARAMS, this is no request, or the invite has let in as many as it says.
    """
    _refuse_others(row)
    invite = invites.get(tx, row.invite) if row.invite is not None else None
    if invite is not None and invite.used >= invite.uses:
        raise UsageError("The invite is used up: refuse them, and make another one.", data={"param": "id"})
    _admit(tx, context, row, row.invite)
    return again(tx, row)


def refuse(tx: Tx, row: ContactRow) -> None:
    """Forget whoever asked; they are told nothing, and not asked about again.

    Raises:
        UsageError: INVALID_PARAMS, this is no request.
    """
    _refuse_others(row)
    if row.root is not None:
        invites.refuse_everywhere(tx, row.root)
    tx.emit(contact_event(tx, EventKind.CONTACT_REMOVED, row.id))
    contacts.remove(tx, row.id)


def _refuse_others(row: ContactRow) -> None:
    if row.state != "request":
        raise UsageError("id: is not that of a request", data={"param": "id"})


def _admit(tx: Tx, context: Context, row: ContactRow, invite: int | None) -> None:
    contacts.set_pending(tx, row.id, tx.now_s + context.params.pending_life_s)
    tx.emit(contact_event(tx, EventKind.CONTACT_ADDED, row.id))
    if invite is not None:
        _used(tx, invite)


def _used(tx: Tx, invite: int) -> None:
    invites.use(tx, invite)
    row = invites.get(tx, invite)
    if row is not None:
        tx.emit(DomainEvent(EventKind.INVITE_USED, invite, row.uid))
        if row.used >= row.uses:
            close(tx, invite)


def upkeep(tx: Tx) -> None:
    """Close what has expired, forget what leads nowhere."""
    for invite in invites.overdue(tx):
        close(tx, invite)
    invites.forget(tx)
