"""What happens, to whom and when: all of it follows from the seed.

The shapes are those of published measurements of peer-to-peer networks: lengths of sessions are heavy-tailed (Weibull
with a shape near one half: Stutzbach and Rejaie, "Understanding churn in peer-to-peer networks", 2006), most peers come
and go, and a few stay. Nobody is away for as long as a record lives, so that whoever looks can find.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

HOUR_S: Final = 3_600.0
DAY_S: Final = 24 * HOUR_S

_SHAPE: Final = 0.5
_UP_S: Final = 6 * HOUR_S
_AWAY_S: Final = 8 * HOUR_S
_AWAY_MAX_S: Final = 48 * HOUR_S
_LEAST_S: Final = 120.0
_STAYING: Final = 0.15
_SKEW_S: Final = 240.0
_WRONG_S: Final = (3 * HOUR_S, -3 * HOUR_S, 30 * HOUR_S)
_KILLS_A_DAY: Final = 0.3
_KILLED_TALKING: Final = 0.1  # one of two, while a text leaves
_BLOCKS_A_DAY: Final = 0.03  # in a friendship
_REMOVALS_A_DAY: Final = 0.02  # in a friendship
_BY_INVITE: Final = 0.25  # of the friendships
_BEGIN_AGAIN: Final = 0.1  # of those who come and go
_FLOODS_A_DAY: Final = 0.08  # in a friendship
_FLOOD: Final = (20, 40)  # texts of :data:`FLOOD_CHARS`
_MOMENTS: Final = 16  # at which somebody may be away
_ILL_A_DAY: Final = 0.1  # of each other kind of illness
_SLOW_S: Final = (0.05, 3.0)  # of a transaction
_OFFERS_A_DAY: Final = 0.15  # of who stays
_QUOTAS: Final = (1 << 20, 4 << 20, 64 << 20)

FLOOD_CHARS: Final = 60_000
"""Of a text, where somebody sends as much as goes."""

Kind = Literal[
    "up", "down", "kill", "add", "text", "cut", "stall", "heal", "ill", "well", "clock", "block", "unblock", "backup",
    "lose", "restore", "offer", "use", "flood",
    "failing", "unreadable", "slow", "invite", "redeem", "remove", "add again", "reinstall",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scale:
    """How much. ``friends``: contacts of a person, on average; ``texts_a_day``: in each direction of a friendship."""

    nodes: int = 40
    days: float = 10.0
    friends: float = 4.0
    texts_a_day: float = 2.0
    settle_s: float = 30 * HOUR_S


@dataclass(frozen=True, slots=True, order=True)
class Act:
    """One thing that happens.

    Args:
        at_s: since the beginning.
        who: number of a person; ``other``: of somebody else, where there is one.
        value: seconds, by which a clock is wrong, or until a node that was killed is started again; bytes that are
            offered from now on, 0 where the offer is withdrawn; how many texts; seconds that a transaction takes.
    """

    at_s: float
    kind: Kind
    who: int
    other: int = -1
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A run.

    Attributes:
        staying: who is always there, and holds mailboxes for anyone: their quotas in bytes.
        skews: by how many seconds everybody's clock is wrong.
        friends: pairs, the lower number first.
        acts: in order.
    """

    scale: Scale
    staying: dict[int, int]
    skews: list[float]
    friends: list[tuple[int, int]]
    acts: list[Act] = field(repr=False)


def drawn(seed: int, scale: Scale) -> Plan:
    """The plan of a seed."""
    return _Drawing(seed, scale).plan()


