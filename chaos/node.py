"""One daemon in a bent world: its home, its clock, its way to the others, and how it is begun and ended."""

from __future__ import annotations

import os
import signal
import struct
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import chaos
from bench.daemons import clean
from bench.procfs import rss_mb
from chaos.link import OWN, WAY
from chaos.logs import logged
from p2pchat.api.errors import ApiError
from p2pchat.api.paths import ProfilePaths
from p2pchat.cli.sandbox import ALONE, Process, Sandbox
from p2pchat.client.blocking import Client

PORTS: Final = (4001, 4002)
EX_NO_SPACE: Final = 74
EX_CORRUPT: Final = 74
CALL_S: Final = 10.0
_YOUNG_S: Final = 15.0
_BENT: Final = Path(chaos.__file__).parent / "bent"
_OF_SQLCIPHER: Final = ": ERROR CORE sql"
_OWN_LINES: Final = ("NO_SPACE: ", "CORRUPT: ", "Without a passphrase ", "The profile ", "Start it with: ")


class Daemon:
    """A profile and its process.

    Args:
        folder: for its log and its clock; exists.
        home: does not exist yet.
        network: two octets that are this run's.
        passphrase: a file that holds one.
    """

    def __init__(
        self, sandbox: Sandbox, index: int, folder: Path, home: Path, network: str, passphrase: Path | None
    ) -> None:
        self.index = index
        self.home = home
        self.passphrase = passphrase
        self.port = PORTS[0]
        self.process: Process | None = None
        self.is_stopped = self.is_ending = False
        self.kills = 0
        self._launched_s = 0.0
        self.bootstrap: list[str] = []
        self.log = folder / f"node-{index}.log"
        self._clock = folder / f"node-{index}.clock"
        self._sandbox = sandbox
        self._host = f"{network}.{index}.{OWN}"
        self.environment = {
            **clean(os.environ),
            **ALONE,
            "P2PCHAT_HOME": str(home),
            "BENT_CLOCK": str(self._clock),
            "BENT_WAY": f"{network} {WAY + index}",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(_BENT), os.environ.get("PYTHONPATH", "")))),
        }
        self.paths = ProfilePaths(environ=self.environment)
        self.set_clock(0)

    def __str__(self) -> str:
        return f"node {self.index}"

    def begin(self, *arguments: str) -> Process:
        """Start the daemon's program, whatever it shall do."""
        self.home.mkdir(exist_ok=True)
        command = [sys.executable, "-P", "-m", "p2pchat.daemon", *arguments]
        self.process = self._sandbox.start(str(self), command, self.environment, self.log)
        return self.process

    def init(self) -> None:
        """Begin to make the profile."""
        protection = ["--no-passphrase"] if self.passphrase is None else ["--passphrase-file", str(self.passphrase)]
        self.begin("init", "--no-number", "--name", f"Node {self.index}", *protection)

    def restore(self, backup: Path, passphrase: Path) -> None:
        """Begin to make the profile out of a backup."""
        self.begin("restore", str(backup), "--passphrase-file", str(passphrase))

    def launch(self) -> None:
        """Start it and wait for nothing."""
        key = [] if self.passphrase is None else ["--passphrase-file", str(self.passphrase)]
        listen = f"/ip4/{self._host}/tcp/{self.port}"
        self.is_stopped = self.is_ending = False
        self._launched_s = time.monotonic()
        self.begin("run", "--listen", listen, *(f"--bootstrap={each}" for each in self.bootstrap), *key)

    def finish(self) -> None:
        """Forget its process, and kill what is left of it."""
        if self.process is not None:
            process, self.process = self.process, None
            self._sandbox.finish(process)

    def kill(self) -> None:
        """SIGKILL."""
        self.kills += 1
        self.finish()

    def terminate(self) -> None:
        """Ask it to end."""
        if self.process is not None:
            self.is_ending = True
            self.process.terminate()

    def stop(self, *, stopped: bool) -> None:
        """SIGSTOP or SIGCONT."""
        if self.process is not None:
            self.is_stopped = stopped
            os.kill(self.process.pid, signal.SIGSTOP if stopped else signal.SIGCONT)

    @property
    def is_young(self) -> bool:
        """Whether it may be on its way still."""
        return time.monotonic() - self._launched_s < _YOUNG_S

    def ended(self) -> int | None:
        """The exit status of a process that has ended."""
        return None if self.process is None else self.process.ended()

    def call(self, method: str, /, **params: object) -> dict[str, object]:
        """One call over a connection of its own. Raises: ApiError."""
        with Client(self.paths.socket, timeout_s=CALL_S) as client:
            return client.call(method, **params)

    def answers(self) -> bool:
        """Whether it is there, and open."""
        try:
            self.call("net.addrs")
        except ApiError:
            return False
        return True

    def set_clock(self, ahead_s: int) -> None:
        """Let its clock be so much ahead from now on."""
        with self._clock.open("r+b" if self._clock.exists() else "wb") as file:  # the mapping is of this file
            file.write(struct.pack("<q", ahead_s))

    def rss_mb(self) -> float:
        """What it has in memory; 0 where it does not run."""
        return 0.0 if self.process is None or self.ended() is not None else rss_mb(self.process.pid)

    def disk_bytes(self) -> int:
        """Of the database, with what was not moved into it yet."""
        return sum(path.stat().st_size for path in self.paths.data_dir.glob("p2pchat.db*"))

    def logged(self) -> Counter[str]:
        """How often it logged what; what is no line of its log stands as it is."""
        return logged(self.log)

    def complaints(self, *, is_damaged: bool) -> list[str]:
        """What it logged that it should not have: a defect, or what is no line of its log. ``is_damaged``: SQLCipher
        says on stderr, in its own words, that its database was once."""
        logged = [
            kind
            for kind in self.logged()
            if not kind.startswith(_OWN_LINES) and not (is_damaged and _OF_SQLCIPHER in kind)
        ]
        return [f"{self}: {kind}" for kind in logged if kind.startswith("defect") or not kind[:1].islower()]
