"""Names that people give themselves and their contacts."""

from __future__ import annotations

from typing import Final

from p2pchat.base.errors import UsageError

NAME_CHARS: Final = 100


def checked_name(name: str) -> str:
    """``name`` without surrounding space.

    Raises:
        UsageError: empty, longer than 100 characters, or with control characters.
    """
    name = name.strip()
    if not name or len(name) > NAME_CHARS or not name.isprintable():
        raise UsageError(f"A name has 1 to {NAME_CHARS} printable characters.", data={"param": "name"})
    return name
