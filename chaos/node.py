"""One daemon in a bent world: its home, its clock, its disk, its way to the others, and how it is begun and ended."""

from __future__ import annotations

import os
import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import chaos
from bench.procfs import rss_mb
from chaos.link import WAY
from chaos.logs import logged
from p2pchat.api.errors import ApiError
from p2pchat.cli.sandbox import Sandbox
from p2pchat.client.blocking import Client
from testnet.node import PORT, Node, own_address

PORTS: Final = (PORT, 4002)
EX_NO_SPACE: Final = 74
EX_CORRUPT: Final = 74
_BENT: Final = Path(chaos.__file__).parent / "bent"
_OF_SQLCIPHER: Final = ": ERROR CORE sql"
_OWN_LINES: Final = ("NO_SPACE: ", "CORRUPT: ", "Without a passphrase ", "The profile ", "Start it with: ")


class Daemon(Node):
    """A profile and its process.

    Args:
        folder: for its log, its clock and its disk's; exists.
        home: does not exist yet.
        network: two octets that are this run's.
        passphrase: a file that holds one.
    """

    def __init__(
        self, sandbox: Sandbox, index: int, folder: Path, home: Path, network: str, passphrase: Path | None
    ) -> None:
        super().__init__(sandbox, f"node {index}", home, folder / f"node-{index}.log")
        self.index = index
        self.passphrase = passphrase
        self.port = PORTS[0]
        self.is_stopped = False
        self.kills = 0
        self._clock = folder / f"node-{index}.clock"
        self._disk = folder / f"node-{index}.disk"
        self._host = own_address(network, index)
        self.environment |= {
            "BENT_CLOCK": str(self._clock),
            "BENT_DISK": str(self._disk),
            "BENT_WAY": f"{network} {WAY + index}",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(_BENT), os.environ.get("PYTHONPATH", "")))),
        }
        self.set_clock(0)
        self._disk.write_bytes(bytes(16))

    def program(self) -> Sequence[str]:
        """As :class:`Node` does, but so that what bends clock and ways is found."""
        return [sys.executable, "-P", "-m", "p2pchat.daemon"]

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
        self.is_stopped = False
        self.run(f"/ip4/{self._host}/tcp/{self.port}", *key)

    def kill(self) -> None:
        """SIGKILL."""
        self.kills += 1
        self.finish()

    def stop(self, *, stopped: bool) -> None:
        """SIGSTOP or SIGCONT."""
        if self.process is not None:
            self.is_stopped = stopped
            os.kill(self.process.pid, signal.SIGSTOP if stopped else signal.SIGCONT)

    def set_clock(self, ahead_s: int) -> None:
        """Let its clock be so much ahead from now on."""
        with self._clock.open("r+b" if self._clock.exists() else "wb") as file:  # the mapping is of this file
            file.write(struct.pack("<q", ahead_s))

    def set_disk(self, late_ms: int) -> None:
        """Let each commit take so much longer from now on."""
        with self._disk.open("r+b") as file:
            file.write(struct.pack("<q", late_ms))

    @property
    def late_ms(self) -> int:
        """What each commit takes longer now."""
        return int(struct.unpack("<qq", self._disk.read_bytes())[0])

    @property
    def waited(self) -> int:
        """How many commits have taken longer."""
        return int(struct.unpack("<qq", self._disk.read_bytes())[1])

    def hello_s(self, most_s: float) -> float | None:
        """How long it takes to answer, ``most_s`` where it is longer; None where nobody is there."""
        began = time.monotonic()
        try:
            with Client(self.paths.socket, timeout_s=most_s) as client:
                client.call("node.hello")
        except ApiError as error:
            return most_s if error.error_name == "TIMEOUT" else None
        return time.monotonic() - began

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
