"""Running a program for each event: one at a time, until it succeeds, and ended in good order.

Rules:

- The program gets the event as one line of JSON on stdin. Exit status 0 means that the event is done; anything else has
  it run again, after ``FIRST_S`` and then twice as long each time, up to ``LONGEST_S``. It need not read its stdin,
  which is a file in memory: a pipe could be kept full, and open, by what the program leaves running.
- It is in a process group of its own: SIGINT, SIGTERM and SIGHUP reach it once, from here. It is waited for; if it
  succeeds, its event still counts as done. A second signal kills it.
- What is waited for otherwise, an event, the daemon, the next attempt, ends at once.
- After SIGTERM or SIGHUP this process dies of it, as if it had not been caught: whoever sent it sees that. A signal
  that was ignored from the start (nohup) stays so.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from gettext import gettext as _
from types import FrameType
from typing import BinaryIO, Final, Self

import click

FIRST_S: Final = 1.0
LONGEST_S: Final = 300.0

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Ended(BaseException):
    """A signal came: no error that anything here may handle."""


class Executing:
    """See the rules above; the signals are caught while the context lasts, and end it.

    Args:
        command: the program, a name or a path, and its arguments.
        say: told what went wrong, in one line.

    Raises:
        click.UsageError: there is no such program.
    """

    def __init__(self, command: Sequence[str], say: Callable[[str], object]) -> None:
        if shutil.which(command[0]) is None:
            raise click.BadParameter(
                _("there is no program {program}.").format(program=command[0]), param_hint="--exec"
            )
        self._command = command
        self._say = say
        self._child: subprocess.Popen[bytes] | None = None
        self._is_busy = False
        self._is_lost = False
        self._is_starting = False
        self._is_urgent = False
        self._ended_by: int | None = None

    def __enter__(self) -> Self:
        heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        self._before = [(number, signal.signal(number, self._caught)) for number in heard]
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> bool:
        for number, handler in self._before:
            signal.signal(number, handler)
        return kind is _Ended

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Around what should be finished: a signal ends it afterwards."""
        self._is_busy, self._is_lost = True, False
        try:
            yield
        finally:
            self._is_busy = False
        self._end_if_told_to()

    def lost(self) -> None:
        """The daemon is waited for: that is not to be finished."""
        self._is_lost = True
        self._end_if_told_to()

    def run(self, event: Mapping[str, object]) -> None:
        """Returns when the program has succeeded with ``event``."""
        line = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        pause_s = FIRST_S
        while (failure := self._attempt(line)) is not None:
            self._end_if_told_to()
            said, what = failure
            self._say(said.format(program=self._command[0], seconds=f"{pause_s:g}", **what))
            self._sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_S)

    def die(self) -> None:
        """As the signal that came would have had it. Raises: KeyboardInterrupt: SIGINT; else this does not return."""
        if self._ended_by is not None and self._ended_by != signal.SIGINT:
            os.kill(os.getpid(), self._ended_by)
        raise KeyboardInterrupt

    def _attempt(self, line: bytes) -> tuple[str, dict[str, object]] | None:
        """What went wrong: a sentence with places for the program and the pause, and what its other place holds."""
        try:
            with _file_of(line) as stdin:
                self._is_starting = True
                # what the user wrote is run: that is what it is for
                self._child = subprocess.Popen(self._command, stdin=stdin, process_group=0)  # noqa: S603
        except OSError as error:
            said = _("{program} cannot be started ({reason}); it is run again in {seconds} s.")
            return said, {"reason": error.strerror}
        finally:
            self._is_starting = False
        with self._child as child:
            if self._ended_by is not None:  # while it was being started
                self._pass_on(signal.SIGKILL if self._is_urgent else self._ended_by)
            child.wait()
            self._child = None
        status = child.returncode
        if status < 0:
            return _("{program} was ended by {signal}; it is run again in {seconds} s."), {"signal": _name_of(-status)}
        if status > 0:
            return _("{program} exited with {status}; it is run again in {seconds} s."), {"status": status}
        return None

    def _sleep(self, seconds: float) -> None:
        self._is_busy = False
        self._end_if_told_to()
        time.sleep(seconds)
        self._is_busy = True

    def _end_if_told_to(self) -> None:
        if self._ended_by is not None:
            raise _Ended

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        is_first = self._ended_by is None
        self._ended_by = self._ended_by or number
        self._is_urgent = not is_first
        if self._child is not None:
            self._pass_on(number if is_first else signal.SIGKILL)
        elif not (self._is_starting or (self._is_busy and is_first)) or self._is_lost:
            raise _Ended

    def _pass_on(self, number: int) -> None:
        if self._child is not None and self._child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)


def _file_of(line: bytes) -> BinaryIO:
    """A file in memory, to be read from its beginning on."""
    file = os.fdopen(os.memfd_create("event"), "w+b", buffering=0)
    written = 0
    while written < len(line):
        written += file.write(line[written:])
    file.seek(0)
    return file


def _name_of(number: int) -> str:
    """A signal's name; the real-time ones have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return _("signal {number}").format(number=number)
