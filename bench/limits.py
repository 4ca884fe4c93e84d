"""What this machine can do at all: the floor below each figure, taken in the same run and by the plainest means.

Processes that answer here have the other end of their standard input in this process, so they end with it.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.measure import Samples, each_s, quantile, seconds
from p2pchat.cli.program import interpreter
from p2pchat.core.params import PRODUCTION
from p2pchat.core.session import open_envelope, seal
from p2pchat.core.slots import derive_root
from p2pchat.core.wire import TEXT, Item, Text, encode_content, encode_text
from p2pchat.core.work import mine
from p2pchat.daemon.system import SystemEntropy
from p2pchat.store.sqlite import connect
from p2pchat.testing.sessions import NOW_S, session_pair

_ECHO: Final = "import os\nwhile data := os.read(0, 65536): os.write(0, data)"
_SIZE: Final = "print(next(line.split()[1] for line in open('/proc/self/smaps_rollup') if line.startswith('Rss:')))"
_ROWS_PER_COMMIT: Final = 500


def measure(samples: Samples, folder: Path, scale: int) -> None:
    """Add one value of every limit.

    Args:
        folder: on the disk that the daemons use.
        scale: how many short things make one value.
    """
    interpreters(samples, max(scale // 20, 2))
    imported(samples)
    trips(samples, scale * 2)
    disk(samples, folder, scale)
    argon2(samples)
    _crypto(samples, scale)


def trips(samples: Samples, count: int) -> None:
    """Add what a round trip to another process takes, by a Unix socket and by TCP."""
    for name, connected in (("unix", _unix_pair), ("tcp", _tcp_pair)):
        with _echo(connected) as near:
            trips_s = each_s(lambda: _round_trip(near), count)
        samples.add(f"{name} p50 ms", quantile(trips_s, 0.5) * 1000)
        samples.add(f"{name} p99 ms", quantile(trips_s, 0.99) * 1000)


def argon2(samples: Samples) -> None:
    """Add what it takes to derive a root, or the key behind a passphrase."""
    samples.add("argon2 s", seconds(lambda: derive_root("+821012345678", "+821098765432", 1, PRODUCTION)))


def imported(samples: Samples) -> None:
    """Add what a process that loads libp2p takes, and has in memory, and what one has that loads nothing."""
    samples.add("libp2p s", seconds(lambda: samples.add("libp2p MB", _size_mb("import libp2p\n"))))
    samples.add("python MB", _size_mb(""))


def _size_mb(program: str) -> float:
    return int(_python(program + _SIZE)) * 1024 / 1e6


def interpreters(samples: Samples, count: int) -> None:
    """Add how long a process of Python takes that does nothing, and one that loads what a command needs."""
    samples.add("python s", quantile(each_s(lambda: _python("pass"), count), 0.5))
    samples.add("python ms", samples["python s"].values[-1] * 1000)
    light_s = each_s(lambda: _python("import click, json, socket"), count)
    samples.add("click ms", quantile(light_s, 0.5) * 1000)


def _python(program: str) -> bytes:
    return subprocess.run([*interpreter(), "-c", program], stdout=subprocess.PIPE, check=True).stdout  # noqa: S603


@contextmanager
def _echo(connected: Callable[[], tuple[socket.socket, socket.socket]]) -> Iterator[socket.socket]:
    near, far = connected()
    with near:
        with far:
            child = subprocess.Popen([sys.executable, "-I", "-c", _ECHO], stdin=far.fileno(), start_new_session=True)  # noqa: S603
        try:
            yield near
        finally:
            near.shutdown(socket.SHUT_RDWR)
            child.wait()


@contextmanager
def unix_echo() -> Iterator[Callable[[], None]]:
    """A round trip to a process that does nothing else: what this machine can do for a call just now."""
    with _echo(_unix_pair) as near:
        yield lambda: _round_trip(near)


@contextmanager
def unix_stream() -> Iterator[socket.socket]:
    """The same as a connection, for who sends without waiting."""
    with _echo(_unix_pair) as near:
        yield near


@contextmanager
def tcp_echo() -> Iterator[socket.socket]:
    """A connection to a process that sends everything back."""
    with _echo(_tcp_pair) as near:
        yield near


def _unix_pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX)


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    for end in (near, far):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far


def _round_trip(near: socket.socket) -> None:
    near.sendall(bytes(128))
    near.recv(128, socket.MSG_WAITALL)


def disk(samples: Samples, folder: Path, scale: int) -> None:
    """Add what SQLCipher can do on the disk of ``folder``: a lone commit, rows in large ones."""
    path = folder / "limits.db"
    connection = connect(path, bytes(32))
    try:
        connection.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, contact INTEGER, id16 BLOB UNIQUE, text TEXT)")

        def commit(rows: int) -> None:
            connection.execute("BEGIN IMMEDIATE")
            values = [(1, secrets.token_bytes(16), "x" * 100) for _ in range(rows)]
            connection.executemany("INSERT INTO row (contact, id16, text) VALUES (?, ?, ?)", values)
            connection.execute("COMMIT")

        lone_s = each_s(lambda: commit(1), scale)
        samples.add("commit p50 ms", quantile(lone_s, 0.5) * 1000)
        samples.add("commit p99 ms", quantile(lone_s, 0.99) * 1000)
        samples.add("rows /s", _ROWS_PER_COMMIT / quantile(each_s(lambda: commit(_ROWS_PER_COMMIT), 10), 0.5))
    finally:
        connection.close()
        path.unlink()


def _crypto(samples: Samples, scale: int) -> None:
    works = [seconds(lambda: mine(secrets.token_bytes(32), PRODUCTION.work_bits)) for _ in range(max(scale // 20, 2))]
    samples.add("mine s", sum(works) / len(works))
    entropy = SystemEntropy()
    ends = list(session_pair(entropy))
    body = encode_text(Text(1, NOW_S * 1000, "x" * 100))
    content = encode_content([Item(bytes(16), TEXT, body)])

    def one() -> None:
        ends[0], sealed = seal(ends[0], content, entropy, PRODUCTION)
        ends[1], _, _ = open_envelope(ends[1], sealed.envelope, NOW_S, entropy, PRODUCTION)

    samples.add("ratchet /s", 1 / quantile(each_s(one, scale), 0.5))
