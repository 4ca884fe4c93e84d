"""vCards (versions 2.1, 3.0, 4.0): the names and numbers of all cards of a file.

Rules:

- The file is cut into cards here and each is read by itself, so a broken one costs no other. A card that is not ended
  is refused: its last number may be cut.
- vobject unfolds (quoted-printable included, ``allowQP``), takes lines apart and decodes. It gets the lines that
  matter and no picture, and only lines that :data:`_HEAD` fits: on others its own pattern takes exponential time.
- What it reads is bytes, one character each: a fold may stand inside a letter. They become text line by line, by the
  line's CHARSET, as UTF-8 or as CP949, which is what Korean phones wrote.
- The name is FN, else N, NICKNAME or ORG. Every number is an entry of its own.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from vobject.base import ContentLine, VObjectError, getLogicalLines, parseLine

from p2pchat.api.language import marked
from p2pchat.cli.addressbook.entry import FAX, NO_NUMBER, Found, Refusal, entry, full_name, shown
from p2pchat.cli.addressbook.text import charset, decoded

NOT_ENDED: Final = marked("The card is not ended.")
UNREADABLE: Final = marked("The card cannot be read.")
TOO_LARGE: Final = marked("The card's names and numbers are longer than any person's.")

CARD_LINES: Final = 128
CARD_BYTES: Final = 16_384
"""Of the lines that matter, continuations included: vobject takes their product in time."""

_MATTERS: Final = ("FN", "N", "NICKNAME", "ORG", "TEL")
_NO_TALK: Final = {"FAX", "PAGER", "MODEM"}
_MARK: Final = re.compile(rb"\s*(?:[\w-]+\.)?(BEGIN|END)\s*:\s*VCARD\s*", re.IGNORECASE)
_NAME: Final = re.compile(rb"(?:[\w-]+\.)?([\w-]+)\s*[;:]")
_WORDS: Final = re.compile("[;=,]")
_HEAD: Final = re.compile(
    r'[\w-]+(?:\.[\w-]+)?(?:;[\w-]+(?:=(?:"[^"]*"|[^";:,]*)(?:,(?:"[^"]*"|[^";:,]*))*)?)*:', re.ASCII
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_NOT_ESCAPED: Final = re.compile(r"(?<!\\);")


@dataclass(slots=True)
class _Card:
    """A card that is not over.

    Attributes:
        line: where it begins.
        lines: those that matter, each with where it stands.
        size: of these, in bytes.
        nested: cards within it that are not over.
        agent: the last line was an AGENT, whose card begins in a line of its own.
        kept: the last line mattered, and so does what continues it.
        quoted: the property is quoted-printable.
        soft: the last line ended in the middle of such a value.
    """

    line: int
    lines: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]], repr=False)
    size: int = 0
    nested: int = 0
    agent: bool = False
    kept: bool = False
    quoted: bool = False
    soft: bool = False

    def add(self, number: int, line: bytes) -> None:
        """Keep a line of a property that matters, or what continues one."""
        if self.nested:
            return
        if not (self.soft or line[:1] in (b" ", b"\t")):
            found = _NAME.match(line)
            name = found[1].upper() if found else b""
            self.kept = name.decode("latin-1") in _MATTERS
            self.agent = name == b"AGENT"
            self.quoted = b"quoted-printable" in line.lower()
        self.soft = self.quoted and line.endswith(b"=")
        if self.kept and not self.is_too_large:
            self.lines.append((number, line))
            self.size += len(line)

    @property
    def is_too_large(self) -> bool:
        return len(self.lines) > CARD_LINES or self.size > CARD_BYTES


@dataclass(frozen=True, slots=True)
class _Property:
    """A line of a card, decoded. ``kinds``: the words of its parameters in capitals."""

    line: int
    name: str = field(repr=False)
    kinds: frozenset[str] = field(repr=False)
    value: str = field(repr=False)


def read_cards(data: bytes) -> Iterator[Found]:
    """Everything that a file of cards holds. ``data``: not UTF-16."""
    card: _Card | None = None
    for number, line in enumerate(data.splitlines(), 1):
        mark = _MARK.fullmatch(line)
        begins = mark is not None and mark[1].upper() == b"BEGIN"
        if card is None:
            card = _Card(number) if begins else None
        elif mark is None:
            card.add(number, line)
        elif begins and (card.agent or card.nested):
            card.nested += 1
            card.agent = False
        elif begins:
            yield Refusal(card.line, NOT_ENDED)
            card = _Card(number)
        elif card.nested:
            card.nested -= 1
        else:
            yield from _entries(card)
            card = None
    if card is not None:
        yield Refusal(card.line, NOT_ENDED)


def _entries(card: _Card) -> Iterator[Found]:
    if card.is_too_large:
        yield Refusal(card.line, TOO_LARGE)
        return
    try:
        properties = list(_properties(card))
    except (VObjectError, ValueError, LookupError, TypeError):
        # vobject raises what its line happened to meet; that the card cannot be read is all there is to say
        yield Refusal(card.line, UNREADABLE)
        return
    name = _name({of.name: of.value for of in reversed(properties) if shown(of.value)})
    numbers = [of for of in properties if of.name == "TEL"]
    if not numbers:
        yield Refusal(card.line, NO_NUMBER)
    for number in numbers:
        is_fax = number.kinds & _NO_TALK and "CELL" not in number.kinds
        yield Refusal(number.line, FAX) if is_fax else entry(number.line, name, _unescaped(number.value))


def _name(values: dict[str, str]) -> str | None:
    """What the card calls its person: FN, N, NICKNAME or ORG, the first that says anything."""
    family, given, *_ = [*map(_unescaped, _NOT_ESCAPED.split(values.get("N", ""))), "", ""]
    found = (
        _unescaped(values.get("FN", "")),
        full_name(family, given),
        _unescaped(values.get("NICKNAME", "")),
        " ".join(map(_unescaped, _NOT_ESCAPED.split(values.get("ORG", "")))),
    )
    return next((name for name in map(shown, found) if name), None)


def _unescaped(value: str) -> str:
    return _ESCAPED.sub(lambda found: " " if found[1] in "nN" else found[1], value)


def _properties(card: _Card) -> Iterator[_Property]:
    text = b"\n".join(line for _, line in card.lines).decode("latin-1")
    for line, first in getLogicalLines(io.StringIO(text), allowQP=True):
        yield _property(card.lines[max(first, 1) - 1][0], line)


def _property(number: int, line: str) -> _Property:
    """A logical line, one character a byte, taken apart and decoded."""
    if _HEAD.match(line):
        name, parameters, value, _ = parseLine(line)
    else:  # such as Android's ;X-CUSTOM(CHARSET=…): the number behind it is as good as any
        head, _, value = line.partition(":")
        name, *rest = head.split(";")
        name, parameters = name.rpartition(".")[2], [_WORDS.split(each) for each in rest]
    words = [[word.strip().upper() for word in parameter] for parameter in parameters]
    declared = next((charset(rest[0]) for of, *rest in words if of == "CHARSET" and rest), None)
    kinds = frozenset(word for parameter in words for word in parameter)
    if "QUOTED-PRINTABLE" in kinds:
        # taken as Latin-1, which is one character a byte again
        quoted = [["ENCODING", "QUOTED-PRINTABLE"], ["CHARSET", "latin-1"]]
        value = ContentLine(name, quoted, value).value
    return _Property(number, name.strip().upper(), kinds, decoded(value.encode("latin-1", "replace"), declared))
