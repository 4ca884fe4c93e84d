"""Bytes that say little of how they are written → text.

Rules:

- A byte order mark decides; UTF-16 without one is known by its NULs.
- Otherwise: what the file declares, if it is one of :data:`_CHARSETS`, then UTF-8, then CP949 (which holds EUC-KR),
  then Windows-1252. The last takes every byte, so nothing here fails.
"""

from __future__ import annotations

import codecs
from typing import Final

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LOOKED_AT: Final = 256
_CHARSETS: Final = frozenset(
    (
        *("ascii", "utf-8", "cp949", "johab", "shift_jis", "cp932", "euc_jp", "gb2312", "gbk", "gb18030", "big5"),
        *("koi8-r", "iso8859-1", "iso8859-2", "iso8859-5", "iso8859-9", "iso8859-15"),
        *("cp1250", "cp1251", "cp1252", "cp1254"),
    )
)
"""Names of Python's codecs; others (``idna``, ``unicode_escape``) do more than decode."""


def charset(name: str) -> str | None:
    """The codec of a charset that a file names; the larger set where it names EUC-KR, as its writers did."""
    try:
        known = codecs.lookup(name[:32]).name
    except (LookupError, ValueError):  # none of Python's, or not even a name
        return None
    if known == "euc_kr":
        return "cp949"
    return known if known in _CHARSETS else None


def decoded(data: bytes, declared: str | None = None) -> str:
    """``data`` as text. ``declared``: a codec from :func:`charset`."""
    for codec in (declared, "utf-8", "cp949"):
        if codec is not None:
            try:
                return data.decode(codec)
            except UnicodeDecodeError:  # it is not what was declared or guessed: the next guess
                continue
    return data.decode("cp1252", "replace")


def in_utf8(data: bytes) -> bytes:
    """The same without a byte order mark, and in UTF-8 where it was UTF-16."""
    codec = next((codec for mark, codec in _BOMS if data.startswith(mark)), None) or _by_nuls(data[:_LOOKED_AT])
    if codec == "utf-8":
        return data[len(codecs.BOM_UTF8) :]
    if codec is None:
        return data
    return data.decode(codec, "replace").removeprefix("\ufeff").encode("utf-8", "replace")


def _by_nuls(start: bytes) -> str | None:
    """UTF-16 that begins with ASCII: more than three quarters of every other byte are NUL."""
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if 8 * odd > 3 * len(start) > 8 * even:
        return "utf-16-le"
    return "utf-16-be" if 8 * even > 3 * len(start) > 8 * odd else None
