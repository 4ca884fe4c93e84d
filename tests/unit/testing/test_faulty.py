"""A disk that is ill as it was told to be, and well again afterwards."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import StoreError
from p2pchat.store import meta
from p2pchat.store.db import Database, Tx
from p2pchat.testing.faulty import FaultyConnection, Slowness


def database() -> Database:
    return Database.open(None, bytes(32), lambda: 1_800_000_000_000, threaded=False)


def write(tx: Tx) -> None:
    meta.put(tx, "word", b"kept")


def read(tx: Tx) -> bytes | None:
    return meta.get(tx, "word")


async def test_what_cannot_be_read_is_there_once_it_can() -> None:
    store = database()
    disk = FaultyConnection.under(store)
    await store.run(write)
    disk.ill = "unreadable"
    for job in (read, write):
        with pytest.raises(StoreError):
            await store.run(job)
    disk.ill = None
    assert await store.run(read) == b"kept"


async def test_a_disk_that_fails_is_read() -> None:
    store = database()
    disk = FaultyConnection.under(store)
    await store.run(write)
    disk.ill = "failing"
    assert await store.run(read) == b"kept"
    with pytest.raises(StoreError):
        await store.run(write)


async def test_each_transaction_waits_behind_the_one_before(autojump_clock: MockClock) -> None:
    store = database()
    slowness = Slowness(store)
    await store.run(write)
    assert trio.current_time() == 0.0
    slowness.seconds = 2.0
    ended: list[float] = []

    async def look() -> None:
        assert await store.run(read) == b"kept"
        ended.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(look)
    assert ended == [2.0, 4.0, 6.0]
