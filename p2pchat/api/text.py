"""What may stand in a text, and how a text of a stranger is shown on a terminal.

Rules:

- A text is any sequence of Unicode scalar values, NUL included; lone surrogates are no text. Its size is counted in
  UTF-8 bytes.
- What is printed for people is escaped first: a control character could move the cursor, set the title or answer for
  the user, a bidirectional override could make a line read as another. Machine output is never touched.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

TEXT_BYTES: Final = 65_536
"""Longest text of one message, in UTF-8 bytes."""

_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1 controls, line and paragraph separators, bidirectional overrides and isolates, lone surrogates."""

_WITHOUT_WIDTH: Final = ("Mn", "Me", "Cf")  # marks on the character before, joiners
_JAMO: Final = range(0x1160, 0x1200)  # vowels and finals of Hangul that is written in parts
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def is_safe(text: str) -> bool:
    """Whether ``text`` can be printed as it is, on one line, without an effect on what surrounds it."""
    return _UNSAFE.search(text) is None


def is_unicode(text: str) -> bool:
    """Whether ``text`` consists of Unicode scalar values alone, so that UTF-8 can carry it."""
    return text.isascii() or _SURROGATE.search(text) is None  # the codec's error would hold the text


def utf8_bytes(text: str) -> int:
    """How many bytes of UTF-8 ``text``, which is Unicode, takes."""
    return len(text) if text.isascii() else len(text.encode())


def escape(text: str) -> str:
    """``text`` on one line, with every unsafe character written as ``\\n``, ``\\t``, ``\\x1b`` or ``\\u202e``."""
    return _UNSAFE.sub(_escaped, text)


def escape_lines(text: str, indent: str) -> str:
    """``text`` with its own line breaks and tabs, all else escaped; every line after the first begins with ``indent``.

    The indent keeps a text from forging a line that looks like another message.
    """
    return ("\n" + indent).join(_UNSAFE.sub(_escaped_but_tab, line) for line in text.split("\n"))


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: Korean letters, and what else is wide, take two."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _escaped(found: re.Match[str]) -> str:
    character = found.group()
    return character.encode("unicode_escape").decode("ascii")


def _escaped_but_tab(found: re.Match[str]) -> str:
    return "\t" if found.group() == "\t" else _escaped(found)


def _width(character: str) -> int:
    if unicodedata.category(character) in _WITHOUT_WIDTH or ord(character) in _JAMO:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
