"""The steps of a search, as ``discovery.progress`` tells them."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.matching import WalkKind

Step = Literal["root", "candidate", "card", "reach"]
Roots = tuple[int, int]
"""How many roots of those who are looked for are there, and how many it will be."""

FOUND_BY: Final[dict[WalkKind, Step]] = {
    WalkKind.HELLO: "candidate",
    WalkKind.CARD: "card",
    WalkKind.REACH: "reach",
}
"""What a round of walks finds."""

_detail: Final[msgspec.msgpack.Decoder[tuple[Step, int, int]]] = msgspec.msgpack.Decoder(tuple[Step, int, int])


def step_event(contact: int, step: Step, roots: Roots) -> DomainEvent:
    """Something new was found for a contact."""
    detail = msgspec.msgpack.encode((step, *roots))
    return DomainEvent(EventKind.DISCOVERY_PROGRESS, contact, detail, contact)


def open_step(detail: bytes) -> tuple[Step, int, int]:
    """(step, roots that are there, roots in all); the inverse of :func:`step_event`'s detail."""
    return _detail.decode(detail)
