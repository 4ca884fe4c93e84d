"""Inputs one after the other, each from a seed of its own, and what became of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

import trio

_REMEMBERED: Final = 64


@dataclass(eq=False)
class Input:
    """One input: ``chance`` decides all about it, ``data`` is what was sent."""

    index: int
    chance: Random
    data: bytes = b""

    def sending(self, data: bytes) -> bytes:
        """Note ``data`` before it leaves."""
        self.data += data
        return data


@dataclass(eq=False)
class Feed:
    """The inputs ``start`` to ``stop`` of a target, handed to whoever is free.

    The same seed, target and index give the same input, up to the keys that an authenticated connection needs and the
    time in records. ``asked`` counts what the daemon asked of attackers meanwhile, and got junk for.
    """

    seed: int
    target: str
    start: int
    stop: int
    outcomes: Counter[str] = field(default_factory=Counter[str])
    findings: list[str] = field(default_factory=list[str])
    asked: int = 0

    def __post_init__(self) -> None:
        self._next = self.start
        self._open: dict[int, Input] = {}
        self._recent: deque[Input] = deque(maxlen=_REMEMBERED)
        self._culprits: list[Input] = []
        self._stopped = trio.CancelScope()

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to hand out."""
        return self._next >= self.stop or bool(self.findings)

    @property
    def taken(self) -> int:
        """How many were handed out."""
        return self._next - self.start

    def take(self) -> Input | None:
        """The next input; None when there is none."""
        if self.is_over:
            return None
        made = Input(self._next, Random(f"{self.seed}/{self.target}/{self._next}"))
        self._open[made.index] = made
        self._next += 1
        return made

    def done(self, taken: Input, *outcomes: str) -> None:
        """What became of it."""
        self.outcomes.update(outcomes)
        self._recent.append(self._open.pop(taken.index))

    def found(self, what: str, culprit: Input | None = None) -> None:
        """Something that must not happen, by ``culprit`` where that is known: ends the target."""
        self.findings.append(what if culprit is None else f"input {culprit.index}: {what}")
        if culprit is not None:
            self._culprits.append(culprit)
        self._stopped.cancel()

    async def until_found(self, send: Callable[[], Awaitable[None]], stop: int) -> None:
        """Hand out inputs up to number ``stop``: run ``send``, which takes them, to its end or to the first finding."""
        self.stop = stop
        self._stopped = trio.CancelScope()
        if not self.findings:
            with self._stopped:
                await send()

    def suspects(self) -> list[Input]:
        """Whose fault it is; where that is not known, what was under way or had just ended, the newest last."""
        return self._culprits or [*self._recent, *self._open.values()]
