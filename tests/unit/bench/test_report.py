"""The table says what the samples are, and which bar is missed."""

from __future__ import annotations

import pytest

from bench.measure import Samples, quantile
from bench.report import Metric, document, table

LESS = Metric("start s", "start", "s", (("floor s", "a floor"), ("none s", "nothing")), bar=2.0)
MORE = Metric("rate /s", "rate", "/s", bar=100, rising=True)


@pytest.fixture
def samples() -> Samples:
    found = Samples()
    found.add("start s", 3.0, 1.0, 1.5)
    found.add("floor s", 0.5)
    found.add("none s", 0.0)
    found.add("rate /s", 99.0)
    return found


def test_a_row_has_the_median_the_spread_the_limit_the_ratio_and_the_bar(samples: Samples) -> None:
    line = table([LESS], samples)[1]
    assert [cell.strip() for cell in line.split("  ") if cell] == [
        "start", "1.5 s", "1 – 3", "0.5 s", "a floor", "3", "< 2", "ok",
    ]  # fmt: skip


def test_a_further_limit_stands_below_and_nothing_is_divided_by_zero(samples: Samples) -> None:
    line = table([LESS], samples)[2]
    assert line.split() == ["0", "s", "nothing", "–"]


def test_a_missed_bar_is_said(samples: Samples) -> None:
    assert table([MORE], samples)[1].split()[-3:] == ["≥", "100", "MISSES"] or "MISSES" in table([MORE], samples)[1]
    samples.add("rate /s", 101.0, 102.0)
    assert "MISSES" not in table([MORE], samples)[1]
    assert table([MORE], samples)[1].endswith("ok")


@pytest.mark.parametrize(
    ("value", "verdict"), [(3.0, "ok, goal too"), (5.0, "ok, not the goal"), (10.0, "MISSES"), (11.0, "MISSES")]
)
def test_a_goal_stands_beside_its_bar(samples: Samples, value: float, verdict: str) -> None:
    metric = Metric("walk ms", "walk", "ms", bar=10, goal=5)
    samples.add("walk ms", value)
    line = table([metric], samples)[1]
    assert "< 10, goal < 5" in line
    assert line.endswith(verdict)


def test_columns_are_aligned(samples: Samples) -> None:
    lines = table([LESS, MORE], samples)
    assert len({line.index(word) for line, word in zip(lines, ("median", "1.5 s"), strict=False)}) == 1


def test_the_document_has_every_value(samples: Samples) -> None:
    (row,) = [row for row in [document([LESS], samples, {})["rows"]] if isinstance(row, list)]
    assert row[0]["values"] == [3.0, 1.0, 1.5]
    assert row[0]["beside"][0] == {
        "name": "floor s", "title": "a floor", "median": 0.5, "low": 0.5, "high": 0.5, "values": [0.5],
    }  # fmt: skip


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_quantile(share: float, expected: int) -> None:
    assert quantile(range(100, 0, -1), share) == expected
