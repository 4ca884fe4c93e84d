"""Many requests on one connection without waiting for each reply, as a program with much to say would send them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from p2pchat.api.errors import ApiError

_REPLY_S: Final = 60.0
_WINDOW: Final = 512  # the replies to so many fit the buffers between: neither side can wait for the other


def send_requests(to: str, count: int, text: str) -> list[bytes]:
    """``count`` requests to send ``text``, as lines."""
    return [json.dumps(body).encode() + b"\n" for body in _bodies(to, count, text)]


def send_batches(to: str, count: int, text: str, size: int) -> list[bytes]:
    """The same in lists of ``size``, a line each."""
    bodies = list(_bodies(to, count, text))
    return [json.dumps(bodies[first : first + size]).encode() + b"\n" for first in range(0, count, size)]


def _bodies(to: str, count: int, text: str) -> Iterator[dict[str, object]]:
    for index in range(count):
        yield {"jsonrpc": "2.0", "id": index, "method": "message.send", "params": {"to": to, "text": text}}


def pour(lines: Mapping[Path, Sequence[bytes]], ahead: int = _WINDOW) -> float:
    """Send all lines to the socket that each stands for, side by side; seconds until the last reply to the last one.

    Args:
        ahead: so many lines are sent at most before the first of them is answered.

    Raises:
        ApiError: INTERNAL, one of the replies is an error.
    """
    with ThreadPoolExecutor(len(lines)) as pool:
        pouring = [pool.submit(_pour, path, each, ahead) for path, each in lines.items()]
        return max(each.result() for each in pouring)


def _pour(path: Path, lines: Sequence[bytes], window: int) -> float:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_REPLY_S)
        connection.connect(str(path))
        began = time.perf_counter()
        sent = replied = 0
        while replied < len(lines):
            ahead = min(replied + window, len(lines))
            if ahead - sent >= min(window // 2, len(lines) - sent) and ahead > sent:
                connection.sendall(b"".join(lines[sent:ahead]))
                sent = ahead
            data = connection.recv(1 << 18)
            if not data or b'"error"' in data:
                raise ApiError("INTERNAL", "A message was refused.")
            replied += data.count(b"\n")
        return time.perf_counter() - began
