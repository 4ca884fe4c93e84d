"""The methods of the control API: parameters, results, and the check that stands before every one of them.

Rules:

- Parameters are named; an unknown one, a wrong type or a value out of bounds is INVALID_PARAMS, and the sentence
  begins with the parameter's name, which also stands in ``data.param``.
- Every text must be Unicode that UTF-8 can carry. The text of a message has 1 to 65,536 UTF-8 bytes: none is
  INVALID_PARAMS, more is TOO_LARGE.
- Whatever changes the store takes an ``idempotency_key``.

Source: docs/CONTROL-API.md, "Methods".
"""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from p2pchat.api.objects import (
    Addresses,
    Claimants,
    Contact,
    Contacts,
    ContactState,
    Empty,
    Events,
    Hello,
    Identity,
    Message,
    Messages,
    Peer,
    Peers,
    Status,
    Subscription,
)
from p2pchat.api.text import TEXT_BYTES, is_safe, is_unicode
from p2pchat.base.errors import UsageError
from p2pchat.base.silent import Silent

API_MAJOR: Final = 1
API_MINOR: Final = 0

Key = Annotated[str, Meta(min_length=1, max_length=128)]
Target = Annotated[str, Meta(min_length=1, max_length=256)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
HexId = Annotated[str, Meta(min_length=1, max_length=128, pattern="^[0-9a-f]+$")]
Multiaddr = Annotated[str, Meta(min_length=1, max_length=1024)]
Seq = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
PageSize = Annotated[int, Meta(ge=1, le=1000)]
EventPattern = Annotated[str, Meta(max_length=64, pattern=r"^(\*|[a-z_]+\.(\*|[a-z_]+))$")]
EventPatterns = Annotated[list[EventPattern], Meta(min_length=1, max_length=64)]
Wait = Literal["queued", "sent", "held", "delivered", "read"]


class Params(Silent, Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The named parameters of one method."""

    def check(self) -> None:
        """What the types do not say.

        Raises:
            UsageError: INVALID_PARAMS or TOO_LARGE.
        """


class Mutation(Params, kw_only=True, frozen=True):
    """Parameters of a method that changes the store."""

    idempotency_key: Key | None = None


class NoParams(Params, kw_only=True, frozen=True):
    """A method without parameters."""


class NodeHello(Params, kw_only=True, frozen=True):
    """``client`` names the program, ``api`` the major version that it speaks."""

    client: Annotated[str, Meta(max_length=128)] | None = None
    api: Annotated[int, Meta(ge=0, le=65_535)] | None = None


class ContactsAdd(Mutation, kw_only=True, frozen=True):
    """``number`` in any form that a person writes; ``name`` is the user's own word for the contact."""

    number: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Name | None = None

    def check(self) -> None:
        if self.name is not None:
            _check_name(self.name)


class ContactsList(Params, kw_only=True, frozen=True):
    """``state`` leaves the contacts in that state alone."""

    state: ContactState | None = None


class ContactsGet(Params, kw_only=True, frozen=True):
    """``to`` is a name, a number or the beginning of an id."""

    to: Target


class ContactsRename(Mutation, kw_only=True, frozen=True):
    """``to`` as in ``contacts.get``."""

    to: Target
    name: Name

    def check(self) -> None:
        _check_name(self.name)


class ContactsRemove(Mutation, kw_only=True, frozen=True):
    """``to`` as in ``contacts.get``."""

    to: Target


class ContactsChoose(Mutation, kw_only=True, frozen=True):
    """``to`` as in ``contacts.get``; ``claimant``: the beginning of an id, needed where there are several."""

    to: Target
    claimant: Annotated[str, Meta(max_length=128)] | None = None

    def check(self) -> None:
        if self.claimant is not None and not _ROOT_BEGINNING.fullmatch(self.claimant):
            raise _invalid("claimant", "is no beginning of a root key, 4 to 64 hexadecimal digits")


class MessageSend(Mutation, kw_only=True, frozen=True):
    """``wait`` holds the reply back until the message has come that far, or TIMEOUT after ``timeout_ms``."""

    to: Target
    text: str
    wait: Wait | None = None
    timeout_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 60_000

    def check(self) -> None:
        if not self.text:
            raise _invalid("text", "is empty")
        if len(self.text.encode()) > TEXT_BYTES:
            raise UsageError(f"text: is longer than {TEXT_BYTES} bytes", name="TOO_LARGE", data={"param": "text"})


class MessageList(Params, kw_only=True, frozen=True):
    """The newest ``limit`` messages at positions below ``before``; ``search`` keeps those that hold it."""

    to: Target
    before: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] | None = None
    limit: PageSize = 100
    search: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


class MessageGet(Params, kw_only=True, frozen=True):
    """``id`` is the whole id of a message."""

    id: HexId


class EventsSubscribe(Params, kw_only=True, frozen=True):
    """Events after ``since`` (a ``seq``, 0 for all, or ``now``) whose type fits one of ``types``."""

    since: Seq | Literal["now"] = "now"
    types: EventPatterns | None = None


class EventsUnsubscribe(Params, kw_only=True, frozen=True):
    """``subscription`` is one of this connection."""

    subscription: Annotated[str, Meta(min_length=1, max_length=64)]


class EventsFetch(Params, kw_only=True, frozen=True):
    """As ``events.subscribe``, but answered at once."""

    since: Seq
    types: EventPatterns | None = None
    limit: PageSize = 100


class NetDial(Params, kw_only=True, frozen=True):
    """``address`` is a multiaddr that ends in ``/p2p/`` and a peer id."""

    address: Multiaddr


class MethodSpec(NamedTuple):
    """One method: its types, whether it changes the store, and what it does in one sentence."""

    params: type[Params]
    result: type[Struct]
    mutating: bool
    doc: str


METHODS: Final[dict[str, MethodSpec]] = {
    "node.hello": MethodSpec(NodeHello, Hello, False, "Says what speaks here and which events it still has."),
    "node.status": MethodSpec(NoParams, Status, False, "Shows the node at a glance."),
    "node.shutdown": MethodSpec(NoParams, Empty, False, "Ends the daemon after the reply."),
    "identity.show": MethodSpec(NoParams, Identity, False, "Shows who this profile is."),
    "contacts.add": MethodSpec(ContactsAdd, Contact, True, "Adds a person by phone number and looks for them."),
    "contacts.list": MethodSpec(ContactsList, Contacts, False, "Lists the contacts."),
    "contacts.get": MethodSpec(ContactsGet, Contact, False, "Shows one contact."),
    "contacts.rename": MethodSpec(ContactsRename, Contact, True, "Gives a contact another name."),
    "contacts.claimants": MethodSpec(ContactsGet, Claimants, False, "Lists who claims to be a contact."),
    "contacts.choose": MethodSpec(ContactsChoose, Contact, True, "Settles which claimant a contact is."),
    "contacts.remove": MethodSpec(ContactsRemove, Contact, True, "Forgets a contact; replies with what it was."),
    "message.send": MethodSpec(MessageSend, Message, True, "Commits a text for a contact, to be delivered."),
    "message.list": MethodSpec(MessageList, Messages, False, "Reads a conversation, page by page, from its end."),
    "message.get": MethodSpec(MessageGet, Message, False, "Shows one message."),
    "events.subscribe": MethodSpec(EventsSubscribe, Subscription, False, "Begins to notify of events."),
    "events.unsubscribe": MethodSpec(EventsUnsubscribe, Empty, False, "Ends a subscription of this connection."),
    "events.fetch": MethodSpec(EventsFetch, Events, False, "Reads the event log without waiting."),
    "net.peers": MethodSpec(NoParams, Peers, False, "Lists the nodes that this one is connected to."),
    "net.addrs": MethodSpec(NoParams, Addresses, False, "Lists the addresses at which others can reach this node."),
    "net.dial": MethodSpec(NetDial, Peer, False, "Connects to a node."),
    "net.bootstrap": MethodSpec(NetDial, Peer, False, "Connects to a node and joins the DHT through it."),
}


def parse(method: str, params: Mapping[str, object]) -> Params:
    """The checked parameters of a call, as ``METHODS[method].params``.

    Raises:
        UsageError: METHOD_NOT_FOUND, INVALID_PARAMS or TOO_LARGE.
    """
    spec = METHODS.get(method)
    if spec is None:
        raise UsageError("there is no such method", name="METHOD_NOT_FOUND")
    _refuse_what_msgspec_would_quote(method, spec.params, params)
    try:
        value = msgspec.convert(params, spec.params)
    except msgspec.ValidationError as error:
        raise _explained(str(error), method, spec.params) from None
    except UnicodeEncodeError:  # a lone surrogate where no text belongs: msgspec fails at quoting it
        raise _explained("", method, spec.params) from None
    for field in value.__struct_fields__:
        text = getattr(value, field)
        if isinstance(text, str) and not is_unicode(text):
            raise _invalid(field, "holds half of a surrogate pair, which is no character")
    value.check()
    return value


def type_matches(patterns: Sequence[str] | None, event_type: str) -> bool:
    """Whether an event type fits one of ``patterns`` (``message.sent``, ``message.*``, ``*``); all fit None."""
    if patterns is None:
        return True
    wide = {"*", event_type.partition(".")[0] + ".*", event_type}
    return any(pattern in wide for pattern in patterns)


_ROOT_BEGINNING: Final = re.compile("[0-9a-fA-F]{4,64}")
_MISSING: Final = re.compile(r"missing required field `(\w+)`")
_NUMBER: Final = "a whole number"
_WORD: Final = re.compile(r"\w{1,64}", re.ASCII)
_AT: Final = re.compile(r"^(.*) - at `\$\.(\w+)", re.DOTALL)


def _explained(report: str, method: str, kind: type[Params]) -> UsageError:
    if found := _MISSING.search(report):
        return _invalid(found[1], "is required")
    if found := _AT.search(report):
        return _invalid(found[2], found[1][0].lower() + found[1][1:])
    return _unknown("", method, kind)


def _refuse_what_msgspec_would_quote(method: str, kind: type[Params], params: Mapping[str, object]) -> None:
    """What is in the wrong place may be a text or a number: no exception may hold it."""
    for name in params:
        if name not in kind.__struct_fields__:
            raise _unknown(str(name), method, kind)  # msgpack has other keys, too
    for name, (words, choices) in _words(kind).items():
        value = params.get(name)
        if isinstance(value, str) and value not in words:
            raise _invalid(name, f"must be one of: {', '.join(choices)}")


def _unknown(name: str, method: str, kind: type[Params]) -> UsageError:
    names = ", ".join(kind.__struct_fields__) or "none"
    if _WORD.fullmatch(name):
        return _invalid(name, f"is no parameter of {method}, which knows {names}")
    return UsageError(f"params: {method} knows {names}", data={"param": "params"})


@cache
def _words(kind: type[Params]) -> dict[str, tuple[list[str], list[str]]]:
    """The parameters of ``kind`` that take one of a few words: these, and all that may be given."""
    hints = typing.get_type_hints(kind)
    choices = {name: _choices(hint) for name, hint in hints.items()}
    words = {name: [choice for choice in of if choice != _NUMBER] for name, of in choices.items()}
    return {name: (words[name], choices[name]) for name in hints if words[name]}


def _choices(hint: object) -> list[str]:
    if typing.get_origin(hint) is Literal:
        return [str(value) for value in typing.get_args(hint)]
    if hint is int:
        return [_NUMBER]
    return [value for inner in typing.get_args(hint) for value in _choices(inner)]


def _invalid(param: str, why: str) -> UsageError:
    return UsageError(f"{param}: {why}", data={"param": param})


def _check_name(name: str) -> None:
    if not name.strip() or not is_safe(name):
        raise _invalid("name", "must be visible and free of control characters")
