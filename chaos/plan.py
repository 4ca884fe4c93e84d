"""What befalls the nodes, and when: all of it follows from the seed, the minutes and the number of nodes.

Rules:

- Acts are dealt from a deck that holds each kind once and is shuffled anew when it is empty and all is over, so that no
  kind is left to chance.
- One node is in one trouble at a time, but for floods, cuts and slow disks, which come on top of anything. A damaged
  database has the stage to itself: whether something was lost could not be told otherwise.
- Everything that begins ends within the minutes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

KINDS: Final = ("kill", "stop", "cut", "halve", "clock", "fill", "slow", "lock", "move", "damage", "flood")
HOUR_S: Final = 3_600
LOCKED, SMALL = -1, -2
"""Which nodes, from the end: that with a passphrase, that on the small disk."""

_LONG_S: Final = 90.0
"""A run of so much or more has pauses and stretches of full length."""
_DAMAGE_S: Final = 20.0
_REST_S: Final = 15.0
"""Before each deck, with nothing going on: what quiet figures are made of."""
_GAP_S: Final = (2.0, 10.0)
_BREATH_S: Final = 1.0
SLOW_MS: Final = (50, 500)
"""What each commit of a slow disk takes longer, at least and at most."""


@dataclass(frozen=True, slots=True)
class Act:
    """One trouble.

    Attributes:
        at_s: from the beginning of the run.
        for_s: how long; of a kill, until the node is started again.
        who: the nodes; of ``halve`` one side of the cut, of ``cut`` who is cut off.
        detail: ``loud`` or ``silent`` of a cut, the seconds ahead of a clock, the milliseconds that each commit of a
            slow disk takes longer, the kind of a flood; else empty.
    """

    at_s: float
    kind: str
    who: tuple[int, ...]
    for_s: float
    detail: str = ""

    @property
    def until_s(self) -> float:
        return self.at_s + self.for_s

    def __str__(self) -> str:
        return f"{self.at_s:7.1f} s  {self.words}, {self.for_s:.1f} s"

    @property
    def words(self) -> str:
        """What, to whom and how."""
        return " ".join([self.kind, *(f"node {each}" for each in self.who), self.detail]).rstrip()


def drawn(seed: int, seconds: float, nodes: int, floods: Sequence[str], skipped: Sequence[str] = ()) -> list[Act]:
    """The plan, by time.

    Args:
        floods: the kinds of floods; none without attackers.
        skipped: kinds of acts that cannot be done here.
    """
    chance = random.Random(f"{seed} {nodes}")
    scale = min(1.0, seconds / _LONG_S)
    left_out = {*skipped, *(() if floods else ("flood",)), *(() if scale == 1 else ("damage",))}
    kinds = [kind for kind in KINDS if kind not in left_out]
    stage, acts, deck, at_s = _Stage(nodes), list[Act](), list[str](), 0.0
    while at_s < seconds:
        if not deck:
            deck = sorted(chance.sample(kinds, len(kinds)), key="damage".__ne__)  # dealt from the end: that comes last
            at_s = stage.over_s + _REST_S * scale
        kind = deck.pop()
        for_s = _length_s(chance, kind) * (1 if kind == "damage" else scale)
        act = stage.place(Act(at_s, kind, _who(chance, kind, nodes), for_s, _detail(chance, kind, floods)))
        at_s += chance.uniform(*_GAP_S) * scale
        if act.until_s <= seconds:
            acts.append(act)
    return sorted(acts, key=lambda act: act.at_s)


class _Stage:
    """Who is in trouble until when."""

    def __init__(self, nodes: int) -> None:
        self._nodes: list[float] = [0.0] * nodes
        self._cut = self._flood = 0.0
        self._slow: float = 0.0

    @property
    def over_s(self) -> float:
        """When all of it is over."""
        return max(self._cut, self._flood, self._slow, *self._nodes)

    def place(self, act: Act) -> Act:
        """``act`` where there is room for it: when it was meant to be, or later."""
        match act.kind:
            case "damage":
                act = replace(act, at_s=max(act.at_s, self._cut, self._slow, *self._nodes))
                self._cut = self._slow = act.until_s
                self._nodes = [act.until_s] * len(self._nodes)
            case "flood":
                act = replace(act, at_s=max(act.at_s, self._flood))
                self._flood = act.until_s
            case "slow":
                act = replace(act, at_s=max(act.at_s, self._slow))
                self._slow = act.until_s
            case "cut" | "halve":
                act = replace(act, at_s=max(act.at_s, self._cut))
                self._cut = act.until_s
            case _:
                act = replace(act, at_s=max(act.at_s, *(self._nodes[each] for each in act.who)))
                for each in act.who:
                    self._nodes[each] = act.until_s + _BREATH_S
        return act


def _who(chance: random.Random, kind: str, nodes: int) -> tuple[int, ...]:
    if kind == "lock":
        return (nodes + LOCKED,)
    if kind == "fill":
        return (nodes + SMALL,)
    if kind == "halve":
        return tuple(sorted(chance.sample(range(nodes), nodes // 2)))
    if kind == "kill" and nodes > 2 and chance.random() < 0.2:
        return tuple(sorted(chance.sample(range(nodes), 2)))
    if kind == "damage":
        return (chance.choice([each for each in range(nodes) if each not in (nodes + LOCKED, nodes + SMALL)]),)
    return (chance.randrange(nodes),)


def _length_s(chance: random.Random, kind: str) -> float:
    match kind:
        case "kill":
            return chance.choice((chance.uniform(0, 0.5), chance.uniform(0.5, 20)))
        case "stop":
            return chance.uniform(5, 40)
        case "cut" | "halve":
            return chance.choice((chance.uniform(2, 10), chance.uniform(10, 60)))
        case "clock" | "slow":
            return chance.uniform(10, 45)
        case "fill":
            return chance.uniform(5, 30)
        case "lock":
            return chance.uniform(2, 20)
        case "damage":
            return _DAMAGE_S
        case "flood":
            return chance.uniform(10, 30)
        case _:
            return 0.0


def _detail(chance: random.Random, kind: str, floods: Sequence[str]) -> str:
    match kind:
        case "cut" | "halve":
            return chance.choice(("loud", "silent"))
        case "clock":
            return str(chance.choice((HOUR_S, -HOUR_S)))
        case "slow":
            return str(chance.randint(*SLOW_MS))
        case "flood":
            return chance.choice(list(floods))
        case _:
            return ""
