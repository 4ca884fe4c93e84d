"""The simulated network is what it says, and the lookup machine finds its way in it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import cast

import pytest

from bench import simulation
from bench.measure import Samples
from bench.report import table
from bench.simulation import DEAD, METRICS, SIZES, Outcome, World, measure, walk
from p2pchat.base.ids import PeerId
from p2pchat.cli.sandbox import Sandbox
from p2pchat.core.lookup import POSITION_BITS, position
from p2pchat.core.params import PRODUCTION

K = PRODUCTION.k


def everyone(nodes: int, seed: int) -> list[PeerId]:
    return [PeerId(b"%d/%d" % (seed, index)) for index in range(nodes)]


def shared(one: int, other: int) -> int:
    return POSITION_BITS - (one ^ other).bit_length()


def test_a_table_tells_the_closest_of_what_its_buckets_hold() -> None:
    world, target = World(400, 0.0, 1), position(b"target")
    peers = everyone(400, 1)
    for teller in peers[:20]:
        own = position(teller)
        told = world.told_by(teller, target, K)
        assert len(told) == K
        assert teller not in told
        assert told == sorted(told, key=lambda each: position(each) ^ target)
        assert told == world.told_by(teller, target, K)
        nearest = {peer for peer in peers if peer != teller and shared(position(peer), own) == shared(own, target)}
        assert nearest <= set(told) if len(nearest) <= K else set(told) <= nearest


def test_in_a_small_network_everybody_is_known() -> None:
    world = World(15, 0.0, 1)
    peers = everyone(15, 1)
    assert set(world.told_by(peers[0], position(b"target"), K)) == set(peers[1:])


@pytest.mark.parametrize("alive", [True, False])
def test_the_truth_is_the_closest(alive: bool) -> None:
    world, target = World(300, 0.3, 2), position(b"target")
    peers = [peer for peer in everyone(300, 2) if not alive or world.lives(peer)]
    assert len(peers) == (210 if alive else 300)
    assert world.closest(target, K, alive=alive) == sorted(peers, key=lambda each: position(each) ^ target)[:K]


def test_a_walk_in_a_whole_network_finds_the_k_closest_in_few_rounds() -> None:
    world, rng = World(2_000, 0.0, 3), random.Random(3)
    for _ in range(10):
        outcome = walk(world, world.somebody(rng), rng.getrandbits(POSITION_BITS))
        assert (outcome.recall, outcome.found) == (1.0, True)
        assert 2 <= outcome.rounds <= 5
        assert K <= outcome.requests <= 60


def test_a_walk_among_the_dead_finds_those_that_hold_the_records() -> None:
    outcomes = measure(2_000, 0.3, 20)
    assert all(outcome.found and outcome.recall > 0.6 for outcome in outcomes)
    assert max(outcome.rounds for outcome in outcomes) > 5  # it waited


def test_the_same_seed_makes_the_same_walks() -> None:
    assert measure(500, 0.3, 5) == measure(500, 0.3, 5)


def test_every_row_has_its_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, float, int]] = []

    def small(nodes: int, dead: float, walks: int, seed: int) -> list[Outcome]:
        asked.append((nodes, dead, seed))
        return [Outcome(3.0 + seed, 20, 1.0, True), Outcome(5.0 + seed, 30, 0.5, False)]

    monkeypatch.setattr(simulation, "measure", small)
    samples = Samples()
    simulation.run(cast("Sandbox", None), tmp_path, 2, quick=True, samples=samples)
    assert asked == [(nodes, dead, seed) for seed in (1, 2) for nodes in SIZES for dead in DEAD]
    assert len(table(METRICS, samples)) == 1 + len(METRICS)
    values = {metric.name.removeprefix("1,000 nodes, 30% dead: "): samples[metric.name].values for metric in METRICS}
    assert values["requests"] == [25.0, 25.0]
    assert values["requests p95"] == [30, 30]
    assert values["rounds"] == [6.0, 7.0]
    assert (values["recall"], values["recall least"], values["found"]) == ([75.0] * 2, [50.0] * 2, [50.0] * 2)
    assert simulation.budgets(samples)[0].endswith("sent a day at 100,000 nodes, MB")
