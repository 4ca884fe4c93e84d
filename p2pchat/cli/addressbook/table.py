"""CSV exports: the columns are found by their headings, as Google and Outlook name them.

Rules:

- The first row that is not empty holds the headings. Comma, semicolon or tab: whichever gives most columns that are
  known.
- A row whose quotes do not match is refused, and reading goes on in the next *line*: one quote too many must not eat
  the rest of the file.
- Google puts several values into one cell, with ``:::`` between them. Every number is an entry of its own.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from p2pchat.api.language import marked
from p2pchat.cli.addressbook.entry import NO_NUMBER, Found, Refusal, entry, full_name, shown

CELL_CHARS: Final = 16_384
COLUMNS: Final = 1_024

BROKEN: Final = marked("The row's quotes do not match, or a cell is too long.")
NO_HEADINGS: Final = marked("This is neither a vCard nor a table whose first row names a column of phone numbers.")

_PHONES: Final = re.compile(
    r"phone \d+ - value|phone|tel|(?:mobile|cell)(?:phone)?|(?:tele|mobile |cell)?(?:phone)? ?number"
    r"|(?:mobile|cell|home|business|work|company main|primary|other|car|radio|assistant's|tele) ?phone(?: \d)?"
    r"|(?:휴대|이동|집|직장|회사|근무처|기본|기타|카)? ?(?:전화|폰|전화 ?번호)(?: ?\d)?"
    r"|(?:핸드폰|휴대폰)(?: ?번호)?|연락처"
)
_FAMILY: Final = ("last name", "family name", "surname", "성")
_GIVEN: Final = ("first name", "given name", "이름")
_FULL: Final = ("name", "display name", "full name", "file as", "성명", "표시 이름", "전체 이름")
_FIRM: Final = ("nickname", "organization name", "organization 1 - name", "company", "회사", "별명")


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where in a row what stands."""

    full: Sequence[int]
    family: Sequence[int]
    given: Sequence[int]
    firm: Sequence[int]
    phones: Sequence[int]

    @classmethod
    def of(cls, headings: Sequence[str]) -> _Columns:
        plain = [" ".join(heading.split()).casefold() for heading in headings[:COLUMNS]]

        def named(names: Sequence[str]) -> list[int]:
            return [column for name in names for column, heading in enumerate(plain) if heading == name]

        phones = [column for column, heading in enumerate(plain) if heading and _PHONES.fullmatch(heading)]
        return cls(named(_FULL), named(_FAMILY), named(_GIVEN), named(_FIRM), phones)

    def known(self) -> int:
        return sum(map(len, (self.full, self.family, self.given, self.firm, self.phones)))

    def name(self, row: Sequence[str]) -> str | None:
        spoken = full_name(_first(row, self.family), _first(row, self.given))
        found = (_first(row, self.full), spoken, _first(row, self.firm))
        return next((name for name in map(shown, found) if name), None)

    def numbers(self, row: Sequence[str]) -> list[str]:
        cells = (row[column] for column in self.phones if column < len(row))
        return [number for cell in cells for number in cell.split(":::") if number.strip()]


def _first(row: Sequence[str], columns: Sequence[int]) -> str:
    return next((row[column].strip() for column in columns if column < len(row) and row[column].strip()), "")


def read_table(text: str) -> Iterator[Found]:
    """Everything that a table holds."""
    lines = io.StringIO(text, newline="").readlines()
    begin = next((number for number, line in enumerate(lines) if line.strip(" ,;\t\r\n")), 0)
    choices = [(_headings(lines, begin, delimiter), delimiter) for delimiter in ",;\t"]
    (columns, begin), delimiter = max(choices, key=lambda choice: choice[0][0].known())
    if not columns.phones:
        yield Refusal(1, NO_HEADINGS)
        return
    for number, row in _rows(lines, begin, delimiter):
        if row is None:
            yield Refusal(number, BROKEN)
        elif any(cell.strip() for cell in row):
            name, numbers = columns.name(row), columns.numbers(row)
            yield from (entry(number, name, each) for each in numbers)
            if not numbers:
                yield Refusal(number, NO_NUMBER)


def _headings(lines: Sequence[str], begin: int, delimiter: str) -> tuple[_Columns, int]:
    """The columns, and how many lines are over with them."""
    rows = _rows(lines, begin, delimiter)
    _, row = next(rows, (0, None))
    following, _ = next(rows, (len(lines) + 1, None))
    return _Columns.of(row or ()), following - 1


def _rows(lines: Sequence[str], begin: int, delimiter: str) -> Iterator[tuple[int, list[str] | None]]:
    """(line, cells) of each row from the line with that index on; None for one that cannot be read."""
    csv.field_size_limit(CELL_CHARS)
    while begin < len(lines):
        reader = csv.reader((lines[at] for at in range(begin, len(lines))), delimiter=delimiter, strict=True)
        start = begin
        try:
            for row in reader:
                yield start + 1, row
                start = begin + reader.line_num
            return
        except csv.Error:
            yield start + 1, None
            begin = start + 1
