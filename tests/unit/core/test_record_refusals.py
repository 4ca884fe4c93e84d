"""Every refusal that PROTOCOL.md 3.2 names, by a record that differs from an accepted one in that single thing.

What depends on the change is made anew: the record is signed and worked for as it stands, so nothing else can be why it
is refused. Where a field has another length or form, its neighbours in time make up for it: seq and expiry are shorter
or longer numbers in the year 1970 or 2106, and the record has 969 bytes all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack
import pytest

from p2pchat.base.errors import DecodeError, DecryptionError, PeerError
from p2pchat.core.crypto import KeyPair, aead_seal, blake2b, ed25519_pair, sign
from p2pchat.core.record import RECORD_BYTES, Reason, RecordRefused, check_record, open_record
from p2pchat.core.slots import Slot
from p2pchat.core.work import work_of
from tests.property.matching_world import EPOCH, NOW, PARAMS, ROOT

SLOT, OTHER = Slot(ROOT, EPOCH), Slot(ROOT, EPOCH + 1)
WRITER, STRANGER = ed25519_pair(b"w" * 32), ed25519_pair(b"s" * 32)
TTL = 259_200
BYTE_FIELDS = ("gate", "writer", "sealed", "gate_sig", "writer_sig", "nonce")

Recode = Callable[[Any], bytes]
Sign = Callable[[bytes], bytes]


def packed(value: object) -> bytes:
    data = msgpack.packb(value, use_bin_type=True)
    assert isinstance(data, bytes)
    return data


def padded(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data + bytes(702 - len(data))


def sealed(plain: bytes = padded(b"data"), key: bytes = SLOT.kenc, aad: bytes = SLOT.loc + WRITER.public) -> bytes:
    return bytes(24) + aead_seal(key, bytes(24), plain, b"dcd1" + aad)


def as_text(value: bytes) -> bytes:
    """A text in the place of bytes: as long, and its length written alike."""
    length = bytes((0xD9, len(value))) if len(value) < 256 else b"\xda" + len(value).to_bytes(2, "big")
    return length + b"x" * len(value)


def mined(digest: bytes, least: int, most: int) -> bytes:
    return next(nonce for n in range(1 << 20) if least <= work_of(digest, nonce := n.to_bytes(8, "big")) <= most)


@dataclass(frozen=True)
class Draft:
    """A record in the making; each field may be changed.

    Args:
        gate, writer: whose public keys stand in it.
        sign_gate: of M.
        sign_writer: of M ‖ gate_sig.
        bits: least and most of the work.
        recode: how the field of a name is written, if not by the rule.
        after: the fields that are changed when all is signed; the work is done after that.
    """

    version: int = 1
    gate: bytes = SLOT.gate.public
    writer: bytes = WRITER.public
    seq: int = NOW
    expiry: int = NOW + TTL
    sealed: bytes = field(default_factory=sealed)
    sign_gate: Sign = lambda m: sign(SLOT.gate, m)
    sign_writer: Sign = lambda m: sign(WRITER, m)
    bits: tuple[int, int] = (PARAMS.work_bits, 64)
    array: bytes = b"\x99"
    recode: Mapping[str, Recode] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)

    def raw(self) -> bytes:
        head = {name: getattr(self, name) for name in ("version", "gate", "writer", "seq", "expiry", "sealed")}
        m = self.m(head)
        gate_sig = self.sign_gate(m)
        signed = {**head, "gate_sig": gate_sig, "writer_sig": self.sign_writer(m + gate_sig), **self.after}
        m = self.m({name: signed[name] for name in head})
        digest = blake2b("dcd1/powm", m + signed["gate_sig"] + signed["writer_sig"], 32)
        return self.array + b"".join(self.written({**signed, "nonce": mined(digest, *self.bits)}))

    def m(self, head: dict[str, Any]) -> bytes:
        return b"dcd1/record\0\x96" + b"".join(self.written(head))

    def written(self, fields: dict[str, Any]) -> list[bytes]:
        return [self.recode.get(name, packed)(value) for name, value in fields.items()]


GOOD = Draft()


def reason_of(raw: bytes, now_s: int = NOW) -> str | None:
    """Why a storer refuses, or None; a reader of the slot refuses what a storer does."""
    try:
        check_record(SLOT.loc, raw, now_s, PARAMS)
    except RecordRefused as refused:
        with pytest.raises(RecordRefused, match=refused.reason):
            open_record(SLOT, raw, now_s, PARAMS)
        return refused.reason
    return None


def test_the_record_that_nothing_is_wrong_with() -> None:
    assert reason_of(GOOD.raw()) is None
    assert open_record(SLOT, GOOD.raw(), NOW, PARAMS)[1] == b"data"


# --- length, form, types -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"", GOOD.raw()[:-1], GOOD.raw() + b"\0", GOOD.raw() * 2])
def test_size(raw: bytes) -> None:
    assert reason_of(raw) == "size"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\xc1" * RECORD_BYTES, "form"),
        (b"\x99" * RECORD_BYTES, "field"),
        (b"\x99\x01\xc4\x20" + b"\xc1" * (RECORD_BYTES - 4), "form"),
        (b"\x98" + GOOD.raw()[1:], "field"),
        (b"\x9a" + GOOD.raw()[1:], "field"),
        (b"\xda\x03\xc6" + b"x" * 966, "field"),
    ],
    ids=["no msgpack", "arrays in arrays", "no msgpack further on", "an array of eight", "an array of ten", "a text"],
)
def test_what_is_no_array_of_nine(raw: bytes, reason: Reason) -> None:
    assert len(raw) == RECORD_BYTES
    assert reason_of(raw) == reason


TYPES: dict[str, dict[str, Recode]] = {
    "version is true": {"version": lambda _: b"\xc3"},
    "version is nil": {"version": lambda _: b"\xc0"},
    "version is negative": {"version": lambda _: b"\xff"},
    "version is an empty text": {"version": lambda _: b"\xa0"},
    "version is an empty array": {"version": lambda _: b"\x90"},
    "version is an empty map": {"version": lambda _: b"\x80"},
    **{
        f"{name} is {what}": {name: recode}
        for name in ("seq", "expiry")
        for what, recode in {
            "a float": lambda value: b"\xca" + value.to_bytes(4, "big"),
            "negative": lambda value: b"\xd2" + (-value).to_bytes(4, "big", signed=True),
            "a text": lambda _: b"\xa4" + b"1234",
            "bytes": lambda _: b"\xc4\x03" + b"123",
            "an array": lambda _: b"\x94" + bytes(4),
        }.items()
    },
    **{f"{name} is a text": {name: as_text} for name in BYTE_FIELDS},
}


@pytest.mark.parametrize("name", TYPES)
def test_another_type(name: str) -> None:
    raw = replace(GOOD, recode=TYPES[name]).raw()
    assert len(raw) == RECORD_BYTES
    assert reason_of(raw) == "field"


EARLY, LATE = 1000, 1 << 32  # as numbers 2 bytes shorter and 4 longer than today


@pytest.mark.parametrize("name", BYTE_FIELDS)
def test_a_field_that_is_too_short(name: str) -> None:
    raw = replace(GOOD, seq=LATE, expiry=LATE + TTL, recode={name: lambda value: packed(value[8:])}).raw()
    assert len(raw) == RECORD_BYTES
    assert reason_of(raw, LATE) == "field"


@pytest.mark.parametrize("name", BYTE_FIELDS)
def test_a_field_that_is_too_long(name: str) -> None:
    raw = replace(GOOD, seq=EARLY, expiry=EARLY + 1000, recode={name: lambda value: packed(value + bytes(4))}).raw()
    assert len(raw) == RECORD_BYTES
    assert reason_of(raw, EARLY) == "field"


def test_one_field_too_many() -> None:
    recode: dict[str, Recode] = {"nonce": lambda value: packed(value) + b"\xcc\xff"}
    raw = replace(GOOD, seq=EARLY, expiry=70_000, array=b"\x9a", recode=recode).raw()
    assert len(raw) == RECORD_BYTES
    assert reason_of(raw, EARLY) == "field"


# --- canonical form ------------------------------------------------------------------------------------------------

# 2, 3 or 4 bytes are free, and the one field in the long form takes them
FREE = {2: (EARLY, 70_000), 3: (200, 70_000), 4: (EARLY, EARLY + 1000)}
LONG_FORMS: dict[str, tuple[int, Recode]] = {
    "version": (4, lambda value: b"\xce" + value.to_bytes(4, "big")),
    "version, signed": (4, lambda value: b"\xd2" + value.to_bytes(4, "big")),
    "seq": (2, lambda value: b"\xce" + value.to_bytes(4, "big")),
    **{name: (3, lambda value: b"\xc6" + len(value).to_bytes(4, "big") + value) for name in BYTE_FIELDS},
    "sealed": (2, lambda value: b"\xc6" + len(value).to_bytes(4, "big") + value),
}


@pytest.mark.parametrize("name", LONG_FORMS)
def test_a_form_that_is_not_the_shortest(name: str) -> None:
    free, recode = LONG_FORMS[name]
    seq, expiry = FREE[free]
    raw = replace(GOOD, seq=seq, expiry=expiry, recode={name.partition(",")[0]: recode}).raw()
    assert len(raw) == RECORD_BYTES
    assert reason_of(raw, seq) == "noncanonical"


@pytest.mark.parametrize(("array", "free"), [(b"\xdc\0\x09", 2), (b"\xdd\0\0\0\x09", 4)])
def test_an_array_that_is_not_in_the_shortest_form(array: bytes, free: int) -> None:
    seq, expiry = FREE[free]
    raw = replace(GOOD, seq=seq, expiry=expiry, array=array).raw()
    assert len(raw) == RECORD_BYTES
    assert reason_of(raw, seq) == "noncanonical"


@pytest.mark.parametrize("name", ["seq", "expiry"])
def test_a_number_in_the_signed_form(name: str) -> None:
    raw = replace(GOOD, recode={name: lambda value: b"\xd2" + value.to_bytes(4, "big")}).raw()
    assert reason_of(raw) == "noncanonical"


# --- version, slot, time, work, signatures -------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 2, 127])
def test_version(version: int) -> None:
    assert reason_of(replace(GOOD, version=version).raw()) == "version"


def test_another_slot() -> None:
    assert reason_of(replace(GOOD, gate=OTHER.gate.public, sign_gate=lambda m: sign(OTHER.gate, m)).raw()) == "loc"
    with pytest.raises(RecordRefused, match="loc"):
        check_record(OTHER.loc, GOOD.raw(), NOW, PARAMS)


@pytest.mark.parametrize(
    ("seq", "expiry", "now_s", "reason"),
    [
        (NOW + 600, NOW + 600 + TTL, NOW, None),
        (NOW + 601, NOW + 600 + TTL, NOW, "time"),
        (NOW, NOW + TTL, NOW, None),
        (NOW, NOW + TTL + 1, NOW, "time"),
        (NOW + 300, NOW + 301, NOW, None),
        (NOW + 300, NOW + 300, NOW, "time"),
        (NOW + 300, NOW + 299, NOW, "time"),
        (NOW, NOW + 100, NOW + 99, None),
        (NOW, NOW + 100, NOW + 100, "time"),
        (NOW, NOW + 100, NOW + TTL, "time"),
    ],
)
def test_time(seq: int, expiry: int, now_s: int, reason: Reason | None) -> None:
    assert reason_of(replace(GOOD, seq=seq, expiry=expiry).raw(), now_s) == reason


@pytest.mark.parametrize(("bits", "reason"), [(4, None), (3, "work"), (0, "work")])
def test_work(bits: int, reason: Reason | None) -> None:
    assert PARAMS.work_bits == 4
    assert reason_of(replace(GOOD, bits=(bits, bits)).raw()) == reason


def flipped(data: bytes, position: int = 0) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def signed_by(pair: KeyPair, change: Sign = lambda m: m) -> Sign:
    return lambda m: sign(pair, change(m))


UNSIGNED: dict[str, Draft] = {
    "the gate's, by another": replace(GOOD, sign_gate=signed_by(STRANGER)),
    "the gate's, by the writer": replace(GOOD, sign_gate=signed_by(WRITER)),
    "the gate's, with a bit flipped": replace(GOOD, sign_gate=lambda m: flipped(sign(SLOT.gate, m))),
    "the gate's, in its other half": replace(GOOD, sign_gate=lambda m: flipped(sign(SLOT.gate, m), 40)),
    "the gate's, without the label": replace(GOOD, sign_gate=signed_by(SLOT.gate, lambda m: m[12:])),
    "the gate's, over all zeros": replace(GOOD, sign_gate=lambda _: bytes(64)),
    "the writer's, by another": replace(GOOD, sign_writer=signed_by(STRANGER)),
    "the writer's, by the gate": replace(GOOD, sign_writer=signed_by(SLOT.gate)),
    "the writer's, with a bit flipped": replace(GOOD, sign_writer=lambda m: flipped(sign(WRITER, m))),
    "the writer's, without the gate's signature": replace(GOOD, sign_writer=signed_by(WRITER, lambda m: m[:-64])),
    "the writer's, without the label": replace(GOOD, sign_writer=signed_by(WRITER, lambda m: m[12:])),
    "seq was raised": replace(GOOD, after={"seq": NOW + 1}),
    "expiry was lowered": replace(GOOD, after={"expiry": NOW + TTL - 1}),
    "the writer was exchanged": replace(GOOD, after={"writer": STRANGER.public}),
    "the content was changed": replace(GOOD, after={"sealed": flipped(GOOD.sealed, 300)}),
}


@pytest.mark.parametrize("name", UNSIGNED)
def test_signatures(name: str) -> None:
    assert reason_of(UNSIGNED[name].raw()) == "signature"


def test_a_gate_signature_is_not_taken_from_another_record_of_the_same_writer() -> None:
    older = msgpack.unpackb(replace(GOOD, seq=NOW - 1).raw(), raw=False)
    assert reason_of(replace(GOOD, sign_gate=lambda _: older[6]).raw()) == "signature"
    assert reason_of(replace(GOOD, sign_writer=lambda _: older[7]).raw()) == "signature"


@pytest.mark.parametrize(
    ("draft", "now_s", "reason"),
    [
        (
            replace(GOOD, recode={"version": lambda _: b"\xc3", "seq": lambda v: b"\xd2" + v.to_bytes(4, "big")}),
            NOW,
            "field",
        ),
        (replace(GOOD, version=2, recode={"seq": lambda v: b"\xd2" + v.to_bytes(4, "big")}), NOW, "noncanonical"),
        (replace(GOOD, version=2, gate=OTHER.gate.public), NOW, "version"),
        (replace(GOOD, gate=OTHER.gate.public), NOW + TTL, "loc"),
        (replace(GOOD, bits=(0, 3)), NOW + TTL, "time"),
        (replace(GOOD, bits=(0, 3), sign_gate=signed_by(STRANGER)), NOW, "work"),
    ],
)
def test_the_first_rule_that_is_broken_is_the_reason(draft: Draft, now_s: int, reason: Reason) -> None:
    assert reason_of(draft.raw(), now_s) == reason


# --- what only a reader sees ---------------------------------------------------------------------------------------

UNREADABLE: dict[str, tuple[bytes, type[PeerError]]] = {
    "sealed with another slot's key": (sealed(key=OTHER.kenc), DecryptionError),
    "sealed for another slot": (sealed(aad=OTHER.loc + WRITER.public), DecryptionError),
    "sealed for another writer": (sealed(aad=SLOT.loc + STRANGER.public), DecryptionError),
    "a bit of the nonce flipped": (flipped(GOOD.sealed), DecryptionError),
    "a bit of the content flipped": (flipped(GOOD.sealed, 24), DecryptionError),
    "a bit of the tag flipped": (flipped(GOOD.sealed, 743), DecryptionError),
    "a length of 703": (sealed(b"\x02\xbf" + bytes(702)), DecodeError),
    "a length of 65535": (sealed(b"\xff\xff" + bytes(702)), DecodeError),
    "the first byte of padding is not zero": (sealed(b"\0\4data\1" + bytes(697)), DecodeError),
    "the last byte of padding is not zero": (sealed(padded(b"data")[:-1] + b"\1"), DecodeError),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_a_storer_keeps_and_a_reader_refuses(name: str) -> None:
    ct, error = UNREADABLE[name]
    raw = replace(GOOD, sealed=ct).raw()
    assert reason_of(raw) is None
    with pytest.raises(error) as refused:
        open_record(SLOT, raw, NOW, PARAMS)
    assert refused.type is error


@pytest.mark.parametrize("data", [b"", b"x" * 702])
def test_the_shortest_and_the_longest_data(data: bytes) -> None:
    raw = replace(GOOD, sealed=sealed(padded(data))).raw()
    assert open_record(SLOT, raw, NOW, PARAMS)[1] == data
