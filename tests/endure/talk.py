"""Two clients of one daemon, as a script writes them: one that sends texts, one that follows the events.

Each goes on when its daemon is killed, stopped or out of space. The writer repeats, in order and under the same
idempotency keys, what was not answered or refused for want of space; the listener goes on from its cursor.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from p2pchat.api.errors import ApiError
from p2pchat.client.blocking import Client

_IN_FLIGHT: Final = 256
_ANSWER_S: Final = 20.0  # what takes longer is asked again, over a new connection
_AGAIN_S: Final = 0.02
_REFUSED_AGAIN_S: Final = 0.2
_LOOK_S: Final = 0.05
_EXPECTED: Final = {"NO_DAEMON", "TIMEOUT", "NO_SPACE"}  # killed, stopped, a full disk, which voids reads, too


class _Refused(Exception):
    """There was no space: all that is in flight was answered, and is to be asked again."""


class Writer:
    """Sends texts to one contact, as many as it may.

    Args:
        daemon: its socket, which may come and go.
        name: the beginning of the idempotency keys.

    Attributes:
        replies: the message of each text that was accepted.
        refused: the texts for which there once was no space.
        complaints: every other error reply.
    """

    def __init__(self, daemon: Path, to: str, name: str, texts: Sequence[str]) -> None:
        self.replies: dict[int, dict[str, Any]] = {}
        self.refused: set[int] = set()
        self.refusals = 0
        self.repeated = 0
        self.complaints: list[str] = []
        self._daemon = daemon
        self._to = to
        self._name = name
        self._texts = texts
        self._allowed = 0
        self._more = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def allow(self, count: int) -> None:
        """The first ``count`` texts may be sent from now on."""
        with self._more:
            self._allowed = max(self._allowed, count)
            self._more.notify_all()

    @property
    def done(self) -> bool:
        """Whether every text was accepted."""
        return len(self.replies) == len(self._texts)

    def end(self) -> None:
        """Send no more."""
        with self._more:
            self._ended = True
            self._more.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended and not self.done:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                    connection.settimeout(_ANSWER_S)
                    connection.connect(str(self._daemon))
                    self._converse(connection)
            except OSError:
                time.sleep(_AGAIN_S)  # it is dead, or stopped, or not there again yet
            except _Refused:
                time.sleep(_REFUSED_AGAIN_S)

    def _converse(self, connection: socket.socket) -> None:
        waiting = [number for number in range(len(self._texts)) if number not in self.replies]
        sent = answered = 0
        refused = False
        with connection.makefile("rb") as lines:
            while answered < len(waiting) and not self._ended:
                while not refused and sent < len(waiting) and sent - answered < _IN_FLIGHT and self._may(waiting[sent]):
                    connection.sendall(self._request(waiting[sent]))
                    sent += 1
                if sent > answered:
                    refused |= self._take(lines.readline())
                    answered += 1
                elif refused:
                    raise _Refused
                else:
                    self._wait_for(waiting[sent])

    def _may(self, number: int) -> bool:
        return number < self._allowed

    def _wait_for(self, number: int) -> None:
        with self._more:
            self._more.wait_for(lambda: self._ended or self._may(number))

    def _take(self, line: bytes) -> bool:
        """Whether it was refused."""
        if not line.endswith(b"\n"):
            raise ConnectionResetError
        reply = json.loads(line)
        if "error" not in reply:
            self.repeated += bool(reply["result"].get("replayed"))
            self.replies[reply["id"]] = reply["result"]
            return False
        if reply["error"]["data"]["name"] != "NO_SPACE":
            self.complaints.append(json.dumps(reply["error"]))
        self.refusals += 1
        self.refused.add(reply["id"])
        return True

    def _request(self, number: int) -> bytes:
        params = {"to": self._to, "text": self._texts[number], "idempotency_key": f"{self._name}-{number}"}
        request = {"jsonrpc": "2.0", "id": number, "method": "message.send", "params": params}
        return json.dumps(request).encode() + b"\n"


class Listener:
    """Reads the whole event log by its cursor.

    Attributes:
        counts: how many events of each type have come.
        complaints: error replies that a kill, a stop or a full disk does not explain.
    """

    def __init__(self, daemon: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self.counts: dict[str, int] = {}
        self.complaints: list[str] = []
        self._daemon = daemon
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Read no more."""
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(_LOOK_S):
            try:
                with Client(self._daemon, timeout_s=_ANSWER_S) as client:
                    while page := self._page(client):
                        self._note(page)
            except ApiError as error:
                if error.error_name not in _EXPECTED:
                    self.complaints.append(f"{error.error_name}: {error.message}")

    def _page(self, client: Client) -> list[dict[str, Any]]:
        since = self.events[-1]["seq"] if self.events else 0
        page: Any = client.call("events.fetch", since=since, limit=1000)["events"]
        return page  # type: ignore[no-any-return]

    def _note(self, page: list[dict[str, Any]]) -> None:
        self.events += page
        for event in page:
            self.counts[event["type"]] = self.counts.get(event["type"], 0) + 1
