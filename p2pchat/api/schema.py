"""The methods of the control API: parameters, results, and the check that stands before every one of them.

Rules:

- Parameters are named; an unknown one, a wrong type or a value out of bounds is INVALID_PARAMS, and the sentence
  begins with the parameter's name, which also stands in ``data.param``.
- Every text must be Unicode that UTF-8 can carry. The text of a message has 1 to 65,536 UTF-8 bytes: none is
  INVALID_PARAMS, more is TOO_LARGE.
- Whatever changes the store takes an ``idempotency_key``, but what is the same done twice.
- What a locked node can do is marked here, method by method; all else is LOCKED, and so is a method that is added.

Source: docs/CONTROL-API.md, "Methods".
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from p2pchat.api import mailbox_objects
from p2pchat.api.calls import (
    BackupFile,
    ContactsAdd,
    ContactsAnswer,
    ContactsBlock,
    ContactsChoose,
    ContactsFind,
    ContactsGet,
    ContactsImport,
    ContactsList,
    ContactsMerge,
    ContactsReceipts,
    ContactsRemove,
    ContactsRename,
    ContactsSmsProof,
    ContactsVerify,
    IdentityInvite,
    IdentityRevoke,
    IdentitySet,
    MailboxOffer,
    MailboxUse,
    MessageChange,
    MessageGet,
    MessageList,
    MessageMarkRead,
    MessageSearch,
    MessageSend,
    NodeDoctor,
    NodeHello,
    NodeUnlock,
    NoParams,
    Params,
    PassphraseChange,
    invalid,
)
from p2pchat.api.doctor_objects import Diagnosis
from p2pchat.api.event_calls import EventsAck, EventsFetch, EventsForget, EventsSubscribe, EventsUnsubscribe
from p2pchat.api.handover import NetExport, NetImport, NodeLinks, NodesTaken
from p2pchat.api.mailbox_objects import Mailboxes, Transparency
from p2pchat.api.net_calls import NetDial, NetRule
from p2pchat.api.objects import (
    Addresses,
    Backup,
    Claimants,
    Consumer,
    Consumers,
    Contact,
    Contacts,
    Deleted,
    Empty,
    Events,
    Explanation,
    Hello,
    Identity,
    Import,
    Invite,
    Invites,
    Message,
    Messages,
    Peer,
    Peers,
    Qr,
    Rule,
    Rules,
    Safety,
    SmsProof,
    Status,
    Subscription,
)
from p2pchat.api.passphrase import Passphrase
from p2pchat.api.settings import Config, ConfigGet, ConfigSet, Setting
from p2pchat.api.stats_objects import Stats
from p2pchat.api.text import is_unicode
from p2pchat.base.errors import UsageError

API_MAJOR: Final = 1
API_MINOR: Final = 0


class MethodSpec(NamedTuple):
    """One method: its types, whether it changes the store, what it does in one sentence, and whether it works while the
    node is locked."""

    params: type[Params]
    result: type[Struct] | UnionType
    mutating: bool
    doc: str
    while_locked: bool = False


METHODS: Final[dict[str, MethodSpec]] = {
    "node.hello": MethodSpec(NodeHello, Hello, False, "Says what speaks here and which events it still has.", True),
    "node.status": MethodSpec(NoParams, Status, False, "Shows the node at a glance.", True),
    "node.doctor": MethodSpec(NodeDoctor, Diagnosis, False, "Looks for what does not work, and says what to do.", True),
    "node.shutdown": MethodSpec(NoParams, Empty, False, "Ends the daemon after the reply.", True),
    "node.lock": MethodSpec(NoParams, Empty, False, "Drops the keys and whatever needs them, until node.unlock."),
    "node.unlock": MethodSpec(NodeUnlock, Empty, False, "Opens the profile with its passphrase.", True),
    "passphrase.change": MethodSpec(PassphraseChange, Empty, False, "Wraps the key of the profile anew."),
    "identity.show": MethodSpec(NoParams, Identity, False, "Shows who this profile is."),
    "identity.set": MethodSpec(IdentitySet, Identity, True, "Sets what holds for this profile."),
    "identity.qr": MethodSpec(NoParams, Qr, False, "Gives what others scan to verify this profile."),
    "identity.invite": MethodSpec(IdentityInvite, Invite, True, "Makes an invite."),
    "identity.invites": MethodSpec(NoParams, Invites, False, "Lists the invites."),
    "identity.revoke": MethodSpec(IdentityRevoke, Invite, True, "Closes an invite."),
    "contacts.add": MethodSpec(ContactsAdd, Contact, True, "Adds a person by number or invite, and looks for them."),
    "contacts.import": MethodSpec(ContactsImport, Import, True, "Puts an address book's entries into the book."),
    "contacts.find": MethodSpec(ContactsFind, Contacts, True, "Begins to look for contacts in the book."),
    "contacts.list": MethodSpec(ContactsList, Contacts, False, "Lists the contacts."),
    "contacts.get": MethodSpec(ContactsGet, Contact, False, "Shows one contact."),
    "contacts.rename": MethodSpec(ContactsRename, Contact, True, "Gives a contact another name."),
    "contacts.claimants": MethodSpec(ContactsGet, Claimants, False, "Lists who claims to be a contact."),
    "contacts.choose": MethodSpec(ContactsChoose, Contact, True, "Settles which claimant a contact is."),
    "contacts.merge": MethodSpec(ContactsMerge, Contact, True, "Makes two contacts one, where both are one person."),
    "contacts.accept": MethodSpec(ContactsAnswer, Contact, True, "Becomes a contact of whoever asked."),
    "contacts.refuse": MethodSpec(ContactsAnswer, Contact, True, "Forgets whoever asked; replies with what it was."),
    "contacts.block": MethodSpec(ContactsBlock, Contact, True, "Ends every exchange with a contact."),
    "contacts.unblock": MethodSpec(ContactsBlock, Contact, True, "Looks for a blocked contact again."),
    "contacts.safety": MethodSpec(ContactsGet, Safety, False, "Gives what is compared with a contact in person."),
    "contacts.verify": MethodSpec(ContactsVerify, Contact, True, "Says that a contact was compared in person."),
    "contacts.sms_proof": MethodSpec(
        ContactsSmsProof, SmsProof | Contact, True, "Asks for a proof of a contact's number by SMS, or gives one."
    ),
    "contacts.receipts": MethodSpec(
        ContactsReceipts, Contact, True, "Says whether read receipts are exchanged with a contact."
    ),
    "contacts.remove": MethodSpec(ContactsRemove, Contact, True, "Forgets a contact; replies with what it was."),
    "message.send": MethodSpec(MessageSend, Message, True, "Commits a text for a contact, to be delivered."),
    "message.list": MethodSpec(MessageList, Messages, False, "Reads a conversation, page by page, from its end."),
    "message.search": MethodSpec(MessageSearch, Messages, False, "Finds messages by their words, the newest first."),
    "message.mark_read": MethodSpec(MessageMarkRead, Message, True, "Says that messages were read, up to one."),
    "message.get": MethodSpec(MessageGet, Message, False, "Shows one message."),
    "message.explain": MethodSpec(MessageGet, Explanation, False, "Says why a message has not arrived."),
    "message.cancel": MethodSpec(MessageChange, Message, True, "Takes a queued message back."),
    "message.delete": MethodSpec(MessageChange, Deleted, True, "Forgets a message on this node."),
    "events.subscribe": MethodSpec(EventsSubscribe, Subscription, False, "Begins to notify of events."),
    "events.unsubscribe": MethodSpec(EventsUnsubscribe, Empty, False, "Ends a subscription of this connection."),
    "events.fetch": MethodSpec(EventsFetch, Events, False, "Reads the event log without waiting."),
    "events.ack": MethodSpec(EventsAck, Consumer, False, "Says how far a consumer has come."),
    "events.consumers": MethodSpec(NoParams, Consumers, False, "Lists the consumers of the event log."),
    "events.forget": MethodSpec(EventsForget, Consumer, False, "Forgets a consumer; replies with what it was."),
    "mailbox.use": MethodSpec(MailboxUse, Mailboxes, True, "Has nodes hold what comes while this one is away."),
    "mailbox.list": MethodSpec(NoParams, Mailboxes, False, "Lists the nodes that hold messages for this one."),
    "net.peers": MethodSpec(NoParams, Peers, False, "Lists the nodes that this one is connected to."),
    "net.addrs": MethodSpec(NoParams, Addresses, False, "Lists the addresses at which others can reach this node."),
    "net.dial": MethodSpec(NetDial, Peer, False, "Connects to a node."),
    "net.bootstrap": MethodSpec(NetDial, Peer, False, "Connects to a node and joins the DHT through it."),
    "net.export": MethodSpec(NetExport, NodeLinks, False, "Writes links of nodes for others to start from."),
    "net.import": MethodSpec(NetImport, NodesTaken, True, "Takes nodes to start from out of such links."),
    "net.allow": MethodSpec(NetRule, Rule, True, "Lets a contact, a node or a network come near."),
    "net.deny": MethodSpec(NetRule, Rule, True, "Keeps a contact, a node or a network away."),
    "net.forget": MethodSpec(NetRule, Rule, True, "Takes back what was said of a contact, a node or a network."),
    "net.rules": MethodSpec(NoParams, Rules, False, "Lists the rules about who may come near."),
    "mailbox.offer": MethodSpec(
        MailboxOffer, mailbox_objects.MailboxOffer, True, "Says for whom this node holds mailboxes, or shows it."
    ),
    "mailbox.transparency": MethodSpec(NoParams, Transparency, False, "Shows what this node holds for others."),
    "config.get": MethodSpec(ConfigGet, Config, False, "Shows how this node is configured.", True),
    "config.set": MethodSpec(
        ConfigSet, Setting, True, "Writes a setting into the configuration file, at once in effect if it can be.", True
    ),
    "stats.get": MethodSpec(NoParams, Stats, False, "Tells what goes on in the node, in numbers."),
    "backup.create": MethodSpec(BackupFile, Backup, False, "Writes a backup into a new file."),
    "backup.verify": MethodSpec(BackupFile, Backup, False, "Reads a backup as restoring it would."),
}


def parse(method: str, params: Mapping[str, object]) -> Params:
    """The checked parameters of a call, as ``METHODS[method].params``.

    Raises:
        UsageError: METHOD_NOT_FOUND, INVALID_PARAMS or TOO_LARGE.
    """
    spec = METHODS.get(method)
    if spec is None:
        raise UsageError("there is no such method", name="METHOD_NOT_FOUND")
    value = _converted(method, spec.params, params)
    for name, text in params.items():
        if isinstance(text, str) and not is_unicode(text):
            raise invalid(name, "holds half of a surrogate pair, which is no character")
    value.check()
    return value


def _converted(method: str, kind: type[Params], params: Mapping[str, object]) -> Params:
    _refuse_what_msgspec_would_quote(method, kind, params)
    try:
        return msgspec.convert(params, kind, dec_hook=_revived)
    except msgspec.ValidationError as error:
        raise _explained(str(error), method, kind) from None
    except UnicodeEncodeError:  # a lone surrogate where no text belongs: msgspec fails at quoting it
        raise _explained("", method, kind) from None


def type_matches(patterns: Sequence[str] | None, event_type: str) -> bool:
    """Whether an event type fits one of ``patterns`` (``message.sent``, ``message.*``, ``*``); all fit None."""
    if patterns is None:
        return True
    wide = {"*", event_type.partition(".")[0] + ".*", event_type}
    return any(pattern in wide for pattern in patterns)


def _revived(kind: type, value: object) -> object:
    assert kind is Passphrase  # noqa: S101  the only type of a parameter that msgspec does not know
    return Passphrase.revive(value)


_MISSING: Final = re.compile(r"missing required field `(\w+)`")
_NUMBER: Final = "a whole number"
_OBJECT: Final = "an object"
_WORD: Final = re.compile(r"\w{1,64}", re.ASCII)
_AT: Final = re.compile(r"^(.*) - at `\$\.(\w+)", re.DOTALL)
_NAME: Final = "must be a name of 1 to 64 characters: letters and digits of ASCII, dots, dashes and underscores"
_FORMS: Final = {
    "id": "must be lower-case hex",
    "types": "must be event types: such as message.sent, message.* or *",
    "consumer": _NAME,
    "since": f"consumer {_NAME}",
}
"""What the parameters that have a pattern must be, for a person."""


def _explained(report: str, method: str, kind: type[Params]) -> UsageError:
    if found := _MISSING.search(report):
        return invalid(found[1], "is required")
    if found := _AT.search(report):
        if " matching regex " in found[1]:
            return invalid(found[2], _FORMS[found[2]])
        return invalid(found[2], found[1][0].lower() + found[1][1:])
    return _unknown("", method, kind)


def _refuse_what_msgspec_would_quote(method: str, kind: type[Params], params: Mapping[str, object]) -> None:
    """What is in the wrong place may be a text or a number: no exception may hold it."""
    if not _names(kind).issuperset(params):
        unknown = next(name for name in params if name not in _names(kind))
        raise _unknown(str(unknown), method, kind)  # msgpack has other keys, too
    for name, inner in _objects(kind).items():
        fields = frozenset(inner.__struct_fields__)
        for each in _dicts(params.get(name)):
            if not fields.issuperset(each):
                raise invalid(name, f"has objects with {', '.join(sorted(fields))}, and nothing else")
            if (wrong := _wrong_word(inner, each)) is not None:
                raise invalid(name, " ".join(wrong))
    if (wrong := _wrong_word(kind, params)) is not None:
        raise invalid(*wrong)


def _wrong_word(kind: type[Struct], given: Mapping[typing.Any, object]) -> tuple[str, str] | None:
    """The first field that must be one of a few words and is another, and what it must be."""
    for name, (words, choices) in _words(kind).items():
        value = given.get(name)
        if isinstance(value, str) and value not in words:
            return name, f"must be one of: {', '.join(choices)}"
    return None


def _unknown(name: str, method: str, kind: type[Params]) -> UsageError:
    names = ", ".join(kind.__struct_encode_fields__) or "none"
    if _WORD.fullmatch(name):
        return invalid(name, f"is no parameter of {method}, which knows {names}")
    return UsageError(f"params: {method} knows {names}", data={"param": "params"})


@cache
def _names(kind: type[Params]) -> frozenset[str]:
    return frozenset(kind.__struct_encode_fields__)


@cache
def _objects(kind: type[Params]) -> dict[str, type[Struct]]:
    """The parameters of ``kind`` that are objects or lists of them, and of what type these are."""
    inner = {name: typing.get_args(hint) for name, hint in typing.get_type_hints(kind).items()}
    return {
        name: struct
        for name, structs in inner.items()
        for struct in structs
        if isinstance(struct, type) and issubclass(struct, Struct)
    }


def _dicts(value: object) -> Iterable[dict[object, object]]:
    found = typing.cast("list[object]", value) if isinstance(value, list) else [value]
    return (typing.cast("dict[object, object]", each) for each in found if isinstance(each, dict))


@cache
def _words(kind: type[Struct]) -> dict[str, tuple[list[str], list[str]]]:
    """The fields of ``kind`` that take one of a few words: these, and all that may be given."""
    hints = typing.get_type_hints(kind)
    called = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))  # "for" is no name in Python
    choices = {called[name]: _choices(hint) for name, hint in hints.items() if name in called}
    words = {name: [choice for choice in of if choice not in (_NUMBER, _OBJECT)] for name, of in choices.items()}
    return {name: (words[name], choices[name]) for name in choices if words[name]}


def _choices(hint: object) -> list[str]:
    if typing.get_origin(hint) is Literal:
        return [str(value) for value in typing.get_args(hint)]
    if hint is int:
        return [_NUMBER]
    if isinstance(hint, type) and issubclass(hint, Struct):
        return [_OBJECT]
    return [value for inner in typing.get_args(hint) for value in _choices(inner)]
