"""``scripts/coverage``: what it says of the report, and when that is not enough."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import covered
from scripts.covered import LAYERS, missing, table


def report(**covered: int) -> dict[str, Any]:
    """A file a layer, with 100 lines and 100 branches of which so many are reached; 100 where nothing is said."""
    return {
        f"p2pchat/{layer}/module.py": {
            "summary": {
                "num_statements": 100,
                "covered_lines": covered.get(f"{layer}_lines", 100),
                "num_branches": 100,
                "covered_branches": covered.get(f"{layer}_branches", 100),
            },
            "missing_lines": [3, 4],
            "missing_branches": [[2, 3], [5, -1]],
        }
        for layer in LAYERS
    }


@pytest.mark.parametrize(
    ("covered", "good"),
    [
        ({}, True),
        ({"store_lines": 95, "control_branches": 95}, True),
        ({"store_lines": 94}, False),
        ({"control_branches": 94}, False),
    ],
)
def test_every_layer_has_to_reach_the_bar_in_lines_and_in_branches(covered: dict[str, int], good: bool) -> None:
    lines, reached = table(report(**covered))
    assert reached is good
    assert [line.split()[0] for line in lines] == ["layer", *LAYERS]
    assert ("below 95 %" in "\n".join(lines)) is not good


def test_a_layer_that_is_not_found_is_no_success() -> None:
    files = report()
    del files["p2pchat/store/module.py"]
    assert not table(files)[1]


def test_what_is_missing_is_named() -> None:
    assert next(iter(missing(report()))) == "p2pchat/control/module.py: lines 3 4; branches (2, 3) (5, -1)"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What coverage.py was asked to do, which it did; this is a folder that is not the checkout's."""
    asked: list[str] = []

    def run(*arguments: str) -> bool:
        asked.append(arguments[0])
        if arguments[0] == "json":
            Path(arguments[-1]).write_text(json.dumps({"files": report()}))
        return True

    monkeypatch.setattr(covered, "run", run)
    monkeypatch.setenv("COVERAGE_FILE", "")  # main() sets it
    monkeypatch.setattr(sys, "argv", ["scripts/coverage"])
    monkeypatch.chdir(tmp_path)
    return asked


def test_the_report_lies_where_it_was_asked_for(ran: list[str], tmp_path: Path) -> None:
    sys.argv += ["--json", "report.json"]
    assert covered.main() == 0
    assert ran == ["run", "combine", "json"]
    assert json.loads((tmp_path / "report.json").read_text()) == {"files": report()}


@pytest.mark.parametrize("file", ["none/report.json", ".", "file/report.json"])
def test_a_report_that_cannot_be_written_is_refused_before_any_test_runs(
    file: str, ran: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    sys.argv += ["--json", file]
    with pytest.raises(SystemExit) as ended:
        covered.main()
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"scripts/coverage: error: argument --json: {file} cannot be written"
    assert ran == []


def test_the_table_is_said_whatever_becomes_of_the_report(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    sys.argv += ["--json", "report.json"]
    assert covered.main() == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["layer", *LAYERS]
    assert err == f"scripts/coverage: {tmp_path}/report.json cannot be written: No space left on device\n"


def test_an_interrupt_is_no_traceback(ran: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: str) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(covered, "run", interrupted)
    assert covered.main() == 130
