"""How long commits take, and what the database takes on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.base.errors import StoreError
from p2pchat.store import sizes
from p2pchat.store.db import Database, Tx
from p2pchat.store.timings import Timings


def test_of_the_last_1_024_and_the_longest_ever() -> None:
    timings = Timings()
    assert (timings.quantile_s(0.5), timings.most_s) == (0.0, 0.0)
    timings.note(9.0)
    for number in range(1, 1_025):
        timings.note(number / 1_000)
    assert (timings.count, timings.most_s) == (1_025, 9.0)
    assert (timings.quantile_s(0.5), timings.quantile_s(0.99), timings.quantile_s(1.0)) == (0.512, 1.014, 1.024)


def test_of_a_few() -> None:
    timings = Timings()
    for seconds in (3.0, 1.0, 2.0):
        timings.note(seconds)
    assert (timings.quantile_s(0.5), timings.quantile_s(0.99)) == (2.0, 3.0)


async def test_commits_are_counted_and_those_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database.open(tmp_path / "db", bytes(32), lambda: 1, threaded=False)
    try:
        before = database.commits.count
        await database.run(lambda tx: tx.execute("SELECT 1"))
        assert database.commits.count == before + 1
        assert database.commits.most_s > 0
        assert database.commits.failed == 0

        def fails(*_: object, **__: object) -> None:
            raise StoreError("the disk")

        with monkeypatch.context() as patch:
            patch.setattr(database, "_one", fails)
            with pytest.raises(StoreError):
                await database.run(lambda tx: tx.execute("SELECT 1"))
        assert (database.commits.count, database.commits.failed) == (before + 1, 1)
    finally:
        await database.close()


async def test_bytes_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "db"
    database = Database.open(path, bytes(32), lambda: 1, threaded=False)
    try:
        await database.run(lambda tx: tx.execute("CREATE TABLE filler AS SELECT zeroblob(100000)"))
        file, log = await database.run(sizes.on_disk)
        assert file == path.stat().st_size > 0
        assert log == path.with_name("db-wal").stat().st_size > 100_000
    finally:
        await database.close()
    memory = Database.open(None, bytes(32), lambda: 1, threaded=False)

    def both(tx: Tx) -> tuple[int, int]:
        return sizes.on_disk(tx)

    try:
        assert await memory.run(both) == (0, 0)
    finally:
        await memory.close()
