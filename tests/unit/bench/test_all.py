"""Of several measures each is shown and kept when it is done, whatever comes of the rest."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench.measure import Samples, rounds
from bench.report import Metric
from p2pchat.api.errors import ApiError
from p2pchat.cli.sandbox import Interrupted, Sandbox

DOC = Path(__file__).parents[3] / "docs" / "PERFORMANCE.md"
TAKEN = Metric("taken s", "taken", "s")


def measured(
    ending: Callable[[], None], _sandbox: Sandbox, _folder: Path, runs: int, _quick: bool, samples: Samples
) -> None:
    """Runs, of which the last ends so."""
    for index, values in rounds(runs, samples, warm_up=False):
        values.add("taken s", index)
        if index == runs:
            ending()


def well() -> None:
    """Nothing happens."""


def fail() -> None:
    raise ApiError("TIMEOUT", "It does not answer.")


def crash() -> None:
    raise ZeroDivisionError


def interrupt() -> None:
    raise Interrupted(2)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Measure these, one after the other, in three runs each; the exit status."""

    def all_of(endings: dict[str, Callable[[], None]], *options: str) -> int:
        whats = {
            name: bench._What("", partial(measured, ending), (TAKEN,), 2.0, runs=3) for name, ending in endings.items()
        }
        monkeypatch.setattr(bench, "_WHAT", whats)
        monkeypatch.setattr(bench, "_ALL", tuple(whats))
        monkeypatch.setattr(sys, "argv", ["bench", "all", *options])
        return bench.main()

    return all_of


def kept(file: Path) -> dict[str, list[float]]:
    return {name: each["rows"][0]["values"] for name, each in json.loads(file.read_text())["measures"].items()}


def test_all_takes_five_values_of_everything_and_at_most_forty_minutes() -> None:
    assert {bench._WHAT[name].runs for name in bench._ALL} == {5}
    assert sum(bench._WHAT[name].minutes for name in bench._ALL) <= 40


def test_the_document_tells_of_every_measure_and_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, after = DOC.read_text(encoding="utf-8").partition("## How to measure\n")
    told = after.partition("\n## ")[0]
    assert [name for name in (*bench._WHAT, *bench._OWN, "all") if f"`{name}`" not in told] == []
    for name in (*bench._WHAT, "all"):
        monkeypatch.setattr(sys, "argv", ["bench", name, "--help"])
        with pytest.raises(SystemExit, match=r"^0$"):
            bench.main()
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out))
    assert set(re.findall(r"(?<=`)--[a-z]+", told)) == options


def test_what_is_to_come_is_said_before_each(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"one": well, "other": well}, "--runs", "7") == 0
    lines = capsys.readouterr().out.splitlines()
    first, second = lines[lines.index("one") + 1], lines[lines.index("other") + 1]
    assert first.startswith("1 of 2, ")
    assert first.endswith(": about 4 minutes on two quiet cores, 8 minutes with what follows")
    assert second.endswith(": about 4 minutes on two quiet cores, 4 minutes with what follows")


def test_one_that_fails_keeps_none_from_the_others(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run({"one": fail, "other": well}, "--json", str(tmp_path / "all.json")) == 1
    told = capsys.readouterr()
    assert told.err == "TIMEOUT: It does not answer.\n"
    assert "ended early: 2 of 3 runs" in told.out
    assert kept(tmp_path / "all.json") == {"one": [1, 2], "other": [1, 2, 3]}


def test_nor_does_one_with_a_defect(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run({"one": crash, "other": well}, "--json", str(tmp_path / "all.json")) == 1
    assert capsys.readouterr().err.endswith("\nZeroDivisionError\n")
    assert kept(tmp_path / "all.json") == {"one": [1, 2], "other": [1, 2, 3]}


def test_an_interrupt_keeps_what_is_done(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old.json"
    assert run({"one": well, "before": well}, "--json", str(old)) == 0
    new = tmp_path / "new.json"
    assert run({"one": well, "two": interrupt, "three": well}, "--json", str(new), "--compare", str(old)) == 130
    assert kept(new) == {"one": [1, 2, 3], "two": [1, 2]}
    told = capsys.readouterr().out
    assert "two: not among the old figures" in told
    assert told.endswith("0 better, 0 worse, 1 within the spread.\n")


def test_where_nothing_is_done_nothing_is_kept(run: Callable[..., int], tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    assert run({"one": interrupt}, "--runs", "1", "--json", str(file)) == 130
    assert not file.exists()
