"""Builds the checkout's ``.venv`` from the lock files, then becomes the program that was asked for.

Rules:

- Standard library only: this runs on the system's Python, before anything is installed.
- ``.venv`` is ready when its stamp, written last, holds the digest of the lock files; anything else is rebuilt.
- A failure or a signal (INT, TERM, HUP) kills the installer with all its children and removes ``.venv``: no process
  and no file stays. The process then ends by that same signal.
- One builder at a time: a lock on the checkout's folder itself, so no lock file stays. The installer holds it too, and
  a builder that was killed with -9 cannot have its orphan write into the next one's ``.venv``.
- Everything is written below ``.venv``, temporary files included; there is no cache outside it unless the user chose
  one with ``PIP_CACHE_DIR``.

The stamp's time is that of the lock file plus one second, so that the shell scripts find a ready environment by one
comparison of two file times and start the program without this module.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn, TextIO

EX_UNAVAILABLE: Final = 69
OLDEST_PYTHON: Final = (3, 11)
DEBIAN_PYTHON: Final = "/usr/bin/python3"
POLL_S: Final = 0.05
TICK_S: Final = 1.0
REMOVE_S: Final = 10.0
LOG_LINES: Final = 8
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Settings of pip and Python that would send the packages elsewhere or bring foreign ones in.
FOREIGN_SETTINGS: Final = ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")

# trio-typing, which libp2p needs, brings stubs of a trio of 2023; type checkers would prefer them to trio's own types.
OUTDATED_STUBS: Final = ("trio-stubs", "outcome-stubs")


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file as it was when the work began, and the stamp that says it is installed."""

    file: Path
    stamp: Path
    label: str
    content: bytes
    modified: float

    @classmethod
    def read(cls, root: Path, suffix: str, label: str) -> Lock:
        """Read ``requirements<suffix>.lock`` of the checkout at ``root``."""
        file = root / f"requirements{suffix}.lock"
        stamp = root / ".venv" / f"installed{suffix}.stamp"
        return cls(file, stamp, label, file.read_bytes(), file.stat().st_mtime)

    def __str__(self) -> str:
        return f"{sum(line[:1].isalnum() for line in self.content.splitlines())} {self.label}"

    def installed(self) -> bool:
        """Whether the stamp holds this lock's digest."""
        try:
            return self.stamp.read_text(encoding="ascii") == self._digest()
        except (FileNotFoundError, NotADirectoryError):
            return False

    def mark_installed(self) -> None:
        """Write the stamp, one second younger than the lock file was."""
        self.stamp.write_text(self._digest(), encoding="ascii")
        os.utime(self.stamp, (self.modified + 1, self.modified + 1))

    def _digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class Interrupted(Exception):
    """A signal came that ends the process."""


class Failed(Exception):
    """A step failed; the message says what, and what to do."""


class Signals:
    """Notes the signals that end the process, so that each step ends where it can be undone.

    A signal that was ignored on entry (nohup, a background job) stays ignored.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._previous = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in self._previous.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self._received = signal.Signals(number)

    def check(self) -> None:
        """Raises:
        Interrupted: one of the signals has come.
        """
        if self._received is not None:
            raise Interrupted(self._received.name)

    def default(self) -> None:
        """Let them act as they did on any process again."""
        for number, handler in self._previous.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)

    def die(self) -> NoReturn:
        """End the process by the signal that came, which its parent sees as such."""
        self.default()
        os.kill(os.getpid(), self._received or signal.SIGTERM)
        raise SystemExit(128 + (self._received or signal.SIGTERM))


class Progress:
    """One line on stderr: what is being done, and on a terminal for how long."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._what = ""
        self._started = self._drawn = time.monotonic()

    def begin(self, what: str) -> None:
        """Say what begins now; saying the same again says nothing."""
        if what == self._what:
            return
        self._what = what
        self._draw("…", end="" if self._terminal else "\n")

    def tick(self) -> None:
        """Show the time that has passed, on a terminal once a second."""
        if self._terminal and self._what and time.monotonic() - self._drawn >= TICK_S:
            self._draw(f"… {self._elapsed_s()} s", end="")

    def end(self, result: str) -> None:
        """Close the line with ``result`` and the time, if one was begun."""
        if self._what:
            self._draw(f"… {result} after {self._elapsed_s()} s", end="\n")

    def _elapsed_s(self) -> int:
        return round(time.monotonic() - self._started)

    def _draw(self, state: str, *, end: str) -> None:
        self._drawn = time.monotonic()
        start = "\r\x1b[K" if self._terminal else ""
        self._stream.write(f"{start}p2pchat: {self._what} {state}{end}")
        self._stream.flush()


