"""What is missing between numbers, and the places that are kept for it."""

from __future__ import annotations

import pytest

from p2pchat.base.limits import PLACES_PER_GAP
from p2pchat.core.order import Gap, gap_below

NOW_S = 1_800_000_000


@pytest.mark.parametrize(("n", "highest"), [(1, None), (1, 0), (8, 7)])
def test_after_the_number_before_nothing_is_missing(n: int, highest: int | None) -> None:
    assert gap_below(n, highest, 50, NOW_S) is None


def test_the_places_of_what_is_missing_come_first() -> None:
    gap = gap_below(10, 7, 50, NOW_S)
    assert gap is not None
    assert gap == Gap(above=52, n0=8, n1=9, told=True, noted_s=NOW_S)
    assert (gap.count, gap.place_of(8), gap.place_of(9)) == (2, 50, 51)


def test_below_the_first_of_a_device_nothing_is_said_to_be_missing() -> None:
    gap = gap_below(3, None, 1, NOW_S)
    assert gap == Gap(above=3, n0=1, n1=2, told=False, noted_s=NOW_S)


@pytest.mark.parametrize("highest", [None, 5])
@pytest.mark.parametrize("n", [5_000, (1 << 63) - 1])
def test_of_more_than_is_kept_the_highest_are(n: int, highest: int | None) -> None:
    gap = gap_below(n, highest, 50, NOW_S)
    assert gap is not None
    assert (gap.n0, gap.n1, gap.count, gap.above) == (n - PLACES_PER_GAP, n - 1, PLACES_PER_GAP, 50 + PLACES_PER_GAP)


@pytest.mark.parametrize("told", [True, False])
def test_what_has_come_divides_a_gap_and_those_after_it_are_known_to_be_missing(told: bool) -> None:
    gap = Gap(100, 4, 9, told, NOW_S)
    assert gap.without(6) == [Gap(96, 4, 5, told, NOW_S), Gap(100, 7, 9, True, NOW_S)]
    assert gap.without(4) == [Gap(100, 5, 9, True, NOW_S)]
    assert gap.without(9) == [Gap(99, 4, 8, told, NOW_S)]
    assert Gap(100, 4, 4, told, NOW_S).without(4) == []
    for part in gap.without(6):
        for n in range(part.n0, part.n1 + 1):
            assert part.place_of(n) == gap.place_of(n)
