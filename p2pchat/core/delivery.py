"""The pure part of delivery: what may be on the wire unacknowledged, and when to try again (PROTOCOL.md 5.2).

- Unacknowledged bytes on one stream stay below the window; one larger envelope may go alone.
- Every envelope goes once on each stream, in the order of its session, until an ack settles it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from p2pchat.core.params import Params


@dataclass(slots=True)
class Window:
    """What is in flight on one stream.

    Args:
        limit_bytes: how many unacknowledged bytes may be outstanding.
    """

    limit_bytes: int
    _flying: dict[bytes, int] = field(default_factory=dict[bytes, int], repr=False)
    _bytes: int = 0

    def room(self) -> int:
        """Bytes that may still leave; never negative."""
        return max(0, self.limit_bytes - self._bytes)

    def admits(self, size: int) -> bool:
        """Whether an envelope of ``size`` bytes may leave now."""
        return size <= self.room() or self.idle

    def left(self, eid: bytes, size: int) -> None:
        """An envelope of ``size`` bytes is on the stream; 0 for one that may stay unanswered: it takes no room."""
        self._bytes += size - self._flying.get(eid, 0)
        self._flying[eid] = size

    def settled(self, eid: bytes) -> bool:
        """An ack or Nack came for ``eid``; True if it was in flight here."""
        size = self._flying.pop(eid, None)
        if size is None:
            return False
        self._bytes -= size
        return True

    def flying(self, eids: Iterable[bytes]) -> int:
        """How many of ``eids`` are in flight here."""
        return sum(eid in self._flying for eid in eids)

    def forget(self) -> None:
        """Nothing that has left is waited for any more."""
        self._flying.clear()
        self._bytes = 0

    @property
    def idle(self) -> bool:
        """Nothing is outstanding that has to be answered."""
        return not self._bytes


def retry_after_s(tries: int, jitter: float, params: Params) -> float:
    """Seconds to wait after ``tries`` failures in a row: 1 s · 2ⁿ up to 10 min, ± 20 %.

    Args:
        jitter: from 0 up to 1.
    """
    delay = min(params.retry_max_s, params.retry_min_s * 2.0 ** min(max(tries - 1, 0), 30))
    return delay * (0.8 + 0.4 * jitter)
