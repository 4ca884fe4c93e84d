"""Who wants to be told of new entries in which slot (PROTOCOL.md 3.7).

Rules:

- A lease lasts as long as was asked for, at most ``watch_max_s``; asking again prolongs it.
- A slot has a bounded number of watchers and a node a bounded number of watches: beyond them nothing is granted.
- Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from p2pchat.base import limits

W = TypeVar("W")


class Watches(Generic[W]):
    """The watches that a node has granted; ``W`` stands for one watcher.

    Args:
        max_lease_s: the longest lease.
    """

    def __init__(self, max_lease_s: int) -> None:
        self._max_lease_s = max_lease_s
        self._slots: dict[bytes, dict[W, float]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def grant(self, loc: bytes, watcher: W, lease_s: int, now: float) -> int:
        """Watch ``loc`` for ``lease_s`` seconds; what was granted, 0 for nothing."""
        granted_s = min(lease_s, self._max_lease_s)
        if granted_s <= 0:
            return 0
        slot = self._slots.get(loc, {})
        if watcher not in slot:
            if self._count >= limits.WATCHES or len(slot) >= limits.WATCHES_PER_SLOT:
                self._expire(now)
                slot = self._slots.get(loc, {})
            if self._count >= limits.WATCHES or len(slot) >= limits.WATCHES_PER_SLOT:
                return 0
            self._count += 1
        self._slots.setdefault(loc, slot)[watcher] = now + granted_s
        return granted_s

    def watchers(self, loc: bytes, now: float) -> list[W]:
        """Who holds a lease on ``loc``."""
        return [watcher for watcher, until in self._slots.get(loc, {}).items() if now < until]

    def drop(self, watcher: W) -> None:
        """Forget all that ``watcher`` asked for."""
        self._keep(lambda other, _: other != watcher)

    def _expire(self, now: float) -> None:
        self._keep(lambda _, until: now < until)

    def _keep(self, wanted: Callable[[W, float], bool]) -> None:
        kept = {
            loc: {watcher: until for watcher, until in slot.items() if wanted(watcher, until)}
            for loc, slot in self._slots.items()
        }
        self._slots = {loc: slot for loc, slot in kept.items() if slot}
        self._count = sum(map(len, self._slots.values()))
