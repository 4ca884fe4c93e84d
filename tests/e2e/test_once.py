"""A call under an idempotency key, sent a hundred times at once to a daemon that is killed meanwhile: one effect.

When it is killed follows from the seed; what a real process does at that moment does not, and need not: the same holds
for all moments. ``P2PCHAT_ONCE_KILLS=200`` makes more of them.
"""

from __future__ import annotations

import json
import os
import random
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemons import ALICE, BOB, DEADLINE_S, Daemon, daemons

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("P2PCHAT_ONCE_KILLS", "3"))
TIMES = 100
AGAIN = 20


@dataclass
class Call:
    """One call, and what was replied to it, however often."""

    method: str
    params: dict[str, object]
    replies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def line(self, number: int) -> bytes:
        request = {"jsonrpc": "2.0", "id": number, "method": self.method, "params": self.params}
        return json.dumps(request).encode() + b"\n"

    @property
    def result(self) -> dict[str, Any]:
        """What all were told. Nobody was told twice that something was done."""
        first = [reply for reply in self.replies if not reply.get("replayed")]
        assert len(first) <= 1
        results = [{**reply, "replayed": None} for reply in self.replies]
        assert all(each == results[0] for each in results)
        return results[0]


def calls_of(kill: int) -> list[Call]:
    key = {"idempotency_key": f"kill {kill}"}
    return [
        Call("message.send", {"to": "Bob", "text": f"text {kill}", **key}),
        Call(
            "contacts.add", {"number": f"+8210{kill:08d}", "name": f"Person {kill}", "idempotency_key": f"add {kill}"}
        ),
        Call("identity.invite", {"uses": 1, "idempotency_key": f"invite {kill}"}),
    ]


class Crowd:
    """Many connections, each of which makes every one of ``calls``."""

    def __init__(self, path: Path, calls: list[Call], size: int) -> None:
        self._calls = calls
        self._open = ExitStack()
        self._waiting = selectors.DefaultSelector()
        self._read: dict[socket.socket, bytes] = {}
        self.replied = 0
        for _ in range(size):
            connection = self._open.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(path))
            connection.setblocking(False)
            self._read[connection] = b""
            self._waiting.register(connection, selectors.EVENT_READ)
        for connection in self._read:
            connection.send(b"".join(call.line(number) for number, call in enumerate(calls)))

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.close()
        self._open.close()

    def read(self, replies: int) -> None:
        """Until so many replies were read in all, or everybody was left."""
        deadline = time.monotonic() + DEADLINE_S
        while self.replied < replies and self._waiting.get_map():
            assert time.monotonic() < deadline, f"{self.replied} of {replies} were answered"
            for key, _ in self._waiting.select(0.05):
                assert isinstance(key.fileobj, socket.socket)
                self._receive(key.fileobj)

    def _receive(self, connection: socket.socket) -> None:
        data = b""
        with suppress(ConnectionResetError):  # killed with requests that it had not read
            data = connection.recv(65_536)
        if not data:
            self._waiting.unregister(connection)
        *lines, self._read[connection] = (self._read[connection] + data).split(b"\n")
        for line in lines:
            reply = json.loads(line)
            self._calls[reply["id"]].replies.append(reply["result"])
            self.replied += 1


@pytest.fixture
def alice(tmp_path: Path) -> Iterator[Daemon]:
    with daemons(tmp_path, ALICE) as (made,):
        made.start()
        made.call("contacts.add", number=BOB, name="Bob")
        yield made


def done(daemon: Daemon, since: int) -> dict[str, list[str]]:
    """All that there is, and what was told of it since then: by ids."""
    events = daemon.call("events.fetch", since=since, types=["message.queued", "contact.added"], limit=1000)["events"]
    found = {
        "message.send": daemon.history("Bob"),
        "contacts.add": daemon.call("contacts.list")["contacts"],
        "identity.invite": daemon.call("identity.invites")["invites"],
        "message.queued": [row["data"] for row in events if row["type"] == "message.queued"],
        "contact.added": [row["data"] for row in events if row["type"] == "contact.added"],
    }
    return {kind: [row["id"] for row in rows] for kind, rows in found.items()}


def test_a_hundred_times_at_once_and_killed_it_is_done_once(alice: Daemon) -> None:
    chance = random.Random(20261123)
    for kill in range(KILLS):
        calls = calls_of(kill)
        since = alice.call("node.hello")["head"]
        before = done(alice, since)
        with Crowd(alice.socket, calls, TIMES) as crowd:
            if chance.random() < 0.5:
                crowd.read(chance.randrange(TIMES * len(calls)))
            time.sleep(chance.uniform(0, 0.04))
            alice.kill()
            crowd.read(TIMES * len(calls) + 1)  # all that it had written
        alice.start()
        with Crowd(alice.socket, calls, AGAIN) as crowd:
            crowd.read(AGAIN * len(calls))
        assert all(len(call.replies) >= AGAIN for call in calls)
        after = done(alice, since)
        message, contact, invite = (str(call.result["id"]) for call in calls)
        for kind, added in zip(before, (message, contact, invite, message, contact), strict=True):
            assert sorted(after[kind]) == sorted([*before[kind], added])
        alice.call("contacts.remove", to=contact)  # who is looked for takes half a second of a core at every start
        alice.call("identity.revoke", id=invite)
