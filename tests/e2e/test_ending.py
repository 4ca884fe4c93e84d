"""SIGTERM ends a daemon within 5 s, whatever it is doing, and what was answered before is there afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest

from p2pchat.api.errors import ApiError
from p2pchat.client.blocking import Client
from tests.e2e.daemons import DEADLINE_S, Daemon, daemons, environment, matched_pair, until
from tests.e2e.pipelined import Sender

pytestmark = pytest.mark.e2e

WITHIN_S: Final = 5.0
WAITING: Final = 1_000
UNSHARED: Final = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def request(number: int, method: str, **params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"


class Writer:
    """A client that sends as fast as it is answered, until the daemon goes."""

    def __init__(self, daemon: Daemon, to: str) -> None:
        self.acknowledged: dict[str, str] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(daemon.socket))
        self._to = to
        self._thread = Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        sent = 0
        with self._socket, self._socket.makefile("rb") as replies:
            try:
                while True:
                    while sent < len(self.acknowledged) + 64:
                        sent += 1
                        self._socket.sendall(request(sent, "message.send", to=self._to, text=f"under way {sent}"))
                    line = replies.readline()
                    if not line.endswith(b"\n"):
                        return
                    self._note(json.loads(line))
            except OSError:
                return

    def _note(self, reply: dict[str, Any]) -> None:
        if "result" in reply:
            self.acknowledged[reply["result"]["id"]] = reply["result"]["text"]

    def join(self) -> None:
        self._thread.join()


@contextmanager
def stuck_subscribers(daemon: Daemon, count: int) -> Iterator[None]:
    """Clients that have asked for everything and read nothing."""
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            client.connect(str(daemon.socket))
            client.sendall(request(1, "events.subscribe", since=0))
            client.sendall(b"".join(request(n, "message.list", to="Bob", limit=1000) for n in range(2, 40)))
        yield


def ends_in_s(daemon: Daemon) -> float:
    """Send SIGTERM; how long it takes until the process is gone, in good order."""
    assert daemon.process is not None
    began = time.monotonic()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(30) == 0
    return time.monotonic() - began


@pytest.mark.slow
def test_under_load_with_everybody_stuck(tmp_path: Path) -> None:
    with matched_pair(tmp_path) as (alice, bob):
        assert bob.process is not None
        bob.process.send_signal(signal.SIGSTOP)  # a peer that takes nothing more
        Sender(alice.socket, "Bob", "waiting").send([f"waiting {number}" for number in range(WAITING)])
        writers = [Writer(alice, "Bob") for _ in range(2)]
        with stuck_subscribers(alice, 4):
            waits = Thread(target=wait_for_delivery, args=(alice,))
            waits.start()
            until(lambda: all(len(writer.acknowledged) > 100 for writer in writers), "nothing is under way")
            assert ends_in_s(alice) < WITHIN_S
            waits.join()
        for writer in writers:
            writer.join()
        alice.start()
        told = Counter(row["text"] for row in alice.history("Bob"))
        rows = {row["id"] for row in alice.history("Bob")}
        for writer in writers:
            assert writer.acknowledged.keys() <= rows
        assert all(told[f"waiting {number}"] == 1 for number in range(WAITING))
        assert alice.outbox() >= WAITING - 1024  # what lay in the stream may have arrived


def wait_for_delivery(daemon: Daemon) -> None:
    with Client(daemon.socket) as client, suppress(ApiError):  # the daemon goes
        client.call("message.send", to="Bob", text="waited for", wait="delivered", timeout_ms=60_000)


# -- process 1 -----------------------------------------------------------------------------------------------------


process_1 = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter"))),
    reason="a pid namespace needs root, unshare and nsenter",
)


@process_1
def test_as_process_1_it_ends_in_time_and_leaves_no_zombie(tmp_path: Path) -> None:
    with daemons(tmp_path, None) as (node,):
        outside = unshared(node)
        node.process = outside
        node.become_ready()
        (inside,) = children(outside.pid)
        assert Path(f"/proc/{inside}/status").read_text().split("NSpid:")[1].split("\n")[0].split()[-1] == "1"
        for _ in range(3):  # a command that was run in the container leaves an orphan behind
            subprocess.run(["nsenter", "--target", str(inside), "--pid", "sh", "-c", "(sleep 60 &)"], check=True)
        until(lambda: len(children(inside)) == 3, "nobody was adopted")
        for orphan in children(inside):
            os.kill(orphan, signal.SIGKILL)
        until(lambda: children(inside) == [], "a zombie stays", 20)
        began = time.monotonic()
        os.kill(inside, signal.SIGTERM)
        assert outside.wait(30) == 0
        assert time.monotonic() - began < WITHIN_S


@process_1
def test_as_process_1_it_ends_while_it_starts(tmp_path: Path) -> None:
    with daemons(tmp_path, None) as (node,):
        outside = node.process = unshared(node)
        deadline = time.monotonic() + DEADLINE_S
        while outside.poll() is None:  # until it has a handler, a matter of imports, the kernel keeps them from it
            assert time.monotonic() < deadline, "it does not end"
            for inside in children(outside.pid):
                with suppress(ProcessLookupError):
                    os.kill(inside, signal.SIGTERM)
            time.sleep(0.01)
        assert outside.returncode == 128 + signal.SIGTERM
        assert "node.ready" not in node.log.read_text()


def unshared(node: Daemon) -> subprocess.Popen[bytes]:
    """The daemon, in a pid namespace whose first process it is; returns the process that has made that."""
    with node.log.open("ab") as log:
        return subprocess.Popen(
            [*UNSHARED, sys.executable, "-m", "p2pchat.daemon", "run", "--listen", "/ip4/127.0.0.1/tcp/0"],
            env=environment(node.home),
            stdin=subprocess.DEVNULL,
            stderr=log,
        )


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]
