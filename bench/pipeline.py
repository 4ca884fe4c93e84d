"""Many requests on one connection without waiting for each reply, as a program with much to say would send them.

They are sent as fast as they are answered (:func:`pour`), or at a rate that is given, come what may (:func:`offer`).
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
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
    with _connected(path) as connection:
        began = time.perf_counter()
        sent = replied = 0
        while replied < len(lines):
            ahead = min(replied + window, len(lines))
            if ahead - sent >= min(window // 2, len(lines) - sent) and ahead > sent:
                connection.sendall(b"".join(lines[sent:ahead]))
                sent = ahead
            replied += _replies(connection)
        return time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Offered:
    """What became of requests that were due one after the other.

    Args:
        due_ms: when each of them was, unix milliseconds.
        late_ms: how long after that its reply was read.
        seconds: from when the first was due to the last reply.
    """

    due_ms: list[float]
    late_ms: list[float]
    seconds: float


def offer(path: Path, lines: Sequence[bytes], per_s: float) -> Offered:
    """Send each line when it is due, ``per_s`` of them a second, whether the ones before are answered or not.

    More than :data:`_WINDOW` are never sent ahead of the replies; who falls behind by more is sent the rest late. That
    counts: what is late is late from when it was due.

    Raises:
        ApiError: INTERNAL, one of the replies is an error.
    """
    with _connected(path) as connection:
        began, began_ms = time.perf_counter(), time.time() * 1000
        sent = 0
        late_ms: list[float] = []
        while len(late_ms) < len(lines):
            due = min(int((time.perf_counter() - began) * per_s) + 1, len(lines), len(late_ms) + _WINDOW)
            if due > sent:
                connection.sendall(b"".join(lines[sent:due]))
                sent = due
            full = sent in (len(lines), len(late_ms) + _WINDOW)
            wait_s = None if full else max(began + sent / per_s - time.perf_counter(), 0)
            if select.select([connection], [], [], wait_s)[0]:
                replies, after_s = _replies(connection), time.perf_counter() - began
                late_ms += [(after_s - (len(late_ms) + index) / per_s) * 1000 for index in range(replies)]
        seconds = time.perf_counter() - began
    return Offered([began_ms + index * 1000 / per_s for index in range(len(lines))], late_ms, seconds)


@contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_REPLY_S)
        connection.connect(str(path))
        yield connection


def _replies(connection: socket.socket) -> int:
    """How many come next; one at least is awaited."""
    data = connection.recv(1 << 18)
    if not data or b'"error"' in data:
        raise ApiError("INTERNAL", "A message was refused.")
    return data.count(b"\n")
