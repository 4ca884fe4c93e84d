"""Many requests on one connection without waiting for each reply, as a program with much to say would send them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from p2pchat.api.errors import ApiError

_REPLY_S: Final = 60.0
_WINDOW: Final = 512  # the replies to so many fit the buffers between: neither side can wait for the other


def send_requests(to: str, count: int, text: str) -> list[bytes]:
    """``count`` requests to send ``text``, as lines."""
    bodies = (
        {"jsonrpc": "2.0", "id": index, "method": "message.send", "params": {"to": to, "text": text}}
        for index in range(count)
    )
    return [json.dumps(body).encode() + b"\n" for body in bodies]


def pour(path: Path, lines: Sequence[bytes]) -> float:
    """Send all of ``lines``, at most 512 ahead of the replies; seconds until the last reply.

    Raises:
        ApiError: INTERNAL, one of the replies is an error.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_REPLY_S)
        connection.connect(str(path))
        began = time.perf_counter()
        sent = replied = 0
        while replied < len(lines):
            ahead = min(replied + _WINDOW, len(lines))
            if ahead - sent >= min(_WINDOW // 2, len(lines) - sent) and ahead > sent:
                connection.sendall(b"".join(lines[sent:ahead]))
                sent = ahead
            data = connection.recv(1 << 18)
            if not data or b'"error"' in data:
                raise ApiError("INTERNAL", "A message was refused.")
            replied += data.count(b"\n")
        return time.perf_counter() - began
