"""What the store says of its disk, and what it does while that refuses."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from p2pchat.base.errors import Corrupt, DiskFull, StoreError
from p2pchat.base.limits import DISK_RESERVE_BYTES
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.store import eventlog, meta
from p2pchat.store.db import Database
from p2pchat.store.disk import CALM_S, PROBE_S, SLOW_S, Disk, DiskState
from p2pchat.store.sqlite import connect, driver_error, store_errors
from p2pchat.store.tx import Tx
from p2pchat.testing.faulty import FaultyConnection
from tests.damage import flip, pages_of

KEY = bytes(range(32))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def refusal_of(words: str) -> StoreError:
    try:
        with store_errors():
            raise driver_error(words)
    except StoreError as error:
        return error


def test_a_commit_that_takes_long_is_slow_before_it_ends_and_until_there_was_none_for_a_while() -> None:
    clock = Clock()
    disk = Disk(None, clock)
    disk.began()
    clock.now += SLOW_S + 0.1
    assert disk.shown() == "slow"
    assert disk.refusal() is None
    disk.ended()
    assert disk.state == "slow"
    for _ in range(3):
        clock.now += CALM_S / 3 - 1
        disk.began()
        disk.ended()
        assert disk.state == "slow"
    clock.now += 4
    disk.began()
    disk.ended()
    assert disk.shown() == "ok"


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "full"),
        (errno.EFBIG, "full"),
        (errno.EROFS, "read_only"),
        (errno.EIO, "failing"),
    ],
)
def test_why_it_refuses_is_asked_beside_the_database(
    number: int, state: DiskState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    disk = Disk(tmp_path / "x.db", clock)
    disk.open()
    reserve = tmp_path / "x.db-reserve"
    assert disk.shown() == "ok"
    assert reserve.stat().st_size == DISK_RESERVE_BYTES
    assert reserve.stat().st_blocks * 512 >= DISK_RESERVE_BYTES

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse)
        disk.refused(refusal_of("disk I/O error"))
        assert disk.state == state
        assert reserve.stat().st_size == DISK_RESERVE_BYTES // 2  # the rest is for whatever makes room
        refusal = disk.refusal()
        assert isinstance(refusal, DiskFull) == (state == "full")
        assert refusal is not None
        assert disk.next_probe_s() == 0
        assert not disk.has_room()
        assert disk.next_probe_s() == PROBE_S
    clock.now += PROBE_S
    assert disk.next_probe_s() == 0
    assert disk.has_room()
    assert disk.state == state  # until a write has shown it
    connection = connect(None, KEY)
    disk.probe(lambda: connection)
    assert disk.next_probe_s() == PROBE_S  # it has just been looked at
    clock.now += PROBE_S
    disk.probe(lambda: connection)
    connection.close()
    assert disk.shown() == "ok"
    assert [each.name for each in tmp_path.iterdir()] == ["x.db-reserve"]


def test_without_room_for_the_reserve_it_is_full_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    disk = Disk(tmp_path / "x.db", Clock())
    disk.open()
    assert disk.shown() == "full"
    assert [each.stat().st_size for each in tmp_path.iterdir()] == [0]


def test_what_is_not_the_disks_changes_nothing() -> None:
    disk = Disk(None, Clock())
    for error in (Corrupt("A stored key is damaged."), StoreError("The store is closed."), ValueError("x")):
        disk.refused(error)
    assert disk.state == "ok"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    db = Database.open(tmp_path / "x.db", KEY, lambda: 1_000)
    db._disk._every_s = 0.01
    yield db
    await db.close()


def put(tx: Tx) -> None:
    tx.need_room()
    meta.put(tx, "some", b"value")
    tx.emit(DomainEvent(EventKind.NODE_STARTED))


async def test_while_it_is_full_who_reads_is_not_failed_by_who_writes(database: Database) -> None:
    told: list[str] = []
    database.watch_disk(told.append)
    disk = FaultyConnection.under(database)
    disk.ill = "full"
    with pytest.raises(DiskFull):
        await database.run(put)
    answers: list[object] = []

    async def one(write: bool) -> None:
        try:
            answers.append(await database.run(lambda tx: tx.emit(DomainEvent(EventKind.NODE_STARTED)) if write else 7))
        except DiskFull:
            answers.append("full")

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(one, bool(number % 2))
    assert sorted(map(str, answers)) == ["7"] * 10 + ["full"] * 10
    assert database.disk == "full"
    disk.ill = None
    with trio.fail_after(5):
        while told[-1:] != ["ok"]:  # noqa: ASYNC110  nobody asks for anything meanwhile
            await trio.sleep(0.01)
    await database.run(put)
    assert await database.run(eventlog.head) == 1
    assert told == ["full", "ok"]


async def test_nothing_more_is_written_into_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    db = Database.open(path, KEY, lambda: 1_000)
    for _ in range(20):
        await db.run(lambda tx: tx.emit(DomainEvent(EventKind.NODE_STARTED, detail=bytes(1_000))))
    await db.close()
    flip(path, pages_of(path, KEY, "event")[1])
    db = Database.open(path, KEY, lambda: 1_000)
    told: list[str] = []
    db.watch_disk(told.append)
    await db.run(put)
    before = [hashlib.sha256(each.read_bytes()).digest() for each in (path, tmp_path / "x.db-wal")]
    with pytest.raises(Corrupt, match="doctor --fix"):
        await db.run(lambda tx: eventlog.after(tx, 0, 100))
    with pytest.raises(Corrupt, match="doctor --fix"):
        await db.run(put)
    assert db.disk == "damaged"
    await trio.sleep(0.01)
    assert told == ["damaged"]
    await db.close()  # the log stays: who closes last would write it into the file
    assert [hashlib.sha256(each.read_bytes()).digest() for each in (path, tmp_path / "x.db-wal")] == before
