"""Names that people give themselves and their contacts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

from p2pchat.base.errors import UsageError

NAME_CHARS: Final = 100
NOTE_TO_SELF: Final = "Note to self"
"""What the conversation with oneself is called."""
RESERVED: Final = frozenset(("self", NOTE_TO_SELF.casefold()))
"""Words, without regard to case, that mean this conversation: no contact is called so."""

_NEAR: Final = 3  # names that may have been meant: more are no help
_COMPARED: Final = 1000  # names, each in 12 µs; of more those alone that begin with the same letter

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


def near_names(typed: str, names: Sequence[str]) -> list[str]:
    """Which of ``names`` may have been meant by ``typed``, three at most: where a word of one begins so, those, else
    those that are spelt alike. Case does not count.
    """
    sought = typed.strip().casefold()
    folded = [(name.casefold(), name) for name in names]
    begun = [name for fold, name in folded if sought and any(word.startswith(sought) for word in (fold, *fold.split()))]
    if begun:
        return begun[:_NEAR]
    if len(folded) > _COMPARED:
        folded = [each for each in folded if each[0][:1] == sought[:1]]
    import difflib  # for who has mistyped: the daemon is smaller without it

    original = dict(folded[:_COMPARED])
    return [original[fold] for fold in difflib.get_close_matches(sought, original, n=_NEAR)]


def _is_unsafe(character: str) -> bool:
    """Controls, line ends, lone surrogates, and what turns the direction of writing; emoji may be joined."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _TURNING
