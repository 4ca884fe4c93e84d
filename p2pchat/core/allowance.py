"""How much work without use a peer may make this node do: a bucket of microseconds that fills slowly.

Rules:

- What a peer asks is priced before or as it is done, by what it costs here, not by its bytes. What is of use has no
  price, however much of it comes.
- The allowance is the peer's, not the stream's or the connection's: who comes again finds it as it was.
- What is of use to everybody is not refused but put off (:meth:`Allowance.owe`): who asks too fast waits.
- The table is bounded; who is remembered longest without a charge is forgotten first, and then has all of it again.

Source: PROTOCOL.md 5.1.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")


class Allowance:
    """One bucket, full at first.

    Args:
        burst_us: how many microseconds it holds.
        per_s_us: how many come back a second.
        now: seconds on any clock that does not go back; the same in every call.
    """

    __slots__ = ("_at", "_burst_us", "_left_us", "_per_s_us")

    def __init__(self, burst_us: float, per_s_us: float, now: float) -> None:
        self._burst_us = burst_us
        self._per_s_us = per_s_us
        self._left_us = burst_us
        self._at = now

    def spend(self, cost_us: float, now: float) -> bool:
        """Take ``cost_us``; False if it was not there. Then the rest goes, too: who asks on gets nothing back."""
        if cost_us > self._refilled(now):
            self._left_us = 0.0
            return False
        self._left_us -= cost_us
        return True

    def owed_s(self, now: float) -> float:
        """After how many seconds nothing is owed any more; 0 as a rule."""
        return max(0.0, -self._refilled(now) / self._per_s_us)

    def owe(self, cost_us: float, now: float) -> float:
        """Take ``cost_us`` whether it is there or not; after how many seconds it will have been."""
        self._left_us = self._refilled(now) - cost_us
        return self.owed_s(now)

    def _refilled(self, now: float) -> float:
        self._left_us = min(self._burst_us, self._left_us + (now - self._at) * self._per_s_us)
        self._at = now
        return self._left_us


class Allowances(Generic[K]):
    """One of each peer.

    Args:
        burst_us, per_s_us: of each; see :class:`Allowance`.
        keys: how many are remembered.
    """

    def __init__(self, burst_us: float, per_s_us: float, keys: int) -> None:
        self._burst_us = burst_us
        self._per_s_us = per_s_us
        self._keys = keys
        self._known: OrderedDict[K, Allowance] = OrderedDict()

    def spend(self, key: K, cost_us: float, now: float) -> bool:
        """See :meth:`Allowance.spend`."""
        return self._of(key, now).spend(cost_us, now)

    def owed_s(self, key: K, now: float) -> float:
        """See :meth:`Allowance.owed_s`."""
        return self._of(key, now).owed_s(now)

    def owe(self, key: K, cost_us: float, now: float) -> float:
        """See :meth:`Allowance.owe`."""
        return self._of(key, now).owe(cost_us, now)

    def _of(self, key: K, now: float) -> Allowance:
        allowance = self._known.get(key)
        if allowance is None:
            allowance = self._known[key] = Allowance(self._burst_us, self._per_s_us, now)
            if len(self._known) > self._keys:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return allowance

    def __len__(self) -> int:
        return len(self._known)
