"""``scripts/bench held [--records N]``: how long loading what a node keeps for others takes, and what waits for it."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import trio

from bench.arguments import at_least_one
from p2pchat.base.ids import PeerId
from p2pchat.core.params import PRODUCTION
from p2pchat.core.storer import CheckedRecord, Held, Storer
from p2pchat.services.context import Context
from p2pchat.services.hold import Hold
from p2pchat.store import held
from p2pchat.store.db import Database

_OWN = PeerId(b"own")
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class _Dht:
    storer: Storer


@dataclass(frozen=True, slots=True)
class _Network:
    peer_id: PeerId


class _Context:
    """As much of the node as loading needs."""

    def __init__(self, db: Database, storer: Storer) -> None:
        self.db, self.dht, self.network, self.now = db, _Dht(storer), _Network(_OWN), time.time


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="bench held", description="Load what a node keeps for others.")
    parser.add_argument("--records", type=at_least_one, default=PRODUCTION.records_total, metavar="N")
    with TemporaryDirectory(prefix="p2pchat-bench-") as folder:
        trio.run(_measure, Path(folder) / "p2pchat.db", parser.parse_args(arguments).records)
    return 0


async def _measure(path: Path, records: int) -> None:
    db = Database.open(path, os.urandom(32), lambda: int(time.time() * 1000))
    await db.run(partial(held.begin, own=_OWN))
    for begin in range(0, records, _AT_ONCE):
        entries = [_entry(number) for number in range(begin, min(records, begin + _AT_ONCE))]
        await db.run(partial(held.save, entries=entries, gone=()))
    storer = Storer(_OWN, PRODUCTION, _no_check)
    hold = Hold(cast(Context, _Context(db, storer)))
    stalls: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch, stalls)
        began, cpu = time.perf_counter(), time.process_time()
        await hold.load()
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        nursery.cancel_scope.cancel()
    await db.close()
    size = path.stat().st_size  # noqa: ASYNC240  nothing else runs any more
    stalls.sort()
    print(
        f"{len(storer)} records, {size / 1e6:.0f} MB: {took:.2f} s, of which CPU {cpu:.2f} s;"
        f" the loop waited p99 {stalls[len(stalls) * 99 // 100] * 1e3:.1f} ms, at most {stalls[-1] * 1e3:.0f} ms"
    )


async def _watch(stalls: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await trio.sleep(0.001)
        stalls.append(time.perf_counter() - began - 0.001)


def _entry(number: int) -> Held:
    now, loc = int(time.time()), (number // 3).to_bytes(32, "big")
    return Held(loc, os.urandom(969), b"ip4%d" % (number % 40), number.to_bytes(32, "big"), now, now + 9_999, 16)


def _no_check(_loc: bytes, _raw: bytes, _now_s: int) -> CheckedRecord:
    raise AssertionError("what is loaded is not checked again")
