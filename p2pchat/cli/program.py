"""How the daemon's program is started: by the same interpreter, as isolated from the environment as this process is."""

from __future__ import annotations

import sys


def daemon_program() -> list[str]:
    """The beginning of its command line; with ``-I`` where this process has it, so that no folder gets in between."""
    return [sys.executable, *(["-I"] if sys.flags.isolated else []), "-m", "p2pchat.daemon"]
