"""A shell in a pseudo-terminal of its own, as somebody types into it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.e2e.daemons import DEADLINE_S

# The process is the leader of a session whose terminal this is: what a shell that was logged in to has.
_LEADER = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


class Shell:
    """One interactive shell; ``everything`` is all that its terminal was given, ``seen`` what was not waited for."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self.seen = self.everything = b""
        self._master, slave = os.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LEADER, *command],
            env=dict(environ),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def types(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def waits_for(self, mark: bytes) -> bytes:
        """Until ``mark`` is on the terminal; what came before it since the last time."""
        deadline = time.monotonic() + DEADLINE_S
        while mark not in self.seen:
            left = deadline - time.monotonic()
            ready = select.select([self._master], [], [], max(0.0, left))[0]
            assert ready, f"{mark!r} was not seen in {self.seen!r}"
            part = os.read(self._master, 65_536)
            self.seen += part
            self.everything += part
        before, _, self.seen = self.seen.partition(mark)
        return before

    def close(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._master)


@contextmanager
def shell(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[Shell]:
    opened = Shell(command, environ)
    try:
        yield opened
    finally:
        opened.close()
