"""Real daemons for the measurements: processes of the demo's sandbox, each with a home of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.api.paths import ProfilePaths
from p2pchat.cli.program import daemon_program
from p2pchat.cli.reading import objects, text, texts
from p2pchat.cli.sandbox import ALONE, Process, Sandbox
from p2pchat.client.blocking import Client

WITHIN_S: Final = 120.0


def until(sandbox: Sandbox, condition: Callable[[], bool], what: str, every_s: float = 0.02) -> None:
    """Poll.

    Raises:
        ApiError: TIMEOUT, ``condition`` never became true; ``what`` says which.
    """
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        sandbox.check()
        if time.monotonic() > deadline:
            raise ApiError("TIMEOUT", f"{what}, after {WITHIN_S:g} seconds.")
        time.sleep(every_s)


class Node:
    """A profile and its daemon.

    Args:
        home: does not exist yet.
        passphrase: what protects the profile; None: nothing does.
    """

    process: Process
    client: Client

    def __init__(self, sandbox: Sandbox, home: Path, name: str, number: str, passphrase: str | None = None) -> None:
        self.name = name
        self.number = number
        self._sandbox = sandbox
        self._home = home
        self.environment = {"P2PCHAT_HOME": str(home), **ALONE, **clean(os.environ)}
        self.socket = ProfilePaths(environ=self.environment).socket
        home.mkdir()
        self._secret: tuple[str, ...] = ()
        if passphrase is not None:
            (home / "passphrase").write_text(passphrase, encoding="utf-8")
            (home / "passphrase").chmod(0o600)
            self._secret = ("--passphrase-file", str(home / "passphrase"))

    def init(self) -> None:
        """Begin to make the profile; :meth:`ended` waits for it."""
        self._run("init", "--number", self.number, "--name", self.name, *(self._secret or ("--no-passphrase",)))

    def ended(self) -> None:
        """Wait for the process to end well.

        Raises:
            ApiError: INTERNAL, it did not.
        """
        until(self._sandbox, lambda: self.process.ended() is not None, f"{self.name} does not end")
        status = self.process.ended()
        self._sandbox.finish(self.process)
        if status != 0:
            raise ApiError("INTERNAL", f"{self.name}'s process ended with {status}: {self.process.tail()}")

    def start(self, *arguments: str) -> float:
        """Start the daemon; the seconds from before its process exists until it has answered on its socket."""
        began = time.perf_counter()
        self._run("run", "--listen", "/ip4/127.0.0.1/tcp/0", *self._secret, *arguments)
        until(self._sandbox, self._answers, f"{self.name}'s daemon does not answer", every_s=0.001)
        return time.perf_counter() - began

    def stop(self) -> None:
        """End the daemon in order."""
        self.client.call("node.shutdown")
        self.client.close()
        self.ended()

    @property
    def address(self) -> str:
        """A multiaddr to bootstrap from."""
        return texts(self.client.call("net.addrs"), "addresses")[0]

    def events(self, kind: str) -> list[dict[str, object]]:
        """Up to 1,000 events of one type, from the beginning."""
        return objects(self.client.call("events.fetch", since=0, types=[kind], limit=1000), "events")

    def _run(self, *arguments: str) -> None:
        command = [*daemon_program(), *arguments]
        self.process = self._sandbox.start(self.name, command, self.environment, self._home / "output.log")

    def _answers(self) -> bool:
        if self.process.ended() is not None:
            raise ApiError("INTERNAL", f"{self.name}'s daemon ended at its start: {self.process.tail()}")
        with suppress(NoDaemon):  # not listening yet
            self.client = Client(self.socket)
            return text(self.client.call("node.hello"), "profile") == "default"
        return False


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what configures a node, or makes it compile its modules at every start: an installed
    one has them compiled."""
    strange = ("P2PCHAT_", "NOTIFY_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in environment.items() if not name.startswith(strange)}
