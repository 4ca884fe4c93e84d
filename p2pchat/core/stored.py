"""Decoding of what this node itself has written to its encrypted database: the strict decoder, blaming the disk."""

from __future__ import annotations

from typing import TypeVar

from p2pchat.base.errors import Corrupt, DecodeError
from p2pchat.core.codec import Decoder

T = TypeVar("T")


def load(decoder: Decoder[T], data: bytes) -> T:
    """The value that was dumped.

    Raises:
        Corrupt: ``data`` is not what ``dump`` wrote.
    """
    try:
        return decoder.decode(data)
    except DecodeError as error:
        raise Corrupt("a stored key or session is damaged") from error
