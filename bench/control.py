"""``control``: what the socket takes, and how soon its clients are told.

Each run starts a daemon that is alone; the raw limits are taken in every run, before it and beside nothing else.

- *node.hello, one after the other*: by the plainest client there is, which sends the same bytes again and again and
  reads a reply before it sends the next; *ahead*: up to 512 on one connection without waiting. A limit is the same to a
  process that sends back what it gets, 128 bytes a call.
- *offered*: on one connection calls are due at a rate for a second, whether the ones before are answered or not. A call
  is late from when it was due until its reply is read: who takes no more makes those wait that come, and that counts.
- *told*: from before a note to oneself is asked for on one connection until its event is read on another: more than
  from its commit, which is within.
- *p2pchat status*: from before the process exists until it has ended.
- *1,024 pages unread*: after 4 s of a client that asks for so many pages of a conversation of 64 texts of 64 KiB, and
  reads none.
- *beside 2,000*: with a thousand connections that say nothing, and a thousand that have begun a line and do not end it.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bench import limits, offered
from bench.daemons import Node
from bench.measure import Samples, each_s, quantile, rounds, seconds
from bench.pipeline import offer
from bench.procfs import rss_mb
from bench.report import Metric
from p2pchat.api.codec import JSON_LINES, MSGPACK_FRAMES, Framing
from p2pchat.api.errors import ApiError
from p2pchat.cli.program import interpreter
from p2pchat.cli.sandbox import Sandbox
from p2pchat.daemon.descriptors import raise_open_files

_ECHO: Final = (("echo /s", "Unix socket echo"),)
_STREAM: Final = (("echo ahead /s", "Unix socket echo, 512 ahead"),)
_PYTHON: Final = (("click ms", "import click, json, socket"), ("python ms", "python -c pass"))

METRICS: Final = (
    Metric("json /s", "node.hello, one after the other, JSON", "/s", _ECHO, bar=4_000, rising=True),
    Metric("msgpack /s", "node.hello, one after the other, msgpack", "/s", _ECHO, bar=4_000, rising=True),
    Metric("json ahead /s", "node.hello, 512 ahead, JSON", "/s", _STREAM, rising=True),
    Metric("msgpack ahead /s", "node.hello, 512 ahead, msgpack", "/s", _STREAM, rising=True),
    Metric(
        "told p50 ms",
        "note asked for → subscriber told, p50",
        "ms",
        (("commit p50 ms", "1 commit"), ("unix p50 ms", "Unix socket echo")),
        bar=2,
    ),
    Metric("told p99 ms", "note asked for → subscriber told, p99", "ms", (("commit p99 ms", "1 commit"),)),
    Metric("cli ms", "p2pchat status", "ms", _PYTHON, bar=150, goal=80),
    Metric("crowd s", "2,000 connect", "s"),
    Metric("crowd cli ms", "p2pchat status, beside 2,000", "ms", _PYTHON, bar=300),
    Metric("crowd cli max ms", "the slowest of them", "ms", bar=300),
    Metric("crowd /s", "node.hello, JSON, beside 2,000", "/s", _ECHO, rising=True),
    Metric("rss MB", "RSS before they come", "MB"),
    Metric("unread rss MB", "RSS, 1,024 pages unread", "MB"),
    Metric("crowd rss MB", "RSS beside 2,000", "MB"),
    Metric("crowds rss MB", "RSS beside the fifth 2,000", "MB"),
    *offered.rows("calls", "answered", _STREAM, (("unix p50 ms", "Unix socket echo"),)),
)
CHARTS: Final = offered.charts("calls", "answered")

_AHEAD: Final = 512
_REPLY_S: Final = 60.0
_UNREAD_S: Final = 4.0
_TEXT: Final = "x" * 65_536
_HELLO: Final[dict[str, object]] = {"jsonrpc": "2.0", "id": 1, "method": "node.hello"}
_HALF: Final = b'{"jsonrpc":"2.0","id":1,"method":"node.'


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done in a run."""

    calls: int = 4_000
    ahead: int = 20_480
    told: int = 500
    commands: int = 20
    idle: int = 1_000
    half_open: int = 1_000
    unread: int = 1_024
    crowds: int = 5
    offered_s: float = 1.0


QUICK: Final = Scale(
    calls=50, ahead=1_024, told=10, commands=2, idle=20, half_open=20, unread=20, crowds=2, offered_s=0.02
)


def run(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    """Add ``runs`` values of everything. A run before them warms files and caches up and is thrown away."""
    scale = QUICK if quick else Scale()
    for index, values in rounds(runs, samples, warm_up=not quick):
        _one(sandbox, folder / str(index), scale, values)


def _one(sandbox: Sandbox, folder: Path, scale: Scale, samples: Samples) -> None:
    folder.mkdir()
    node = Node(sandbox, folder / "a", "Alice", "+821012345678")
    node.init()
    node.ended()
    limits.interpreters(samples, scale.commands)
    limits.disk(samples, folder, scale.told)
    _echo(samples, scale)
    node.start()
    for name, framing in (("json", JSON_LINES), ("msgpack", MSGPACK_FRAMES)):
        samples.add(f"{name} /s", _one_after_the_other(node.socket, framing, scale.calls))
        samples.add(f"{name} ahead /s", _ahead(node.socket, framing, scale.ahead))
    for rate in offered.RATES:
        found = offer(node.socket, [_request(JSON_LINES)] * int(rate * scale.offered_s), rate)
        offered.add(samples, rate, found.seconds, found.late_ms)
    _told(node.socket, scale.told, samples)
    samples.add("cli ms", quantile(_commands_ms(node, scale.commands), 0.5))
    _beside_many(node, scale, samples)
    samples.add("unread rss MB", _unread(node, scale.unread))
    node.stop()


def _echo(samples: Samples, scale: Scale) -> None:
    with limits.unix_echo() as once:
        trips_s = each_s(once, scale.calls)
        samples.add("echo /s", scale.calls / sum(trips_s))
        samples.add("unix p50 ms", quantile(trips_s, 0.5) * 1000)
    with limits.unix_stream() as near:
        block = bytes(128 * _AHEAD)

        def many() -> None:
            near.sendall(block)
            left = len(block)
            while left:
                left -= len(near.recv(left))

        rounds = max(scale.ahead // _AHEAD, 1)
        samples.add("echo ahead /s", rounds * _AHEAD / sum(each_s(many, rounds)))


# -- calls -------------------------------------------------------------------------------------------------------------


@contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))  # which waits where others come at the same time; with a time limit it does not
        connection.settimeout(_REPLY_S)
        yield connection


