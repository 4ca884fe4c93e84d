"""The limit on open files, raised in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

_RAISED = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])));"
    "from p2pchat.base import limits; limits.OPEN_FILES = 500;"
    "from p2pchat.daemon.descriptors import raise_open_files;"
    "print(raise_open_files(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
)


@pytest.mark.parametrize(
    ("soft", "hard", "after"),
    [
        (200, 1_000, (500, 500, 1_000)),  # as far as there is use for it
        (200, 300, (300, 300, 300)),  # as far as the system allows
        (700, 1_000, (700, 700, 1_000)),  # never lowered
    ],
)
def test_the_limit_is_raised(soft: int, hard: int, after: tuple[int, int, int]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RAISED, str(soft), str(hard)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == (" ".join(map(str, after)) + "\n", "")
