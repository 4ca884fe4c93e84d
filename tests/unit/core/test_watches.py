"""Leases on slots."""

from __future__ import annotations

import pytest

from p2pchat.base import limits
from p2pchat.core.watches import Watches

LOC, OTHER = b"l" * 32, b"o" * 32


@pytest.mark.parametrize(("asked_s", "granted_s"), [(0, 0), (1, 1), (3600, 3600), (65_535, 3600)])
def test_a_lease_is_what_was_asked_for_up_to_the_bound(asked_s: int, granted_s: int) -> None:
    watches = Watches[str](3600)
    assert watches.grant(LOC, "a", asked_s, 0.0) == granted_s
    assert watches.watchers(LOC, granted_s - 0.5) == (["a"] if granted_s else [])
    assert watches.watchers(LOC, granted_s) == []


def test_asking_again_prolongs_the_lease_and_counts_once() -> None:
    watches = Watches[str](3600)
    watches.grant(LOC, "a", 10, 0.0)
    watches.grant(LOC, "a", 10, 8.0)
    assert watches.watchers(LOC, 17.0) == ["a"]
    assert len(watches) == 1


def test_a_slot_has_64_watchers_at_most_until_leases_end() -> None:
    watches = Watches[int](3600)
    granted = [watches.grant(LOC, i, 100, 0.0) for i in range(limits.WATCHES_PER_SLOT + 1)]
    assert granted == [100] * limits.WATCHES_PER_SLOT + [0]
    assert watches.grant(OTHER, 0, 100, 0.0) == 100
    assert watches.grant(LOC, 0, 100, 50.0) == 100
    assert watches.grant(LOC, -1, 100, 100.0) == 100
    assert sorted(watches.watchers(LOC, 100.0)) == [-1, 0]


def test_a_node_grants_2000_at_most_and_forgets_ended_ones() -> None:
    watches = Watches[int](3600)
    for i in range(limits.WATCHES):
        assert watches.grant(i.to_bytes(32, "big"), 0, 100, 0.0) == 100
    assert watches.grant(LOC, 0, 100, 99.0) == 0
    assert watches.grant(LOC, 0, 100, 100.0) == 100
    assert len(watches) == 1


def test_who_leaves_watches_nothing() -> None:
    watches = Watches[str](3600)
    for loc in (LOC, OTHER):
        for who in ("a", "b"):
            watches.grant(loc, who, 10, 0.0)
    watches.drop("a")
    assert watches.watchers(LOC, 1.0) == watches.watchers(OTHER, 1.0) == ["b"]
    assert len(watches) == 2
