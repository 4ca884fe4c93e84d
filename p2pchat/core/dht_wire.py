"""Frames of ``/p2pchat/records/1`` (PROTOCOL.md 3.7).

Rules:

- A request is at most 4,096 bytes, a reply or push at most 65,536; each field is bounded besides.
- What is put may have any length that the frame allows: a put that is no record is refused, not malformed. What a
  storer hands out as a record has the length of one.
- PeerIDs and addresses are opaque here; the net layer reads them and drops what it cannot.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from p2pchat.core.codec import Decoder
from p2pchat.core.params import PRODUCTION
from p2pchat.core.record import RECORD_BYTES
from p2pchat.core.structs import U16, U32, Bytes32, Form

REQUEST_MAX_BYTES: Final = 4_096
REPLY_MAX_BYTES: Final = 65_536
TOLD_PEERS: Final = PRODUCTION.k
TOLD_ADDRESSES: Final = 8
PEER_ID_MAX_BYTES: Final = 64
ADDRESS_MAX_BYTES: Final = 128

RecordBytes = Annotated[bytes, Meta(min_length=RECORD_BYTES, max_length=RECORD_BYTES)]
PeerIdBytes = Annotated[bytes, Meta(min_length=1, max_length=PEER_ID_MAX_BYTES)]
AddressBytes = Annotated[bytes, Meta(min_length=1, max_length=ADDRESS_MAX_BYTES)]


class ToldPeer(Form, frozen=True):
    """One peer of a reply, as the one who answers knows it."""

    peer_id: PeerIdBytes
    addresses: Annotated[tuple[AddressBytes, ...], Meta(max_length=TOLD_ADDRESSES)]


class Request(Form, frozen=True, tag=0):
    """Asks about a slot. ``put``: a record to keep first; ``get``: whether entries are wanted; ``watch_s``: for so many
    seconds newly accepted entries shall be pushed."""

    id: U32
    loc: Bytes32
    put: Annotated[bytes, Meta(max_length=REQUEST_MAX_BYTES)] | None
    get: bool
    watch_s: U16


class Reply(Form, frozen=True, tag=1):
    """The answer: ``stored`` is None when nothing was put, ``watch_s`` is granted, ``peers`` are the closest to loc."""

    id: U32
    stored: bool | None
    watch_s: U16
    records: Annotated[tuple[RecordBytes, ...], Meta(max_length=PRODUCTION.slot_entries)]
    peers: Annotated[tuple[ToldPeer, ...], Meta(max_length=TOLD_PEERS)]


class Push(Form, frozen=True, tag=2):
    """A newly accepted entry of a watched slot, unasked."""

    loc: Bytes32
    record: RecordBytes


REQUEST: Final = Decoder[Request](Request, REQUEST_MAX_BYTES)
ANSWER: Final = Decoder[Reply | Push](Reply | Push, REPLY_MAX_BYTES)  # type: ignore[arg-type]  # a union is no type[T]
