"""What systemd does for a service, done by a test: a socket that is handed over, and notices that are taken."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests.e2e.daemons import DEADLINE_S, Daemon, environment, until

# Descriptor 3 and the process it is meant for are known in the child alone.
_HAND_OVER: Final = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "p2pchat.daemon", *sys.argv[2:]])
"""


class Service:
    """A daemon under a manager: its control socket is made here, and outlives it.

    Attributes:
        notices: what it has said, in order.
    """

    def __init__(self, daemon: Daemon, *, watchdog_s: float | None = None) -> None:
        self.daemon = daemon
        self.notices: list[str] = []
        self._watchdog_s = watchdog_s
        daemon.socket.parent.mkdir(mode=0o700, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(daemon.socket))
        self.listener.listen()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(daemon.home / "notify"))
        self._notify.setblocking(False)

    def launch(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start it, and wait for nothing; also in place of the daemon's own process."""
        inherited = self.listener.fileno()
        systemd = {
            "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": "control",
            "NOTIFY_SOCKET": str(self.daemon.home / "notify"),
        }
        if self._watchdog_s is not None:
            systemd["WATCHDOG_USEC"] = str(int(self._watchdog_s * 1e6))
        command = ["run", "--listen", "/ip4/127.0.0.1/tcp/0", *arguments]
        with self.daemon.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", _HAND_OVER, str(inherited), *command],
                env=environment(self.daemon.home) | systemd | variables,
                pass_fds=(inherited,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def start(self, *arguments: str, **variables: str) -> None:
        """Start it, and wait until it says that it is ready."""
        self.told()
        self.notices.clear()
        self.daemon.process = self.launch(*arguments, **variables)
        until(lambda: "READY=1" in self.told(), "it is not ready")

    def told(self) -> list[str]:
        """Every line that has come until now."""
        while True:
            try:
                self.notices += self._notify.recv(4096).decode().split("\n")
            except BlockingIOError:
                return self.notices

    def signs(self, count: int) -> None:
        """Wait for so many signs of life more."""
        before = self.told().count("WATCHDOG=1")
        until(lambda: self.told().count("WATCHDOG=1") >= before + count, "it gives no sign of life")

    def silent(self, for_s: float) -> bool:
        """Whether it gives no sign of life for so long."""
        before = self.told().count("WATCHDOG=1")
        time.sleep(for_s)  # nothing is what is waited for
        return self.told().count("WATCHDOG=1") == before

    def close(self) -> None:
        self.listener.close()
        self._notify.close()


def ended(process: subprocess.Popen[bytes]) -> int:
    """The exit status of a daemon that ends by itself."""
    return process.wait(DEADLINE_S)


def inode(path: Path) -> int:
    return os.stat(path).st_ino
