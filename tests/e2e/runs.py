"""Programs that make processes and files of their own, and the proof that nothing of them stays."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.daemons import until

ROOT = Path(__file__).parents[2]
DEADLINE_S = 240.0
LAST_S = 10.0


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped, as by SIGSTOP."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:  # it ended meanwhile
        return False


class Run:
    """A program of ours that was started with a temporary directory of its own."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        self.folder = folder
        environment = {name: value for name, value in os.environ.items() if not name.startswith("P2PCHAT_")}
        environment |= {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def wait_for(self, what: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not what():
            assert self.process.poll() is None, self.finish()
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def read_until(self, words: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if words in line.decode():
                return
        raise AssertionError(f"it ended before it said {words!r}: {self.finish()}")

    def directories(self) -> list[Path]:
        return list(self.folder.glob("p2pchat-*"))

    def processes(self) -> list[int]:
        """Whatever runs with the temporary directory in its environment, the program itself excepted."""
        marker = f"P2PCHAT_HOME={self.folder}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environment = (entry / "environ").read_bytes()
                except OSError:  # it ended meanwhile, or is another user's
                    continue
                if marker in environment:
                    found.append(int(entry.name))
        return found

    def leaves_nothing(self) -> None:
        """No directory and, as soon as the kernel has ended them, no process."""
        assert self.directories() == []
        # the child of a daemon that was killed is killed with its group, and has to be given a core to end
        until(lambda: self.processes() == [], "a process is left", LAST_S)

    def finish(self, deadline_s: float = DEADLINE_S) -> tuple[int, str, str]:
        try:
            out, err = self.process.communicate(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            out, err = self.process.communicate(timeout=DEADLINE_S)
            raise AssertionError(f"it did not end in {deadline_s:g} s:\n{out.decode()}{err.decode()}") from None
        return self.process.returncode, out.decode(), err.decode()


@contextmanager
def starting() -> Iterator[Callable[..., Run]]:
    """Starts programs by the arguments of their interpreter; whatever is left of them at the end is killed."""
    runs: list[Run] = []
    folder = Path(tempfile.mkdtemp(prefix="p2pchat-test-", dir="/tmp"))  # short: sockets are made below it

    def begin(*command: str) -> Run:
        runs.append(Run(folder, list(command)))
        return runs[-1]

    try:
        yield begin
    finally:
        for run in runs:
            if run.process.poll() is None:
                run.process.terminate()
                run.finish()
            for pid in run.processes():
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)
