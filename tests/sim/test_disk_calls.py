"""Every call to the system that writes fails in turn, of a send, a receive, a match and a deposit: see calls.py.

Below the statements of test_disk_faults.py: what a call that failed has left in the log must not come back either.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

WHOLE: Final = bool(os.environ.get("P2PCHAT_EVERY_FAULT"))
"""Every call of a match, not every 48th: three minutes."""

COMPILER: Final = shutil.which("cc")

pytestmark = pytest.mark.skipif(COMPILER is None or sys.platform != "linux", reason="takes Linux and a C compiler")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("library") / "faulty_calls.so"
    source = Path(__file__).with_name("faulty_calls.c")
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-Wall", "-Werror", "-o", path, source, "-ldl"], check=True)
    return path


@pytest.mark.parametrize(
    ("what", "whose", "writes", "syncs"),
    [
        ("text", "sender", 30, 1),
        ("text", "receiver", 15, 1),
        ("crash", "sender", 25, 1),
        ("crash", "receiver", 12, 0),
        ("match", "first", 3, 0),
        ("match", "second", 3, 0),
        ("deposit", "holder", 8, 1),
        ("deposit", "sender", 8, 1),
    ],
)
def test_the_disk_fails_at_every_call(what: str, whose: str, writes: int, syncs: int, library: Path) -> None:
    numbers = ("1", "1" if WHOLE else "48") if what == "match" else ()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.sim.calls", what, whose, *numbers],
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4_000:]
    found = json.loads(ran.stdout)
    calls = Counter(each for each in found["struck"] if each)
    print(what, whose, calls)
    assert found["reused"] == 0
    assert calls["pwrite"] >= writes
    assert calls["fsync"] >= syncs
