"""``scripts/chaos --soak`` notices what grows, and nothing that only warms up, or goes up and down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chaos.figures import Burden, Sample
from chaos.soak import lines, swollen

LOOKS = 40
USUAL = Burden(rss_mb=75.0, descriptors=24, tasks=100, db_bytes=1_000_000, wal_bytes=4_000_000, cpu_s=1.0)


def looks(*changed: tuple[int, dict[str, Any]]) -> list[Sample]:
    """Two nodes, the second of which is another from some look on."""
    samples: list[Sample] = []
    for number in range(LOOKS):
        second = USUAL
        for since, change in changed:
            if number >= since:
                second = replace(second, **change)
        samples.append(Sample(20.0 * number, [0.0, 0.0], 0, [USUAL, second]))
    return samples


@pytest.mark.parametrize(
    "changed",
    [
        [],
        [(5, {"rss_mb": 90.0})],  # it warms up
        [(30, {"rss_mb": 76.0})],
        [(20, {"rss_mb": 77.2, "db_bytes": 3_000_000}), (30, {"rss_mb": 82.9, "db_bytes": 50_000_000})],  # its pages
        [(12, {"rss_mb": 120.0}), (14, {"rss_mb": 75.0}), (35, {"rss_mb": 120.0}), (38, {"rss_mb": 75.0})],
        [(30, {"descriptors": 28, "tasks": 110, "wal_bytes": 8 << 20})],
        [(20, {"db_bytes": 50_000_000})],  # which texts explain or not: the verdict asks elsewhere
    ],
)
def test_what_does_not_grow(changed: list[tuple[int, dict[str, float]]]) -> None:
    assert list(swollen(looks(*changed))) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rss_mb": 76.5}, "node 1: 73.9 MB without the database's pages, and 75.4 in the end"),
        ({"rss_mb": 86.0, "db_bytes": 50_000_000}, "node 1: 73.9 MB without the database's pages, and 77.0 in the end"),
        ({"descriptors": 29}, "node 1: 24 descriptors at most, and 29 in the end"),
        ({"tasks": 111}, "node 1: 100 tasks at most, and 111 in the end"),
        ({"wal_bytes": (8 << 20) + 1}, "node 1: a write-ahead log of 8,388,609 bytes"),
    ],
)
def test_what_grows(change: dict[str, float], told: str) -> None:
    assert list(swollen(looks((25, change)))) == [told]


def test_too_few_looks_tell_nothing() -> None:
    assert list(swollen(looks()[:7])) == ["7 looks in all, which is too few to tell"]


def test_of_one_look_no_share_of_the_time_is_told() -> None:
    assert [line.partition(",")[0] for line in lines(looks()[:1])] == ["first", "at a fourth", "last"]


def test_a_person_reads_what_it_was_and_is() -> None:
    assert list(lines(looks((25, {"rss_mb": 80.0, "cpu_s": 8.8})))) == [
        "first, 0 s: RSS 75.0 to 75.0 MB, descriptors 24 to 24, tasks 100 to 100, databases 2.0 MB in all, largest log"
        " 4.0 MB",
        "at a fourth, 200 s: RSS 75.0 to 75.0 MB, descriptors 24 to 24, tasks 100 to 100, databases 2.0 MB in all,"
        " largest log 4.0 MB",
        "last, 780 s: RSS 75.0 to 80.0 MB, descriptors 24 to 24, tasks 100 to 100, databases 2.0 MB in all, largest log"
        " 4.0 MB",
        "CPU: 0.50% of a core a node",
    ]
