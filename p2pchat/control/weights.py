"""What a reply may weigh before it is there: so many requests of one connection are begun as their replies would fit
into what one client may leave unread."""

from __future__ import annotations

from typing import Final, cast

from p2pchat.api import objects
from p2pchat.api.schema import METHODS
from p2pchat.api.text import TEXT_BYTES
from p2pchat.control.render import PAGE_BYTES

_PAGES: Final[frozenset[object]] = frozenset({objects.Messages, objects.Events, objects.Contacts, objects.Import})
_SMALL: Final[frozenset[object]] = frozenset(
    {
        objects.Consumer,
        objects.Contact,
        objects.Deleted,
        objects.Empty,
        objects.Hello,
        objects.Peer,
        objects.Status,
        objects.Subscription,
    }
)
_SENT: Final = "message.send"
"""Repeats what was asked, and so weighs what its request does."""


def _weight(method: str, result: object) -> int:
    if result in _SMALL or method == _SENT:
        return 0
    return PAGE_BYTES if result in _PAGES else TEXT_BYTES


_WEIGHTS: Final = {method: _weight(method, spec.result) for method, spec in METHODS.items()}


def reply_bytes(value: object) -> int:
    """Bytes that the reply to what was decoded may have, beyond those of the request; 0 for what is no call."""
    if not isinstance(value, dict):
        return 0
    method = cast("dict[object, object]", value).get("method")
    return _WEIGHTS.get(method, 0) if isinstance(method, str) else 0
