"""Sealing, checking and opening a record (PROTOCOL.md 3.2); its refusals are in test_record_refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pchat.base.errors import DecryptionError, InternalError, PeerError
from p2pchat.core.params import PRODUCTION
from p2pchat.core.record import (
    DATA_BYTES,
    RecordRefused,
    check_record,
    finish,
    next_seq,
    open_record,
    prepare_record,
    work_bits,
)
from p2pchat.core.slots import Slot, own_writer
from p2pchat.core.work import mine
from tests.property.matching_world import NOW, PARAMS, sealed

SLOT = Slot(bytes(range(32)), 2976)
WRITER = own_writer(SLOT, b"\7" * 32)


def test_a_record_carries_its_work_and_lives_for_72_hours() -> None:
    raw = sealed(SLOT, WRITER, b"data", bits=9)
    record = check_record(SLOT.loc, raw, NOW, PARAMS)
    assert record.work == work_bits(raw) >= 9
    assert (record.seq, record.expiry - record.seq) == (NOW, 72 * 3600)
    assert (record.writer, record.raw) == (WRITER.public, raw)


def test_the_nonce_decides_the_bytes_and_nothing_else_does() -> None:
    first, second = (prepare_record(SLOT, WRITER, b"data", NOW, bytes((n,)) * 24, PARAMS) for n in (1, 2))
    assert first.digest != second.digest
    assert prepare_record(SLOT, WRITER, b"data", NOW, b"\1" * 24, PARAMS) == first


def test_a_reader_without_the_root_learns_nothing() -> None:
    stranger = Slot(SLOT.root, SLOT.epoch)
    object.__setattr__(stranger, "kenc", bytes(32))
    with pytest.raises(DecryptionError):
        open_record(stranger, sealed(SLOT, WRITER, b"data"), NOW, PARAMS)


def test_the_bound_on_work_is_that_of_the_params() -> None:
    unmined = prepare_record(SLOT, WRITER, b"data", NOW, bytes(24), PARAMS)
    nonce = mine(unmined.digest, 4)
    raw = finish(unmined, nonce)
    enough = replace(PARAMS, work_bits=work_bits(raw))
    assert check_record(SLOT.loc, raw, NOW, enough).raw == raw
    with pytest.raises(RecordRefused, match="work"):
        check_record(SLOT.loc, raw, NOW, replace(PARAMS, work_bits=work_bits(raw) + 1))


@pytest.mark.parametrize(
    ("data", "nonce", "seq"),
    [
        (bytes(DATA_BYTES + 1), bytes(24), NOW),
        (b"", bytes(23), NOW),
        (b"", bytes(24), 65_535),
        (b"", bytes(24), 1 << 32),
    ],
)
def test_what_cannot_be_a_record_is_our_own_defect(data: bytes, nonce: bytes, seq: int) -> None:
    with pytest.raises(InternalError):
        prepare_record(SLOT, WRITER, data, seq, nonce, PRODUCTION)


def test_a_refusal_is_the_remotes_and_says_why() -> None:
    with pytest.raises(PeerError) as refused:
        check_record(SLOT.loc, b"", NOW, PARAMS)
    assert isinstance(refused.value, RecordRefused)
    assert (refused.value.reason, refused.value.error_name) == ("size", "RECORD")


@pytest.mark.parametrize(
    ("now_s", "last", "expected"),
    [(NOW, None, NOW), (NOW, NOW - 9, NOW), (NOW, NOW, NOW + 1), (NOW, NOW + 50, NOW + 51)],
)
def test_seq_always_rises(now_s: int, last: int | None, expected: int) -> None:
    assert next_seq(now_s, last) == expected


def test_reprs_show_no_key_or_content() -> None:
    raw = sealed(SLOT, WRITER, b"data")
    record, _ = open_record(SLOT, raw, NOW, PARAMS)
    unmined = prepare_record(SLOT, WRITER, b"data", NOW, bytes(24), PARAMS)
    assert repr(record) == f"Record(seq={NOW}, expiry={NOW + 259_200}, work={record.work})"
    assert repr(unmined) == f"Unmined(seq={NOW}, expiry={NOW + 259_200})"
