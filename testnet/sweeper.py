"""What removes the files of a process that was killed: ``python -I -S sweeper.py``, started by :class:`Sweeper`.

It reads the directory from standard input and removes it when that ends, which it does however its owner ends. Whoever
works in the directory may be about to die and still write for a moment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

WITHIN_S = 10.0
AGAIN_S = 0.02


class Sweeper:
    """The process, from ``with`` to the end of its block. Its owner removes the directory itself where it can."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603  the program is our own
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for its owner, whose end it notices
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def watch(self, directory: Path) -> None:
        """Have it removed; once."""
        assert self._process.stdin is not None  # noqa: S101  it was asked for
        self._process.stdin.write(os.fsencode(directory))
        self._process.stdin.flush()


def main() -> None:
    """Wait, then remove."""
    directory = os.fsdecode(sys.stdin.buffer.read())
    deadline = time.monotonic() + WITHIN_S
    while directory and os.path.lexists(directory) and time.monotonic() < deadline:
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(AGAIN_S)


if __name__ == "__main__":
    main()
