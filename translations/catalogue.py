"""Catalogues of gettext: what a ``.po`` says, and the ``.mo`` that the standard library reads.

Rules:

- Of the format that is known which the catalogues here need: comments, ``msgid`` and ``msgstr`` of one or more quoted
  strings. Anything else is an error, not passed over.
- The same ``.po`` makes the same bytes, everywhere.

Source: the GNU gettext manual, "The Format of PO Files" and "The Format of GNU MO Files".
"""

from __future__ import annotations

import ast
import struct
from collections.abc import Mapping
from typing import Final

_MAGIC: Final = 0x950412DE
_HEADER: Final = struct.Struct("<7I")


def parse(po: str) -> dict[str, str]:
    """What is said for each ``msgid``; the header under the empty one.

    Raises:
        ValueError: a line is not understood, or something is said twice.
    """
    found: dict[str, str] = {}
    parts: dict[str, str] = {}
    field = ""

    def take() -> None:
        if parts:
            if parts.keys() != {"msgid", "msgstr"} or parts["msgid"] in found:
                raise ValueError(f"incomplete, or said twice: {parts}")
            found[parts["msgid"]] = parts["msgstr"]
            parts.clear()

    for number, line in enumerate(po.splitlines(), 1):
        word, _, quoted = line.partition(" ")
        if not line or line.startswith("#"):
            take()
        elif word in ("msgid", "msgstr"):
            field = word
            parts[field] = _unquoted(quoted, number)
        elif line.startswith('"') and field in parts:
            parts[field] += _unquoted(line, number)
        else:
            raise ValueError(f"line {number} is not understood")
    take()
    return found


def compiled(catalogue: Mapping[str, str]) -> bytes:
    """The ``.mo``: sorted, without a hash table; what has no translation is left out."""
    rows = sorted((english.encode(), said.encode()) for english, said in catalogue.items() if said)
    tables_bytes = 2 * 8 * len(rows)
    texts, originals, translations = b"", b"", b""
    at = _HEADER.size + tables_bytes
    for column in (0, 1):
        for row in rows:
            entry = struct.pack("<2I", len(row[column]), at + len(texts))
            texts += row[column] + b"\0"
            if column == 0:
                originals += entry
            else:
                translations += entry
    header = _HEADER.pack(_MAGIC, 0, len(rows), _HEADER.size, _HEADER.size + 8 * len(rows), 0, _HEADER.size)
    return header + originals + translations + texts


def _unquoted(quoted: str, number: int) -> str:
    try:
        value = ast.literal_eval(quoted)
    except (SyntaxError, ValueError):
        value = None
    if not isinstance(value, str) or not quoted.startswith('"'):
        raise ValueError(f"line {number} has no text in double quotes")
    return value
