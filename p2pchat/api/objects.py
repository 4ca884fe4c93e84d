"""The objects of the control API: what replies and events carry.

Rules, which are the contract:

- Ids are lower-case hex, times unix milliseconds (UTC), the unknown is null and never missing.
- Fields may be added; whoever reads must ignore those it does not know.
- No field is bytes: an object looks the same in both framings.
- The repr of an object shows nothing of it.

Source: docs/CONTROL-API.md, "Objects".
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType, field

from p2pchat.base.silent import Silent

ContactState = Literal["pending", "matched", "request", "blocked"]
Trust = Literal["claimed", "number_verified", "in_person"]
MessageState = Literal["queued", "sent", "held", "delivered", "read", "received", "failed", "expired", "cancelled"]
Reachability = Literal["lan", "public", "relayed", "none"]
DiskState = Literal["ok", "slow", "full", "read_only", "failing", "damaged"]
Step = Literal["root", "candidate", "card", "reach"]
PathKind = Literal["lan", "direct", "relayed"]
NetMode = Literal["open", "contacts", "lan"]
RuleKind = Literal["contact", "peer", "network"]


class Contact(Silent, Struct, kw_only=True):
    """A person whom the user added. ``claimants`` counts the roots that claim the pair of numbers; ``searching``: the
    node looks for the contact, who is not found yet; ``receipts``: whether read receipts are exchanged with it, where
    that was said; ``self``: these are the notes to oneself."""

    id: str
    name: str
    number: str | None
    state: ContactState
    trust: Trust
    claimants: int
    online: bool
    last_seen_ms: int | None
    searching: bool = False
    receipts: bool | None = None
    self_: bool = field(default=False, name="self")
    replayed: bool | UnsetType = UNSET


class Progress(Contact, kw_only=True):
    """A step of the search for a contact. ``roots_done`` of ``roots_total`` are derived, of all who are looked for."""

    step: Step
    roots_done: int
    roots_total: int


class Claimant(Silent, Struct, kw_only=True):
    """Somebody who claims to be a contact. ``id``: their root key, 64 digits; ``chosen``: whom messages go to;
    ``contact_id``: the other contact whose root key that is."""

    id: str
    first_seen_ms: int
    chosen: bool
    contact_id: str | None


class Safety(Silent, Struct, kw_only=True):
    """What is compared face to face: ``safety_number`` has 12 groups of five digits, ``qr`` is the link to show."""

    id: str
    safety_number: str
    qr: str


class SmsProof(Silent, Struct, kw_only=True):
    """A proof that was asked for. ``text`` is to be sent by SMS; it is told once, and null in a repeated reply."""

    id: str
    text: str | None
    expires_ms: int
    replayed: bool | UnsetType = UNSET


class Qr(Silent, Struct, kw_only=True):
    """A link to show as a QR code."""

    qr: str


class Holder(Silent, Struct, kw_only=True):
    """A node that holds a sealed message, and until when it said it would."""

    id: str
    until_ms: int


class Message(Silent, Struct, kw_only=True):
    """One text. ``position`` rises within a conversation; ``created_ms`` is on the writer's clock; ``missing``: so many
    of the contact's that belong directly before it have not arrived."""

    id: str
    contact_id: str
    direction: Literal["in", "out"]
    text: str
    state: MessageState
    reason: str | None
    holders: list[Holder]
    created_ms: int
    delivered_ms: int | None
    read_ms: int | None
    position: int
    missing: int = 0
    replayed: bool | UnsetType = UNSET


class Try(Silent, Struct, kw_only=True):
    """An attempt to reach a contact that failed. ``address`` and ``path`` are null where a connection was there."""

    at_ms: int
    address: str | None
    path: PathKind | None
    error: str


class Sentence(Silent, Struct, kw_only=True):
    """``code`` and ``facts`` are what ``text`` says in English; a fact whose name ends in ``_ms`` is a length of
    time."""

    code: str
    facts: dict[str, int | str]
    text: str


class Explanation(Silent, Struct, kw_only=True):
    """Why a message has not arrived, and what happens next; ``text`` says it in words, and consists of ``sentences``.
    ``tries``: oldest first."""

    state: MessageState
    reason: str | None
    tries: list[Try]
    holders: list[Holder]
    next_try_ms: int | None
    expires_ms: int | None
    text: str
    sentences: list[Sentence]


class Deleted(Silent, Struct, kw_only=True):
    """What a message was that is gone: its id."""

    id: str
    replayed: bool | UnsetType = UNSET


class Event(Silent, Struct, kw_only=True):
    """Something that happened. ``seq`` is null for what is not stored; ``data`` depends on ``type``."""

    seq: int | None
    ts: int
    type: str
    data: Message | Contact | dict[str, object]


class EventNotification(Silent, Struct, kw_only=True):
    """The params of an ``event`` notification: an event and the subscription that it is sent for."""

    subscription: str
    seq: int | None
    ts: int
    type: str
    data: Message | Contact | dict[str, object]


class ContactCounts(Silent, Struct, kw_only=True):
    """How many contacts are in each state."""

    matched: int
    pending: int
    requests: int


