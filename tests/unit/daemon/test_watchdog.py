"""Signs of life: regular ones while the loop and the store's thread answer, none while either hangs."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import StoreError
from p2pchat.daemon import system, watchdog
from p2pchat.daemon.unlocked import Unlocked
from p2pchat.services.context import Context
from p2pchat.store.db import Database, Tx


class Notices:
    """What systemd is told."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def signs(self) -> int:
        """How many signs of life have come since this was asked last."""
        count = 0
        while True:
            try:
                count += self._socket.recv(100) == b"WATCHDOG=1"
            except BlockingIOError:
                return count

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notices]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", "n")
    monkeypatch.setenv("WATCHDOG_USEC", "180000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    made = Notices(Path("n"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "180000000"}, 180.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_how_often_systemd_wants_a_sign(environment: dict[str, str], seconds: float | None) -> None:
    assert watchdog.allowed_s(environment) == seconds


async def test_two_signs_in_the_time_that_is_allowed(notices: Notices, autojump_clock: MockClock) -> None:
    with trio.move_on_after(900.0 - 1):
        await watchdog.reassure(trio.lowlevel.checkpoint)
    assert notices.signs() == 10


async def test_none_while_what_has_to_work_hangs(notices: Notices, autojump_clock: MockClock) -> None:
    works = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watchdog.reassure, works.wait)
        await trio.sleep(1000)
        assert notices.signs() == 0
        works.set()
        await trio.sleep(100)
        assert notices.signs() == 2
        nursery.cancel_scope.cancel()


async def test_nobody_is_told_where_nobody_asks(notices: Notices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC")
    await watchdog.reassure(trio.lowlevel.checkpoint)
    assert notices.signs() == 0


def test_a_systemd_that_hangs_does_not_hang_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", "n")
    monkeypatch.setattr(system, "_NOTICE_S", 0.01, raising=False)
    notices = Notices(Path("n"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as others:
        others.connect("n")
        with suppress(BlockingIOError):
            while True:
                others.send(b"x")
    telling = threading.Thread(target=system.sd_notify, args=("WATCHDOG=1",))
    telling.start()
    telling.join(10)
    hangs = telling.is_alive()
    notices.signs()
    telling.join()
    notices.close()
    assert not hangs


async def test_a_writer_that_hangs_does_not_answer_and_a_disk_that_refuses_does() -> None:
    database = Database.open(None, bytes(32), lambda: 0)
    half = Unlocked(cast(Context, SimpleNamespace(db=database)), methods=cast("object", None))  # type: ignore[arg-type]
    await half.answers()
    hang = threading.Event()

    def job(_: Tx) -> None:
        hang.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.run, job)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.05) as waited:
            await half.answers()
        assert waited.cancelled_caught
        hang.set()
    await half.answers()
    await database.close()
    with pytest.raises(StoreError):
        await database.run(lambda _: None)
    await half.answers()
