"""Catalogues of gettext: what a ``.po`` says, and the ``.mo`` that the standard library reads.

Rules:

- Of the format that is known which the catalogues here need: comments, ``msgid`` and ``msgstr`` of one or more quoted
  strings; ``msgid_plural`` and ``msgstr[0]``, of which there are as many as the language has forms. Anything else is an
  error, not passed over.
- The two forms of a text that counts, and those of its translation, are one text here, with a NUL between them, as in
  the ``.mo``.
- The same ``.po`` makes the same bytes, everywhere.

Source: the GNU gettext manual, "The Format of PO Files" and "The Format of GNU MO Files".
"""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Mapping
from typing import Final

_FIELD: Final = re.compile(r"msgid|msgid_plural|msgstr|msgstr\[\d\]")
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
            english = "\0".join(parts[key] for key in ("msgid", "msgid_plural") if key in parts)
            forms = [key for key in parts if key.startswith("msgstr")]
            due = [f"msgstr[{number}]" for number in range(len(forms))] if "msgid_plural" in parts else ["msgstr"]
            if "msgid" not in parts or not forms or forms != due or english in found:
                raise ValueError(f"incomplete, or said twice: {parts}")
            found[english] = "\0".join(parts[key] for key in forms)
            parts.clear()

    for number, line in enumerate(po.splitlines(), 1):
        word, _, quoted = line.partition(" ")
        if not line or line.startswith("#"):
            take()
        elif _FIELD.fullmatch(word):
            if word in parts:
                raise ValueError(f"line {number}: said twice")
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
