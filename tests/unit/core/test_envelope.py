"""The layout of envelopes and headers."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import DecodeError
from p2pchat.core.envelope import (
    MIN_ENVELOPE_BYTES,
    Header,
    decode_header,
    encode_header,
    join_prefix,
    max_envelope_bytes,
    split_envelope,
)

DHS, KEM, KCT = b"d" * 32, b"k" * 1184, b"c" * 1088


@pytest.mark.parametrize(
    ("header", "flags", "length"),
    [
        (Header(DHS, 1, 2), 0, 41),
        (Header(DHS, 1, 2, KEM), 1, 1225),
        (Header(DHS, 1, 2, None, KCT), 2, 1129),
        (Header(DHS, 2**32 - 1, 2**32 - 1, KEM, KCT), 3, 2313),
    ],
)
def test_header(header: Header, flags: int, length: int) -> None:
    data = encode_header(header)
    assert (data[0], len(data)) == (flags, length)
    assert decode_header(data) == header


def test_header_bytes() -> None:
    assert encode_header(Header(DHS, 258, 3)) == b"\x00" + DHS + bytes((0, 0, 1, 2, 0, 0, 0, 3))


@pytest.mark.parametrize("flags", [4, 8, 0x80, 0xFF])
def test_header_refuses_unknown_flags(flags: int) -> None:
    with pytest.raises(DecodeError):
        decode_header(bytes([flags]) + encode_header(Header(DHS, 0, 0, KEM, KCT))[1:])


@pytest.mark.parametrize("header", [Header(DHS, 0, 0), Header(DHS, 0, 0, KEM), Header(DHS, 0, 0, KEM, KCT)])
def test_header_refuses_other_lengths(header: Header) -> None:
    data = encode_header(header)
    for wrong in (b"", data[:-1], data + b"\x00"):
        with pytest.raises(DecodeError):
            decode_header(wrong)


def test_split_is_the_inverse_of_joining() -> None:
    prefix = join_prefix(b"h" * 8, b"n" * 24, b"e" * 57)
    parts = split_envelope(prefix + b"b" * 272)
    assert (parts.hint, parts.nonce, parts.sealed_header) == (b"h" * 8, b"n" * 24, b"e" * 57)
    assert (parts.prefix, parts.sealed_body) == (prefix, b"b" * 272)


def test_sizes() -> None:
    assert MIN_ENVELOPE_BYTES == 8 + 24 + 2 + 57 + 272
    assert max_envelope_bytes(262_172) == 8 + 24 + 2 + 2313 + 16 + 270_336 + 16


@pytest.mark.parametrize("envelope", [b"", bytes(MIN_ENVELOPE_BYTES - 1), b"\xff" * MIN_ENVELOPE_BYTES])
def test_split_refuses_what_is_too_short(envelope: bytes) -> None:
    with pytest.raises(DecodeError):
        split_envelope(envelope)
