"""Messages and contacts for the tests of the conversation."""

from __future__ import annotations

import calendar
from collections.abc import Iterable

from p2pchat.cli.chat.drawing import Line
from p2pchat.cli.chat.rows import Row, row

BOB = "0b" * 16
NOON_MS = calendar.timegm((2026, 11, 22, 12, 0, 0)) * 1000


def message(
    position: int,
    text: str | None = None,
    *,
    incoming: bool = True,
    state: str | None = None,
    reason: str | None = None,
    created_ms: int | None = None,
    contact_id: str = BOB,
    missing: int = 0,
) -> dict[str, object]:
    """A ``Message`` of the API, by default one a minute since noon."""
    return {
        "id": f"{position:032x}",
        "contact_id": contact_id,
        "direction": "in" if incoming else "out",
        "text": f"text {position}" if text is None else text,
        "state": state or ("received" if incoming else "queued"),
        "reason": reason,
        "holders": [],
        "created_ms": NOON_MS + position * 60_000 if created_ms is None else created_ms,
        "delivered_ms": None,
        "read_ms": None,
        "position": position,
        "missing": missing,
    }


def made(position: int, text: str | None = None, **fields: object) -> Row:
    found = row({**message(position, text), **fields})
    assert found is not None
    return found


def own(position: int, text: str | None = None, state: str = "queued", reason: str | None = None) -> Row:
    found = row(message(position, text, incoming=False, state=state, reason=reason))
    assert found is not None
    return found


def rows(positions: Iterable[int]) -> list[Row]:
    return [made(position) for position in positions]


def contact(**fields: object) -> dict[str, object]:
    """A ``Contact`` of the API."""
    return {
        "id": BOB,
        "name": "Bob",
        "number": None,
        "state": "matched",
        "trust": "claimed",
        "claimants": 1,
        "online": True,
        "last_seen_ms": None,
        "searching": False,
        **fields,
    }


def plain(lines: Iterable[Line]) -> list[str]:
    """Lines without their styles."""
    return ["".join(text for _, text in line) for line in lines]
