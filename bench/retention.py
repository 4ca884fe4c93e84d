"""``retention``: a million events go from the log at once, as after a month of silence; what others who write meanwhile
notice of it.

The store alone, in this process, no network. *A write* is a small one, committed with fsync, one after the other by one
task: alone, and while the events go.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from bench.measure import Samples, quantile
from bench.report import Metric
from p2pchat.cli.sandbox import Sandbox
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.daemon import logs
from p2pchat.services import consumers as verbs
from p2pchat.services import retention
from p2pchat.store import eventlog
from p2pchat.store.db import Database, Tx
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import checkpoint, connect

MANY: Final = 1_000_000

_QUICK: Final = 20_000
_KEPT: Final = 5_000
_COMMIT: Final = 10_000
_ALONE_S: Final = 5.0
_KEY: Final = bytes(32)


def _row(name: str, title: str, *, bar: float | None = None) -> Metric:
    return Metric(f"{name} ms", title, "ms", ((f"alone {name} ms", "alone"),), bar=bar)


METRICS: Final = (
    Metric("drop s", "a million events go", "s"),
    Metric("slice p50 ms", "a slice of them, commit included, p50", "ms"),
    Metric("slice max ms", "the longest one", "ms", bar=100.0),
    _row("write p50", "a write meanwhile, p50"),
    _row("write p99", "the same, p99", bar=50.0),
    _row("write max", "the longest one"),
)


def run(_sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    """Add ``runs`` values of everything."""
    logs.configure("error", "json")
    for index in range(runs):
        path = folder / f"{index}.db"
        _fill(path, _QUICK if quick else MANY)
        trio.run(_measure, path, _ALONE_S / 10 if quick else _ALONE_S, samples)


def _fill(path: Path, count: int) -> None:
    connection = connect(path, _KEY)
    migrate(connection)
    connection.execute("PRAGMA synchronous = OFF")
    now_ms = time.time_ns() // 1_000_000
    old_ms = now_ms - retention.EVENTS_KEPT_MS - 60_000
    for begin in range(0, count + _KEPT, _COMMIT):
        connection.execute("BEGIN IMMEDIATE")
        for seq in range(begin, min(begin + _COMMIT, count + _KEPT)):
            tx = Tx(connection, old_ms if seq < count else now_ms)
            tx.emit(DomainEvent(EventKind.MESSAGE_RECEIVED, seq + 1, contact=1))
        connection.execute("COMMIT")
    checkpoint(connection)
    connection.close()


async def _measure(path: Path, alone_s: float, samples: Samples) -> None:
    database = Database.open(path, _KEY, lambda: time.time_ns() // 1_000_000)
    await database.run(lambda tx: verbs.enter(tx, "bench", None, None))
    _written(samples, "alone write", await _writes_during(database, partial(trio.sleep, alone_s)))
    slices_s: list[float] = []

    async def drop() -> None:
        more = True
        while more:  # as retention.bound_log does
            began = time.perf_counter()
            more = await database.run(retention.forget_some)
            slices_s.append(time.perf_counter() - began)

    _written(samples, "write", await _writes_during(database, drop))
    oldest, head = await database.run(lambda tx: (eventlog.oldest(tx), eventlog.head(tx)))
    assert head + 1 - oldest == _KEPT, "not everything went that should, or more"  # noqa: S101
    samples.add("drop s", sum(slices_s))
    samples.add("slice p50 ms", quantile(slices_s, 0.5) * 1000)
    samples.add("slice max ms", max(slices_s) * 1000)
    await database.close()


async def _writes_during(database: Database, work: Callable[[], Awaitable[None]]) -> list[float]:
    """How long each write took that was made while ``work`` went on."""
    taken_s: list[float] = []

    async def write() -> None:
        while True:
            began = time.perf_counter()
            await database.run(_touch)
            taken_s.append(time.perf_counter() - began)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await work()
        nursery.cancel_scope.cancel()
    return taken_s


def _touch(tx: Tx) -> None:
    tx.execute("UPDATE consumer SET made_ms = made_ms + 1")


def _written(samples: Samples, name: str, taken_s: list[float]) -> None:
    for what, value in (
        ("p50", quantile(taken_s, 0.5)),
        ("p99", quantile(taken_s, 0.99)),
        ("max", max(taken_s)),
    ):
        samples.add(f"{name} {what} ms", value * 1000)
