"""Names that people give themselves and their contacts."""

from __future__ import annotations

import unicodedata
from typing import Final

from p2pchat.base.errors import UsageError

NAME_CHARS: Final = 100
NOTE_TO_SELF: Final = "Note to self"
"""What the conversation with oneself is called."""
RESERVED: Final = frozenset(("self", NOTE_TO_SELF.casefold()))
"""Words, without regard to case, that mean this conversation: no contact is called so."""

_TURNING: Final = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))


def checked_name(name: str) -> str:
    """``name`` without surrounding space.

    Raises:
        UsageError: empty, longer than 100 characters, or with control characters.
    """
    name = name.strip()
    if not name or len(name) > NAME_CHARS or any(map(_is_unsafe, name)):
        sentence = f"name: has 1 to {NAME_CHARS} characters, none of them a control character"
        raise UsageError(sentence, data={"param": "name"})
    return name


def means_self(name: str) -> bool:
    """Whether ``name`` is a word for the conversation with oneself."""
    return name.strip().casefold() in RESERVED


def contact_name(name: str) -> str:
    """``name`` without surrounding space, as that of a contact.

    Raises:
        UsageError: as :func:`checked_name`, or it is reserved.
    """
    if means_self(name):
        raise UsageError("name: is the one of the notes to yourself", data={"param": "name"})
    return checked_name(name)


def _is_unsafe(character: str) -> bool:
    """Controls, line ends, lone surrogates, and what turns the direction of writing; emoji may be joined."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _TURNING
