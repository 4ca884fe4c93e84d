"""Real daemons for tests: each with its own home, talked to through its socket, ended by pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from p2pchat.cli.sandbox import ALONE
from p2pchat.client.blocking import Client

ALICE, BOB = "+821012345678", "+821098765432"
DEADLINE_S = 60.0


def environment(home: Path) -> dict[str, str]:
    """A clean environment under ``home``."""
    of_here = ("P2PCHAT", "XDG_", "NOTIFY_", "LC_", "LANG")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(of_here)}
    root = Path(__file__).parents[2]
    return kept | ALONE | {"P2PCHAT_HOME": str(home), "HOME": str(home), "PYTHONPATH": str(root)}


def run(home: Path, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """One run of ``python -m p2pchat.daemon``, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "p2pchat.daemon", *arguments],
        env=environment(home),
        input=stdin if stdin is not None else b"",
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )


def p2pchat(home: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """One command line, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "p2pchat.cli", *arguments],
        env=environment(home),
        input=stdin,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )


def objects(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    """What a command that succeeded has printed with ``--json``."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def until(condition: Callable[[], object], what: str, within_s: float = DEADLINE_S, *, every_s: float = 0.05) -> None:
    """Poll real processes until ``condition`` is true; AssertionError naming ``what`` if it never is."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(every_s)


class Daemon:
    """One profile and its process. ``passphrase``: a file."""

    def __init__(self, home: Path, number: str | None, passphrase: Path | None = None) -> None:
        self.home = home
        self.socket = home / "run" / "default.sock"
        self.log = home / "log.txt"
        self.process: subprocess.Popen[bytes] | None = None
        home.mkdir(parents=True)
        who = ["--number", number] if number else ["--no-number"]
        protection = ["--passphrase-file", str(passphrase)] if passphrase else ["--no-passphrase"]
        done = run(home, "init", *who, "--name", "Somebody", *protection)
        assert done.returncode == 0, done.stderr

    def start(self, *arguments: str) -> None:
        """Start and wait until it answers."""
        self.launch(*arguments)
        self.become_ready()

    def become_ready(self) -> None:
        """Wait until it answers."""
        until(self._answers, f"the daemon does not answer: {self.log.read_text()[-2000:]}")

    def launch(self, *arguments: str) -> None:
        """Start and wait for nothing."""
        listen = () if "--listen" in arguments else ("--listen", "/ip4/127.0.0.1/tcp/0")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "p2pchat.daemon", "run", *listen, *arguments],
                env=environment(self.home),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            with Client(self.socket) as client:
                client.call("node.hello")
        except Exception:  # not there yet
            return False
        return True

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)

    def call(self, method: str, **params: object) -> dict[str, Any]:
        with Client(self.socket) as client:
            return client.call(method, **params)

    @property
    def address(self) -> str:
        return str(self.call("net.addrs")["addresses"][0])

    def state_of(self, to: str) -> str:
        return str(self.call("contacts.get", to=to)["state"])

    def history(self, to: str, after: int = 0) -> list[dict[str, Any]]:
        """The messages of the conversation whose ``position`` is higher than ``after``, in order."""
        found: list[dict[str, Any]] = []
        before: int | None = None
        while True:
            page = self.call("message.list", to=to, limit=1000, **({} if before is None else {"before": before}))
            rows = [row for row in page["messages"] if row["position"] > after]
            found = rows + found
            before = page["next"]
            if before is None or len(rows) < len(page["messages"]):
                return found

    def texts(self, to: str) -> list[str]:
        """Every received text of the conversation, in order."""
        return [row["text"] for row in self.history(to) if row["direction"] == "in"]

    def outbox(self) -> int:
        """How many messages are not delivered yet."""
        return int(self.call("node.status")["outbox"])


@contextmanager
def daemons(folder: Path, *numbers: str | None) -> Iterator[list[Daemon]]:
    """One profile for each of ``numbers``, not started; whatever runs at the end is killed."""
    made = [Daemon(folder / str(index), number) for index, number in enumerate(numbers)]
    try:
        yield made
    finally:
        for daemon in made:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.kill()


@contextmanager
def matched_pair(folder: Path) -> Iterator[tuple[Daemon, Daemon]]:
    """Alice and Bob, running and matched, each the other's only bootstrap node."""
    with daemons(folder, ALICE, BOB) as (alice, bob):
        alice.start()
        bob.start("--bootstrap", alice.address)
        alice.call("contacts.add", number=BOB, name="Bob")
        bob.call("contacts.add", number=ALICE, name="Alice")
        until(lambda: alice.state_of("Bob") == bob.state_of("Alice") == "matched", "no match")
        yield alice, bob