def _request(framing: Framing) -> bytes:
    return framing.frame(framing.encode(_HELLO))


def _one_after_the_other(path: Path, framing: Framing, calls: int) -> float:
    """Calls a second."""
    request = _request(framing)
    with _connected(path) as connection:
        size = _size_of_reply(connection, framing)

        def call() -> None:
            connection.sendall(request)
            _read(connection, size)

        return calls / sum(each_s(call, calls, warm_up=50))


def _ahead(path: Path, framing: Framing, calls: int) -> float:
    """Calls a second."""
    half = _AHEAD // 2
    block = _request(framing) * half
    with _connected(path) as connection:
        size = _size_of_reply(connection, framing)

        def all_of_them() -> None:
            connection.sendall(block)
            for _ in range(calls // half - 1):
                connection.sendall(block)
                _read(connection, size * half)
            _read(connection, size * half)

        return calls / seconds(all_of_them)


def _size_of_reply(connection: socket.socket, framing: Framing) -> int:
    """All replies of this call have one length, while nothing happens to the node."""
    connection.sendall(_request(framing))
    reply = connection.recv(1 << 18)
    if b"features" not in reply:
        raise ApiError("INTERNAL", "A call was refused.")
    return len(reply)


def _read(connection: socket.socket, size: int) -> None:
    while size:
        data = connection.recv(min(size, 1 << 18))
        if not data:
            raise ApiError("INTERNAL", "The daemon closed the connection.")
        size -= len(data)


# -- events ------------------------------------------------------------------------------------------------------------


def _told(path: Path, notes: int, samples: Samples) -> None:
    with _connected(path) as asks, _connected(path) as follows:
        _call(follows, "events.subscribe", {"types": ["message.delivered"]})
        events = follows.makefile("rb")
        replies = asks.makefile("rb")
        request = _line("message.send", {"to": "self", "text": "x" * 100})

        def note() -> None:
            asks.sendall(request)
            event = events.readline()
            if b"message.delivered" not in event:
                raise ApiError("INTERNAL", "Another event came.")

        told_s: list[float] = []
        for _ in range(notes + 1):
            told_s.append(seconds(note))
            replies.readline()
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            samples.add(f"told {name} ms", quantile(told_s[1:], share) * 1000)


def _call(connection: socket.socket, method: str, params: dict[str, object]) -> None:
    connection.sendall(_line(method, params))
    reply = msgspec.json.decode(connection.recv(1 << 18), type=dict[str, object])
    if "error" in reply:
        raise ApiError("INTERNAL", "A call was refused.")


def _line(method: str, params: dict[str, object]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n"


# -- commands and many clients -----------------------------------------------------------------------------------------


def _commands_ms(node: Node, count: int) -> list[float]:
    command = [*interpreter(), "-m", "p2pchat.cli", "status"]

    def status() -> None:
        subprocess.run(command, env=node.environment, stdout=subprocess.DEVNULL, check=True)  # noqa: S603

    return [taken_s * 1000 for taken_s in each_s(status, count)]


def _beside_many(node: Node, scale: Scale, samples: Samples) -> None:
    raise_open_files()  # of this process, whose daemon has raised its own
    pid = node.process.pid
    samples.add("rss MB", rss_mb(pid))
    for index in range(scale.crowds):
        with ExitStack() as there:
            began = time.perf_counter()
            _come(node.socket, scale.idle, there, lambda _: None)
            _come(node.socket, scale.half_open, there, lambda each: each.sendall(_HALF))
            came_s = time.perf_counter() - began
            rate = _one_after_the_other(
                node.socket, JSON_LINES, scale.calls // 4
            )  # whoever came before is served by now
            if index == 0:
                samples.add("crowd s", came_s)
                taken_ms = _commands_ms(node, scale.commands)
                samples.add("crowd cli ms", quantile(taken_ms, 0.5))
                samples.add("crowd cli max ms", max(taken_ms))
                samples.add("crowd /s", rate)
                samples.add("crowd rss MB", rss_mb(pid))
            elif index == scale.crowds - 1:
                samples.add("crowds rss MB", rss_mb(pid))


def _unread(node: Node, pages: int) -> float:
    """RSS beside one who asks for so many pages, and reads none."""
    with _connected(node.socket) as asks:
        replies = asks.makefile("rb")
        for _ in range(64):
            asks.sendall(_line("message.send", {"to": "self", "text": _TEXT}))
            if b"result" not in replies.readline():
                raise ApiError("INTERNAL", "A call was refused.")
        asks.sendall(_line("message.list", {"to": "self", "limit": 1000}) * pages)
        time.sleep(_UNREAD_S)
        return rss_mb(node.process.pid)


def _come(path: Path, count: int, there: ExitStack, greet: Callable[[socket.socket], object]) -> None:
    for _ in range(count):
        greet(there.enter_context(_connected(path)))