class _Drawing:
    def __init__(self, seed: int, scale: Scale) -> None:
        self._seed = seed
        self._chance = chance = random.Random(seed)
        self._scale = scale
        self._end_s = scale.days * DAY_S - scale.settle_s
        count = max(2, round(scale.nodes * _STAYING))
        self._staying = {who: chance.choice(_QUOTAS) for who in sorted(chance.sample(range(scale.nodes), count))}
        self._ups = [self._sessions(who) for who in range(scale.nodes)]
        self._anew: dict[int, float] = {}

    def plan(self) -> Plan:
        chance, nodes = self._chance, self._scale.nodes
        wanted = round(nodes * self._scale.friends / 2)
        pairs = [(a, b) for a in range(nodes) for b in range(a + 1, nodes)]
        friends = sorted(chance.sample(pairs, min(wanted, len(pairs))))
        skews = [chance.uniform(-_SKEW_S, _SKEW_S) for _ in range(nodes)]
        self._anew = dict(self._beginnings())
        invited = self._invited(friends)
        self._chance = chance
        acts = [*self._comings(), *self._of_people()]
        for pair in friends:
            acts += self._of_friends(*pair, by_invite=pair in invited)
        acts += self._of_mailboxes(friends)
        acts += [Act(at_s, "reinstall", who) for who, at_s in self._anew.items()]
        acts += self._illnesses()
        acts += self._removals([each for each in friends if each not in invited])
        return Plan(self._scale, self._staying, skews, friends, sorted(acts))

    def _sessions(self, who: int) -> list[tuple[float, float]]:
        """When somebody is up, until everybody is."""
        if who in self._staying:
            return [(0.0, self._end_s)]
        found: list[tuple[float, float]] = []
        at_s = self._chance.uniform(0, HOUR_S)
        while at_s < self._end_s:
            until_s = min(at_s + _LEAST_S + self._length_s(_UP_S), self._end_s)
            found.append((at_s, until_s))
            at_s = until_s + _LEAST_S + min(self._length_s(_AWAY_S), _AWAY_MAX_S)
        return found

    def _length_s(self, mean_s: float) -> float:
        return self._chance.weibullvariate(mean_s / 2, _SHAPE)  # Γ(1 + 1/0.5) = 2

    def _comings(self) -> Iterator[Act]:
        for who, sessions in enumerate(self._ups):
            for begin_s, until_s in sessions:
                yield Act(begin_s, "up", who)
                if until_s < self._end_s:
                    yield Act(until_s, "down", who)
            yield Act(self._end_s, "up", who)

    def _of_people(self) -> Iterator[Act]:
        for who in range(self._scale.nodes):
            for at_s in self._times(_KILLS_A_DAY):
                yield Act(at_s, "kill", who, value=self._pause_s())
            for at_s in self._times(1.0):
                yield Act(at_s, "backup", who)
            for at_s in self._times(0.3):
                yield Act(at_s, "ill", who)
                yield Act(self._later(at_s, 60, HOUR_S), "well", who)
            for at_s in self._times(0.1):
                yield Act(at_s, "clock", who, value=self._chance.choice(_WRONG_S))
                yield Act(self._later(at_s, 600, 2 * HOUR_S), "clock", who)
            if who not in self._staying:
                for at_s in self._times(0.02):
                    yield Act(at_s, "lose", who)
                    yield Act(self._later(at_s, HOUR_S, 10 * HOUR_S), "restore", who)

    def _beginnings(self) -> Iterator[tuple[int, float]]:
        """Who begins with a new identity under the same number, and when: early, since it takes days to be told."""
        chance = self._chance = random.Random(f"{self._seed} beginnings")
        for who in range(self._scale.nodes):
            if who not in self._staying and chance.random() < _BEGIN_AGAIN:
                found = self._while_up(who, chance.uniform(DAY_S / 2, max(DAY_S / 2, 0.4 * self._end_s)))
                if found is not None:
                    yield who, found

    def _invited(self, friends: list[tuple[int, int]]) -> set[tuple[int, int]]:
        """The friendships that begin with a link; not of who gets a new identity: nobody would find it by that."""
        chance = random.Random(f"{self._seed} invites")
        return {each for each in friends if chance.random() < _BY_INVITE and self._anew.keys().isdisjoint(each)}

    def _illnesses(self) -> Iterator[Act]:
        """Of disks that are not full."""
        chance = self._chance = random.Random(f"{self._seed} disks")
        kinds: tuple[tuple[Kind, float], ...] = (("failing", HOUR_S), ("unreadable", HOUR_S / 2), ("slow", 2 * HOUR_S))
        for who in range(self._scale.nodes):
            for kind, most_s in kinds:
                for at_s in self._times(_ILL_A_DAY):
                    yield Act(at_s, kind, who, value=chance.uniform(*_SLOW_S) if kind == "slow" else 0.0)
                    yield Act(self._later(at_s, 60, most_s), "well", who)

    def _removals(self, friends: list[tuple[int, int]]) -> Iterator[Act]:
        chance = self._chance = random.Random(f"{self._seed} removals")
        for pair in friends:
            for at_s in self._times(_REMOVALS_A_DAY):
                who, other = chance.sample(pair, 2)
                yield Act(at_s, "remove", who, other)
                yield Act(self._later(at_s, HOUR_S, DAY_S), "add again", who, other)

    def _of_friends(self, a: int, b: int, *, by_invite: bool) -> Iterator[Act]:
        if by_invite:
            yield Act(self._moment_of(a, 12 * HOUR_S), "invite", a, b)
        for who, other in ((a, b), (b, a)):
            if not by_invite:
                yield Act(self._moment_of(who, 12 * HOUR_S), "add", who, other)
            for at_s in self._times(self._scale.texts_a_day):
                yield from self._texts(at_s, who, other)
        for at_s in self._times(0.3):
            yield Act(at_s, self._chance.choice(("cut", "stall")), a, b)
            yield Act(self._later(at_s, 60, 4 * HOUR_S), "heal", a, b)
        for at_s in self._times(_BLOCKS_A_DAY):
            who, other = self._chance.choice(((a, b), (b, a)))
            yield Act(at_s, "block", who, other)
            yield Act(self._later(at_s, HOUR_S, DAY_S), "unblock", who, other)

    def _of_mailboxes(self, friends: list[tuple[int, int]]) -> Iterator[Act]:
        """Offers that are made smaller, or withdrawn, for a while; mailboxes at a friend's node; and friends who send
        more than a mailbox holds."""
        chance = self._chance = random.Random(f"{self._seed} mailboxes")
        for who, quota in self._staying.items():
            for at_s in self._times(_OFFERS_A_DAY):
                yield Act(at_s, "offer", who, value=chance.choice((0, min(_QUOTAS))))
                yield Act(self._later(at_s, HOUR_S, DAY_S), "offer", who, value=quota)
        for who, other in friends:
            for one, two in ((who, other), (other, who)):
                if two in self._staying and one not in self._staying and chance.random() < 0.5:
                    yield Act(chance.uniform(DAY_S / 4, self._end_s), "use", one, two)
            for at_s in self._times(_FLOODS_A_DAY):
                one, two = chance.choice(((who, other), (other, who)))
                moments = [self._while_up(one, self._later(at_s, 0, DAY_S)) for _ in range(_MOMENTS)]
                found = next((each for each in moments if each is not None and not self._is_up(two, each)), None)
                if found is not None:
                    yield Act(found, "flood", one, two, value=chance.randint(*_FLOOD))

    def _texts(self, at_s: float, who: int, other: int) -> Iterator[Act]:
        """A few in a row, and now and then somebody's node is killed while they leave. People type while their node is
        up, whoever is there at the other end: what comes to their mind before waits for that."""
        chance = self._chance
        found = self._while_up(who, at_s)
        if found is None:
            return
        at_s = found
        for number in range(1 + int(chance.expovariate(1.0))):
            yield Act(at_s + number * chance.uniform(0, 2), "text", who, other)
        if chance.random() < _KILLED_TALKING:
            yield Act(at_s + chance.expovariate(5.0), "kill", chance.choice((who, other)), value=self._pause_s())

    def _is_up(self, who: int, at_s: float) -> bool:
        return any(begin_s <= at_s < until_s for begin_s, until_s in self._ups[who])

    def _while_up(self, who: int, at_s: float) -> float | None:
        """Then, or soon after somebody is up again; None: not before everybody is."""
        begin_s, until_s = next((each for each in self._ups[who] if each[1] > at_s), (0.0, 0.0))
        if begin_s <= at_s < until_s:
            return at_s
        return self._chance.uniform(begin_s, min(begin_s + HOUR_S / 2, until_s)) if until_s else None

    def _pause_s(self) -> float:
        """Until a node that was killed is started again."""
        return self._chance.uniform(1, 30)

    def _later(self, at_s: float, least_s: float, most_s: float) -> float:
        """When what began ends: before everybody settles."""
        return min(at_s + self._chance.uniform(least_s, most_s), self._end_s)

    def _times(self, a_day: float) -> list[float]:
        """Moments of a Poisson process."""
        found: list[float] = []
        at_s = self._chance.expovariate(a_day / DAY_S)
        while at_s < self._end_s:
            found.append(at_s)
            at_s += self._chance.expovariate(a_day / DAY_S)
        return found

    def _moment_of(self, who: int, before_s: float) -> float:
        """Some moment when somebody is up, early on."""
        begin_s, until_s = next(iter(self._ups[who]))
        return self._chance.uniform(begin_s + 1, max(begin_s + 2, min(until_s - 1, before_s)))
