"""Daemons on the hosts of a test network, each with a home of its own, talked to through their sockets."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from bench.daemons import Node
from netlab.lab import Lab
from p2pchat.api.errors import ApiError
from p2pchat.cli.program import daemon_program
from p2pchat.cli.reading import objects, text, texts
from p2pchat.cli.sandbox import ALONE, Sandbox

PORT: Final = 4001
_LOOK_S: Final = 0.02


class Unmet(Exception):
    """What was waited for did not come about; the message says what, and after how long."""


class Settler(Node):
    """A profile and its daemon on ``host``. It listens everywhere, and looks around in its LAN and at its router.

    Args:
        home: does not exist yet.
        relays: it offers to relay, whoever has confirmed that it can be reached.
    """

    def __init__(
        self, sandbox: Sandbox, lab: Lab, host: str, home: Path, name: str, number: str, *, relays: bool = False
    ) -> None:
        super().__init__(sandbox, home, name, number)
        self.host = host
        self._lab = lab
        own = {"P2PCHAT_PUBLIC_DHT": "off"} | ({"P2PCHAT_RELAY_OFFER": "on"} if relays else {})
        self.environment = {key: value for key, value in self.environment.items() if key not in ALONE} | own

    def launch(self, *bootstrap: str) -> None:
        """Begin to start the daemon; :meth:`is_ready` says when it answers."""
        versions = sorted({ip_address(each).version for each in self._lab.addresses(self.host)})
        listen = [f"/ip4/0.0.0.0/tcp/{PORT}" if version == 4 else f"/ip6/::/tcp/{PORT}" for version in versions]
        flags = [f"--listen={each}" for each in listen] + [f"--bootstrap={each}" for each in bootstrap]
        command = [*daemon_program(), "run", *flags]
        with self._lab.inside(self.host):
            self.process = self._sandbox.start(self.name, command, self.environment, self._home / "output.log")

    def is_ready(self) -> bool:
        return self._answers()

    def entrances(self) -> list[str]:
        """Where others can begin, by addresses of its host."""
        told = texts(self.client.call("net.addrs"), "addresses")
        return [each for each in told if any(f"/{host}/" in each for host in self._lab.addresses(self.host))]

    def path_to(self, other: Settler) -> str:
        """The best path of the connections to ``other``; empty if there is none."""
        theirs = text(other.client.call("node.status"), "peer_id")
        found = {
            text(each, "path") for each in objects(self.client.call("net.peers"), "peers") if each["peer_id"] == theirs
        }
        return next((path for path in ("lan", "direct", "relayed") if path in found), "")

    def has_matched(self, other: Settler) -> bool:
        return text(self.client.call("contacts.get", to=other.name), "state") == "matched"

    def send(self, to: Settler, words: str) -> None:
        """Queue a text."""
        self.client.call("message.send", to=to.name, text=words)

    def has(self, sender: Settler, words: str) -> bool:
        """Whether a text has come."""
        rows = objects(self.client.call("message.list", to=sender.name, limit=20), "messages")
        return any(row["direction"] == "in" and row["text"] == words for row in rows)

    def kill(self) -> None:
        """SIGKILL, with all that belongs to it."""
        self.client.close()
        self._sandbox.finish(self.process)


def wait(sandbox: Sandbox, condition: Callable[[], bool], what: str, within_s: float) -> float:
    """Poll; the seconds that it took.

    Raises:
        Unmet: ``condition`` never became true.
    """
    began = time.monotonic()
    while True:
        sandbox.check()
        try:
            if condition():
                return time.monotonic() - began
        except ApiError as error:
            raise Unmet(f"{what}: {error.message}") from error
        if time.monotonic() - began > within_s:
            raise Unmet(f"{what}, {within_s:g} s long")
        time.sleep(_LOOK_S)


def meet(sandbox: Sandbox, one: Settler, other: Settler, within_s: float) -> float:
    """Let two who run add each other by number and match; the seconds that it took. Raises as :func:`wait` does."""
    for each, their in ((one, other), (other, one)):
        each.client.call("contacts.add", number=their.number, name=their.name)

    def matched() -> bool:
        return all(each.has_matched(their) for each, their in ((one, other), (other, one)))

    return wait(sandbox, matched, "no match", within_s)
