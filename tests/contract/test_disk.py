"""What a store meets on a disk that refuses: a file of SQLCipher, and the fake that stands for one in simulations.

The file's log is taken away from under the library: what it writes goes where nothing has room, or may not be written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest

from p2pchat.base.errors import Corrupt, DiskFull, StoreError
from p2pchat.store.db import Database, Tx
from p2pchat.store.disk import PROBE_S
from p2pchat.store.sqlite import Connection, driver_error
from p2pchat.testing.faulty import FaultyConnection, Ill

KEY: Final = bytes(32)


class Clock:
    """Unix ms, which the test moves."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms

    def probe_is_due(self) -> None:
        self.now_ms += int(PROBE_S * 1000) + 1


class DiskLab:
    """A store, and its disk.

    ``strike``: what a statement meets in the midst of a transaction; ``fail_a_reading``: what the next reading meets.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock

    @property
    def connection(self) -> Connection:
        return self.database._connection

    def state(self) -> str:
        return self.database.disk

    async def keep(self, value: str) -> None:
        """Write a row that must be kept."""

        def job(tx: Tx) -> None:
            tx.execute("INSERT INTO kept VALUES (?)", (value,))

        await self.database.run(job)

    async def kept(self) -> list[str]:
        return await self.database.run(lambda tx: [str(row[0]) for row in tx.all("SELECT value FROM kept")])

    def fall_ill(self, ill: Ill) -> None:
        raise AssertionError

    def heal(self) -> None:
        raise AssertionError

    def strike(self) -> None:
        raise AssertionError

    def fail_a_reading(self) -> None:
        raise AssertionError


class FakeDisk(DiskLab):
    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)
        self._faulty = FaultyConnection.under(database)

    def fall_ill(self, ill: Ill) -> None:
        self._faulty.ill = ill

    def heal(self) -> None:
        self._faulty.ill = None

    def strike(self) -> None:
        self._faulty.arm(1)
        self.connection.execute("INSERT INTO kept VALUES ('struck')")

    def fail_a_reading(self) -> None:
        self._faulty.arm(3)  # after BEGIN and SAVEPOINT


class RealDisk(DiskLab):
    def __init__(self, database: Database, clock: Clock, path: Path) -> None:
        super().__init__(database, clock)
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._swapped: list[tuple[int, int]] = []

    def fall_ill(self, ill: Ill) -> None:
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # nothing is read from the log then
        self._lead(self._log, ("/dev/full", os.O_RDWR) if ill == "full" else (self._log, os.O_RDONLY))

    def fail_a_reading(self) -> None:
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.execute("PRAGMA shrink_memory")
        self._lead(self._path, (self._path, os.O_WRONLY))

    def _lead(self, path: Path, elsewhere: tuple[Path | str, int]) -> None:
        """Have what the library has open at ``path`` be something else."""
        for name in os.listdir("/proc/self/fd"):
            if _target(name) == str(path):
                other = os.open(*elsewhere)
                self._swapped.append((int(name), os.dup(int(name))))
                os.dup2(other, int(name))
                os.close(other)
        assert self._swapped

    def heal(self) -> None:
        for number, kept in self._swapped:
            os.dup2(kept, number)
            os.close(kept)
        self._swapped.clear()

    def strike(self) -> None:
        self.connection.execute("PRAGMA cache_size = 10")  # more than that is written before the end
        for _ in range(100):
            self.connection.execute("INSERT INTO kept VALUES (?)", ("struck" * 500,))


def _target(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:  # that of the listing, which is closed
        return ""


@pytest.fixture(
    params=["fake", pytest.param("real", marks=pytest.mark.skipif(sys.platform != "linux", reason="/proc"))]
)
async def disk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DiskLab]:
    clock = Clock()
    is_real = request.param == "real"
    path = tmp_path / "x.db" if is_real else None
    database = Database.open(path, KEY, clock, threaded=False)
    database._connection.execute("CREATE TABLE kept (value TEXT)")
    disk: DiskLab = FakeDisk(database, clock) if path is None else RealDisk(database, clock, path)
    await disk.keep("before")
    yield disk
    disk.heal()
    await database.close()


@pytest.mark.parametrize("ill", ["full", "failing"])
async def test_what_is_refused_is_said_and_not_kept_and_reading_goes_on(disk: DiskLab, ill: Ill) -> None:
    disk.fall_ill(ill)
    for _ in range(3):
        with pytest.raises(StoreError) as caught:
            await disk.keep("lost")
        assert isinstance(caught.value, DiskFull) == (ill == "full")
        assert disk.state() == ill
        assert await disk.kept() == ["before"]
        disk.clock.probe_is_due()
    disk.heal()
    disk.clock.probe_is_due()
    await disk.keep("after")
    assert disk.state() == "ok"
    assert await disk.kept() == ["before", "after"]


async def test_a_reading_that_fails_once_is_no_damage(disk: DiskLab) -> None:
    disk.fail_a_reading()
    with pytest.raises(StoreError) as caught:
        await disk.kept()
    assert not isinstance(caught.value, Corrupt)
    assert disk.state() == "failing"
    disk.heal()
    for _ in range(2):
        assert await disk.kept() == ["before"]
        disk.clock.probe_is_due()
    await disk.keep("after")
    assert await disk.kept() == ["before", "after"]
    assert disk.state() == "ok"


@pytest.mark.parametrize("ill", ["full", "failing"])
async def test_a_commit_that_is_refused_ends_its_transaction(disk: DiskLab, ill: Ill) -> None:
    connection = disk.connection
    disk.fall_ill(ill)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("SAVEPOINT job")
    connection.execute("INSERT INTO kept VALUES ('lost')")
    assert len(connection.execute("SELECT * FROM kept").fetchall()) == 2
    connection.execute("RELEASE job")
    with pytest.raises(driver_error, match="full" if ill == "full" else "I/O"):
        connection.execute("COMMIT")
    assert not connection.in_transaction
    for statement in ("ROLLBACK", "ROLLBACK TO job", "COMMIT"):
        with pytest.raises(driver_error):
            connection.execute(statement)
    assert connection.execute("SELECT * FROM kept").fetchall() == [("before",)]


@pytest.mark.parametrize("ill", ["full", "failing"])
async def test_a_statement_that_the_disk_refuses_ends_its_transaction(disk: DiskLab, ill: Ill) -> None:
    connection = disk.connection
    disk.fall_ill(ill)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO kept VALUES ('of another job')")
    connection.execute("SAVEPOINT job")
    with pytest.raises(driver_error):
        disk.strike()
    assert not connection.in_transaction
    for statement in ("ROLLBACK TO job", "RELEASE job", "COMMIT"):
        with pytest.raises(driver_error):
            connection.execute(statement)
    assert connection.execute("SELECT * FROM kept").fetchall() == [("before",)]


@pytest.mark.parametrize("ill", ["full", "failing"])
async def test_what_takes_no_writing_works_as_ever(disk: DiskLab, ill: Ill) -> None:
    connection = disk.connection
    disk.fall_ill(ill)
    connection.execute("BEGIN IMMEDIATE")
    assert connection.execute("SELECT value FROM kept").fetchall() == [("before",)]
    connection.execute("COMMIT")
    connection.execute("PRAGMA busy_timeout = 5000")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    with pytest.raises(driver_error):
        connection.execute(f"PRAGMA user_version = {version:d}")
    disk.heal()
    connection.execute(f"PRAGMA user_version = {version:d}")


def jobs() -> list[tuple[str, Callable[[Tx], None]]]:
    def fails(tx: Tx) -> None:
        tx.execute("INSERT INTO kept VALUES ('undone')")
        raise KeyError

    def twice(tx: Tx) -> None:
        tx.execute("INSERT INTO kept VALUES ('undone')")
        tx.execute("INSERT INTO nothing VALUES (1)")

    return [("raises", fails), ("is wrong", twice)]


@pytest.mark.parametrize(("name", "job"), jobs())
async def test_a_jobs_own_failure_is_none_of_the_disk(disk: DiskLab, name: str, job: Callable[[Tx], None]) -> None:
    with pytest.raises((KeyError, driver_error)):
        await disk.database.run(job)
    assert disk.state() == "ok"
    await disk.keep("after")
    assert await disk.kept() == ["before", "after"]
