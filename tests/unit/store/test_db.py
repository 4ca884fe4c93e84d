"""The database's promises: one transaction for all that wait, each job alone in its failure, commit, then tell."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio

from p2pchat.base.errors import Corrupt, DiskFull, StoreError, UsageError
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.store import db as db_module
from p2pchat.store import eventlog
from p2pchat.store.db import Database, Tx
from p2pchat.store.sqlite import Connection, checkpoint, connect

KEY = bytes(range(32))


@pytest.mark.parametrize(("free", "error"), [(0, DiskFull), (1 << 30, StoreError)])
def test_a_start_on_a_full_disk_says_that_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, error: type[StoreError]
) -> None:
    class Space:
        f_flag = 0
        f_bavail = free
        f_frsize = 1

    monkeypatch.setattr(os, "statvfs", lambda _: Space)
    with pytest.raises(StoreError) as refused:
        connect(tmp_path / "none" / "x.db", KEY)  # SQLite says of a file that it cannot make why not as little as here
    assert type(refused.value) is error


@pytest.fixture(params=[True, False], ids=["threaded", "inline"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    db = Database.open(tmp_path / "x.db", KEY, lambda: 1_000, threaded=request.param)
    yield db
    await db.close()


def put(key: str, value: bytes) -> Callable[[Tx], None]:
    def job(tx: Tx) -> None:
        tx.execute("INSERT INTO meta VALUES (?, ?)", (key, value))
        tx.emit(DomainEvent(EventKind.NODE_STARTED))

    return job


def read_all(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def count(db: Database) -> int:
    # the migrations note there who ran them
    row = await db.run(lambda tx: tx.one("SELECT count(*) FROM meta WHERE key != 'schema_by'"))
    assert row is not None
    return int(row[0])


async def test_a_failing_job_undoes_itself_alone(database: Database) -> None:
    def failing(tx: Tx) -> None:
        tx.execute("INSERT INTO meta VALUES ('lost', x'00')")
        raise UsageError("no")

    failures: list[UsageError] = []

    async def fail() -> None:
        try:
            await database.run(failing)
        except UsageError as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(database.run, put(str(number), b"x"))
            nursery.start_soon(fail)
    assert await count(database) == 20
    assert len(failures) == 20


async def test_events_are_told_after_the_commit_and_only_those_of_jobs_that_held(database: Database) -> None:
    told: list[int] = []
    heads: list[int] = []
    database.listen(lambda events: told.append(len(events)))

    def failing(tx: Tx) -> None:
        tx.emit(DomainEvent(EventKind.NODE_WARNING))
        raise UsageError("no")

    await database.run(put("a", b"1"))
    with pytest.raises(UsageError):
        await database.run(failing)
    heads.append(await database.run(eventlog.head))
    await trio.testing.wait_all_tasks_blocked()
    assert told == [1]
    assert heads == [1]


async def test_a_failed_commit_fails_every_job_of_the_transaction(tmp_path: Path) -> None:
    db = Database.open(tmp_path / "x.db", KEY, lambda: 1_000, threaded=False)
    told: list[int] = []
    db.listen(lambda events: told.append(len(events)))
    # a deferred foreign key is checked at COMMIT and no sooner
    await db.run(
        lambda tx: tx.execute(
            "CREATE TABLE child (parent INTEGER REFERENCES contact (id) DEFERRABLE INITIALLY DEFERRED)"
        )
    )

    def orphan(tx: Tx) -> None:
        tx.execute("INSERT INTO child VALUES (99)")
        tx.emit(DomainEvent(EventKind.NODE_WARNING))

    with pytest.raises(Exception, match="FOREIGN KEY"):
        await db.run(orphan)
    assert told == []
    assert await db.run(eventlog.head) == 0
    await db.close()


async def test_a_cancelled_caller_loses_the_answer_not_the_effect(tmp_path: Path) -> None:
    db = Database.open(tmp_path / "x.db", KEY, lambda: 1_000)
    with trio.CancelScope() as scope:
        scope.cancel()
        await db.run(put("a", b"1"))
    assert scope.cancelled_caught
    assert await count(db) == 1
    await db.close()


async def test_closing_commits_what_is_queued_and_empties_the_log(tmp_path: Path) -> None:
    db = Database.open(tmp_path / "x.db", KEY, lambda: 1_000)
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(db.run, put(str(number), b"x"))
    await db.close()
    log = tmp_path / "x.db-wal"
    assert not log.exists() or log.stat().st_size == 0
    again = Database.open(tmp_path / "x.db", KEY, lambda: 1_000, threaded=False)
    assert await count(again) == 100
    await again.close()
    with pytest.raises(StoreError):
        await again.run(put("z", b""))


async def test_another_key_and_a_damaged_page_are_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    db = Database.open(path, KEY, lambda: 1_000, threaded=False)
    await db.run(put("a", b"1"))
    await db.close()
    with pytest.raises(Corrupt):
        Database.open(path, bytes(32), lambda: 1_000, threaded=False)
    damaged = bytearray(path.read_bytes())
    damaged[100] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(Corrupt):
        Database.open(path, KEY, lambda: 1_000, threaded=False)


async def test_nothing_of_the_content_stands_in_the_files(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    db = Database.open(path, KEY, lambda: 1_000, threaded=False)
    await db.run(put("canary-key", b"canary-value"))
    files = read_all(tmp_path)
    await db.close()
    files += read_all(tmp_path)
    assert b"canary" not in files
    assert b"CREATE TABLE" not in files


async def test_a_snapshot_is_of_one_moment_and_holds_nobody_up(tmp_path: Path) -> None:
    db = Database.open(tmp_path / "x.db", KEY, lambda: 1_000)
    await db.run(put("a", b"1"))
    keys = "SELECT key FROM meta WHERE key IN ('a', 'b', 'c') ORDER BY key"
    with db.snapshot() as tx:
        assert tx.all(keys) == [("a",)]
        with trio.fail_after(20):
            await db.run(put("b", b"2"))
        assert tx.all(keys) == [("a",)]
        with pytest.raises(Exception, match="readonly"):
            put("c", b"3")(tx)
    with db.snapshot() as tx:
        assert tx.all(keys) == [("a",), ("b",)]
    await db.close()


async def test_the_store_is_closed_when_nobody_reads_it_any_more(tmp_path: Path) -> None:
    """A snapshot has a connection of its own, with the key: a node that says that it is locked has none."""
    db = Database.open(tmp_path / "x.db", KEY, lambda: 1_000)
    begun, read, closed = trio.Event(), trio.Event(), trio.Event()
    seen_closed: list[bool] = []

    def reader() -> None:
        with db.snapshot() as tx:
            trio.from_thread.run_sync(begun.set)
            trio.from_thread.run(read.wait)
            seen_closed.append(closed.is_set())
            assert tx.one("SELECT 1") == (1,)

    async def close() -> None:
        await db.close()
        closed.set()

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, reader)
            await begun.wait()
            nursery.start_soon(close)
            await trio.testing.wait_all_tasks_blocked(0.2)
            read.set()
    assert seen_closed == [False]
    assert not (tmp_path / "x.db-wal").exists()
    with pytest.raises(StoreError), db.snapshot():
        pass


async def test_the_log_is_emptied_when_the_snapshot_has_ended_and_nobody_waits_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2pchat.store.db._IDLE_CHECKPOINT_S", 0.05)
    db = Database.open(tmp_path / "x.db", KEY, lambda: 1_000)
    log = tmp_path / "x.db-wal"
    await db.run(put("a", b"1"))
    with db.snapshot():
        await db.run(put("b", b"2"))
        for number in range(20):  # as many idle moments lie between them, each of which tries to empty the log
            await trio.sleep(0.05)
            with trio.fail_after(20):
                await db.run(put(str(number), b"x"))
        assert log.stat().st_size > 0
    with trio.fail_after(20):
        while log.stat().st_size > 0:  # noqa: ASYNC110  another thread's doing
            await trio.sleep(0.01)
    await db.close()


@pytest.mark.parametrize(("minutes", "at_least", "at_most"), [(0.0, 20, 30), (1e6, 1, 1)])
async def test_under_load_the_log_is_emptied_every_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float, at_least: int, at_most: int
) -> None:
    emptied: list[bool] = []

    def noted(connection: Connection) -> bool:
        emptied.append(checkpoint(connection))
        return emptied[-1]

    monkeypatch.setattr(db_module, "checkpoint", noted)
    monkeypatch.setattr(db_module, "_IDLE_CHECKPOINT_S", 1e6)
    monkeypatch.setattr(db_module, "_BUSY_CHECKPOINT_S", minutes)
    db = Database.open(tmp_path / "x.db", KEY, lambda: 1_000)
    for number in range(50):
        await db.run(put(str(number), b"x"))
    await db.close()
    assert at_least <= len(emptied) <= at_most
    assert all(emptied)


async def test_the_log_is_emptied_when_nothing_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied = threading.Event()

    def noted(connection: Connection) -> bool:
        done = checkpoint(connection)
        emptied.set()
        return done

    monkeypatch.setattr(db_module, "checkpoint", noted)
    monkeypatch.setattr(db_module, "_IDLE_CHECKPOINT_S", 0.001)
    db = Database.open(tmp_path / "x.db", KEY, lambda: 1_000)
    await db.run(put("a", b"x"))
    assert await trio.to_thread.run_sync(emptied.wait, 60)
    assert (tmp_path / "x.db-wal").stat().st_size == 0
    await db.close()


def test_a_log_that_another_connection_reads_is_not_empty(tmp_path: Path) -> None:
    first, second = connect(tmp_path / "x.db", KEY), connect(tmp_path / "x.db", KEY)
    first.execute("CREATE TABLE t (x)")
    second.execute("BEGIN")
    second.execute("SELECT * FROM t").fetchall()
    first.execute("INSERT INTO t VALUES (1)")
    first.execute("PRAGMA busy_timeout = 0")
    assert not checkpoint(first)
    second.execute("COMMIT")
    assert checkpoint(first)
    first.close()
    second.close()
