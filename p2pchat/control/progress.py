"""Waiting until a message has come so far: woken by the events of that message, not by every commit.

With a thousand waits at once the store would otherwise be read a thousand times at each of them.
"""

from __future__ import annotations

from typing import Final
from weakref import WeakValueDictionary

import trio

from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.services.context import Bus
from p2pchat.services.device import replaced_by

RANK: Final = {"queued": 0, "sent": 1, "held": 2, "delivered": 3, "read": 4}
"""The states that a message goes through, in their order. In any other it has ended."""

_REACHES: Final = {
    EventKind.MESSAGE_QUEUED: 0,
    EventKind.MESSAGE_SENT: 1,
    EventKind.MESSAGE_HELD: 2,
    EventKind.MESSAGE_UNHELD: 2,
    EventKind.MESSAGE_DELIVERED: 3,
}
_EVERY: Final = max(RANK.values())  # by what reads or ends it


class Progress:
    """What wakes those who wait for a message.

    Args:
        bus: its hook is taken for the life of the node.
    """

    def __init__(self, bus: Bus) -> None:
        self._waiting: WeakValueDictionary[tuple[int, int], trio.Event] = WeakValueDictionary()
        bus.hook(self._note)

    def edge(self, message: int, state: str) -> trio.Event:
        """Set when the message in row ``message`` may have come as far as ``state``, has ended or is gone.

        Take it first, look at the message, then wait.
        """
        return self._waiting.setdefault((message, RANK[state]), trio.Event())

    @property
    def waiting(self) -> int:
        """How many different things are waited for."""
        return len(self._waiting)

    def _note(self, event: DomainEvent) -> None:
        if not self._waiting:
            return
        # of a contact its messages went with it, each without an event of its own; a replaced device sends none
        if event.kind is EventKind.CONTACT_REMOVED or replaced_by(event) is not None:
            gone = list(self._waiting.values())
            self._waiting.clear()
            for edge in gone:
                edge.set()
        elif event.subject is not None:
            reached, messages = _REACHES.get(event.kind, _EVERY), event.subjects
            few = len(messages) <= len(self._waiting)
            for message in messages if few else {message for message, _ in self._waiting if message in messages}:
                for rank in range(reached + 1):
                    self._wake((message, rank))

    def _wake(self, key: tuple[int, int]) -> None:
        edge = self._waiting.get(key)
        if edge is not None:
            del self._waiting[key]  # who looks and has to wait on takes another one
            edge.set()
