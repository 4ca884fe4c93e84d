"""A client as a script writes it: many requests in flight on one connection, and nothing lost with its daemon.

Every request has an idempotency key. Where the daemon dies, the client connects again and repeats, in order, what was
not answered.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.e2e.daemons import DEADLINE_S

IN_FLIGHT: Final = 256


class Sender:
    """Sends texts to one contact.

    Args:
        daemon: the socket of the daemon, which may come and go.
        to: the contact.
        name: the beginning of the idempotency keys.
    """

    def __init__(self, daemon: Path, to: str, name: str) -> None:
        self._daemon = daemon
        self._to = to
        self._name = name
        self.replies: dict[int, dict[str, Any]] = {}
        self.connections = 0

    def send(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """The replies, in the order of the texts."""
        deadline = time.monotonic() + DEADLINE_S
        while len(self.replies) < len(texts):
            assert time.monotonic() < deadline, f"{len(self.replies)} of {len(texts)} were answered"
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                    connection.settimeout(DEADLINE_S)
                    connection.connect(str(self._daemon))
                    self.connections += 1
                    self._converse(connection, texts)
            except OSError:
                time.sleep(0.02)  # it is dead, or not there again yet
        return [self.replies[number] for number in range(len(texts))]

    def _converse(self, connection: socket.socket, texts: Sequence[str]) -> None:
        waiting = iter([number for number in range(len(texts)) if number not in self.replies])
        unanswered = 0
        with connection.makefile("rb") as lines:
            while len(self.replies) < len(texts):
                while unanswered < IN_FLIGHT and (number := next(waiting, None)) is not None:
                    connection.sendall(self._request(number, texts[number]))
                    unanswered += 1
                line = lines.readline()
                if not line.endswith(b"\n"):
                    raise ConnectionResetError
                reply = json.loads(line)
                assert "error" not in reply, reply["error"]
                self.replies[reply["id"]] = reply["result"]
                unanswered -= 1

    def _request(self, number: int, text: str) -> bytes:
        params = {"to": self._to, "text": text, "idempotency_key": f"{self._name}-{number}"}
        request = {"jsonrpc": "2.0", "id": number, "method": "message.send", "params": params}
        return json.dumps(request).encode() + b"\n"
