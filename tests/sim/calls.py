"""``python -m tests.sim.calls WHAT WHOSE [FIRST STEP]``: the n-th call to write, sync or truncate fails, for each n.

WHAT is a text, a text at which that node is killed (crash), a match or a deposit. Run with ``faulty_calls.c``
preloaded (tests/sim/test_disk_calls.py does). The stores are files; who is killed has them copied as they are, log and
all, and only the copy is opened again. A write that fails is half done.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import trio
from trio.testing import MockClock

from p2pchat.daemon import logs
from p2pchat.services import link
from p2pchat.store.db import Database
from p2pchat.testing.cluster import Cluster, Node
from tests.sim.struck import every_one_of_a_text, one_of_a_match
from tests.sim.test_deposit_faults import every_one_of_a_box, every_one_of_a_custody
from tests.sim.test_faults import Wire

KEY: Final = bytes(32)


class Calls:
    """The calls to the system for one node's files; see :class:`~tests.sim.struck.Faulty`."""

    _killed: list[Database] = []  # noqa: RUF012  never closed, as long as this process lives

    def __init__(self, database: Database) -> None:
        self._library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self._library.faulty_struck.restype = ctypes.c_char_p
        self._path = _path_of(database)

    @property
    def struck(self) -> str:
        return bytes(self._library.faulty_struck()).decode()

    def arm(self, number: int) -> None:
        error = errno.ENOSPC if number % 2 else errno.EIO
        self._library.faulty_arm(os.fsencode(self._path), ctypes.c_long(number), error)

    async def crash(self, cluster: Cluster, node: Node) -> None:
        await cluster.crash(node)
        self._killed.append(node.database)
        place = self._path.with_name(f"{len(self._killed)}-killed.db")
        for end in ("", "-wal"):
            shutil.copy(f"{self._path}{end}", f"{place}{end}")
        self._path = place
        node.database = Database.open(place, KEY, lambda: int(node.now() * 1000), threaded=False)
        node.database.listen(node.events.extend)


def _path_of(database: Database) -> Path:
    return Path(next(row[2] for row in database._connection.execute("PRAGMA database_list") if row[1] == "main"))


def _on_disk(folder: Path) -> None:
    """From now on a database that would be in memory is a file of ``folder``."""
    opened, numbers = Database.open, itertools.count()

    def open_(path: Path | None, key: bytes, now_ms: Callable[[], int], *, threaded: bool = True) -> Database:
        return opened(path or folder / f"{next(numbers)}.db", key, now_ms, threaded=threaded)

    Database.open = open_  # type: ignore[method-assign]


async def _matches(whose: str, numbers: range) -> list[str]:
    struck: list[str] = []
    for number in numbers:
        struck.append(await one_of_a_match(Calls, whose, number))
        if not struck[-1]:
            break
    return struck


async def _strike(what: str, whose: str, numbers: range, patch: pytest.MonkeyPatch) -> list[str]:
    if what == "match":
        return await _matches(whose, numbers)
    if what == "deposit":
        if whose == "holder":
            return await every_one_of_a_box(Calls, patch)
        patch.setattr(link, "HEARTBEAT_S", 3_600.0)
        patch.setattr(link, "SILENCE_S", 7_200.0)
        return await every_one_of_a_custody(Calls, patch)
    return await every_one_of_a_text(Calls, whose, crashes=what == "crash")


def main(what: str, whose: str, first: int = 1, step: int = 1) -> None:
    """Print, as JSON, what was struck and how often a key was used for two envelopes."""
    logs.configure("error", "json")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        _on_disk(Path(folder))
        wire = Wire(patch)
        clock = MockClock(autojump_threshold=0)
        struck = trio.run(_strike, what, whose, range(first, 10_000, step), patch, clock=clock)
    print(json.dumps({"struck": struck, "reused": wire.reused}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
