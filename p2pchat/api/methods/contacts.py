"""``contacts.*``: the address book."""

from __future__ import annotations

from typing import Final

from p2pchat.api import calls, objects
from p2pchat.api.methods.spec import UNNAMED, MethodSpec

CONTACTS: Final = {
    "contacts.add": MethodSpec(
        calls.ContactsAdd,
        objects.Contact,
        True,
        "Adds a person by phone number, or by a link of `identity.invite`, and looks for them. One of the two "
        "is given. For somebody who is there the search is renewed, and the name replaced if another is given. Who has "
        "no name yet is called Contact and the first 8 digits of the root key.",
        errors=("BLOCKED",),
    ),
    "contacts.accept": MethodSpec(
        calls.ContactsAnswer,
        objects.Contact,
        True,
        "Becomes a contact of somebody who used an invite that asks.",
        errors=UNNAMED,
    ),
    "contacts.refuse": MethodSpec(
        calls.ContactsAnswer,
        objects.Contact,
        True,
        "Forgets whoever asked, and does not ask about them again; they are told nothing. Replies with what it was.",
        errors=UNNAMED,
    ),
    "contacts.import": MethodSpec(
        calls.ContactsImport,
        objects.Import,
        True,
        "Puts the entries of an address book into the book, in one transaction; nobody is looked for, nothing is "
        "published.",
    ),
    "contacts.find": MethodSpec(
        calls.ContactsFind,
        objects.Contacts,
        True,
        "Begins to look for these contacts, or goes on for another 28 days; without `to` for all who are pending and "
        "not looked for.",
        errors=UNNAMED,
    ),
    "contacts.list": MethodSpec(
        calls.ContactsList, objects.Contacts, False, "Lists all contacts, or those in one state."
    ),
    "contacts.get": MethodSpec(calls.ContactsGet, objects.Contact, False, "Shows one contact.", errors=UNNAMED),
    "contacts.rename": MethodSpec(
        calls.ContactsRename, objects.Contact, True, "Gives a contact another name.", errors=UNNAMED
    ),
    "contacts.claimants": MethodSpec(
        calls.ContactsGet,
        objects.Claimants,
        False,
        "Lists who has shown a valid card for the pair of numbers, the first one first.",
        errors=UNNAMED,
    ),
    "contacts.choose": MethodSpec(
        calls.ContactsChoose,
        objects.Contact,
        True,
        "Settles which claimant the contact is. What was agreed with another is void: the contact is pending until the "
        "chosen one was reached, and what was not acknowledged goes to the chosen one. Nobody claims to be it: "
        "CONTACT_NOT_FOUND; several fit: AMBIGUOUS, with `data.claimants`.",
        errors=(*UNNAMED, "BLOCKED"),
    ),
    "contacts.merge": MethodSpec(
        calls.ContactsMerge,
        objects.Contact,
        True,
        "Makes two contacts who are one person one. What was agreed with somebody else who was taken for `other` is "
        "void, as in `contacts.choose`. Refused unless `contacts.claimants` of `other` names `to` as `contact_id`.",
        errors=(*UNNAMED, "BLOCKED"),
    ),
    "contacts.block": MethodSpec(
        calls.ContactsBlock,
        objects.Contact,
        True,
        "Ends every exchange with a contact: what waits for it fails, the conversation stays. The node takes another "
        "key, and another port if none was named, so that what the contact knew leads nowhere (event `node.renewed`); "
        "other contacts learn of it by themselves.",
        errors=UNNAMED,
    ),
    "contacts.unblock": MethodSpec(
        calls.ContactsBlock,
        objects.Contact,
        True,
        "Looks for a blocked contact again, for the same person.",
        errors=UNNAMED,
    ),
    "contacts.safety": MethodSpec(
        calls.ContactsGet,
        objects.Safety,
        False,
        "Gives what is compared with a contact in person; CONTACT_NOT_FOUND where it is not settled yet who it is, "
        "AMBIGUOUS where several claim to be it.",
        errors=UNNAMED,
    ),
    "contacts.verify": MethodSpec(
        calls.ContactsVerify,
        objects.Contact,
        True,
        "Says that the contact was compared in person. Exactly one of `safety_number` and `scanned` is given. Not the "
        "same: UNTRUSTED_KEY, and nothing changes.",
        errors=(*UNNAMED, "UNTRUSTED_KEY"),
    ),
    "contacts.sms_proof": MethodSpec(
        calls.ContactsSmsProof,
        objects.SmsProof | objects.Contact,
        True,
        "Asks for a proof of a contact's number by SMS, or gives one. Without `code` it asks a matched contact: "
        "`SmsProof.text` is to be sent to that number by ordinary SMS. With `code` it gives a proof to a contact that "
        "asked for one.",
        errors=(*UNNAMED, "BLOCKED"),
    ),
    "contacts.receipts": MethodSpec(
        calls.ContactsReceipts,
        objects.Contact,
        True,
        "Says whether read receipts are exchanged with a contact, at once.",
        errors=UNNAMED,
    ),
    "contacts.remove": MethodSpec(
        calls.ContactsRemove,
        objects.Contact,
        True,
        "Forgets a contact and the conversation with it; replies with what it was. The node begins anew as after "
        "`contacts.block`, if the contact could know where it is. Invites that are there now do not let it in again.",
        errors=UNNAMED,
    ),
}
