"""Trust in a contact, and how it is raised face to face (PROTOCOL.md 3.6): by SMS it is in :mod:`prove`.

claimed < number_verified < in_person. A lesser proof lowers nothing; the choice of another root begins anew, in
:func:`p2pchat.store.contacts.choose`.
"""

from __future__ import annotations

from typing import Final

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import RootKey
from p2pchat.core.events import EventKind
from p2pchat.core.verify import is_safety_number, read_verify_link, safety_number, verify_link
from p2pchat.services.contacts import contact_event
from p2pchat.services.context import Context
from p2pchat.store import contacts
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx

_TRUST: Final = ("claimed", "number_verified", "in_person")


def own_root(context: Context) -> RootKey:
    """This person's root."""
    return RootKey(context.identity.root.public)


def shown_link(context: Context, root: RootKey | None) -> str:
    """The verify link to show to the person of ``root``; to anybody where that is None."""
    return verify_link(own_root(context), root)


def root_of(tx: Tx, row: ContactRow) -> RootKey:
    """The root that the contact has.

    Raises:
        UsageError: CONTACT_NOT_FOUND it has none yet, AMBIGUOUS several claim to be it and none is chosen.
    """
    if row.root is not None:
        return row.root
    everyone = [known.root.hex() for known in contacts.claimants(tx, row.id)]
    if len(everyone) > 1:
        sentence = "Several claim to be this contact; settle which it is with: p2pchat contacts choose"
        raise UsageError(sentence, name="AMBIGUOUS", data={"claimants": everyone})
    raise UsageError("It is not settled yet who this contact is.", name="CONTACT_NOT_FOUND")


def confirm(tx: Tx, context: Context, row: ContactRow, number: str | None, scanned: str | None) -> ContactRow:
    """The contact was compared in person: by the safety number, or the link on its screen.

    Raises:
        UsageError: UNTRUSTED_KEY it is not the same; INVALID_PARAMS; as :func:`root_of`.
    """
    root = root_of(tx, row)
    if scanned is not None:
        _check_scanned(tx, context, row, root, scanned)
    elif number is None or not is_safety_number(number, safety_number(own_root(context), root)):
        raise _untrusted("The safety numbers differ: this contact is not whom you compared with.")
    return verified(tx, row, "in_person")


def _check_scanned(tx: Tx, context: Context, row: ContactRow, root: RootKey, scanned: str) -> None:
    shown = read_verify_link(scanned, "scanned")
    if shown.root == own_root(context):
        raise UsageError("scanned: is this profile's own code", data={"param": "scanned"})
    if shown.root != root:
        if shown.root in [known.root for known in contacts.claimants(tx, row.id)]:
            raise _untrusted(
                "That is the code of another who claims to be this contact. If it is the right one, say so with: "
                "p2pchat contacts choose"
            )
        raise _untrusted("That is the code of somebody else: this contact is not whom you scanned.")
    if shown.to is not None and shown.to != own_root(context):
        raise _untrusted("That code was shown to somebody else: their node takes another for you.")


def _untrusted(sentence: str) -> UsageError:
    return UsageError(sentence, name="UNTRUSTED_KEY")


def verified(tx: Tx, row: ContactRow, trust: str) -> ContactRow:
    """The contact with at least ``trust``."""
    if _TRUST.index(trust) > _TRUST.index(row.trust):
        contacts.set_trust(tx, row.id, trust)
    tx.emit(contact_event(tx, EventKind.CONTACT_VERIFIED, row.id))
    found = contacts.get(tx, row.id)
    assert found is not None  # noqa: S101  held in this transaction
    return found
