"""Processes and files that leave nothing behind: what ``demo`` and the measurements run in.

Rules:

- Everything lies in one temporary directory; every process is in a session of its own, is known by its pid from the
  moment it exists, and is killed with its whole group.
- The first SIGINT, SIGTERM or SIGHUP raises :class:`Interrupted`, once, and never between the making of a directory
  or process and its being known; later ones change nothing, cleaning up is already under way. A signal that was
  ignored before (nohup) stays ignored.
- Where this process is killed outright, the kernel kills the processes (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, Self, TypeVar

T = TypeVar("T")

ALONE: Final = {"P2PCHAT_LAN": "off", "P2PCHAT_PUBLIC_DHT": "off", "P2PCHAT_NAT_MAPPING": "off"}
"""In the environment of nodes that shall find those alone of whom they are told."""

TERMINATE_S: Final = 5.0
TAIL_LINES: Final = 12

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG: Final = 1
_LONGEST_PARENT: Final = 50
"""Bytes of the temporary directory's parent that leave room for the path of a socket below it."""


class Interrupted(BaseException):
    """The user, or the system, asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_status = 128 + number


class Interrupts:
    """Raises :class:`Interrupted` for the first signal, outside of protected stretches."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._protected = False
        self._ignoring = False
        self._before: dict[int, Callable[[int, FrameType | None], object] | int] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if before is not None and before is not signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextmanager
    def protected(self) -> Iterator[None]:
        """Put a signal off until the end of the block."""
        self._protected = True
        try:
            yield
        finally:
            self._protected = False
        self.check()

    def check(self) -> None:
        """Raise what a signal handler could not: an exception raised in a finalizer is lost."""
        if self._first is not None and not self._ignoring:
            raise Interrupted(self._first)

    def ignore(self) -> None:
        """Raise nothing from now on."""
        self._ignoring = True

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._first is None:
            self._first = number
            if not self._protected:
                self.check()


class Process:
    """A child in a session of its own, with its output in a file."""

    def __init__(self, name: str, child: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._child = child

    @property
    def pid(self) -> int:
        """Its number, and its group's."""
        return self._child.pid

    def ended(self) -> int | None:
        """The exit status (negative: the signal that killed it), or None while it runs.

        The process stays a zombie until :meth:`finish`, so that its group's number cannot become another's.
        """
        info = os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is None:
            return None
        return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status

    def terminate(self) -> None:
        """Ask it to end."""
        os.kill(self._child.pid, signal.SIGTERM)  # send_signal() would look whether it has ended, and forget it

    def finish(self) -> None:
        """Kill what is left of its group and forget it."""
        os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def tail(self) -> list[str]:
        """The last lines of its output."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]


class Sandbox:
    """One temporary directory and the processes that work in it.

    Args:
        interrupts: put off while something is made.
        prefix: what the directory's name begins with.
    """

    def __init__(self, interrupts: Interrupts, prefix: str) -> None:
        self._interrupts = interrupts
        self._prefix = prefix
        self._processes: list[Process] = []
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._pid = os.getpid()
        self._directory: Path | None = None

    def open(self) -> Path:
        """Make the directory."""
        parent = tempfile.gettempdir()
        if len(os.fsencode(parent)) > _LONGEST_PARENT:
            parent = "/tmp"  # noqa: S108  mkdtemp makes a private directory in it
        with self._interrupts.protected():
            self._directory = Path(tempfile.mkdtemp(prefix=self._prefix, dir=parent))
        return self._directory

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
        """Start a process whose output is appended to ``log``."""
        with self._interrupts.protected(), log.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603  the program is our own
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=self._die_with_parent,  # there are no threads
            )
            process = Process(name, child, log)
            self._processes.append(process)
        return process

    def check(self) -> None:
        """Raises: Interrupted: a signal has come."""
        self._interrupts.check()

    def running(self) -> list[Process]:
        """The processes that were started and not finished."""
        return list(self._processes)

    def finish(self, process: Process) -> None:
        """Kill what is left of one process's group and forget it."""
        with self._interrupts.protected():
            process.finish()
            self._processes.remove(process)

    def close(self) -> None:
        """End every process and remove every file; to be called when signals are ignored."""
        try:
            self._end_processes()
        finally:
            if self._directory is not None:
                shutil.rmtree(self._directory)
                self._directory = None

    def _end_processes(self) -> None:
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + TERMINATE_S
        while any(process.ended() is None for process in self._processes) and time.monotonic() < deadline:
            time.sleep(0.02)
        while self._processes:
            self._processes.pop().finish()

    def _die_with_parent(self) -> None:
        self._libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != self._pid:
            os._exit(1)  # the parent died before the kernel was asked


def in_sandbox(prefix: str, work: Callable[[Sandbox], T]) -> T:
    """Run ``work``; afterwards nothing of what it made in its sandbox is left, however it ended.

    Raises:
        Interrupted: a signal came.
    """
    with Interrupts() as interrupts:
        sandbox = Sandbox(interrupts, prefix)
        # two blocks: a signal may come at the very beginning of the inner one's end, and none after it
        try:
            try:
                return work(sandbox)
            finally:
                interrupts.ignore()
        finally:
            sandbox.close()
