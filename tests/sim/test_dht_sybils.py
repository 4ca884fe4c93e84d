"""Sybils that are nearer to a loc than every honest node, as ``scripts/bench sybils`` makes them (PROTOCOL.md 3.7).

In a process of its own: the network grows up once, and each trial runs in a copy of that process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.sybils import Trial

ROOT = Path(__file__).parents[2]


def trials(tmp_path: Path, number: int, *attacks: str) -> dict[str, list[Trial]]:
    out = tmp_path / "trials.json"
    subprocess.run(
        [sys.executable, "-m", "bench", "sybils", "--trials", str(number), "--json", out, "--attack", *attacks],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=1_200,
    )
    return msgspec.json.decode(out.read_bytes(), type=dict[str, list[Trial]])


def rate(results: list[bool]) -> float:
    return sum(results) / len(results)


@pytest.mark.slow
def test_twenty_sybils_of_twenty_owners_hide_no_record_and_few_from_a_newcomer(tmp_path: Path) -> None:
    made = trials(tmp_path, 10, "20/20")["20/20"]
    assert len(made) == 10
    assert rate([trial.found for trial in made]) >= 0.95
    assert rate([trial.watched for trial in made]) >= 0.85
    # who has just joined does not know yet how dense the network is
    assert rate([trial.found_by_newcomer for trial in made]) >= 0.75
    assert sum(trial.holders for trial in made) / len(made) >= 12


@pytest.mark.slow
def test_nor_do_fewer_prefixes_or_more_sybils(tmp_path: Path) -> None:
    for attack, made in trials(tmp_path, 3, "20/1", "20/5", "40/20").items():
        assert all(trial.found for trial in made), attack
        assert sum(trial.holders for trial in made) / len(made) >= 10, attack
