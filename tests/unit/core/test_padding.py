"""Every content has one padded form, and its length tells little."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import DecodeError
from p2pchat.core.padding import pad, padded_bytes, padme, unpad


@pytest.mark.parametrize(
    ("length", "padded"),
    [
        (1, 1), (2, 2), (3, 3), (8, 8), (9, 10), (100, 104), (256, 256), (257, 272), (272, 272), (273, 288), (511, 512),
        (1000, 1024), (1025, 1088), (4097, 4352), (65_536, 65_536), (65_537, 67_584), (100_000, 100_352),
        (262_173, 270_336),
    ],
)  # fmt: skip
def test_padme(length: int, padded: int) -> None:
    assert padme(length) == padded


def test_padme_adds_at_most_12_percent() -> None:
    assert all(length <= padme(length) <= length * 1.12 for length in range(9, 20_000))


@pytest.mark.parametrize(("content", "padded"), [(0, 256), (255, 256), (256, 272), (271, 272), (272, 288)])
def test_padded_bytes(content: int, padded: int) -> None:
    assert padded_bytes(content) == len(pad(bytes(content))) == padded


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x00", b"a\x80\x00", bytes(255), bytes(256), b"\x80" * 1000])
def test_unpad_is_the_inverse(content: bytes) -> None:
    assert unpad(pad(content)) == content


@pytest.mark.parametrize(
    "padded",
    [b"", bytes(256), b"a" * 256, b"a\x80", b"a\x80" + bytes(255), b"a\x80" + bytes(270), pad(b"a") + b"\x01"],
    ids=["empty", "no mark", "no zeros", "short", "one too many", "a size too large", "something after"],
)
def test_unpad_refuses(padded: bytes) -> None:
    with pytest.raises(DecodeError):
        unpad(padded)
