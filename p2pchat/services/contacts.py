"""The address book: add, find, rename and remove contacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import ContactId, RootKey
from p2pchat.base.silent import Silent
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.names import contact_name, means_self, near_names
from p2pchat.core.numbers import Number, parse_number
from p2pchat.core.pair import waiting_in_stored
from p2pchat.services import live
from p2pchat.services.context import Context
from p2pchat.services.renewal import renew
from p2pchat.store import contacts, eventlog, idempotency, invites, notes, order, own_mailbox, pairs, receipts
from p2pchat.store.contacts import SELF, ContactRow, Label
from p2pchat.store.db import Tx

ROOT_BYTES: Final = 32

NO_NUMBER: Final = "This profile has no number, so it cannot be found by number: its contacts would need an invite."
OWN_NUMBER: Final = "That is this profile's own number: notes to yourself go to self."


def contact_event(tx: Tx, kind: EventKind, contact: int, *, merged: ContactId | None = None) -> DomainEvent:
    """An event that carries the contact as it is now: later changes, or its removal, must not alter what was told.

    Args:
        merged: the other one of a merge.
    """
    row = contacts.get(tx, contact)
    assert row is not None  # noqa: S101  the caller holds the contact in this transaction
    return DomainEvent(kind, contact, snapshot(row, merged), contact)


def snapshot(row: ContactRow, merged: ContactId | None = None) -> bytes:
    """The contact as an event keeps it; :func:`open_snapshot` is the inverse."""
    return msgspec.msgpack.encode(
        Snapshot(
            uid=bytes(row.uid),
            name=row.name,
            number=row.number,
            state=row.state,
            trust=row.trust,
            claimants=row.claimants,
            last_seen_ms=row.last_seen_ms,
            searching=row.searching,
            merged=bytes(merged) if merged is not None else None,
            receipts=row.receipts,
        )
    )


class Snapshot(Silent, msgspec.Struct, array_like=True):
    """A contact as it was. What was added later stands at the end and has a default: older events lack it."""

    uid: bytes
    name: str
    number: str | None
    state: str
    trust: str
    claimants: int
    last_seen_ms: int | None
    searching: bool | None = None
    merged: bytes | None = None
    receipts: bool | None = None


_snapshot: Final[msgspec.msgpack.Decoder[Snapshot]] = msgspec.msgpack.Decoder(Snapshot)


def open_snapshot(data: bytes) -> Snapshot:
    return _snapshot.decode(data)


def add(tx: Tx, context: Context, text: str, name: str | None) -> ContactRow:
    """Put a number into the book and start looking for its owner; for a number that is there the search is
    renewed, and the name replaced if another was given.

    Raises:
        UsageError: INVALID_PARAMS for a bad or own number, or on a node that has none itself.
    """
    profile = context.profile
    number = parse_number(text, profile.region or None)
    if not profile.number:
        raise UsageError(NO_NUMBER, data={"param": "number"})
    if number == profile.number:
        raise UsageError(OWN_NUMBER, data={"param": "number"})
    until_s = tx.now_s + context.params.pending_life_s
    known = contacts.by_number(tx, number)
    if known is not None:
        refuse_blocked(known)
        if known.state == "pending":
            contacts.set_pending_until(tx, known.id, until_s)
            tx.emit(contact_event(tx, EventKind.CONTACT_ADDED, known.id))
        return rename(tx, known, name) if name is not None and name != known.name else known
    uid = ContactId(context.entropy.bytes(8))
    row = contacts.add(tx, uid, contact_name(name) if name is not None else number.e164, number.e164, until_s)
    tx.emit(contact_event(tx, EventKind.CONTACT_ADDED, row.id))
    return row


def rename(tx: Tx, row: ContactRow, name: str) -> ContactRow:
    contacts.set_name(tx, row.id, contact_name(name))
    return again(tx, row)


def count_waiting(tx: Tx, row: ContactRow) -> int:
    """How many hellos without a card hold the match of ``row`` up; none once it is settled who it is."""
    return 0 if row.root is not None else sum(waiting_in_stored(raw, tx.now_s) for raw in pairs.slots(tx, row.id))


def choose(tx: Tx, context: Context, row: ContactRow, claimant: str | None) -> ContactRow:
    """Settle which of those who claim to be ``row`` it is; whatever was agreed with another is void.

    Args:
        claimant: the beginning of the root of one of them, 4 hex digits or more; a whole root may also be of somebody
            who was not seen yet; None where there is only one.

    Raises:
        UsageError: CONTACT_NOT_FOUND nobody claims it, AMBIGUOUS several fit, INVALID_PARAMS none fits.
    """
    refuse_blocked(row)
    if row.state == "request":
        raise UsageError("They asked to become a contact: accept or refuse it.", data={"param": "to"})
    if claimant is not None and len(claimant) == 2 * ROOT_BYTES:
        contacts.expect_claimant(tx, row.id, RootKey(bytes.fromhex(claimant)))
    everyone = [known.root.hex() for known in contacts.claimants(tx, row.id)]
    if not everyone:
        raise UsageError("Nobody has claimed to be this contact yet.", name="CONTACT_NOT_FOUND")
    fitting = [root for root in everyone if claimant is None or root.startswith(claimant.lower())]
    if not fitting:
        raise UsageError("No claimant's root key begins like that.", data={"param": "claimant"})
    if len(fitting) > 1:
        raise UsageError(
            "Several claim to be this contact. Name one by the beginning of its root key, which the contact sees in: "
            "p2pchat id show",
            name="AMBIGUOUS",
            data={"claimants": fitting},
        )
    chosen = RootKey(bytes.fromhex(fitting[0]))
    until_s = tx.now_s + context.params.pending_life_s
    holder = contacts.by_root(tx, chosen)
    if holder is not None and holder.id != row.id:
        raise UsageError(
            "That is the root key of another contact. To make the two one: p2pchat contacts merge",
            data={"param": "claimant", "contact": holder.uid.hex()},
        )
    if chosen != row.root:
        live.end_all(tx, live.PARTED, row.id)
        own_mailbox.name_contacts(tx)  # as in remove
        contacts.choose(tx, row.id, chosen, until_s)
        receipts.begin_anew(tx, row.id)
        order.begin_anew(tx, row.id)
        tx.emit(contact_event(tx, EventKind.CONTACT_CHOSEN, row.id))
        renew(tx, context, row)
    elif row.state == "pending":
        contacts.set_pending_until(tx, row.id, until_s)
        tx.emit(contact_event(tx, EventKind.CONTACT_CHOSEN, row.id))
    return again(tx, row)


def merge(tx: Tx, context: Context, row: ContactRow, other: ContactRow) -> ContactRow:
    """Make ``row``, who came by an invite, and ``other``, who was added by number, one: ``row`` with the number.

    The user says so, and the owner of the root key must have claimed the number: by itself the node would give the
    number to anybody who is a contact and knows both numbers. Whatever was agreed with somebody else who was taken for
    ``other`` is void.

    Raises:
        UsageError: BLOCKED, INVALID_PARAMS.
    """
    root, number = row.root, other.number
    if row.id == other.id:
        raise UsageError("other: is the same contact", data={"param": "other"})
    for each in (row, other):
        refuse_blocked(each)
    if root is None or row.state == "request":
        raise UsageError("to: is not settled itself; name the one that is matched", data={"param": "to"})
    if row.number is not None:
        raise UsageError("to: has a number, and a contact has one", data={"param": "to"})
    if number is None:
        raise UsageError("other: must be one that was added by number", data={"param": "other"})
    if root not in [known.root for known in contacts.claimants(tx, other.id)]:
        raise UsageError(
            "other: nobody with the root key of the first has claimed that number yet", data={"param": "other"}
        )
    live.end_all(tx, live.PARTED, other.id)
    idempotency.rename(tx, other.uid.hex(), row.uid.hex())  # a call that is repeated must not queue its message again
    _forget_told(tx, other, merged=row.uid)
    contacts.merge(tx, row.id, other.id, number)
    receipts.reorder(tx, row.id)
    until_s = tx.now_s + context.params.pending_life_s
    contacts.set_pending_until(tx, row.id, max(until_s, row.pending_until_s or 0))
    tx.emit(contact_event(tx, EventKind.CONTACT_MERGED, row.id, merged=other.uid))
    renew(tx, context, other)
    return again(tx, row)


def again(tx: Tx, row: ContactRow) -> ContactRow:
    """``row`` as it is by now."""
    found = contacts.get(tx, row.id)
    assert found is not None  # noqa: S101  held in this transaction
    return found


def refuse_blocked(row: ContactRow) -> None:
    """Raises: UsageError: BLOCKED."""
    if row.state == "blocked":
        raise UsageError("This contact is blocked. To hear from it again: p2pchat contacts unblock", name="BLOCKED")


def remove(tx: Tx, context: Context, row: ContactRow) -> None:
    """Delete the contact, its messages and sessions, and what events and idempotency keys kept of it.

    What was published for it is not renewed. No invite that is there now lets it in again: whoever has the link would
    else be a contact anew without the user's doing, and learn where this node is.
    """
    if row.root is not None:
        invites.refuse_everywhere(tx, row.root)
    _forget_told(tx, row)
    own_mailbox.name_contacts(tx)  # one at a node of theirs goes, and whose it is could not be told after this
    contacts.remove(tx, row.id)
    renew(tx, context, row)


def _forget_told(tx: Tx, row: ContactRow, *, merged: ContactId | None = None) -> None:
    """Forget what events and idempotency keys kept of a contact that goes, and say that it does, or into which."""
    eventlog.forget(tx, row.id)
    idempotency.forget(tx, row.uid.hex())
    gone = msgspec.structs.replace(row, number=None)
    tx.emit(DomainEvent(EventKind.CONTACT_REMOVED, row.id, snapshot(gone, merged), row.id))


def own(tx: Tx, context: Context) -> ContactRow:
    """The conversation with oneself, made at its first use."""
    row = notes.conversation(tx)
    if row is None:
        row = notes.begin(tx, ContactId(context.entropy.bytes(8)))
        # routed to no service: there is nobody to be looked for or dialled
        tx.emit(DomainEvent(EventKind.CONTACT_ADDED, row.id, snapshot(row)))
    return row


def resolve_other(tx: Tx, context: Context, to: str, param: str = "to") -> ContactRow:
    """As :func:`resolve`, for what makes sense only with somebody else.

    Raises:
        UsageError: as there; INVALID_PARAMS for ``param``, ``to`` names oneself.
    """
    row = resolve(tx, context, to)
    if row.state == SELF:
        sentence = f"{param}: is yourself; the notes there can be sent, read, searched and removed, and no more"
        raise UsageError(sentence, data={"param": param})
    return row


def resolve(tx: Tx, context: Context, to: str) -> ContactRow:
    """The contact that ``to`` names: its name, number, or a prefix (4 hex digits or more) of its id; or oneself.

    Raises:
        UsageError: CONTACT_NOT_FOUND with near matches, AMBIGUOUS.
    """
    if means_self(to):
        return own(tx, context)
    found = contacts.labels(tx, to.strip())
    if found:
        return _one(tx, found)
    everyone = contacts.labels(tx)
    found = [label for label in everyone if label.name.casefold() == to.strip().casefold()]
    if not found:
        by_number = _by_number(tx, context, to)
        if by_number is not None:
            return by_number
    if not found and len(to) >= 4:
        found = [label for label in everyone if label.uid.startswith(to.lower())]
    if not found:
        near = near_names(to, [label.name for label in everyone])
        raise UsageError("No contact has that name, number or id.", name="CONTACT_NOT_FOUND", data={"near": near})
    return _one(tx, found)


def by_id(tx: Tx, uid: str) -> ContactRow:
    """The contact whose id begins with ``uid``, 4 hex digits or more.

    Raises:
        UsageError: CONTACT_NOT_FOUND, AMBIGUOUS.
    """
    found = [label for label in contacts.labels(tx) if len(uid) >= 4 and label.uid.startswith(uid)]
    if not found:
        raise UsageError("No contact has that id.", name="CONTACT_NOT_FOUND", data={"near": []})
    return _one(tx, found)


def _one(tx: Tx, found: Sequence[Label]) -> ContactRow:
    if len(found) > 1:
        ids = [label.uid for label in found]
        raise UsageError("Several contacts fit: use a number or an id.", name="AMBIGUOUS", data={"ids": ids})
    row = contacts.get(tx, found[0].id)
    assert row is not None  # noqa: S101  just read in this transaction
    return row


def _by_number(tx: Tx, context: Context, to: str) -> ContactRow | None:
    try:
        number: Number = parse_number(to, context.profile.region or None)
    except UsageError:
        return None  # not a number: the caller goes on with ids
    if number == context.profile.number:
        return own(tx, context)
    return contacts.by_number(tx, number)
