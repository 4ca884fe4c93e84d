"""A host's line: what it delays, loses and queues of the packets that the host sends.

Rules:

- Everything applies to what a host sends, as netem on its interface would: between two hosts that both have a delay
  of 100 ms, a round trip takes 200 ms.
- Packets of a line stay in order: jitter makes the waiting longer or shorter, nobody overtakes.
- The queue in front of a rate holds half a second; what comes then is lost.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from random import Random
from typing import Final

QUEUE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Settings:
    """A line's quality. ``loss``: a share from 0 to 1. ``rate_kbit``: 0 is without bound."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    rate_kbit: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.loss <= 1 and self.delay_ms >= 0 and self.jitter_ms >= 0 and self.rate_kbit >= 0):
            raise ValueError("Delay, jitter and rate are at least 0, loss is from 0 to 1.")


@dataclass(slots=True)
class Counts:
    """What became of packets that a host sent, and how long those that arrived were on the way."""

    sent: int = 0
    delivered: int = 0
    lost: int = 0
    overflowed: int = 0
    cut: int = 0
    failed: int = 0
    held_s: float = 0.0
    shortest_s: float = 0.0
    longest_s: float = 0.0

    def arrived(self, took_s: float) -> None:
        self.shortest_s = min(self.shortest_s, took_s) if self.delivered else took_s
        self.longest_s = max(self.longest_s, took_s)
        self.delivered += 1
        self.held_s += took_s

    def told(self) -> dict[str, float]:
        return asdict(self)


@dataclass(slots=True)
class Link:
    """One host's."""

    settings: Settings = field(default_factory=Settings)
    counts: Counts = field(default_factory=Counts)
    _free_s: float = 0.0
    _last_s: float = 0.0

    def due(self, size: int, now: float, random: Random) -> float | None:
        """When a packet of ``size`` bytes leaves the line; None: it is lost."""
        settings = self.settings
        self.counts.sent += 1
        if settings.loss and random.random() < settings.loss:
            self.counts.lost += 1
            return None
        at = now
        if settings.rate_kbit:
            begins = max(self._free_s, now)
            if begins - now > QUEUE_S:
                self.counts.overflowed += 1
                return None
            at = self._free_s = begins + size * 8 / (settings.rate_kbit * 1000)
        if settings.delay_ms or settings.jitter_ms:
            jitter_ms = random.uniform(-settings.jitter_ms, settings.jitter_ms)
            at += max(settings.delay_ms + jitter_ms, 0.0) / 1000
        self._last_s = at = max(at, self._last_s)
        return at
