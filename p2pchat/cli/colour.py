"""Colours of states, warnings and heads, on a terminal that shows them.

Rules:

- A pipe and a file get no escape sequence, whatever the environment says; a terminal gets none with NO_COLOR or
  TERM=dumb.
- Only colours that the user's theme chooses, and nothing is said by a colour alone.
- What is coloured is escaped before: the sequences are this program's own.

Source: https://no-color.org.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TextIO


class Colour(Enum):
    """What a colour says; its value is the parameter of the terminal's sequence (ECMA-48, SGR)."""

    GOOD = "32"
    WAITING = "33"
    BAD = "31"
    HEAD = "1"


@dataclass(frozen=True, slots=True)
class Coloured:
    """A text, and the colour that it has where there are colours."""

    text: str = field(repr=False)
    colour: Colour | None


_STATES: Final = {
    **dict.fromkeys(("matched", "online", "in_person", "direct", "lan", "delivered", "read", "open"), Colour.GOOD),
    **dict.fromkeys(("pending", "request", "queued", "sent", "held", "relayed"), Colour.WAITING),
    **dict.fromkeys(("blocked", "failed", "expired", "deny"), Colour.BAD),
}


def shown_on(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal that shows colours, and the user wants some."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") not in ("", "dumb")


def painted(escaped: str, colour: Colour | None) -> str:
    """``escaped`` between the sequences for ``colour``; the caller has asked :func:`shown_on`."""
    return escaped if colour is None or not escaped else f"\x1b[{colour.value}m{escaped}\x1b[0m"


def of_state(word: str) -> Coloured:
    """The word of the API for a state, in its colour."""
    return Coloured(word, _STATES.get(word))