class Builder:
    """Makes ``.venv`` hold what the lock files name.

    Args:
        root: the checkout's folder.
        signals: what interrupts the work.
        progress: where to say what is done.
    """

    def __init__(self, root: Path, signals: Signals, progress: Progress) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.python = self.venv / "bin" / "python"
        self._signals = signals
        self._progress = progress
        self._temporary = self.venv / "tmp"

    def ensure(self, runtime: Lock, tools: Lock | None, build: Path) -> None:
        """Build or complete ``.venv`` unless it is ready.

        Args:
            runtime: what the program needs.
            tools: the same with the developers' tools, if they are wanted.
            build: the lock file of what builds the packages that come as source.

        Raises:
            Interrupted, Failed: ``.venv`` has been removed.
        """
        checkout = os.open(self.root, os.O_RDONLY)
        try:
            self._take(checkout)
            try:
                if not (self.python.exists() and runtime.installed()):
                    self._install(runtime, build, checkout)
                if tools is not None and not tools.installed():
                    self._add(tools, checkout)
                self._signals.check()
            except BaseException:
                remove(self.venv)
                raise
            for lock in (runtime, tools):
                if lock is not None:
                    lock.mark_installed()
        finally:
            os.close(checkout)

    def _take(self, checkout: int) -> None:
        while True:
            try:
                fcntl.flock(checkout, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                self._progress.begin("waiting for another p2pchat that is installing")
                self._pause()

    def _install(self, lock: Lock, build: Path, checkout: int) -> None:
        self._progress.begin(f"installing {lock} into .venv")
        remove(self.venv)
        self._temporary.mkdir(parents=True)
        self._run([sys.executable, "-I", "-m", "venv", str(self.venv)], checkout)
        self._pip(["install", "--no-deps", "--require-hashes", "-r", str(build)], checkout)
        # --use-pep517: an old pip would otherwise run setup.py itself, and wants the wheel package for that
        isolation = ["--no-build-isolation", "--use-pep517"]
        self._pip(["install", "--no-deps", "--require-hashes", *isolation, "-r", str(lock.file)], checkout)
        self._pip(["uninstall", "--yes", "setuptools"], checkout)
        self._finish()

    def _add(self, lock: Lock, checkout: int) -> None:
        self._progress.begin(f"installing {lock} into .venv")
        self._temporary.mkdir(exist_ok=True)
        self._pip(["install", "--no-deps", "--require-hashes", "-r", str(lock.file)], checkout)
        remove(self._temporary)

    def _finish(self) -> None:
        site_packages = next(self.venv.glob("lib/python*/site-packages"))
        for stubs in OUTDATED_STUBS:
            remove(site_packages / stubs)
        # relative, so that the checkout can be moved
        path = os.path.relpath(self.root, site_packages)
        (site_packages / "p2pchat-checkout.pth").write_text(path + "\n", encoding="utf-8")
        remove(self._temporary)

    def _pip(self, arguments: Sequence[str], checkout: int) -> None:
        cache = [] if "PIP_CACHE_DIR" in os.environ else ["--no-cache-dir"]
        common = ["--quiet", "--no-input", "--disable-pip-version-check", *cache]
        self._run([str(self.python), "-I", "-m", "pip", *arguments, *common], checkout)

    def _run(self, command: Sequence[str], checkout: int) -> None:
        """Run an installer's step in a session of its own, so that all its processes can be killed together."""
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN_SETTINGS}
        environment["TMPDIR"] = str(self._temporary)
        self._signals.check()
        with (self._temporary / "log").open("w+b") as log:
            child = subprocess.Popen(  # noqa: S603  our own arguments
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=(checkout,),
                start_new_session=True,
            )
            try:
                while child.poll() is None:
                    self._pause()
            finally:
                if child.returncode is None:
                    kill_session(child)
            if child.returncode != 0:
                log.seek(0)
                lines = log.read().decode(errors="replace").splitlines()[-LOG_LINES:]
                raise Failed("the installation failed; its last lines:\n" + "\n".join(f"  {line}" for line in lines))

    def _pause(self) -> None:
        time.sleep(POLL_S)
        self._signals.check()
        self._progress.tick()


def kill_session(leader: subprocess.Popen[bytes]) -> None:
    """Kill the process and all others of its session's process group, and wait until they are gone."""
    os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()


def remove(path: Path) -> None:
    """Remove a folder, even while the last files of a process that was just killed appear in it.

    Raises:
        OSError: it cannot be removed.
    """
    deadline = time.monotonic() + REMOVE_S
    while path.exists() or path.is_symlink():
        try:
            if path.is_symlink():
                path.unlink()
            else:
                shutil.rmtree(path)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


def check_system() -> None:
    """Raises:
    Failed: this Python is too old, or lacks the modules that make a virtual environment.
    """
    if sys.version_info < OLDEST_PYTHON:
        raise Failed("Python 3.11 or newer is needed")
    if find_spec("venv") is not None and find_spec("ensurepip") is not None:
        return
    default = Path(DEBIAN_PYTHON)
    is_default = default.exists() and default.samefile(sys.executable)
    package = "python3-venv" if is_default else f"python3.{sys.version_info.minor}-venv"
    raise Failed(f"{sys.executable} cannot make virtual environments; what is missing: sudo apt install {package}")


def parse(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether the developers' tools are wanted, and the arguments of the Python that follows."""
    parser = argparse.ArgumentParser(prog="bootstrap.py", description="Build .venv, then run its Python.")
    parser.add_argument("--dev", action="store_true", help="with the developers' tools")
    parser.add_argument("program", nargs=argparse.REMAINDER, help="-- and the arguments of .venv's Python")
    options = parser.parse_args(arguments)
    return options.dev, options.program[1:]


def main() -> int:
    """Build what is missing, then run ``.venv``'s Python with the arguments after ``--``, if any."""
    dev, program = parse(sys.argv[1:])
    root = Path(__file__).resolve().parent.parent
    signals, progress = Signals(), Progress(sys.stderr)
    builder = Builder(root, signals, progress)
    try:
        check_system()
        runtime = Lock.read(root, "", "locked packages")
        tools = Lock.read(root, "-dev", "locked packages, the developers' tools among them,") if dev else None
        builder.ensure(runtime, tools, root / "requirements-build.lock")
        progress.end("done")
        signals.default()
        signals.check()
    except Interrupted:
        progress.end("stopped")
        signals.die()
    except (Failed, OSError) as error:
        progress.end("failed")
        sys.stderr.write(f"p2pchat: {error}\n")
        return EX_UNAVAILABLE
    if program:
        os.execv(builder.python, [str(builder.python), *program])  # noqa: S606  our own interpreter
    return 0


if __name__ == "__main__":
    sys.exit(main())
