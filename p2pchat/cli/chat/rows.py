"""What a conversation consists of: messages as the daemon tells of them, and drafts on their way to it. Pure.

Rules:

- An object of a newer daemon is read as far as it is understood; one without an id and a position is none.
- No repr shows a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from p2pchat.base.silent import Silent
from p2pchat.cli.reading import number, text

LAST: Final = 1 << 63
"""Above every position that a message can have."""

SENDING: Final = "sending"
"""The state of a draft that is on its way to the daemon."""


@dataclass(frozen=True, slots=True, repr=False)
class Row(Silent):
    """One message. ``position`` rises within the conversation; ``created_ms`` is on the writer's clock; ``missing``: so
    many of the contact's have not arrived that have the positions directly below."""

    id: str
    position: int
    incoming: bool
    text: str
    state: str
    reason: str | None
    created_ms: int
    missing: int = 0


@dataclass(slots=True, repr=False)
class Draft(Silent):
    """A text that was entered. ``key`` makes the daemon take it once, however often it is sent; ``told``: an event has
    already shown it as a message."""

    key: str
    text: str
    created_ms: int
    told: bool = False

    def row(self, index: int) -> Row:
        """How it is shown until then: below all messages."""
        return Row(self.key, LAST + index, False, self.text, SENDING, None, self.created_ms)


def row(message: Mapping[str, object]) -> Row | None:
    """A ``Message`` of the API; None for the id alone of one that is gone."""
    if not message.get("id") or not isinstance(message.get("position"), int):
        return None
    reason = message.get("reason")
    return Row(
        id=text(message, "id"),
        position=number(message, "position"),
        incoming=message.get("direction") == "in",
        text=text(message, "text", ""),
        state=text(message, "state", ""),
        reason=None if reason is None else str(reason),
        created_ms=number(message, "created_ms"),
        missing=number(message, "missing"),
    )
