"""Records: what a slot of the DHT holds (PROTOCOL.md 3.2). Always 969 bytes::

    [1, gate_pk32, writer_pk32, seq, expiry, ct744, gate_sig64, writer_sig64, nonce8]
     └──────────────── M ─────────────────────────┘     │           │         │
                       gate signs M ────────────────────┘           │         │
                       writer signs M ‖ gate_sig ───────────────────┘         │
                       work over M ‖ both signatures ─────────────────────────┘

A storer knows no secret and runs :func:`check_record`; who knows the slot's root runs :func:`open_record`. Making one
takes two steps, because the work between them is done in another process: :func:`prepare_record`, ``work.mine`` over
``Unmined.digest``, :func:`finish`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, Protocol

import msgspec

from p2pchat.base.errors import DecodeError, InternalError, PeerError
from p2pchat.core import codec
from p2pchat.core.crypto import NONCE_BYTES, TAG_BYTES, KeyPair, aead_open, aead_seal, blake2b, sign, verify
from p2pchat.core.params import Params
from p2pchat.core.structs import U64, Bytes8, Bytes32, Bytes64, Form
from p2pchat.core.work import work_of

RECORD_BYTES: Final = 969
DATA_BYTES: Final = 702
_VERSION: Final = 1
_PADDED_BYTES: Final = 2 + DATA_BYTES
_SEALED_BYTES: Final = NONCE_BYTES + _PADDED_BYTES + TAG_BYTES
_SIGNED_PREFIX: Final = b"dcd1/record\0"
_ARRAY_OF_6: Final = b"\x96"
_ARRAY_OF_9: Final = b"\x99"
_TAIL_BYTES: Final = 2 * (2 + 64) + 2 + 8  # two signatures and the nonce, as msgpack

Reason = Literal["size", "form", "field", "noncanonical", "version", "loc", "time", "work", "signature", "writer"]
Sealed = Annotated[bytes, msgspec.Meta(min_length=_SEALED_BYTES, max_length=_SEALED_BYTES)]


class Place(Protocol):
    """Where a record is sealed for: a :class:`~p2pchat.core.slots.Slot`, or a presence in one of its epochs.

    Attributes:
        loc: 32 bytes, its address.
        gate: the Ed25519 pair that admits to writing there.
        kenc: 32 bytes, the key that its records are sealed with.
    """

    @property
    def loc(self) -> bytes: ...

    @property
    def gate(self) -> KeyPair: ...

    @property
    def kenc(self) -> bytes: ...


class RecordRefused(PeerError):
    """A record is not what PROTOCOL.md 3.2 says; ``reason`` is the first rule that it broke."""

    name = "RECORD"

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"a record was refused: {reason}")
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Record:
    """A record that a storer may keep.

    Attributes:
        writer: 32 bytes; one writer has one entry in a slot.
        seq, expiry: unix seconds.
        sealed: nonce and ciphertext, 744 bytes.
        work: bits of proven work.
        raw: the 969 bytes.
    """

    writer: bytes = field(repr=False)
    seq: int
    expiry: int
    sealed: bytes = field(repr=False)
    work: int
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unmined:
    """A signed record that lacks its work: ``digest`` (32 bytes) is what ``work.mine`` takes."""

    digest: bytes = field(repr=False)
    seq: int
    expiry: int
    head: bytes = field(repr=False)
    gate_sig: bytes = field(repr=False)
    writer_sig: bytes = field(repr=False)


class _Wire(Form, frozen=True):
    version: U64
    gate: Bytes32
    writer: Bytes32
    seq: U64
    expiry: U64
    sealed: Sealed
    gate_sig: Bytes64
    writer_sig: Bytes64
    nonce: Bytes8


_decoder = msgspec.msgpack.Decoder(_Wire)


def check_record(loc: bytes, raw: bytes, now_s: int, params: Params) -> Record:
    """What a storer, and every reader, demands of a record for ``loc`` (32 bytes) at unix second ``now_s``.

    The checks run in the protocol's order, the dear ones last.

    Raises:
        RecordRefused: with the first rule that it broke.

    Source: PROTOCOL.md 3.2.
    """
    wire = _decode(raw)
    if wire.version != _VERSION:
        raise RecordRefused("version")
    if blake2b("dcd1/loc", wire.gate, 32) != loc:
        raise RecordRefused("loc")
    if not (
        wire.seq <= now_s + params.skew_s
        and wire.seq < wire.expiry <= wire.seq + params.record_ttl_s
        and now_s < wire.expiry
    ):
        raise RecordRefused("time")
    signed = _signed_part(raw)
    work = work_of(_digest(signed, wire.gate_sig, wire.writer_sig), wire.nonce)
    if work < params.work_bits:
        raise RecordRefused("work")
    if not (verify(wire.gate, signed, wire.gate_sig) and verify(wire.writer, signed + wire.gate_sig, wire.writer_sig)):
        raise RecordRefused("signature")
    return Record(wire.writer, wire.seq, wire.expiry, wire.sealed, work, raw)


def open_record(slot: Place, raw: bytes, now_s: int, params: Params) -> tuple[Record, bytes]:
    """A record of ``slot`` and its data, at most 702 bytes.

    Raises:
        RecordRefused: it is none that a storer may keep.
        DecryptionError: it is not sealed for this slot and writer.
        DecodeError: its padding is malformed.

    Source: PROTOCOL.md 3.2.
    """
    record = check_record(slot.loc, raw, now_s, params)
    return record, unseal(record, slot.loc, slot.kenc)


def unseal(record: Record, loc: bytes, kenc: bytes) -> bytes:
    """The data of a checked record of ``loc`` (32 bytes) under ``kenc`` (32 bytes), at most 702 bytes.

    Raises:
        DecryptionError: it is not sealed for this place, key and writer.
        DecodeError: its padding is malformed.

    Source: PROTOCOL.md 3.2.
    """
    nonce, sealed = record.sealed[:NONCE_BYTES], record.sealed[NONCE_BYTES:]
    padded = aead_open(kenc, nonce, sealed, _aad(loc, record.writer))
    end = 2 + int.from_bytes(padded[:2], "big")
    if end > len(padded) or any(padded[end:]):
        raise DecodeError("the padding of a record is malformed")
    return padded[2:end]


def prepare_record(slot: Place, writer: KeyPair, data: bytes, seq: int, nonce24: bytes, params: Params) -> Unmined:
    """Seals and signs ``data`` for ``slot``; the work is still to be done.

    Args:
        slot: where it will be stored.
        writer: the own Ed25519 pair in that slot.
        data: at most 702 bytes.
        seq: of :func:`next_seq`, on disk before the record leaves.
        nonce24: 24 random bytes.

    Raises:
        InternalError: data, nonce or seq are out of bounds.

    Source: PROTOCOL.md 3.2.
    """
    if len(data) > DATA_BYTES or len(nonce24) != NONCE_BYTES:
        raise InternalError("data or nonce of a record have the wrong length")
    padded = len(data).to_bytes(2, "big") + data + bytes(DATA_BYTES - len(data))
    sealed = nonce24 + aead_seal(slot.kenc, nonce24, padded, _aad(slot.loc, writer.public))
    expiry = seq + params.record_ttl_s
    head = codec.encode((_VERSION, slot.gate.public, writer.public, seq, expiry, sealed))
    if len(head) != RECORD_BYTES - _TAIL_BYTES:
        raise InternalError("seq of a record is no unix second")
    signed = _SIGNED_PREFIX + head
    gate_sig = sign(slot.gate, signed)
    writer_sig = sign(writer, signed + gate_sig)
    return Unmined(_digest(signed, gate_sig, writer_sig), seq, expiry, head, gate_sig, writer_sig)


def finish(unmined: Unmined, nonce8: bytes) -> bytes:
    """The record, 969 bytes, with the 8-byte nonce that was mined for its digest. Source: PROTOCOL.md 3.2."""
    tail = (unmined.gate_sig, unmined.writer_sig, nonce8)
    return _ARRAY_OF_9 + unmined.head[1:] + b"".join(map(codec.encode, tail))


def work_bits(raw: bytes) -> int:
    """The work that a record proves, whatever else is wrong with it.

    Raises:
        RecordRefused: it has not the form of a record.
    """
    wire = _decode(raw)
    return work_of(_digest(_signed_part(raw), wire.gate_sig, wire.writer_sig), wire.nonce)


def next_seq(now_s: int, last: int | None) -> int:
    """The seq of the next record of a writer in a slot, after ``last``. Source: PROTOCOL.md 3.2."""
    return now_s if last is None else max(now_s, last + 1)


def _decode(raw: bytes) -> _Wire:
    if len(raw) != RECORD_BYTES:
        raise RecordRefused("size")
    try:
        wire = _decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise RecordRefused("field") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise RecordRefused("form") from error
    if codec.encode(wire) != raw:
        raise RecordRefused("noncanonical")
    return wire


def _signed_part(raw: bytes) -> bytes:
    """M, cut from the received bytes: a canonical record differs from it in the array's length alone."""
    return _SIGNED_PREFIX + _ARRAY_OF_6 + raw[1:-_TAIL_BYTES]


def _digest(signed: bytes, gate_sig: bytes, writer_sig: bytes) -> bytes:
    return blake2b("dcd1/powm", signed + gate_sig + writer_sig, 32)


def _aad(loc: bytes, writer_public: bytes) -> bytes:
    return b"dcd1" + loc + writer_public
