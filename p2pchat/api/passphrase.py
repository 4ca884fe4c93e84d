"""Passphrases: how long they are, and the files in which they are given.

Rules:

- A passphrase is 1 to ``PASSPHRASE_BYTES`` bytes; a text stands for its UTF-8.
- It is given in a file, on a terminal or over the socket: the arguments and the environment of a process can be read by
  others.
- No error about one holds any of it.

Source: docs/CONTROL-API.md, "Methods".
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from p2pchat.api.text import is_unicode
from p2pchat.base.errors import UsageError
from p2pchat.base.silent import Silent

PASSPHRASE_BYTES: Final = 1024
BOUNDS: Final = f"A passphrase has 1 to {PASSPHRASE_BYTES} bytes."


class Passphrase(Silent):
    """A passphrase as a parameter: its bytes."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @classmethod
    def revive(cls, value: object) -> Passphrase:
        """From what a request holds, text or bytes.

        Raises:
            ValueError: it is neither, or too short or too long.
        """
        raw = value.encode() if isinstance(value, str) and is_unicode(value) else value
        if not isinstance(raw, bytes):
            raise ValueError("must be a text, or bytes")
        if not fits(raw):
            raise ValueError(f"must have 1 to {PASSPHRASE_BYTES} bytes")
        return cls(raw)


def fits(raw: bytes) -> bool:
    """Whether ``raw`` is as long as a passphrase may be."""
    return 0 < len(raw) <= PASSPHRASE_BYTES


def passphrase_from(path: Path) -> bytes:
    """A passphrase from a file: its content without one line break at the end.

    Raises:
        UsageError: it cannot be read, or is empty or too long.
    """
    try:
        with path.open("rb") as file:
            content = file.read(PASSPHRASE_BYTES + 3)
    except OSError as error:
        raise UsageError(f"The passphrase file cannot be read: {error.strerror}.") from error
    content = content.removesuffix(b"\n").removesuffix(b"\r")
    if not fits(content):
        raise UsageError(BOUNDS)
    return content
