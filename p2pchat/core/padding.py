"""Padding that hides the length of what an envelope holds (PROTOCOL.md 4.4).

Every content has exactly one padded form; a receiver refuses any other, so nothing can be smuggled in its length.
"""

from __future__ import annotations

from typing import Final

from p2pchat.base.errors import DecodeError

MIN_BYTES: Final = 256
_MARK: Final = b"\x80"


def padme(length: int) -> int:
    """PADMÉ(``length``) for a length of at least 1: at most 12 % more. Source: PROTOCOL.md 4.4."""
    exponent = length.bit_length() - 1
    mask = (1 << max(exponent - exponent.bit_length(), 0)) - 1
    return (length + mask) & ~mask


def padded_bytes(content_bytes: int) -> int:
    """The size of the padded form of so many bytes."""
    return max(MIN_BYTES, padme(content_bytes + 1))


def pad(content: bytes) -> bytes:
    """``content ‖ 80 ‖ zeros``. Source: PROTOCOL.md 4.4."""
    return (content + _MARK).ljust(padded_bytes(len(content)), b"\0")


def unpad(padded: bytes) -> bytes:
    """The inverse of :func:`pad`.

    Raises:
        DecodeError: not the one padded form of any content.
    """
    marked = padded.rstrip(b"\0")
    content = marked[:-1]
    if not marked.endswith(_MARK) or padded_bytes(len(content)) != len(padded):
        raise DecodeError("the padding is wrong")
    return content
