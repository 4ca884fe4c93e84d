"""A command line as somebody types it into a shell, up to the cursor: its words, and how one goes on.

Rules:

- What bash and zsh have in common: white space, backslashes, ``'…'`` and ``"…"``. Nothing is expanded; a word in which
  something would be has no value.
- :meth:`Word.quoted` goes on in the quote that is open, and what it returns stands for exactly the characters given,
  whatever they are.

Source: POSIX.1-2024, Shell Command Language, 2.2 "Quoting"; the Bash manual, 3.1.2 and 9.3 ("!").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./,:@%+=-]")
_EXPANDED: Final = "$`"


@dataclass(slots=True)
class Word:
    """One word.

    Attributes:
        value: without its quotes; None if something in it would be expanded.
        quote: what is open at its end: ``'``, ``"``, or nothing.
        fresh: whether nothing stands behind that yet.
    """

    value: str | None = field(default="", repr=False)
    quote: Literal["", "'", '"'] = ""
    fresh: bool = False

    def quoted(self, more: str) -> str:
        """``more`` as readline is to put it behind this word. It closes the open quote itself, unless one stands at the
        end, and takes one at the beginning for that which is open.
        """
        if not self.quote:
            return "".join(each if _PLAIN.match(each) or not each.isascii() else f"\\{each}" for each in more)
        if self.quote == "'":
            shown = more.replace("'", "'\\''")
        else:
            # a backslash before ! stays in the text, and without one bash may replace what follows by a former command
            shown = re.sub(r'[$`"\\]', r"\\\g<0>", more).replace("!", "\"'!'\"")
        shown = self.quote + shown if self.fresh and shown.startswith(self.quote) else shown
        return shown + self.quote if shown.endswith(self.quote) else shown


def read_line(line: str) -> tuple[list[str], Word]:
    """The words before the last one, and that: an empty one behind white space."""
    words: list[str] = []
    current: Word | None = None
    at = 0
    while at < len(line):
        character = line[at]
        at += 1
        if character in " \t\n" and (current is None or not current.quote):
            if current is not None:
                words.append(current.value or "")
            current = None
            continue
        current = current or Word()
        if character == "\\" and current.quote != "'":
            at = _escaped(line, at, current)
        elif character == current.quote:
            current.quote = ""
        elif character in ("'", '"') and not current.quote:
            current.quote, current.fresh = ("'" if character == "'" else '"'), True
        elif character in _EXPANDED and current.quote != "'":
            current.value = None
        else:
            _add(current, character)
    return words, current or Word()


def _escaped(line: str, at: int, word: Word) -> int:
    """Take what stands behind a backslash; where to go on."""
    if at == len(line):
        word.value = None  # what will be escaped is not typed yet
        return at
    if word.quote and line[at] not in '$`"\\\n':
        _add(word, "\\")
    _add(word, line[at])
    return at + 1


def _add(word: Word, text: str) -> None:
    word.fresh = False
    if word.value is not None:
        word.value += text
