"""The address book: add, find, rename and remove contacts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

import msgspec

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import ContactId, RootKey
from p2pchat.base.silent import Silent
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.names import checked_name
from p2pchat.core.numbers import Number, parse_number
from p2pchat.services.context import Context
from p2pchat.services.renewal import renew
from p2pchat.store import contacts, eventlog, idempotency, invites
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx

_SHOWN_MATCHES: Final = 3
ROOT_BYTES: Final = 32

NO_NUMBER: Final = "This profile has no number, so it cannot be found by number: its contacts would need an invite."
OWN_NUMBER: Final = "That is this profile's own number."


def contact_event(tx: Tx, kind: EventKind, contact: int) -> DomainEvent:
    """An event that carries the contact as it is now: later changes, or its removal, must not alter what was told."""
    row = contacts.get(tx, contact)
    assert row is not None  # noqa: S101  the caller holds the contact in this transaction
    return DomainEvent(kind, contact, snapshot(row), contact)


def snapshot(row: ContactRow) -> bytes:
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
    row = contacts.add(tx, uid, checked_name(name) if name is not None else number.e164, number.e164, until_s)
    tx.emit(contact_event(tx, EventKind.CONTACT_ADDED, row.id))
    return row


def rename(tx: Tx, row: ContactRow, name: str) -> ContactRow:
    contacts.set_name(tx, row.id, checked_name(name))
    return again(tx, row)


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
    if chosen != row.root:
        contacts.choose(tx, row.id, chosen, until_s)
        tx.emit(contact_event(tx, EventKind.CONTACT_CHOSEN, row.id))
        renew(tx, context, row)
    elif row.state == "pending":
        contacts.set_pending_until(tx, row.id, until_s)
        tx.emit(contact_event(tx, EventKind.CONTACT_CHOSEN, row.id))
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
    eventlog.forget(tx, row.id)
    idempotency.forget(tx, row.uid.hex())
    if row.root is not None:
        invites.refuse_everywhere(tx, row.root)
    gone = replace(row, number=None)
    tx.emit(DomainEvent(EventKind.CONTACT_REMOVED, row.id, snapshot(gone), row.id))
    contacts.remove(tx, row.id)
    renew(tx, context, row)


def resolve(tx: Tx, context: Context, to: str) -> ContactRow:
    """The contact that ``to`` names: its name, number, or a prefix (4 hex digits or more) of its id.

    Raises:
        UsageError: CONTACT_NOT_FOUND with near matches, AMBIGUOUS.
    """
    return pick(contacts.everyone(tx), tx, context, to)


def by_id(tx: Tx, uid: str) -> ContactRow:
    """The contact whose id begins with ``uid``, 4 hex digits or more.

    Raises:
        UsageError: CONTACT_NOT_FOUND, AMBIGUOUS.
    """
    found = [row for row in contacts.everyone(tx) if len(uid) >= 4 and row.uid.hex().startswith(uid)]
    if not found:
        raise UsageError("No contact has that id.", name="CONTACT_NOT_FOUND", data={"near": []})
    if len(found) > 1:
        raise _several(found)
    return found[0]


def _several(found: Sequence[ContactRow]) -> UsageError:
    ids = [row.uid.hex() for row in found]
    return UsageError("Several contacts fit: use a number or an id.", name="AMBIGUOUS", data={"ids": ids})


def pick(everyone: Sequence[ContactRow], tx: Tx, context: Context, to: str) -> ContactRow:
    """The one of ``everyone`` in the book that ``to`` names, as :func:`resolve`."""
    found = [row for row in everyone if row.name == to.strip()]
    found = found or [row for row in everyone if row.name.casefold() == to.strip().casefold()]
    found = found or _by_number(tx, context, to)
    if not found and len(to) >= 4:
        found = [row for row in everyone if row.uid.hex().startswith(to.lower())]
    if not found:
        near = get_close_matches(to, [row.name for row in everyone], n=_SHOWN_MATCHES)
        raise UsageError("No contact has that name, number or id.", name="CONTACT_NOT_FOUND", data={"near": near})
    if len(found) > 1:
        raise _several(found)
    return found[0]


def _by_number(tx: Tx, context: Context, to: str) -> list[ContactRow]:
    try:
        number: Number = parse_number(to, context.profile.region or None)
    except UsageError:
        return []  # not a number: the caller goes on with ids
    row = contacts.by_number(tx, number)
    return [] if row is None else [row]
