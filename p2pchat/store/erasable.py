"""Values whose every byte is gone once the row is deleted or changed.

SQLite's ``secure_delete`` zeroes what a row held, and every page that becomes free. But where rows move between the
leaves of a table it leaves copies in the gap of a page, and deleting the row later does not find them: of 29,000
ratchet keys that were replaced four still stood in the file. Of a row that is longer than a page the rest lies on pages
of its own, which never move and are zeroed as a whole. So zeros come first, as many as a leaf can hold at most.
"""

from __future__ import annotations

from typing import Final

_LEAF_BYTES: Final = 4096


def erasable(value: bytes) -> bytes:
    """``value`` as a column holds it.

    Args:
        value: its first byte is not zero, as that of every form that is stored.
    """
    return bytes(_LEAF_BYTES) + value


def value_of(column: bytes) -> bytes:
    """What :func:`erasable` was given; also a value that was stored before it was used."""
    return column.lstrip(b"\0")
