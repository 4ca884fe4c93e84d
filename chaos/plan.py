"""What befalls the nodes, and when: all of it follows from the seed, the minutes and the number of nodes.

Rules:

- Acts are dealt from a deck that holds each kind once and is shuffled anew when it is empty, so that no kind is left to
  chance.
- One node is in one trouble at a time, but for floods and cuts, which come on top of anything. A damaged database has
  the stage to itself: whether something was lost could not be told otherwise.
- Everything that begins ends within the minutes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

KINDS: Final = ("kill", "stop", "cut", "halve", "clock", "fill", "lock", "move", "damage", "flood")
HOUR_S: Final = 3_600
LOCKED, SMALL = -1, -2
"""Which nodes, from the end: that with a passphrase, that on the small disk."""

_ALONE: Final = frozenset({"cut", "halve", "flood"})  # what leaves its nodes free for other trouble
_LONG_S: Final = 90.0
"""A run of so much or more has pauses and stretches of full length."""
_DAMAGE_S: Final = 20.0
_QUIET_S: Final = 0.15
"""Of the run, before the first act: what quiet figures are made of."""


@dataclass(frozen=True, slots=True)
class Act:
    """One trouble.

    Attributes:
        at_s: from the beginning of the run.
        for_s: how long; of a kill, until the node is started again.
        who: the nodes; of ``halve`` one side of the cut, of ``cut`` who is cut off.
        detail: ``loud`` or ``silent`` of a cut, the seconds ahead of a clock, the kind of a flood; else empty.
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
    kinds = [kind for kind in KINDS if kind not in skipped and (kind != "flood" or floods)]
    if seconds < _LONG_S:
        kinds = [kind for kind in kinds if kind != "damage"]
    acts: list[Act] = []
    deck: list[str] = []
    busy = [0.0] * nodes
    cut_until = flood_until = 0.0
    at_s = seconds * _QUIET_S if seconds < _LONG_S else _LONG_S * _QUIET_S
    while at_s < seconds:
        if not deck:
            deck = chance.sample(kinds, len(kinds))
        kind = deck.pop()
        who = _who(chance, kind, nodes)
        act = Act(
            at_s, kind, who, _length_s(chance, kind) * (1 if kind == "damage" else scale), _detail(chance, kind, floods)
        )
        at_s += chance.uniform(1.5, 7.0) * max(scale, 0.25)
        if kind == "damage":
            begin_s = max(act.at_s, cut_until, *busy)
            act = Act(begin_s, kind, who, act.for_s)
            busy = [act.until_s] * nodes
            cut_until, at_s = act.until_s, max(at_s, act.until_s)
        elif kind == "flood":
            act = Act(max(act.at_s, flood_until), kind, who, act.for_s, act.detail)
            flood_until = act.until_s
        elif kind in ("cut", "halve"):
            act = Act(max(act.at_s, cut_until), kind, who, act.for_s, act.detail)
            cut_until = act.until_s
        else:
            act = Act(max(act.at_s, *(busy[each] for each in who)), kind, who, act.for_s, act.detail)
            for each in who:
                busy[each] = act.until_s + 1.0
        if act.until_s <= seconds:
            acts.append(act)
    return sorted(acts, key=lambda act: act.at_s)


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
        case "clock":
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
        case "flood":
            return chance.choice(list(floods))
        case _:
            return ""
