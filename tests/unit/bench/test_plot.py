"""A curve has the values of its points, and whoever has no matplotlib is told so before anything is measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import delivery, start
from bench.measure import Samples
from bench.plot import Curve, draw

CURVE = Curve("start", "messages", "s", ((10, "few s"), (1_000, "many s")))


@pytest.fixture
def samples() -> Samples:
    found = Samples()
    found.add("few s", 0.5, 0.6, 0.7)
    found.add("many s", 0.9)
    return found


def test_a_curve_has_the_values_of_its_points(samples: Samples) -> None:
    drawn = CURVE.drawn(samples)
    assert [(at, sample.low, sample.median, sample.high) for at, sample in drawn.points] == [
        (10, 0.5, 0.6, 0.7),
        (1_000, 0.9, 0.9, 0.9),
    ]


def test_a_picture_is_written(samples: Samples, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "start.png"
    draw([CURVE.drawn(samples), CURVE.drawn(samples)], file)
    assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("module", [start, delivery])
def test_points_are_rows(module: object) -> None:
    names = {metric.name for metric in vars(module)["METRICS"]}
    assert {name for curve in vars(module)["CURVES"] for _, name in curve.points} <= names


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
