"""Canonical msgpack: one value, one form; anything else is a DecodeError and nothing worse."""

from __future__ import annotations

from typing import Annotated

import pytest
from msgspec import Meta

from p2pchat.base.errors import Corrupt, DecodeError
from p2pchat.core.codec import Decoder, encode
from p2pchat.core.stored import load
from p2pchat.core.structs import U64, Form
from tests.vectors.independent_session import pack


class Sample(Form, frozen=True):
    number: U64
    data: Annotated[bytes, Meta(max_length=4)]
    text: str


DECODER = Decoder(Sample, 64)
SAMPLE = Sample(7, b"ab", "x")


def test_encode_is_what_the_independent_library_makes() -> None:
    values: list[object] = [[1, 2**64 - 1, -1, True, None], [b"a" * 300, "ü" * 40], [[], [[b""]]]]
    assert all(encode(value) == pack(value) for value in values)
    assert encode(SAMPLE) == pack([7, b"ab", "x"])


def test_decode_is_the_inverse() -> None:
    assert DECODER.decode(encode(SAMPLE)) == SAMPLE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode([7, b"ab"]),
        encode([7, b"ab", "x", 1]),
        encode([-1, b"ab", "x"]),
        encode([7.0, b"ab", "x"]),
        encode([True, b"ab", "x"]),
        encode([7, "ab", "x"]),
        encode([7, b"abcde", "x"]),
        encode([7, b"ab", b"x"]),
        encode({"number": 7, "data": b"ab", "text": "x"}),
        encode(SAMPLE) + b"\x00",
        b"\x93\xcc\x07" + encode(b"ab") + encode("x"),
        b"\x93\x07\xc5\x00\x02ab" + encode("x"),
        b"\x93\x07\xc4\x02ab\xd9\x01x",
        b"\xdc\x00\x03\x07\xc4\x02ab\xa1x",
        b"\x93\x07\xc4\x02ab\xa2\xff\xff",
        b"\x93\x07\xc7\x02\x01ab\xa1x",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 60,
        encode([7, b"ab", "x" * 64]),
    ],
    ids=[
        "empty", "too few", "too many", "negative", "float", "bool", "str for bin", "over its bound", "bin for str",
        "map", "trailing", "long integer", "long bin", "long str", "long array", "not UTF-8", "extension", "no end",
        "deep", "over all bounds",
    ],
)  # fmt: skip
def test_decode_refuses(data: bytes) -> None:
    with pytest.raises(DecodeError):
        DECODER.decode(data)


def test_load_blames_the_disk() -> None:
    assert load(DECODER, encode(SAMPLE)) == SAMPLE
    with pytest.raises(Corrupt):
        load(DECODER, b"\x90")


def test_a_form_shows_its_name_only() -> None:
    assert repr(SAMPLE) == "Sample(…)"
