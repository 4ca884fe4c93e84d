"""What was tried to reach each contact, and when it is tried again: what explains why a message has not arrived.

It is of this start of the node alone: after the next everything is tried again at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from p2pchat.base.ids import Address

_KEPT: Final = 16


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that failed. ``address``: None where a connection was there; ``why``: a sentence that names nothing;
    ``mailbox``: it was to leave something at one of the contact's mailboxes."""

    at_ms: int
    address: Address | None = field(repr=False)
    why: str = field(repr=False)
    mailbox: bool = False


class Attempts:
    """The last attempts of each contact, oldest first."""

    def __init__(self) -> None:
        self._failed: dict[int, deque[Attempt]] = {}
        self._next_ms: dict[int, int] = {}

    def failed(self, contact: int, attempt: Attempt) -> None:
        self._failed.setdefault(contact, deque(maxlen=_KEPT)).append(attempt)

    def again(self, contact: int, at_ms: int | None) -> None:
        """``contact`` is tried again at ``at_ms`` (unix ms); None: only when there is news of it, or it is here."""
        if at_ms is None:
            self._next_ms.pop(contact, None)
        else:
            self._next_ms[contact] = at_ms

    def forget(self, contact: int) -> None:
        self._failed.pop(contact, None)
        self._next_ms.pop(contact, None)

    def of(self, contact: int) -> tuple[Attempt, ...]:
        return tuple(self._failed.get(contact, ()))

    def next_ms(self, contact: int) -> int | None:
        return self._next_ms.get(contact)
