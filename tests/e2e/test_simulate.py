"""``scripts/simulate`` that is interrupted says how far it came, and leaves no process."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_LONG = ("--seeds", "1-4", "--nodes", "8", "--days", "300", "--verbose")


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_of_it(number: signal.Signals, jobs: int) -> None:
    command = [sys.executable, "-m", "simulate", *_LONG, "--jobs", str(jobs)]
    with subprocess.Popen(
        command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("  day 0.5: ")
            process.send_signal(number)
            rest = process.stdout.read()  # until nobody is left who could write there
        finally:
            process.kill()
    assert process.returncode == (130 if number is signal.SIGINT else -number)
    assert "Traceback" not in rest
    if number is signal.SIGINT:
        assert rest.splitlines()[-1].startswith("0 of 4 seeds of 8 nodes")
