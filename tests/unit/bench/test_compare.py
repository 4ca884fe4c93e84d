"""Old figures and new ones, side by side: what changed by more than both spreads, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.compare import Figures, Unreadable, lines, parsed, read
from bench.measure import Samples
from bench.report import Metric, document

START = Metric("start s", "start", "s", (("none s", "nothing"), ("floor s", "a floor")))
RATE = Metric("rate /s", "rate", "/s", rising=True)
FIVE = [2.0, 1.0, 2.0, 3.0, 2.0]
MACHINE: dict[str, object] = {"cpus": 2, "kernel": "6.1", "python": "3.11.7", "load": 0.5}


def written(start: list[float], rate: list[float], **machine: object) -> dict[str, object]:
    samples = Samples()
    samples.add("start s", *start)
    samples.add("none s", 0.0)
    samples.add("floor s", 0.5)
    samples.add("rate /s", *rate)
    return document([START, RATE], samples, MACHINE | machine)


def figures(content: object) -> dict[str, Figures]:
    return parsed(json.dumps(content).encode())


def cells(told: list[str], title: str) -> list[str]:
    line = next(line for line in told if line.startswith(title + "  "))
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def compared(old: dict[str, object], new: dict[str, object]) -> list[str]:
    return lines(figures(old), figures(new))


def test_each_row_has_old_new_and_ratio() -> None:
    told = compared(written(FIVE, [100.0] * 5), written([1.0, 2.5, 2.5, 2.5, 4.0], [100.0] * 5))
    assert cells(told, "start") == ["start", "2 s", "2.5 s", "1.25", "4 → 5"]
    assert cells(told, "rate") == ["rate", "100 /s", "100 /s", "1"]
    assert told[3:] == ["", "0 better, 0 worse, 2 within the spread."]


def test_few_values_are_a_warning() -> None:
    for old, new in ((FIVE, FIVE[:4]), (FIVE[:4], FIVE)):
        assert compared(written(old, FIVE), written(new, FIVE))[0].startswith("warning: rows of 4 values")
    assert not compared(written(FIVE, FIVE), written(FIVE, FIVE))[0].startswith("warning")


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ([1.0, 1.2], [1.3, 1.4], ["WORSE"]),
        ([1.3, 1.4], [1.0, 1.2], ["better"]),
        ([1.0, 1.3], [1.3, 1.4], []),
        ([1.0, 2.0], [1.2, 1.3], []),
    ],
)
def test_a_change_counts_that_is_beyond_both_spreads(old: list[float], new: list[float], verdict: list[str]) -> None:
    told = compared(written(old, [1.0]), written(new, [1.0]))
    assert cells(told, "start")[5:] == verdict
    assert (
        told[-1]
        == f"{verdict.count('better')} better, {verdict.count('WORSE')} worse, {2 - len(verdict)} within the spread."
    )
    other = {"better": "WORSE", "WORSE": "better"}
    told = compared(written([1.0], old), written([1.0], new))
    assert cells(told, "rate")[4:] == [other[each] for each in verdict]


@pytest.mark.parametrize("other", [{"cpus": 4}, {"kernel": "6.2"}, {"python": "3.12.1"}])
def test_another_machine_is_a_warning(other: dict[str, object]) -> None:
    told = compared(written([1.0], [1.0]), written([1.0], [1.0], **other))
    key, value = next(iter(other.items()))
    assert told[0].startswith("warning: another machine")
    assert f"{key} {MACHINE[key]} → {value}" in told[0]


def test_other_load_is_none() -> None:
    assert not compared(written(FIVE, FIVE), written(FIVE, FIVE, load=9.0))[0].startswith("warning")


def test_what_is_new_or_gone_is_said() -> None:
    samples = Samples()
    samples.add("start s", 1.0)
    samples.add("none s", 0.0)
    samples.add("floor s", 0.5)
    old = document([START], samples, MACHINE)
    assert cells(compared(old, written([1.0], [5.0])), "rate") == ["rate", "–", "5 /s", "–", "new"]
    assert cells(compared(written([1.0], [5.0]), old), "rate") == ["rate", "5 /s", "–", "–", "gone"]


def test_one_measure_is_found_among_all_of_them() -> None:
    other = {"machine": MACHINE, "rows": [{"name": "x", "title": "x", "unit": "s", "median": 1, "low": 1, "high": 1}]}
    everything = {"measures": {"crypto": other, "start": written([2.0], [1.0])}}
    assert cells(lines(figures(everything), figures(written([4.0], [1.0]))), "start")[3] == "2"
    assert cells(lines(figures(written([2.0], [1.0])), figures(everything)), "start")[3] == "1"
    assert "crypto: not among the old figures" in lines(figures(written([2.0], [1.0])), figures(everything))
    told = lines(figures(everything), figures({"measures": {"start": written([4.0], [1.0]), "new": other}}))
    assert told[0] == "start"
    assert "new: not among the old figures" in told


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"machine": {}, "rows": [{"name": 1}]}', '{"measures": {}}'])
def test_what_is_no_file_of_figures_is_refused_with_a_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / "old.json"
    file.write_text(content)
    with pytest.raises(Unreadable, match=r"old\.json is no file that --json has written\.$"):
        read(file)


def test_a_file_that_is_not_there_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"none\.json cannot be read: No such file or directory\.$"):
        read(tmp_path / "none.json")


def test_another_measure_is_not_compared() -> None:
    other = Samples()
    other.add("size B", *FIVE)
    of_another = document([Metric("size B", "size", "B")], other, MACHINE)
    said = ["this measure: not among the old figures"]
    assert compared(of_another, written(FIVE, FIVE)) == said
    assert compared({"measures": {"sizes": of_another}}, written(FIVE, FIVE)) == said
