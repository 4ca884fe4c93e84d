"""The measurements run, say everything they should, and leave nothing behind. No time is asserted."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import book
from bench.basics import METRICS
from tests.e2e.runs import Run, starting

pytestmark = pytest.mark.e2e

MAY_BE_ZERO = {"idle %", "trio %"}  # who sleeps for a second may not run at all


@pytest.fixture
def start() -> Iterator[Callable[..., Run]]:
    with starting() as begin:
        yield lambda *options: begin("-m", "bench", "basics", "--runs", "1", "--quick", *options)


def is_measured(name: str, numbers: dict[str, list[float]]) -> bool:
    smallest = min(numbers["values"])
    return all(map(math.isfinite, numbers["values"])) and (smallest > 0 or (smallest == 0 and name in MAY_BE_ZERO))


@pytest.mark.slow
def test_every_row_is_measured_beside_its_limits(start: Callable[..., Run], tmp_path: Path) -> None:
    file = tmp_path / "basics.json"
    run = start("--json", str(file))
    status, out, err = run.finish()
    assert (status, err) == (0, "")
    rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
    assert list(rows) == [metric.name for metric in METRICS]
    lines = out.splitlines()
    for metric in METRICS:
        row = rows[metric.name]
        assert any(line.startswith(metric.title + "  ") for line in lines), metric.title
        assert [limit["name"] for limit in row["beside"]] == [name for name, _ in metric.beside]
        assert all(is_measured(each["name"], each) for each in [row, *row["beside"]]), row
        assert row["verdict"] in (("ok", "MISSES") if metric.bar else ("",))
    assert (run.directories(), run.processes()) == ([], [])


def test_an_interrupt_leaves_nothing(start: Callable[..., Run]) -> None:
    run = start()
    run.wait_for(lambda: len(run.processes()) >= 2)
    for _ in range(3):
        run.process.send_signal(signal.SIGINT)
    status, out, err = run.finish()
    assert (status, out, err) == (130, "", "")
    assert (run.directories(), run.processes()) == ([], [])


@pytest.mark.slow
def test_an_import_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "import.json"
    with starting() as begin:
        run = begin("-m", "bench", "import", "--quick", "--json", str(file))
        assert run.finish()[::2] == (0, "")
        rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
        assert list(rows) == [metric.name for metric in book.METRICS]
        assert all(is_measured(name, row) for name, row in rows.items())
        assert (run.directories(), run.processes()) == ([], [])
