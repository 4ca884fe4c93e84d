"""What stands in a backup: records, each u32(length) ‖ canonical msgpack array that begins with its kind.

    Header  Owner  [Settings]  KnownPeer …  Invite …  Contact …  Message …

Rules:

- The kinds come in that order; Header and Owner once and first. What the header counts must be there.
- A name of a field that is also a column's means what it means there: :mod:`p2pchat.store.backup` maps them.
- Nothing is here that lets anybody read what was sent: no ratchet, prekey, idsec, seed of a presence or node key.

Source: docs/BACKUP.md, "The records".
"""

from __future__ import annotations

from typing import Annotated, Final, cast

from msgspec import Meta

from p2pchat.base.errors import Corrupt, DecodeError, InternalError
from p2pchat.core.backup_file import Opener
from p2pchat.core.codec import Decoder, encode
from p2pchat.core.discovery import Bytes38
from p2pchat.core.structs import U32, Bytes16, Bytes32, Form, Positive

RECORD_BYTES: Final = 1 << 20
SETTINGS_BYTES: Final = 65_536
_LENGTH_BYTES: Final = 4
_DAMAGED: Final = "The backup is damaged: its records contradict each other."

Bytes8 = Annotated[bytes, Meta(min_length=8, max_length=8)]
Whole = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]  # what a column holds


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
    state: str
    trust: str
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
    state: str
    reason: str | None
    created_ms: Whole
    sent_ms: Whole | None
    delivered_ms: Whole | None
    read_ms: Whole | None


Record = Header | Owner | Settings | KnownPeer | Invite | Contact | Message

_ORDER: Final = (Header, Owner, Settings, KnownPeer, Invite, Contact, Message)
_ONCE: Final = (Header, Owner, Settings)
_records: Decoder[Record] = Decoder(cast("type[Record]", Record), RECORD_BYTES)


def encode_record(record: Record) -> bytes:
    """A record with its length.

    Raises:
        InternalError: more than a record may hold.
    """
    data = encode(record)
    if len(data) > RECORD_BYTES:
        raise InternalError("a record of a backup would exceed its bound")
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


class BackupReader:
    """A backup's bytes in, in pieces of any size; its records out, each of them authentic and in its place.

    Args:
        passphrase: its UTF-8 bytes.
    """

    def __init__(self, passphrase: bytes) -> None:
        self._opener = Opener(passphrase)
        self._waiting = bytearray()
        self._check = _Check()

    def feed(self, data: bytes) -> list[Record]:
        """The records that ``data`` completes.

        Raises:
            Corrupt, WrongPassphrase, InternalError: as :meth:`p2pchat.core.backup_file.Opener.feed`.
        """
        self._waiting += self._opener.feed(data)
        found: list[Record] = []
        at = 0
        while len(self._waiting) >= at + _LENGTH_BYTES:
            size = int.from_bytes(self._waiting[at : at + _LENGTH_BYTES], "big")
            if size > RECORD_BYTES:
                raise Corrupt(_DAMAGED)
            if len(self._waiting) < at + _LENGTH_BYTES + size:
                break
            at += _LENGTH_BYTES
            found.append(_decode(bytes(self._waiting[at : at + size])))
            self._check.take(found[-1])
            at += size
        del self._waiting[:at]
        return found

    def finish(self) -> Header:
        """The file is at its end; what it said at its beginning.

        Raises:
            Corrupt: the backup is not, or not everything is in it that it counts.
        """
        self._opener.finish()
        if self._waiting:
            raise Corrupt(_DAMAGED)
        return self._check.end()


def _decode(data: bytes) -> Record:
    try:
        return _records.decode(data)
    except DecodeError:
        raise Corrupt(_DAMAGED) from None


class _Check:
    """Order, counts, and that a message's contact is there."""

    def __init__(self) -> None:
        self._header: Header | None = None
        self._at = -1
        self._uids: set[bytes] = set()
        self._messages = 0

    def take(self, record: Record) -> None:
        at = _ORDER.index(type(record))
        if at < self._at or (at == self._at and isinstance(record, _ONCE)) or (at > self._at + 1 and self._at < 1):
            raise Corrupt(_DAMAGED)
        self._at = at
        if isinstance(record, Header):
            self._header = record
        elif isinstance(record, Contact):
            if record.uid in self._uids:
                raise Corrupt(_DAMAGED)
            self._uids.add(record.uid)
        elif isinstance(record, Message):
            if record.contact not in self._uids:
                raise Corrupt(_DAMAGED)
            self._messages += 1

    def end(self) -> Header:
        header = self._header
        if header is None or self._at < 1 or (header.contacts, header.messages) != (len(self._uids), self._messages):
            raise Corrupt(_DAMAGED)
        return header