class Status(Silent, Struct, kw_only=True):
    """The node at a glance. ``peers`` counts live connections: with one, bootstrapping has succeeded. ``replaced_ms``:
    when the newer device was made that has replaced this one; ``alone``: what was tried to find other nodes, where none
    is there, and what the user can do; ``proxy``: whether all connections leave through one; ``mode``: who may come
    near where no rule says anything; ``disk``: what the database has met, None while nobody looks at it."""

    profile: str
    number: str | None
    name: str
    locked: bool
    uptime_s: int
    peer_id: str
    addresses: list[str]
    peers: int
    contacts: ContactCounts
    outbox: int
    held: int
    reachability: Reachability
    clock_ok: bool
    version: str
    replaced_ms: int | None
    alone: str | None
    proxy: bool
    mode: NetMode = "open"
    disk: DiskState | None


class Identity(Silent, Struct, kw_only=True):
    """Who this profile is: ``root`` is the person's public key (hex), ``peer_id`` the node's (text form); ``receipts``:
    whether read receipts are exchanged."""

    profile: str
    name: str
    number: str | None
    root: str
    peer_id: str
    receipts: bool
    replayed: bool | UnsetType = UNSET


class ApiVersion(Silent, Struct, kw_only=True):
    """A minor version adds; a major one breaks."""

    major: int
    minor: int


class Hello(Silent, Struct, kw_only=True):
    """What speaks here, and which part of which event log it still has."""

    api: ApiVersion
    node: str
    profile: str
    head: int
    oldest: int
    features: list[str]
    log: str | None


class Contacts(Silent, Struct, kw_only=True):
    """The reply of ``contacts.list`` and ``contacts.find``."""

    contacts: list[Contact]
    replayed: bool | UnsetType = UNSET


class Refusal(Silent, Struct, kw_only=True):
    """An entry of an address book that was not understood; ``reason``: a sentence without the number."""

    line: int
    reason: str


class Import(Silent, Struct, kw_only=True):
    """What became of an address book: so many contacts are new, so many were in the book."""

    added: int
    known: int
    refused: list[Refusal]
    replayed: bool | UnsetType = UNSET


class Invite(Silent, Struct, kw_only=True):
    """An invite; ``invite``: its link. ``used`` of ``uses`` people came through it; an ``open`` one lets others in."""

    id: str
    invite: str
    uses: int
    used: int
    ask: bool
    open: bool
    expires_ms: int
    replayed: bool | UnsetType = UNSET


class Invites(Silent, Struct, kw_only=True):
    """The reply of ``identity.invites``, the oldest first."""

    invites: list[Invite]


class Claimants(Silent, Struct, kw_only=True):
    """The reply of ``contacts.claimants``, the first one first. ``waiting``: how many said hello in the last day and
    showed no card; where nobody is chosen a match waits for them."""

    claimants: list[Claimant]
    waiting: int


class Messages(Silent, Struct, kw_only=True):
    """A page of a conversation, oldest first, or of what was found, newest first; ``next`` is the ``before`` of the
    page before it, null at the start."""

    messages: list[Message]
    next: int | None


class Events(Silent, Struct, kw_only=True):
    """A stretch of the event log; empty at its end."""

    events: list[Event]


class Consumer(Silent, Struct, kw_only=True):
    """A reader of the event log known by ``name``; ``seq``: the last event that it has acknowledged, or what it began
    after. ``acked_ms`` is null until it has acknowledged one."""

    name: str
    seq: int
    acked_ms: int | None
    made_ms: int


class Consumers(Silent, Struct, kw_only=True):
    """The reply of ``events.consumers``, the oldest first."""

    consumers: list[Consumer]


class Subscription(Silent, Struct, kw_only=True):
    """A running subscription; events after ``cursor`` of ``log`` follow."""

    subscription: str
    cursor: int
    log: str


class Peer(Silent, Struct, kw_only=True):
    """A node that this one is connected to."""

    peer_id: str
    path: PathKind
    rtt_ms: float | None
    since_ms: int


class Peers(Silent, Struct, kw_only=True):
    """The reply of ``net.peers``."""

    peers: list[Peer]


class Addresses(Silent, Struct, kw_only=True):
    """Full multiaddrs of this node, ``/p2p/`` part included: each can be given to another's ``--bootstrap``."""

    addresses: list[str]


class Rule(Silent, Struct, kw_only=True):
    """Whom the user lets near, or does not. ``what``: the contact's name, a peer id, or a network in CIDR notation."""

    id: str
    kind: RuleKind
    what: str
    contact_id: str | None
    allow: bool
    made_ms: int
    replayed: bool | UnsetType = UNSET


class Rules(Silent, Struct, kw_only=True):
    """The reply of ``net.rules``, the oldest first."""

    rules: list[Rule]


class Backup(Silent, Struct, kw_only=True):
    """A backup. ``bytes``: the length of its file; ``made_ms``: what it holds is of that moment."""

    path: str
    made_ms: int
    bytes: int
    contacts: int
    messages: int


class Empty(Silent, Struct, kw_only=True):
    """Done; there is nothing to tell."""
