"""``scripts/chaos``, short: nothing is lost, the verdict and the figures say so, and nothing is left behind."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from chaos.plan import KINDS
from tests.e2e.runs import starting

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SHORT = ("-m", "chaos", "--minutes", "0.3", "--nodes", "3")


def test_a_short_run_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    with starting() as begin:
        run = begin(*SHORT, "--seed", "12", "--json", str(file))
        status, out, err = run.finish()
        assert (status, err, out.splitlines()[-1]) == (0, "", "PASS"), out + err
        run.leaves_nothing()
    found = json.loads(file.read_text())
    assert (found["verdict"], found["first_wrong"]) == ("PASS", None)
    assert found["said"] == found["accepted"] == found["received"] > 30
    cannot = {line.partition(":")[0] for line in found["cannot"]}
    assert {act["kind"] for act in found["plan"]} == set(KINDS) - {"damage"} - cannot
    assert found["floods"] != []


@pytest.mark.parametrize("processes", [1, 6], ids=["before the nodes", "with three daemons, or on their way"])
def test_an_interrupt_leaves_nothing(processes: int) -> None:
    with starting() as begin:
        run = begin(*SHORT, "--no-attackers")
        run.wait_for(lambda: len(run.processes()) >= processes)
        run.process.send_signal(signal.SIGINT)
        status, _, err = run.finish()
        assert (status, err) == (130, "")
        run.leaves_nothing()


def test_a_soak_tells_what_every_node_takes(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    with starting() as begin:
        run = begin("-m", "chaos", "--soak", "--minutes", "0.15", "--nodes", "3", "--json", str(file))
        status, out, err = run.finish()
        assert (status, err, out.splitlines()[-1]) == (0, "", "PASS"), out + err
        run.leaves_nothing()
    found = json.loads(file.read_text())
    assert found["plan"] == found["floods"] == []
    for sample in found["samples"]:
        assert len(sample["burdens"]) == 3
        assert all(
            each["rss_mb"] > 30 and each["tasks"] > 20 and each["descriptors"] > 10 for each in sample["burdens"]
        )
