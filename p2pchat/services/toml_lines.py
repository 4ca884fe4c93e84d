"""A TOML file that is changed in one place, with all else left as its owner wrote it: comments, order, blank lines.

Rules:

- A value is replaced where it stands. A new one goes below the last one of its table, else into a new table at the end.
- What is read is what :mod:`tomllib` reads; statements are only looked for here, in a text that it has taken. Whoever
  writes the result reads it once more before.
- Tables in braces are not looked into.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

from p2pchat.base.silent import Silent

_BLANK: Final = " \t\r"


@dataclass(frozen=True, slots=True, repr=False)
class _Statement(Silent):
    """One line, or several: places in the text. ``path``: its name from the root on; ``table``: below whose header it
    stands. Of a header ``value`` is empty."""

    path: tuple[str, ...]
    table: tuple[str, ...]
    is_header: bool
    start: int
    key_end: int
    value: int
    value_end: int
    end: int

    @property
    def name(self) -> str:
        return ".".join(self.path)


class TomlLines:
    """A TOML file.

    Raises:
        ValueError: it is none; the sentence names line and column.
        RecursionError: it is nested too deeply.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.values: dict[str, object] = tomllib.loads(text)
        self._statements = list(_scan(text))
        self._newline = "\r\n" if "\r\n" in text else "\n"

    def line_of(self, name: str) -> int | None:
        """The line, from 1, in which ``name`` (``a.b``) begins, or what holds it; None where that is not known."""
        for each in self._statements:
            if not each.is_header and (each.name == name or f"{name}.".startswith(f"{each.name}.")):
                return self._line(each)
        within = (each for each in self._statements if each.name == name or each.name.startswith(f"{name}."))
        first = next(within, None)
        return None if first is None else self._line(first)

    def put(self, names: Sequence[str], literal: str) -> str:
        """The text with ``literal`` as the value of one of ``names``, where it stands, else of the first of them."""
        for each in self._statements:
            if not each.is_header and each.name in names:
                return self._text[: each.value] + literal + self._text[each.value_end :]
        table, _, leaf = names[0].rpartition(".")
        return self._insert(table, leaf, literal)

    def take_out(self, names: Sequence[str]) -> str:
        """The text without the lines that give any of ``names`` a value."""
        text = self._text
        for each in reversed(self._statements):
            if not each.is_header and each.name in names:
                text = text[: each.start] + text[each.end :]
        return text

    def rename(self, name: str, new: str) -> str:
        """The text with the key ``name`` called ``new``, at the same place."""
        for each in self._statements:
            if not each.is_header and each.name == name:
                return self._text[: each.start] + new + " " + self._text[each.key_end :]
        return self._text

    def _insert(self, table: str, leaf: str, literal: str) -> str:
        section = (table,) if table else ()
        inside = [each for each in self._statements if each.table == section]
        if any(each.is_header for each in inside) or (not table and inside):
            return self._line_at(max(each.end for each in inside), f"{leaf} = {literal}")
        dotted = [each for each in self._statements if not each.table and len(each.path) == 2 and each.path[0] == table]
        if dotted:
            return self._line_at(max(each.end for each in dotted), f"{table}.{leaf} = {literal}")
        if not table:
            place = self._before_tables()
            return self._line_at(place, f"{leaf} = {literal}" + (self._newline if self._text[place:] else ""))
        gap = self._newline if self._text.strip() else ""
        return self._line_at(len(self._text), f"{gap}[{table}]{self._newline}{leaf} = {literal}")

    def _before_tables(self) -> int:
        """The end of what stands above the first table and the comments on top of it."""
        first = next((each.start for each in self._statements if each.is_header), len(self._text))
        while first < len(self._text):
            above = self._text.rfind("\n", 0, max(first - 1, 0)) + 1
            if not self._text[above:first].lstrip(_BLANK).startswith("#"):
                break
            first = above
        return first

    def _line_at(self, place: int, line: str) -> str:
        before, after = self._text[:place], self._text[place:]
        if before and not before.endswith("\n"):
            before += self._newline
        return f"{before}{line}{self._newline}{after}"

    def _line(self, statement: _Statement) -> int:
        return self._text.count("\n", 0, statement.start) + 1


def literal(value: bool | int | str | Sequence[str]) -> str:
    """``value`` as TOML writes it, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's escapes are TOML's, too
    return f"[{', '.join(map(literal, value))}]"


def _scan(text: str) -> Iterator[_Statement]:
    """The statements of a text that is TOML."""
    place = 0
    table: tuple[str, ...] = ()
    while place < len(text):
        end = _line_end(text, place)
        start = place + len(text[place:end]) - len(text[place:end].lstrip(_BLANK))
        begins = text[start : start + 1]
        if begins in ("", "#", "\n"):
            place = end
        elif begins == "[":
            table = _path(tomllib.loads(text[place:end]))
            yield _Statement(table, table, True, place, end, end, end, end)
            place = end
        else:
            equals = _equals(text, start)
            path = table + _path(tomllib.loads(f"{text[start:equals]}= 0"))
            value = equals + 1
            while text[value] in _BLANK:
                value += 1
            value_end, end = _value_end(text, value)
            yield _Statement(path, table, False, start, equals, value, value_end, end)
            place = end


def _path(found: dict[str, object]) -> tuple[str, ...]:
    """The names on the way down, each the only one."""
    path: list[str] = []
    inner = found
    while inner:
        name, value = next(iter(inner.items()))
        path.append(name)
        inner = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    return tuple(path)


def _line_end(text: str, place: int) -> int:
    """Behind the line feed, or at the end."""
    return (text.find("\n", place) + 1) or len(text)


def _equals(text: str, place: int) -> int:
    while text[place] != "=":
        place = _behind_quoted(text, place) if text[place] in "\"'" else place + 1
    return place


def _value_end(text: str, place: int) -> tuple[int, int]:
    """Where a value ends, and the line in which it does."""
    depth, last = 0, place
    while place < len(text) and (depth or text[place] != "\n"):
        character = text[place]
        if character == "#":
            place = _line_end(text, place) - (1 if "\n" in text[place:] else 0)
            continue
        depth += (character in "[{") - (character in "]}")
        place = _behind_quoted(text, place) if character in "\"'" else place + 1
        if not character.isspace():
            last = place
    return last, _line_end(text, place)


def _behind_quoted(text: str, place: int) -> int:
    """Behind the text in quotes that begins at ``place``."""
    one = text[place]
    quote = one * 3 if text.startswith(one * 3, place) else one
    place += len(quote)
    while not text.startswith(quote, place):
        place += 2 if one == '"' and text[place] == "\\" else 1
    place += len(quote)
    while len(quote) == 3 and text.startswith(one, place):  # up to two more belong to it
        place += 1
    return place
