"""What p2pchat.cli.addressbook.vcard uses of vobject, which has no types."""

from collections.abc import Iterator, Sequence
from typing import TextIO

class VObjectError(Exception): ...

class ContentLine:
    name: str
    value: str
    params: dict[str, list[str]]
    singletonparams: list[str]
    def __init__(
        self, name: str, params: Sequence[Sequence[str]], value: str, group: str | None = None, encoded: bool = False
    ) -> None: ...

def getLogicalLines(fp: TextIO, allowQP: bool = True) -> Iterator[tuple[str, int]]: ...
def parseLine(line: str, lineNumber: int | None = None) -> tuple[str, list[list[str]], str, str | None]: ...
