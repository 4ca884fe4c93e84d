"""How much of something there may be within any day, known in memory alone (PROTOCOL.md 6.6).

Counted by the hour: what an hour brought counts until a day after that hour ended.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

_HOUR_S: Final = 3600.0
_DAY_S: Final = 24 * _HOUR_S


class Allowance:
    """At most so much within a day, on trio's clock.

    Args:
        most: how much; what is taken in one piece may go beyond it once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._hours: deque[tuple[float, int]] = deque()  # at most 25: when each began, and what it brought

    def take(self, amount: int) -> None:
        """So much was used up."""
        now = trio.current_time()
        if self._hours and now < self._hours[-1][0] + _HOUR_S:
            began, before = self._hours.pop()
            self._hours.append((began, before + amount))
        elif amount:
            self._hours.append((now, amount))

    def left(self) -> int:
        """How much there may still be; 0 or less: nothing."""
        now = trio.current_time()
        while self._hours and self._hours[0][0] + _DAY_S + _HOUR_S <= now:
            self._hours.popleft()
        return self._most - sum(amount for _, amount in self._hours)

    def free_in_s(self, amount: int) -> float:
        """Seconds until there may be ``amount`` more."""
        left, free_at = self.left(), trio.current_time()
        for began, used in self._hours:
            if left >= amount:
                break
            left, free_at = left + used, began + _HOUR_S + _DAY_S
        return free_at - trio.current_time()
