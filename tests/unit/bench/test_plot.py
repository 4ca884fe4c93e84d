"""A curve has the values of its points, and whoever has no matplotlib is told so before anything is measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import control, delivery, history, plot, simulation, start
from bench.measure import Samples
from bench.plot import Chart, Line, draw

CHART = Chart("start", "messages", "s", (Line("", (("few messages", "few s"), (1_000, "many s"), (9, "none s"))),))


@pytest.fixture
def samples() -> Samples:
    found = Samples()
    found.add("few messages", 10)
    found.add("few s", 0.5, 0.6, 0.7)
    found.add("many s", 0.9)
    return found


def test_a_line_has_the_values_of_its_points_that_were_measured(samples: Samples) -> None:
    (values,) = CHART.drawn(samples).values
    assert [(at, sample.low, sample.median, sample.high) for at, sample in values] == [
        (10, 0.5, 0.6, 0.7),
        (1_000, 0.9, 0.9, 0.9),
    ]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_picture_is_written(samples: Samples, tmp_path: Path, count: int) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "start.png"
    load = Chart("load", "offered", "carried", CHART.lines * 2, steep=True, ideal="as many as offered")
    draw([each.drawn(samples) for each in (CHART, load, CHART)[:count]], file)
    assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("module", [control, delivery, history, simulation, start])
def test_points_are_rows_or_stand_beside_them(module: object) -> None:
    metrics = vars(module)["METRICS"]
    names = {metric.name for metric in metrics} | {name for metric in metrics for name, _ in metric.beside}
    charts = vars(module)["CHARTS"]
    points = [point for chart in charts for line in chart.lines for point in line.points]
    assert points
    assert {name for _, name in points} <= names


@pytest.mark.parametrize(
    ("option", "file"),
    [
        ("--json", "no/figures.json"),
        ("--plot", "no/figures.png"),
        ("--json", "."),
        ("--json", "file/figures.json"),
        ("--json", "n" * 256),
    ],
)
def test_a_file_that_cannot_be_written_ends_it_before_anything_is_measured(
    option: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(plot, "check", lambda: None)
    monkeypatch.setattr(sys, "argv", ["bench", "all", option, str(tmp_path / file)])
    assert bench.main() == 64
    assert capsys.readouterr() == ("", f"{tmp_path / file} cannot be written.\n")


@pytest.mark.parametrize("what", ["start", "all", "simulation"])
def test_without_matplotlib_nothing_is_measured(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(sys, "argv", ["bench", what, "--plot", "never.png"])
    assert bench.main() == 69
    assert capsys.readouterr() == ("", "--plot needs matplotlib: .venv/bin/pip install matplotlib\n")


def test_old_figures_that_cannot_be_read_end_it_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "all", "--compare", str(tmp_path / "none.json")])
    assert bench.main() == 64
    assert capsys.readouterr() == ("", f"{tmp_path / 'none.json'} cannot be read: No such file or directory.\n")
