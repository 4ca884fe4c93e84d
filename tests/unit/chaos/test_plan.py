"""The plan of ``scripts/chaos``: all of it from the seed, one trouble a node at a time, nothing left to chance."""

from __future__ import annotations

from itertools import pairwise

import pytest

from chaos.plan import KINDS, LOCKED, SLOW_MS, SMALL, Act, drawn

FLOODS = ("pings", "streams")
ON_TOP = ("cut", "halve", "slow", "flood")
SEEDS = range(20)


def plan(seed: int, seconds: float = 600.0, nodes: int = 8) -> list[Act]:
    return drawn(seed, seconds, nodes, FLOODS)


def test_the_same_seed_has_the_same_plan_and_another_one_another() -> None:
    assert plan(7) == plan(7)
    assert len({tuple(plan(seed)) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_minutes_have_every_kind_and_all_ends_within_them(seed: int) -> None:
    acts = plan(seed)
    assert {act.kind for act in acts} == set(KINDS)
    assert all(0 < act.at_s <= act.until_s <= 600 for act in acts)
    assert [act.at_s for act in acts] == sorted(act.at_s for act in acts)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("nodes", [3, 8])
def test_a_node_is_in_one_trouble_at_a_time(seed: int, nodes: int) -> None:
    for node in range(nodes):
        own = [act for act in plan(seed, nodes=nodes) if node in act.who and act.kind not in ON_TOP]
        assert all(later.at_s >= earlier.until_s for earlier, later in pairwise(own))


@pytest.mark.parametrize("kinds", [("cut", "halve"), ("slow",), ("flood",), ("damage",)])
def test_what_would_undo_another_of_its_kind_does_not_overlap_it(kinds: tuple[str, ...]) -> None:
    for seed in SEEDS:
        own = [act for act in plan(seed) if act.kind in kinds]
        assert all(later.at_s >= earlier.until_s for earlier, later in pairwise(own))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_database_has_the_stage_to_itself(seed: int) -> None:
    acts = plan(seed)
    for damage in (act for act in acts if act.kind == "damage"):
        others = [act for act in acts if act.kind not in ("damage", "flood")]
        assert all(other.until_s <= damage.at_s or other.at_s >= damage.until_s for other in others)
        assert not set(damage.who) & {8 + LOCKED, 8 + SMALL}


def test_slow_disks_are_as_slow_as_they_may_be_and_some_are_slow_while_their_node_is_killed() -> None:
    acts = {seed: plan(seed) for seed in SEEDS}
    slow = [(seed, act) for seed in SEEDS for act in acts[seed] if act.kind == "slow"]
    assert all(SLOW_MS[0] <= int(act.detail) <= SLOW_MS[1] for _, act in slow)
    assert len({act.detail for _, act in slow}) > len(slow) / 2
    kills = [(seed, act) for seed in SEEDS for act in acts[seed] if act.kind == "kill"]
    assert any(
        one == other and slow_act.at_s < kill.at_s < slow_act.until_s and set(slow_act.who) & set(kill.who)
        for one, slow_act in slow
        for other, kill in kills
    )


def test_half_of_the_nodes_are_cut_off_from_the_others() -> None:
    assert {len(act.who) for seed in SEEDS for act in plan(seed) if act.kind == "halve"} == {4}


def test_without_attackers_nobody_is_flooded_and_what_cannot_be_done_is_not_planned() -> None:
    kinds = {act.kind for seed in SEEDS for act in drawn(seed, 600, 8, (), ("fill",))}
    assert kinds == set(KINDS) - {"flood", "fill"}


def test_a_short_run_damages_nothing_and_is_short_of_nothing_else() -> None:
    kinds = {act.kind for seed in SEEDS for act in plan(seed, seconds=18, nodes=3)}
    assert kinds == set(KINDS) - {"damage"}
