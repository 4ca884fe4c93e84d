"""How long the last commits took, for a person who runs the node. Nothing of it is kept."""

from __future__ import annotations

from math import ceil
from typing import Final

_KEPT: Final = 1_024


class Timings:
    """Durations in seconds.

    Concurrency: one thread notes, any thread reads.
    """

    def __init__(self) -> None:
        self.count = 0
        self.failed = 0
        self.most_s = 0.0
        self._ring = [0.0] * _KEPT

    def note(self, seconds: float) -> None:
        """One more."""
        self._ring[self.count % _KEPT] = seconds
        self.most_s = max(self.most_s, seconds)
        self.count += 1

    def note_failed(self) -> None:
        """One that was rolled back."""
        self.failed += 1

    def quantile_s(self, share: float) -> float:
        """What ``share`` (above 0, up to 1) of the last 1,024 did not go beyond; 0 where there was none."""
        known = sorted(self._ring[: self.count] if self.count < _KEPT else list(self._ring))
        return known[ceil(len(known) * share) - 1] if known else 0.0
