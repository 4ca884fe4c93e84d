"""A profile and its daemon in a sandbox: how it is begun, asked and ended."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Final

from bench.daemons import clean
from p2pchat.api.errors import ApiError
from p2pchat.api.paths import ProfilePaths
from p2pchat.cli.program import daemon_program
from p2pchat.cli.sandbox import ALONE, Process, Sandbox
from p2pchat.client.blocking import Client

PORT: Final = 4001
CALL_S: Final = 10.0
_OWN: Final = 1
_YOUNG_S: Final = 15.0


class Node:
    """One of a network. It finds those alone of whom it is told.

    Args:
        home: does not exist yet.
        log: where its output is appended.
        inside: where its processes are begun; as it comes where omitted.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        name: str,
        home: Path,
        log: Path,
        inside: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.name = name
        self.home = home
        self.log = log
        self.environment = {**clean(os.environ), **ALONE, "P2PCHAT_HOME": str(home)}
        self.paths = ProfilePaths(environ=self.environment)
        self.process: Process | None = None
        self.is_ending = False
        self.bootstrap: list[str] = []
        self._sandbox = sandbox
        self._inside = inside
        self._launched_s = 0.0

    def __str__(self) -> str:
        return self.name

    def program(self) -> Sequence[str]:
        """The daemon's, to be followed by its arguments."""
        return daemon_program()

    def begin(self, *arguments: str) -> Process:
        """Start the daemon's program, whatever it shall do."""
        self.home.mkdir(exist_ok=True)
        with self._inside():
            command = [*self.program(), *arguments]
            self.process = self._sandbox.start(str(self), command, self.environment, self.log)
        return self.process

    def run(self, listen: str, *arguments: str) -> None:
        """Start the node and wait for nothing.

        Args:
            listen: a multiaddr.
        """
        self.is_ending = False
        self._launched_s = time.monotonic()
        self.begin("run", "--listen", listen, *(f"--bootstrap={each}" for each in self.bootstrap), *arguments)

    def finish(self) -> None:
        """Forget its process, and kill what is left of it."""
        if self.process is not None:
            process, self.process = self.process, None
            self._sandbox.finish(process)

    def terminate(self) -> None:
        """Ask it to end."""
        if self.process is not None:
            self.is_ending = True
            self.process.terminate()

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


def free_network() -> str:
    """Two octets of loopback that no other network of nodes has: each of its nodes has a /24 of it to itself."""
    chance = random.Random(os.getpid())
    while True:
        network = f"127.{chance.randrange(1, 250)}"
        with suppress(OSError), socket.create_server((own_address(network, 0), PORT)):
            return network


def own_address(network: str, index: int) -> str:
    """Where a node of such a network listens."""
    return f"{network}.{index}.{_OWN}"
