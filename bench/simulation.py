"""``simulation``: the lookup machine of the product in networks that no machine could run; nothing but arithmetic.

The network is an ideal one just before it is hurt: every bucket of every node holds k of the peers that belong there
(all where there are fewer), drawn at random. Then a share of the nodes dies, and nobody knows yet. A node that lives
walks to a random target: it begins with the 30 closest of its table, each live peer answers after one round trip with
the k closest of its own, dead ones among them, and the dead never do. The deadlines are those of PROTOCOL.md 3.7 for
peers never met, at a round trip of 100 ms. Each run has networks of its own, of which 200 walks are made in each; its
figures are the same on every machine. ``--quick``: 5 walks.

- *rounds*: round trips until the walk is done. Each wait for the dead costs the five of a soft deadline.
- *requests*: peers asked, the dead ones included.
- *recall*: how many of the k closest that truly live are among those that the walk rests on.
- *found*: how many walks rest on at least one of the k that were closest before, where the records lie.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import Final

from bench import budget
from bench.measure import Samples, quantile, rounds
from bench.plot import Chart, Line
from bench.report import Metric, aligned
from p2pchat.base import limits
from p2pchat.base.ids import PeerId
from p2pchat.cli.sandbox import Sandbox
from p2pchat.core.lookup import POSITION_BITS, Lookup, position
from p2pchat.core.params import PRODUCTION, Params

SIZES: Final = (1_000, 10_000, 100_000)
DEAD: Final = (0.0, 0.3)
ROUND_TRIP_S: Final = 0.1
KNOWN_AT_FIRST: Final = 30
_WALKS: Final = 200
_QUICK_WALKS: Final = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """One walk."""

    rounds: float
    requests: int
    recall: float
    found: bool


def _rows(nodes: int, dead: float) -> Iterator[Metric]:
    who = _who(nodes, dead)
    yield Metric(f"{who}: requests", f"{who}: requests of a walk, mean", "", (("k", "k, which each walk asks"),))
    yield Metric(f"{who}: requests p95", "the same, p95", "", (("k", "k, which each walk asks"),))
    yield Metric(f"{who}: rounds", f"{who}: rounds, p50", "")
    yield Metric(f"{who}: rounds p95", "the same, p95", "")
    yield Metric(f"{who}: recall", f"{who}: recall, mean", "%", rising=True)
    yield Metric(f"{who}: recall least", "the same, least", "%", rising=True)
    yield Metric(f"{who}: found", f"{who}: found", "%", rising=True)


def _who(nodes: int, dead: float) -> str:
    return f"{nodes:,} nodes, {dead:.0%} dead"


def _line(dead: float, figure: str) -> Line:
    return Line(f"{dead:.0%} dead", tuple((nodes, f"{_who(nodes, dead)}: {figure}") for nodes in SIZES))


METRICS: Final = tuple(row for nodes in SIZES for dead in DEAD for row in _rows(nodes, dead))
CHARTS: Final = (
    Chart("Cost of a walk", "nodes", "requests, mean", tuple(_line(dead, "requests") for dead in DEAD)),
    Chart("Length of a walk", "nodes", "round trips, p50", tuple(_line(dead, "rounds") for dead in DEAD)),
)


def run(_sandbox: Sandbox, _folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    """Add ``runs`` values of everything, each from networks of its own."""
    for index, values in rounds(runs, samples, warm_up=False):
        values.add("k", PRODUCTION.k)
        for nodes in SIZES:
            for dead in DEAD:
                _add(values, _who(nodes, dead), measure(nodes, dead, _QUICK_WALKS if quick else _WALKS, seed=index))


def _add(samples: Samples, who: str, outcomes: Sequence[Outcome]) -> None:
    requests = [outcome.requests for outcome in outcomes]
    took = [outcome.rounds for outcome in outcomes]
    recalls = [outcome.recall for outcome in outcomes]
    samples.add(f"{who}: requests", sum(requests) / len(requests))
    samples.add(f"{who}: requests p95", quantile(requests, 0.95))
    samples.add(f"{who}: rounds", quantile(took, 0.5))
    samples.add(f"{who}: rounds p95", quantile(took, 0.95))
    samples.add(f"{who}: recall", 100 * sum(recalls) / len(recalls))
    samples.add(f"{who}: recall least", 100 * min(recalls))
    samples.add(f"{who}: found", 100 * sum(outcome.found for outcome in outcomes) / len(outcomes))


def budgets(samples: Samples) -> list[str]:
    """Lines: what contacts cost where nobody is dead."""
    return aligned(budget.table({nodes: samples[f"{_who(nodes, 0.0)}: requests"].median for nodes in SIZES}))


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


def measure(nodes: int, dead: float, walks: int, seed: int = 1) -> list[Outcome]:
    """``walks`` walks, each from another node to another target."""
    world, rng = World(nodes, dead, seed), random.Random(seed)
    return [walk(world, world.somebody(rng), rng.getrandbits(POSITION_BITS)) for _ in range(walks)]
