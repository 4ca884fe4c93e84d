"""The measurements run, say everything they should, and leave nothing behind. No time is asserted."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import book, history
from bench.basics import METRICS as BASICS
from bench.control import METRICS as CONTROL
from bench.delivery import METRICS as DELIVERY
from bench.discovery import METRICS as DISCOVERY
from bench.mailbox import METRICS as MAILBOX
from bench.memory import METRICS as MEMORY
from bench.report import Metric
from bench.retention import METRICS as RETENTION
from bench.start import METRICS as START
from bench.websocket import METRICS as WEBSOCKET
from tests.e2e.runs import Run, is_stopped, starting

pytestmark = pytest.mark.e2e

MAY_BE_ZERO = {"rest %", "online %", "trio %"}  # who sleeps for a second may not run at all


@pytest.fixture
def start() -> Iterator[Callable[..., Run]]:
    with starting() as begin:
        yield lambda what, *options: begin("-m", "bench", what, "--runs", "1", "--quick", *options)


def is_measured(name: str, numbers: dict[str, list[float]]) -> bool:
    smallest = min(numbers["values"])
    if name.startswith("modules: "):  # a small package may fit into pages that are there
        return all(map(math.isfinite, numbers["values"]))
    return all(map(math.isfinite, numbers["values"])) and (smallest > 0 or (smallest == 0 and name in MAY_BE_ZERO))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "metrics"),
    [
        ("basics", BASICS),
        ("control", CONTROL),
        ("delivery", DELIVERY),
        ("discovery", DISCOVERY),
        ("mailbox", MAILBOX),
        ("memory", MEMORY),
        ("retention", RETENTION),
        ("start", START),
        ("websocket", WEBSOCKET),
    ],
)
def test_every_row_is_measured_beside_its_limits(
    start: Callable[..., Run], tmp_path: Path, what: str, metrics: tuple[Metric, ...]
) -> None:
    file = tmp_path / "measured.json"
    run = start(what, "--json", str(file))
    status, out, err = run.finish()
    assert (status, err) == (0, "")
    rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
    assert list(rows) == [metric.name for metric in metrics]
    lines = out.splitlines()
    for metric in metrics:
        row = rows[metric.name]
        assert any(line.startswith(metric.title + "  ") for line in lines), metric.title
        assert [limit["name"] for limit in row["beside"]] == [name for name, _ in metric.beside]
        assert all(is_measured(each["name"], each) for each in [row, *row["beside"]]), row
        assert row["verdict"] in (("ok", "ok, goal too", "ok, not the goal", "MISSES") if metric.bar else ("",))
    run.leaves_nothing()


def test_all_is_one_file_and_can_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of ``all``, with the two measures that need no daemon's time."""
    file = tmp_path / "all.json"
    program = "import sys, bench.__main__ as b; b._ALL = ('crypto', 'websocket'); sys.exit(b.main())"
    with starting() as begin:
        run = begin("-c", program, "all", "--runs", "1", "--quick", "--json", str(file))
        status, out, err = run.finish()
        assert (status, err) == (0, "")
        assert [line for line in out.splitlines() if line in ("crypto", "websocket")] == ["crypto", "websocket"]
        measures = json.loads(file.read_text())["measures"]
        assert {name: bool(each["rows"] and each["machine"]) for name, each in measures.items()} == {
            "crypto": True,
            "websocket": True,
        }
        run = begin("-m", "bench", "websocket", "--runs", "1", "--quick", "--compare", str(file))
        status, out, err = run.finish()
        assert (status, err) == (0, "")
        after = out[out.index("× old") :]
        assert all(metric.title in after for metric in WEBSOCKET)
        assert "another machine" not in out
        assert (run.directories(), run.processes()) == ([], [])


@pytest.mark.parametrize("what", ["basics", "discovery"])
def test_an_interrupt_leaves_nothing(start: Callable[..., Run], what: str) -> None:
    run = start(what)
    run.wait_for(lambda: len(run.processes()) >= 2)
    for _ in range(3):
        run.process.send_signal(signal.SIGINT)
    status, out, err = run.finish()
    assert (status, out, err) == (130, "", "")
    run.leaves_nothing()


@pytest.mark.slow
def test_an_import_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "import.json"
    with starting() as begin:
        run = begin("-m", "bench", "import", "--quick", "--json", str(file))
        assert run.finish()[::2] == (0, "")
        rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
        assert list(rows) == [metric.name for metric in book.METRICS]
        assert all(is_measured(name, row) for name, row in rows.items())
        run.leaves_nothing()


@pytest.mark.slow
def test_a_history_is_measured(start: Callable[..., Run], tmp_path: Path) -> None:
    file = tmp_path / "history.json"
    run = start("history", "--messages", "2000", "--json", str(file))
    assert run.finish()[::2] == (0, "")
    rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
    assert list(rows) == [metric.name for metric in history.METRICS]
    differences = {name for name in rows if "difference" in name or name == "index bytes"}
    assert all(is_measured(name, row) for name, row in rows.items() if name not in differences)
    run.leaves_nothing()


@pytest.mark.slow
def test_a_crowd_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "crowd.json"
    with starting() as begin:
        run = begin("-m", "bench", "crowd", "--minutes", "0.05", "--light", "8", "--daemons", "1", "--json", str(file))
        status, out, err = run.finish()
        assert (status, err) == (0, "")
        found = json.loads(file.read_text())
        assert found["sent"] == found["acked"] == found["stored"] == found["distinct"] >= 8 * 29
        assert found["lost_streams"] == found["nacks"] == 0
        assert [minute["texts"] for minute in found["minutes"]] == [found["sent"]]
        assert ": ok; streams lost 0" in out
        run.leaves_nothing()


@pytest.mark.slow
def test_a_flood_is_cut_off_while_somebody_talks(tmp_path: Path) -> None:
    file = tmp_path / "flood.json"
    with starting() as begin:
        run = begin(
            *("-m", "bench", "flood", "--seconds", "2", "--kind", "pings", "--kind", "streams", "--json", str(file))
        )
        status, _, err = run.finish()
        assert (status, [line for line in err.splitlines() if not line.startswith(("pings", "streams"))]) == (0, [])
        found = json.loads(file.read_text())
        assert [(row["kind"], row["who"]) for row in found["rows"]] == [
            (kind, who) for kind in ("pings", "streams") for who in ("stranger", "contact")
        ]
        assert all(row["texts"] > 0 and row["attacked"]["cuts"] > 0 for row in found["rows"])
        reasons = {json.loads(line)["reason"] for line in found["told"]}
        assert {"stream.excessive", "connection.excessive"} <= reasons
        run.leaves_nothing()


@pytest.mark.slow
def test_an_interrupt_leaves_no_stopped_process(start: Callable[..., Run]) -> None:
    run = start("discovery")
    run.wait_for(lambda: any(is_stopped(pid) for pid in run.processes()))
    run.process.send_signal(signal.SIGTERM)
    assert run.finish() == (143, "", "")
    run.leaves_nothing()
