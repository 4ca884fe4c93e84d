"""What is fuzzed: one function that takes any bytes, and what it may say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 4_096


class Malleable(AssertionError):
    """What was decoded has another encoding: two different inputs would mean the same."""


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder.

    Args:
        name: also of its folder below tests/fuzz/corpus.
        decode: takes any bytes; what it returns does not matter. It raises what is declared, and nothing else.
        declared: the errors that its docstring names.
        seeds: makes valid and nearly valid inputs; the same each time.
        max_bytes: of an input.
    """

    name: str
    decode: Callable[[bytes], object]
    declared: tuple[type[Exception], ...]
    seeds: Callable[[], Sequence[bytes]]
    max_bytes: int = MAX_BYTES

    def take(self, data: bytes) -> bool:
        """Whether ``data`` was accepted. What is not declared comes out of it."""
        try:
            self.decode(data)
        except self.declared:
            return False
        return True


def exactly(data: bytes, encoded: bytes) -> None:
    """Raises Malleable unless ``encoded``, made of what ``data`` says, is ``data``."""
    if encoded != data:
        raise Malleable("an input was accepted that no encoder would have written")


def text_of(data: bytes) -> str:
    """``data`` as a text that may hold lone surrogates, as the text of a JSON frame may."""
    return data.decode("utf-8", "surrogateescape")


def joined(first: bytes, second: bytes) -> bytes:
    """Two inputs as one, for decoders that take two."""
    return len(first).to_bytes(2, "big") + first + second


def parted(data: bytes) -> tuple[bytes, bytes]:
    """The two again; any bytes have two parts."""
    end = 2 + int.from_bytes(data[:2], "big")
    return data[2:end], data[end:]
