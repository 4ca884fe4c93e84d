"""``simulation``: the lookup machine of the product in networks that no machine could run; nothing but arithmetic.

The network is an ideal one just before it is hurt: every bucket of every node holds k of the peers that belong there
(all where there are fewer), drawn at random. Then a share of the nodes dies, and nobody knows yet. A node that lives
walks to a random target: it begins with the 30 closest of its table, each live peer answers after one round trip with
the k closest of its own, dead ones among them, and the dead never do. The deadlines are those of PROTOCOL.md 3.7 for
peers never met, at a round trip of 100 ms.

- *rounds*: round trips until the walk is done. Each wait for the dead costs the five of a soft deadline.
- *requests*: peers asked, the dead ones included.
- *recall*: how many of the k closest that truly live are among those that the walk rests on.
- *found*: how many walks rest on at least one of the k that were closest before, where the records lie.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from bench.measure import quantile
from p2pchat.base import limits
from p2pchat.base.ids import PeerId
from p2pchat.core.lookup import POSITION_BITS, Lookup, position
from p2pchat.core.params import PRODUCTION, Params

SIZES: Final = (1_000, 10_000, 100_000)
DEAD: Final = (0.0, 0.3)
ROUND_TRIP_S: Final = 0.1
KNOWN_AT_FIRST: Final = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """One walk."""

    rounds: float
    requests: int
    recall: float
    found: bool


@dataclass(frozen=True, slots=True)
class Row:
    """Many walks in one network."""

    nodes: int
    dead: float
    outcomes: tuple[Outcome, ...]

    @property
    def requests(self) -> float:
        """Of a walk, on average."""
        return sum(outcome.requests for outcome in self.outcomes) / len(self.outcomes)

    def cells(self) -> list[str]:
        """As text, in the order of :data:`HEADINGS`."""
        rounds = [outcome.rounds for outcome in self.outcomes]
        requests = [outcome.requests for outcome in self.outcomes]
        recalls = [outcome.recall for outcome in self.outcomes]
        return [
            f"{self.nodes:,}",
            f"{self.dead:.0%}",
            f"{quantile(rounds, 0.5):.1f} / {quantile(rounds, 0.95):.1f}",
            f"{self.requests:.1f} / {quantile(requests, 0.95)}",
            f"{sum(recalls) / len(recalls):.3f} / {min(recalls):.2f}",
            f"{sum(outcome.found for outcome in self.outcomes) / len(self.outcomes):.2%}",
        ]


HEADINGS: Final = ("nodes", "dead", "rounds, p50 / p95", "requests, mean / p95", "recall, mean / least", "found")


class World:
    """All nodes, by position.

    Args:
        nodes: how many.
        dead: which share of them.
        seed: the same makes the same world.
    """

    def __init__(self, nodes: int, dead: float, seed: int, params: Params = PRODUCTION) -> None:
        self.params = params
        self._seed = seed
        named = sorted((position(name), name) for name in (PeerId(b"%d/%d" % (seed, i)) for i in range(nodes)))
        self._positions = [at for at, _ in named]
        self._names = [name for _, name in named]
        self._dead = set(random.Random(seed).sample(self._names, round(nodes * dead)))

    def lives(self, peer: PeerId) -> bool:
        return peer not in self._dead

    def somebody(self, rng: random.Random) -> PeerId:
        """A node that lives."""
        return next(peer for peer in iter(lambda: rng.choice(self._names), None) if self.lives(peer))

    def told_by(self, peer: PeerId, target: int, count: int) -> list[PeerId]:
        """The ``count`` closest to ``target`` in the table of ``peer``."""
        own = position(peer)
        shared = POSITION_BITS - (own ^ target).bit_length()
        deepest = self._deepest(own)
        found = self._bucket(own, shared) if shared < POSITION_BITS else []
        deeper = (each for depth in range(shared + 1, deepest + 1) for each in self._bucket(own, depth))
        if len(found) < count:
            found += deeper
        for depth in range(min(shared, deepest + 1) - 1, -1, -1):
            if len(found) >= count:
                break
            found += self._bucket(own, depth)
        return sorted(found, key=lambda each: position(each) ^ target)[:count]

    def closest(self, target: int, count: int, *, alive: bool) -> list[PeerId]:
        """The truth: who is closest, of all or of those that live."""
        bits = POSITION_BITS
        while True:
            low, high = self._range(target, bits)
            near = [name for name in self._names[low:high] if not alive or self.lives(name)]
            if len(near) >= count or bits == 0:
                return sorted(near, key=lambda each: position(each) ^ target)[:count]
            bits -= 1

    def _bucket(self, own: int, depth: int) -> list[PeerId]:
        """k of those that share exactly ``depth`` leading bits with ``own``: the same ones whenever it is asked."""
        low, high = self._range(own ^ (1 << (POSITION_BITS - 1 - depth)), depth + 1)
        if high - low <= self.params.k:
            return self._names[low:high]
        drawn = random.Random(f"{self._seed}/{own}/{depth}")
        return [self._names[index] for index in drawn.sample(range(low, high), self.params.k)]

    def _deepest(self, own: int) -> int:
        """The deepest bucket that may hold anybody."""
        depth = 0
        while depth < POSITION_BITS:
            low, high = self._range(own, depth)
            if high - low <= 1:
                break
            depth += 1
        return depth

    def _range(self, at: int, bits: int) -> tuple[int, int]:
        """Which of the sorted nodes share the first ``bits`` bits with ``at``."""
        shift = POSITION_BITS - bits
        first = at >> shift << shift
        return bisect_left(self._positions, first), bisect_left(self._positions, first + (1 << shift))


def walk(world: World, requester: PeerId, target: int) -> Outcome:
    """One walk, on a clock of its own."""
    params = world.params
    machine = Lookup(target, k=params.k, alpha=params.alpha, max_asked=limits.PEERS_ASKED)
    for peer in world.told_by(requester, target, KNOWN_AT_FIRST):
        machine.learn(peer)
    events: list[tuple[float, int, PeerId, bool]] = []  # when, which, whose, whether it is the last word
    now, requests = 0.0, 0
    while not machine.done:
        while batch := machine.next():
            for peer in batch:
                requests += 1
                if world.lives(peer):
                    heappush(events, (now + ROUND_TRIP_S, requests, peer, True))
                else:
                    heappush(events, (now + params.soft_unknown_s, requests, peer, False))
                    heappush(events, (now + params.hard_s, requests, peer, True))
        now, _, peer, last = heappop(events)
        if not last:
            machine.on_slow(peer)
        elif not world.lives(peer):
            machine.on_fail(peer)
        else:
            machine.on_reply(peer)
            for told in world.told_by(peer, target, params.k):
                if told != requester:
                    machine.learn(told, teller=peer)
    alive, before = (world.closest(target, params.k, alive=alive) for alive in (True, False))
    found = {requester, *machine.answered()}  # the own node answers, too, and is asked first
    recall = sum(peer in found for peer in alive) / len(alive)
    return Outcome(now / ROUND_TRIP_S, requests, recall, not found.isdisjoint(before))


def measure(nodes: int, dead: float, walks: int, seed: int = 1) -> Row:
    """``walks`` walks, each from another node to another target."""
    world, rng = World(nodes, dead, seed), random.Random(seed)
    outcomes = tuple(walk(world, world.somebody(rng), rng.getrandbits(POSITION_BITS)) for _ in range(walks))
    return Row(nodes, dead, outcomes)
