"""How programs of ours are started: by the same interpreter, as isolated from the environment as this process is."""

from __future__ import annotations

import sys


def interpreter() -> list[str]:
    """The beginning of a command line; with ``-I`` where this process has it, so that no folder gets in between."""
    return [sys.executable, *(["-I"] if sys.flags.isolated else [])]


def daemon_program() -> list[str]:
    """The daemon's program, to be followed by its arguments."""
    return [*interpreter(), "-m", "p2pchat.daemon"]
