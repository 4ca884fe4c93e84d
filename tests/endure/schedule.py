"""What befalls the two, and when: all of it follows from the seed.

*When* is told in messages. For every moment both writers may send a share more of their texts; it strikes when a part
of that share was accepted, and a little later.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

HOUR_S: Final = 3_600
NAMES: Final = ("Alice", "Bob")
SMALL_DISK: Final = 0
"""Whose home is on the small disk."""

_LINGER_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Scale:
    """How much. ``messages``: in each direction. ``cut_s``: the first one and the longest, silent."""

    messages: int = 10_000
    kills: int = 30
    cuts: int = 3
    cut_s: float = 35.0
    stop_s: float = 40.0
    full_s: float = 10.0


QUICK: Final = Scale(messages=600, kills=4, cuts=1, cut_s=3.0, stop_s=3.0, full_s=2.0)


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL, and a new start after a pause."""

    victims: tuple[int, ...]
    pause_s: float

    def __str__(self) -> str:
        return f"kill {_named(*self.victims)}, start again after {self.pause_s:.2f} s"


@dataclass(frozen=True, slots=True)
class Cut:
    """The link carries nothing any more."""

    loud: bool

    def __str__(self) -> str:
        return f"cut the link, {'with resets' if self.loud else 'silently'}"


@dataclass(frozen=True, slots=True)
class Heal:
    """The link is whole again, so long after the cut at least."""

    after_s: float

    def __str__(self) -> str:
        return f"heal it, {self.after_s:.0f} s after the cut"


@dataclass(frozen=True, slots=True)
class Stop:
    """SIGSTOP, and SIGCONT after that time."""

    who: int
    for_s: float

    def __str__(self) -> str:
        return f"stop {_named(self.who)} for {self.for_s:.0f} s"


@dataclass(frozen=True, slots=True)
class Clock:
    """From now on the clock is ahead by so much, in the middle of the run."""

    who: int
    ahead_s: int

    def __str__(self) -> str:
        return f"{_named(self.who)}'s clock " + (f"{self.ahead_s:+d} s" if self.ahead_s else "right again")


@dataclass(frozen=True, slots=True)
class Fill:
    """The small disk is full."""

    def __str__(self) -> str:
        return f"fill {_named(SMALL_DISK)}'s disk"


@dataclass(frozen=True, slots=True)
class Free:
    """It is not any more, so long after it was filled at least."""

    after_s: float

    def __str__(self) -> str:
        return f"free it, {self.after_s:.0f} s after that"


Action = Kill | Cut | Heal | Stop | Clock | Fill | Free


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happens.

    Attributes:
        part: of the share that both may send for it; when as much was accepted it happens, ``delay_s`` later.
        flowing: the share is not begun before messages arrive again, where they can.
    """

    part: float
    delay_s: float
    flowing: bool
    action: Action


def drawn(seed: int, scale: Scale, *, disk: bool) -> list[Moment]:
    """The schedule. ``disk``: there is one that can be filled."""
    chance = random.Random(seed)
    timed: list[tuple[float, Action]] = []
    kills = scale.kills
    while kills:
        victims = chance.choice(((0,), (1,), (0,), (1,), (0, 1)))[:kills]
        timed.append((chance.random(), Kill(victims, chance.uniform(0, 0.4))))
        kills -= len(victims)
    for number in range(scale.cuts):
        begin, end = _span(chance, number, scale.cuts)
        after_s = scale.cut_s if number == 0 else chance.uniform(0, scale.cut_s)
        timed += [(begin, Cut(loud=number % 2 == 1)), (end, Heal(after_s))]
    timed.append((chance.random(), Stop(chance.randrange(2), scale.stop_s)))
    for number, ahead_s in enumerate((HOUR_S, -HOUR_S)):
        begin, end = _span(chance, number, 2)
        timed += [(begin, Clock(number, ahead_s)), (end, Clock(number, 0))]
    if disk:
        begin, end = _span(chance, 1, 2)  # not while its clock is off: of a full disk no time can be seen
        timed += [(begin, Fill()), (end, Free(scale.full_s))]
    timed.sort(key=lambda each: each[0])
    return [
        Moment(chance.uniform(0.05, 1), chance.choice((0, chance.uniform(0, _LINGER_S))), chance.random() < 0.6, action)
        for _, action in timed
    ]


def _span(chance: random.Random, number: int, of: int) -> tuple[float, float]:
    """A stretch within part ``number`` of the run, so that two of a kind never overlap."""
    begin = number + chance.uniform(0.05, 0.55)
    return begin / of, (begin + chance.uniform(0.15, 0.4)) / of


def _named(*who: int) -> str:
    return " and ".join(NAMES[each] for each in who)
