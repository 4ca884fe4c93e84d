"""What ``scripts/chaos`` refuses before anything starts, and that nothing afterwards takes the verdict away."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos import __main__ as chaos
from chaos import soak
from chaos.figures import Burden, Figures, Sample
from chaos.plot import draw
from chaos.run import Asked, Outcome
from chaos.verdict import Check
from p2pchat.cli.sandbox import Sandbox

Main = Callable[..., int]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Main:
    """The exit status, in a folder of its own."""

    def called(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["chaos", *words])
        try:
            return chaos.main()
        except SystemExit as ended:
            return int(str(ended.code))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(chaos, "pyplot", lambda: None)
    return called


def never(*_: object) -> Outcome:
    raise AssertionError("it has started")


def passed(figures: Figures) -> Callable[[Sandbox, Path, Asked, object], Outcome]:
    """A run of which that came, and which leaves a log."""

    def run(_sandbox: Sandbox, folder: Path, _asked: Asked, _say: object) -> Outcome:
        (folder / "node-0.log").write_text("a line\n")
        return Outcome([Check("texts", 1, [] if figures.first_wrong is None else ["lost"])], figures)

    return run


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        *(
            (["--minutes", wrong], "--minutes: a number above 0, 10,080 at most, which is a week")
            for wrong in ("nan", "inf", "-1", "0", "10081", "ten")
        ),
        *(
            (["--per-second", wrong], "--per-second: a number from 0 to 1,000")
            for wrong in ("nan", "inf", "-1", "1001", "")
        ),
        (["--nodes", "2"], "--nodes: a number from 3 to 100"),
        (["--nodes", "101"], "--nodes: a number from 3 to 100"),
        (["--plot", "figures.svg"], "--plot: a file whose name ends with .png"),
    ],
)
def test_a_number_out_of_range_is_a_wrong_option(
    main: Main, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    monkeypatch.setattr(chaos, "run", never)
    assert main(*words) == 2
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[-1]) == ("", f"chaos: error: argument {sentence}")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--json", "no/figures.json"], "no/figures.json cannot be written."),
        (["--json", "file/figures.json"], "file/figures.json cannot be written."),
        (["--json", "."], ". cannot be written."),
        (["--plot", "no/figures.png"], "no/figures.png cannot be written."),
        (["--keep", "file"], "file cannot be made: File exists."),
        (["--keep", "file/logs"], "file/logs cannot be made: Not a directory."),
        (["--keep", "logs", "--json", "no/figures.json"], "no/figures.json cannot be written."),
    ],
)
def test_a_place_where_nothing_can_be_written_ends_it_before_anything_starts(
    main: Main, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    monkeypatch.setattr(chaos, "run", never)
    Path("file").touch()
    assert main(*words) == 64
    assert capsys.readouterr() == ("", f"chaos: {sentence}\n")
    assert list(Path().iterdir()) == [Path("file")]


def test_everything_is_written_where_it_was_asked_for(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos, "run", passed(Figures(1, 3, 10.0, "PASS")))
    drawn: list[Path] = []
    monkeypatch.setattr(chaos, "draw", lambda _, file: drawn.append(file))
    assert main("--json", "figures.json", "--plot", "figures.png", "--keep", "a/b") == 0
    assert json.loads(Path("figures.json").read_text())["verdict"] == "PASS"
    assert drawn == [Path("figures.png")]
    assert {path.name for path in Path("a/b").iterdir()} == {"node-0.log", "figures.json"}


@pytest.mark.parametrize(("wrong", "status"), [(None, 74), ("texts: lost", 1)])
def test_a_file_that_cannot_be_written_any_more_costs_neither_the_verdict_nor_the_picture(
    main: Main,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: str | None,
    status: int,
) -> None:
    run = passed(Figures(1, 3, 10.0, first_wrong=wrong))

    def run_without_place(*given: object) -> Outcome:
        Path("place").rmdir()
        return run(*given)  # type: ignore[arg-type]

    drawn: list[Path] = []
    said: list[str] = []

    def draw(_: Figures, file: Path) -> None:
        said.append(capsys.readouterr().out)
        drawn.append(file)

    monkeypatch.setattr(chaos, "run", run_without_place)
    monkeypatch.setattr(chaos, "draw", draw)
    Path("place").mkdir()
    assert main("--json", "place/figures.json", "--plot", "figures.png", "--keep", "logs") == status
    assert drawn == [Path("figures.png")]
    assert said[0].splitlines()[-2:] == ["the logs are in logs", "PASS" if wrong is None else f"FAIL: {wrong}"]


def test_a_defect_of_its_own_is_told_with_where_the_logs_are(
    main: Main, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_sandbox: Sandbox, folder: Path, _asked: Asked, _say: object) -> Outcome:
        (folder / "node-0.log").write_text("a line\n")
        raise ValueError("a defect")

    monkeypatch.setattr(chaos, "run", run)
    assert main() == 1
    out, err = capsys.readouterr()
    where, verdict = out.splitlines()
    (kept,) = Path().resolve().glob("p2pchat-failed-*")
    assert (where, verdict) == (f"the logs are in {kept}", "FAIL")
    assert [path.name for path in kept.iterdir()] == ["node-0.log"]
    assert err.splitlines()[-1] == "ValueError: a defect"


@pytest.mark.parametrize("picture", [draw, soak.draw])
def test_a_run_without_texts_can_be_drawn(picture: Callable[[Figures, Path], None], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    usual = Burden(rss_mb=75.0, descriptors=24, tasks=100, db_bytes=1_000_000, wal_bytes=4_000_000, cpu_s=1.0)
    samples = [Sample(at_s, [70.0] * 3, 0, [usual] * 3) for at_s in (0.0, 20.0)]
    picture(Figures(1, 3, 10.0, "PASS", samples=samples), tmp_path / "figures.png")
    assert (tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")
