"""What is found in a book: entries and refusals, and what is made of a name and a number before the daemon sees them.

Rules:

- Every card, row and number of a file ends as an entry or as a refusal with its line: none is passed over in silence.
- A reason is one sentence that holds no name and no number.
- A name is made presentable and never a reason to refuse: what is unsafe on a terminal goes, what is too long is cut.
  Numbers are only bounded: what they mean is the daemon's to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from p2pchat.api.language import marked
from p2pchat.api.text import is_safe

FILE_BYTES: Final = 64 << 20
"""A book with pictures of a thousand people; what is bigger is refused unread."""

ENTRIES: Final = 20_000
NUMBER_CHARS: Final = 128
NAME_CHARS: Final = 100

MANY: Final = marked("A file may have {most} entries: from here on nothing was read.")
NO_NUMBER: Final = marked("There is no phone number.")
LONG: Final = marked("This is longer than any phone number.")
FAX: Final = marked("This is the number of a fax machine or pager.")

_SPACE: Final = re.compile(r"\s+")
_CJK: Final = re.compile("[\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One number. ``line``: where it stands, counted from 1."""

    line: int
    name: str | None = field(repr=False)
    number: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why what begins in ``line`` is no entry."""

    line: int
    reason: str = field(repr=False)


Found = Entry | Refusal


def bounded(found: Iterable[Found]) -> Iterator[Found]:
    """The first of them, and a word where there are more."""
    for number, each in enumerate(found):
        if number == ENTRIES:
            yield Refusal(each.line, MANY.format(most=ENTRIES))
            return
        yield each


def entry(line: int, name: str | None, number: str) -> Found:
    """A number as it stands in a book: ``tel:`` URIs are resolved."""
    number = _dialled(number.strip())
    if not number:
        return Refusal(line, NO_NUMBER)
    if len(number) > NUMBER_CHARS:
        return Refusal(line, LONG)
    return Entry(line, name, "".join(char if is_safe(char) else "?" for char in number))


def _dialled(number: str) -> str:
    """The digits of a ``tel:`` URI (RFC 3966), with the country that it names; anything else as it is."""
    if number[:4].lower() != "tel:":
        return number
    dialled, *parameters = unquote(number[4:], errors="replace").split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.lower() == "ext":
            return number  # the daemon says why not
        if name.lower() == "phone-context" and value.startswith("+") and not dialled.startswith("+"):
            dialled = value + " " + dialled
    return dialled


def shown(name: str) -> str | None:
    """A name that can be shown on one line, or None where nothing is left of it."""
    safe = "".join(char if is_safe(char) else " " for char in name[: 16 * NAME_CHARS])
    return _SPACE.sub(" ", safe).strip()[:NAME_CHARS].strip() or None


def full_name(family: str, given: str) -> str:
    """Both in the order in which they are spoken: 홍길동, but Gildong Hong."""
    family, given = family.strip(), given.strip()
    if _CJK.fullmatch(family + given):
        return family + given
    return f"{given} {family}"
