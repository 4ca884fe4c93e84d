"""Canonical msgpack for everything that is signed, hashed or sent (PROTOCOL.md 0).

``decode`` accepts exactly the bytes that ``encode`` would make: shortest forms, no trailing bytes, the declared types.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from p2pchat.base.errors import DecodeError

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()


def encode(value: object) -> bytes:
    """Canonical bytes of a wire struct, list, tuple, int, bytes, str, bool or None."""
    return _encoder.encode(value)


class Decoder(Generic[T]):
    """Decodes one declared type, strictly.

    Args:
        kind: the msgspec type; every field bounded with ``Meta``.
        max_bytes: longer input is refused before it is parsed.
    """

    def __init__(self, kind: type[T], max_bytes: int) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._max_bytes = max_bytes

    def decode(self, data: bytes) -> T:
        """The value.

        Raises:
            DecodeError: too long, not of the declared form, or not canonical.
        """
        if len(data) > self._max_bytes:
            raise DecodeError("longer than its bound")
        # raised outside of the except: an error of the library holds the peer's bytes, and would be chained
        value = self._parse(data)
        if value is None:
            raise DecodeError("not of the declared form")
        if _encoder.encode(value) != data:
            raise DecodeError("not canonical")
        return value

    def _parse(self, data: bytes) -> T | None:
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
