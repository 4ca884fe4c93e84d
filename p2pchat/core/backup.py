"""What stands in a backup: records, each u32(length) ‖ canonical msgpack array that begins with its kind.

    Header  Owner  [Settings]  KnownPeer …  Invite …  Contact …  Message …  Receipts …

Rules:

- The kinds come in that order. What the records owe each other is checked by :mod:`p2pchat.core.backup_reader`.
- A name of a field that is also a column's means what it means there: :mod:`p2pchat.store.backup` maps them.
- Nothing is here that lets anybody read what was sent: no ratchet, prekey, idsec, seed of a presence or node key.

Source: docs/BACKUP.md, "The records".
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from p2pchat.base.errors import InternalError
from p2pchat.core.codec import encode
from p2pchat.core.discovery import Bytes38
from p2pchat.core.structs import U32, Bytes16, Bytes32, Form, Positive

RECORD_BYTES: Final = 1 << 20
SETTINGS_BYTES: Final = 65_536
LENGTH_BYTES: Final = 4

Bytes8 = Annotated[bytes, Meta(min_length=8, max_length=8)]
Whole = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]  # what a column holds
ContactState = Literal["pending", "matched", "request", "blocked", "self"]
Trust = Literal["claimed", "number_verified", "in_person"]
MessageState = Literal[
    "queued", "sent", "held", "delivered", "read", "received", "failed", "expired", "cancelled", "deleted"
]


class Header(Form, frozen=True, tag=0):
    """When it was made (unix ms), by which program and schema, and what is in it."""

    made_ms: Positive
    schema: U32
    program: Annotated[str, Meta(max_length=64)]
    contacts: Whole
    messages: Whole


class Owner(Form, frozen=True, tag=1):
    """Who it is. ``epoch_ms``: the highest that anybody may have seen of this root; ``presence_n``: likewise."""

    name: str
    number: str
    region: str
    root_seed: Bytes32
    epoch_ms: Whole
    presence_n: U32


class Settings(Form, frozen=True, tag=2):
    """The configuration file."""

    toml: Annotated[bytes, Meta(max_length=SETTINGS_BYTES)]


class KnownPeer(Form, frozen=True, tag=3):
    """A node to start from, and its binary multiaddrs."""

    peer: Bytes38
    addresses: tuple[bytes, ...]
    seen_s: Whole


class Invite(Form, frozen=True, tag=4):
    """An invite of this node's own; ``refused``: roots that it does not let in."""

    uid: Bytes8
    secret: Bytes32
    uses: Whole
    used: Whole
    ask: bool
    expires_s: Whole
    closed: bool
    refused: tuple[Bytes32, ...]


class Claimant(Form, frozen=True):
    """Who has shown a valid card for the contact's pair of numbers; an empty ``cert``: expected, and not seen yet."""

    root: Bytes32
    cert: bytes
    first_seen_ms: Whole


class Presence(Form, frozen=True):
    """What the contact gave: where its records stand, and the key to read them. Source: PROTOCOL.md 3.4."""

    device_ms: Whole
    n: U32
    gate: Bytes32
    epoch: U32
    key: Bytes32
    seq: Whole


class Reached(Form, frozen=True):
    """A node of the contact with its binary multiaddrs, and its ask32 where that was told."""

    peer: Bytes38
    addresses: tuple[bytes, ...]
    ask: Bytes32 | None
    published: bool
    proven: bool
    seq: Whole


class Meeting(Form, frozen=True):
    """The rdv of a session with the contact's device ``device_ms``, opened at ``ms``. Source: PROTOCOL.md 3.4."""

    device_ms: Whole
    ms: Whole
    rdv: Bytes32


class Contact(Form, frozen=True, tag=5):
    """A person in the address book; ``invite``: the uid of the one through which it came."""

    uid: Bytes8
    name: str
    number: str | None
    state: ContactState
    trust: Trust
    root: Bytes32 | None
    epoch_ms: Whole
    highest_ms: Whole
    next_n: Whole
    claimants: Whole
    last_seen_ms: Whole | None
    pending_until_s: Whole | None
    matched_s: Whole | None
    heard_ms: Whole
    invite_secret: Bytes32 | None
    invite: Bytes8 | None
    claimed: tuple[Claimant, ...]
    presence: Presence | None
    peers: tuple[Reached, ...]
    meetings: tuple[Meeting, ...]


class Message(Form, frozen=True, tag=6):
    """A message, in the order in which they are shown; ``contact``: a uid."""

    contact: Bytes8
    incoming: bool
    n: Whole
    wire_id: Bytes16
    kind: Whole
    text: str | None
    body: bytes | None
    state: MessageState
    reason: str | None
    created_ms: Whole
    sent_ms: Whole | None
    delivered_ms: Whole | None
    read_ms: Whole | None


class Receipts(Form, frozen=True, tag=7):
    """Whether read receipts are exchanged: with a contact (a uid), or where nothing was said of one (None)."""

    contact: Bytes8 | None
    on: bool


Record = Header | Owner | Settings | KnownPeer | Invite | Contact | Message | Receipts


def encode_record(record: Record) -> bytes:
    """A record with its length.

    Raises:
        InternalError: more than a record may hold.
    """
    data = encode(record)
    if len(data) > RECORD_BYTES:
        raise InternalError("a record of a backup would exceed its bound")
    return len(data).to_bytes(LENGTH_BYTES, "big") + data
