"""What ``chaos/bent`` does to the disk of a process: all that is made durable takes longer, and nothing else."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import chaos

BENT = Path(chaos.__file__).parent / "bent"
STORES = """
import sys, time
waits = []
time.sleep = waits.append
from pathlib import Path
from p2pchat.store.sqlite import checkpoint, connect
connection = connect(Path(sys.argv[1]), bytes(32))
connection.execute("BEGIN IMMEDIATE")
connection.execute("CREATE TABLE t (n)")
connection.execute("INSERT INTO t VALUES (?)", (1,))
assert waits == []
connection.execute("COMMIT")
print(waits)
assert checkpoint(connection)
connection.execute("SELECT n FROM t").fetchone()
print(waits)
"""


def stored(tmp_path: Path, late_ms: int) -> tuple[list[str], int]:
    """How long it waited each time, after a commit and at the end; how often it says so itself."""
    disk = tmp_path / "disk"
    disk.write_bytes(struct.pack("<qq", late_ms, 0))
    told = subprocess.run(
        [sys.executable, "-c", STORES, str(tmp_path / "db")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(BENT), str(BENT.parents[1]))), "BENT_DISK": str(disk)},
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.splitlines(), struct.unpack("<qq", disk.read_bytes())[1]


def test_a_commit_and_the_emptying_of_the_log_wait_before_and_after_and_nothing_else_does(tmp_path: Path) -> None:
    assert stored(tmp_path, 300) == (["[0.15, 0.15]", "[0.15, 0.15, 0.15, 0.15]"], 2)


def test_a_disk_that_is_not_slow_waits_for_nothing(tmp_path: Path) -> None:
    assert stored(tmp_path, 0) == (["[]", "[]"], 0)
