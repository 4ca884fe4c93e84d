"""``scripts/chaos`` for five minutes, with five nodes and all that it can do.

A file of its own, so that a worker of its own begins with it (conftest.py): then it is over before the others are.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaos.plan import KINDS
from tests.e2e.runs import starting

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SEED = 1
"""31 acts, two of them damage."""
DEADLINE_S = 560.0
"""Five minutes, the beginning, the three that everything may take to arrive, and what a damaged database adds."""


def test_five_minutes_of_everything_lose_nothing(tmp_path: Path) -> None:
    file, logs = tmp_path / "figures.json", tmp_path / "logs"
    shape = ("--minutes", "5", "--nodes", "5", "--seed", str(SEED))
    with starting() as begin:
        run = begin("-m", "chaos", *shape, "--json", str(file), "--keep", str(logs))
        status, out, err = run.finish(DEADLINE_S)
        assert (status, err, out.splitlines()[-1]) == (0, "", "PASS"), f"{out}{err}\nwhat was logged is in {logs}"
        run.leaves_nothing()
    found = json.loads(file.read_text())
    cannot = {line.partition(":")[0] for line in found["cannot"]}
    assert {act["kind"] for act in found["plan"]} == set(KINDS) - cannot
    assert all(found["acts"][kind] > 0 for kind in set(KINDS) - cannot)
    assert found["said"] == found["accepted"] == found["received"] > 1_000
