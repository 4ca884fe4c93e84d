"""Records under arbitrary bytes, changes and data (PROTOCOL.md 3.2)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.base.errors import DecodeError
from p2pchat.core import codec
from p2pchat.core.crypto import aead_seal, blake2b, ed25519_pair, sign
from p2pchat.core.record import DATA_BYTES, RECORD_BYTES, RecordRefused, check_record, open_record, work_bits
from p2pchat.core.slots import Slot
from p2pchat.core.work import mine
from tests.property.matching_world import EPOCH, NOW, PARAMS, ROOT, sealed

SLOT = Slot(ROOT, EPOCH)
WRITER = ed25519_pair(bytes(32))
GOOD = sealed(SLOT, WRITER, b"data")


@settings(deadline=None)
@given(st.binary(max_size=1100) | st.binary(min_size=RECORD_BYTES, max_size=RECORD_BYTES))
def test_any_bytes_raise_only_the_declared_refusal(raw: bytes) -> None:
    try:
        check_record(SLOT.loc, raw, NOW, PARAMS)
    except RecordRefused:
        return
    raise AssertionError("arbitrary bytes are a record")


@settings(max_examples=400, deadline=None)
@given(st.integers(0, RECORD_BYTES - 1), st.integers(1, 255))
def test_a_record_with_any_byte_changed_is_refused_or_says_the_same(position: int, change: int) -> None:
    raw = bytearray(GOOD)
    raw[position] ^= change
    try:
        _, data = open_record(SLOT, bytes(raw), NOW, PARAMS)
    except RecordRefused:
        return
    # Only the nonce is not signed: whoever does the work again has changed nothing that is read.
    assert position >= RECORD_BYTES - 8
    assert data == b"data"


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=DATA_BYTES), st.integers(1 << 20, (1 << 32) - PARAMS.record_ttl_s - 1))
def test_what_was_sealed_is_opened(data: bytes, seq: int) -> None:
    raw = sealed(SLOT, WRITER, data, seq)
    record, opened = open_record(SLOT, raw, seq, PARAMS)
    assert (opened, record.seq, record.writer, record.raw) == (data, seq, WRITER.public, raw)
    assert len(raw) == RECORD_BYTES
    assert record.work == work_bits(raw) >= PARAMS.work_bits


def record_of(padded: bytes) -> bytes:
    """A record that every storer accepts, whatever is sealed in it."""
    nonce = bytes(24)
    ct = nonce + aead_seal(SLOT.kenc, nonce, padded, b"dcd1" + SLOT.loc + WRITER.public)
    head = (1, SLOT.gate.public, WRITER.public, NOW, NOW + PARAMS.record_ttl_s, ct)
    signed = b"dcd1/record\0" + codec.encode(head)
    gate_sig = sign(SLOT.gate, signed)
    writer_sig = sign(WRITER, signed + gate_sig)
    digest = blake2b("dcd1/powm", signed + gate_sig + writer_sig)
    return codec.encode((*head, gate_sig, writer_sig, mine(digest, PARAMS.work_bits)))


@settings(deadline=None)
@given(st.integers(0, 710), st.integers(0, 703), st.integers(0, 255))
def test_padding_is_exact_or_refused(length: int, position: int, value: int) -> None:
    padded = bytearray(length.to_bytes(2, "big") + bytes(DATA_BYTES))
    padded[position] = value
    length = int.from_bytes(padded[:2], "big")
    raw = record_of(bytes(padded))
    if length > DATA_BYTES or any(padded[2 + length :]):
        with pytest.raises(DecodeError):
            open_record(SLOT, raw, NOW, PARAMS)
    else:
        assert open_record(SLOT, raw, NOW, PARAMS)[1] == padded[2 : 2 + length]
