"""A command in a terminal of its own: a pseudo-terminal, and an emulator that says what somebody would see."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyte

from tests.e2e.daemons import DEADLINE_S, environment, until

# The process is the leader of a session whose terminal this is: what a shell that was logged in to has.
_LEADER = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


class Terminal:
    """One command line in ``columns`` × ``rows``; ``raw`` is all that it has written."""

    def __init__(
        self, home: Path, *arguments: str, columns: int = 80, rows: int = 24, variables: Mapping[str, str] = {}
    ) -> None:
        self._master, self._slave = os.openpty()
        self.before = termios.tcgetattr(self._slave)
        self.raw = b""
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.resize(columns, rows)
        program = [sys.executable, "-m", "p2pchat.cli", *arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LEADER, *program],
            env=environment(home) | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"} | dict(variables),
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
        )
        self._end, self._ending = os.pipe()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            # a read that waits would keep the terminal open although its descriptor is closed
            if self._end in select.select([self._master, self._end], [], [])[0]:
                return
            try:
                data = os.read(self._master, 65_536)
            except OSError:  # nobody has the other end open any more
                return
            with self._lock:
                self.raw += data
                self._stream.feed(data)

    def types(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """As when somebody drags the corner of the window; the kernel tells the process."""
        with self._lock:  # what is drawn for the new size is not to be shown in the old one
            self._screen.resize(rows, columns)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def lines(self) -> list[str]:
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    def shows(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def sees(self, *wanted: str) -> None:
        """Wait until all of it stands on the screen."""
        for each in wanted:
            try:
                until(partial(self.shows, each), "")
            except AssertionError:
                raise AssertionError(f"{each!r} is not on the screen:\n" + "\n".join(self.lines)) from None

    def ends(self) -> int:
        """Wait for the end; the exit status."""
        return self.process.wait(timeout=DEADLINE_S)

    @property
    def is_as_before(self) -> bool:
        """Whether echo and all else are as before, the other screen was left and the cursor is shown."""
        with self._lock:
            raw = self.raw
        pairs = [(b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?25l", b"\x1b[?25h"), (b"\x1b[?2004h", b"\x1b[?2004l")]
        left = all(raw.rfind(last) > raw.rfind(first) >= 0 for first, last in pairs)
        return left and termios.tcgetattr(self._slave) == self.before

    def hang_up(self) -> None:
        """The window is closed, the connection lost."""
        os.close(self._ending)
        self._reader.join()
        for end in (self._end, self._slave, self._master):
            os.close(end)
        self._master = -1

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if self._master >= 0:
            self.hang_up()


@contextmanager
def terminal(
    home: Path, *arguments: str, columns: int = 80, rows: int = 24, variables: Mapping[str, str] = {}
) -> Iterator[Terminal]:
    """A command line in a terminal, ended with the block."""
    opened = Terminal(home, *arguments, columns=columns, rows=rows, variables=variables)
    try:
        yield opened
    finally:
        opened.close()
