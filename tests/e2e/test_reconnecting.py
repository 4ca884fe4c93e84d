"""Two scripts that are cut off at random bytes, one that is stuck and one that reads a byte a second, while texts are
sent and the daemon is killed: no event is missed, none comes twice that was acknowledged, and nobody else notices."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.daemons import Daemon, daemons, until
from tests.e2e.pipelined import Sender
from tests.e2e.reconnecting import Reader, Wire, WithCursor, WithName, connected

pytestmark = pytest.mark.e2e

WHOLE: Final = bool(os.environ.get("P2PCHAT_EVERY_EVENT"))
"""20,000 events, 500 connections of each script and ten kills, not a tenth: a minute; ``-s`` shows the figures."""

EVENTS, CUTS, KILLS = (20_000, 500, 10) if WHOLE else (2_000, 50, 1)
TEXT_BYTES: Final = 40_000_000 // EVENTS
"""So much that it would be seen in the daemon's memory if it were kept for who does not read."""

FLAT_BYTES: Final = 60_000_000
SEED: Final = 10
_WITHIN_S: Final = 600.0  # of one kill and the next: 50 connections and 2,000 events on a busy machine


class Stuck:
    """A subscriber who reads nothing, or a byte a second, and begins anew where its connection ends."""

    def __init__(self, daemon: Path, bytes_per_s: int) -> None:
        self._daemon = daemon
        self._bytes_per_s = bytes_per_s
        self._over = threading.Event()
        self._wire = self._subscribed()

    def _subscribed(self) -> Wire:
        wire = connected(self._daemon)
        wire.ask(1, "events.subscribe", since=0)
        return wire

    def run(self) -> None:
        while not self._over.wait(1.0):
            try:
                if self._bytes_per_s:
                    self._wire.take(self._bytes_per_s)
                else:
                    self._wire.ask(2, "events.unsubscribe", subscription="none")
            except ConnectionError:
                self._wire.close()
                self._wire = self._subscribed()

    def end(self) -> None:
        self._over.set()

    def close(self) -> None:
        self._wire.close()


class Memory:
    """The most that the daemon had while this ran."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._over = threading.Event()
        self.most = self.now()

    def now(self) -> int:
        process = self._daemon.process
        if process is None:
            return 0
        with suppress(OSError, IndexError):  # it is killed now and then
            return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return 0

    def run(self) -> None:
        while not self._over.wait(0.02):
            self.most = max(self.most, self.now())

    def end(self) -> None:
        self._over.set()


def has_come(sender: Sender, reader: Reader, number: int, began: int) -> bool:
    """Whether it is time for this kill: by turns when so much was sent, and when so much was read."""
    share = number / (KILLS + 1)
    if number % 2:
        return len(sender.replies) >= EVENTS // 2 * share
    return reader.high >= began + EVENTS * share


def kill_now_and_then(daemon: Daemon, sender: Sender, reader: Reader, began: int) -> None:
    """Kill the daemon and start it again, all along."""
    for number in range(1, KILLS + 1):
        until(partial(has_come, sender, reader, number, began), "nothing goes on", _WITHIN_S, every_s=0.005)
        daemon.kill()
        daemon.start()


def test_scripts_that_are_cut_off_miss_nothing_and_are_told_nothing_twice(tmp_path: Path) -> None:
    with daemons(tmp_path, None) as (daemon,):
        daemon.start()
        Sender(daemon.socket, "self", "before").send(["x" * TEXT_BYTES] * (EVENTS // 20))
        chance = random.Random(SEED)
        began = int(daemon.call("node.hello")["head"])
        last = began + EVENTS + KILLS  # each start is an event, too
        cursor = WithCursor(daemon.socket, random.Random(chance.random()), CUTS, last)
        name = WithName(daemon.socket, random.Random(chance.random()), CUTS, last)
        memory = Memory(daemon)
        before = memory.most
        stuck = [Stuck(daemon.socket, bytes_per_s) for bytes_per_s in (0, 1)]
        with ThreadPoolExecutor(8) as pool:
            beside = [pool.submit(memory.run), *(pool.submit(each.run) for each in stuck)]
            reading = [pool.submit(each.run) for each in (cursor, name)]
            sender = Sender(daemon.socket, "self", "while")
            killing = pool.submit(kill_now_and_then, daemon, sender, name, began)
            try:
                sent_s = time.monotonic()
                sent = sender.send(["x" * TEXT_BYTES] * (EVENTS // 2))
                sent_s = time.monotonic() - sent_s
                for done in (killing, *reading):
                    done.result()
            finally:
                memory.end()
                for each in stuck:
                    each.end()
            for done in beside:
                done.result()
        for each in stuck:
            each.close()
        assert daemon.call("node.hello")["head"] == last
        assert cursor.events == name.events
        assert len(cursor.events) == last
        told = Counter(cursor.events)
        for message in sent:
            assert told["message.queued", message["id"]] == told["message.delivered", message["id"]] == 1
        assert cursor.twice == 0
        assert max(cursor.died, name.died) <= KILLS, "a connection was lost while the daemon was there"
        assert sender.connections > 1, "it was killed while it sent"
        assert not WHOLE or min(cursor.died, name.died) > 0
        assert told["node.started", ""] == KILLS + 1
        assert min(cursor.connections, name.connections) > CUTS
        assert name.lost > CUTS // 10
        assert memory.most - before < FLAT_BYTES
        print(
            f"{last} events, {cursor.connections} and {name.connections} connections, {name.twice} told again after "
            f"an ack that was lost or not sent, {len(sent) / sent_s:.0f} texts of {TEXT_BYTES} bytes a second, "
            f"{(memory.most - before) / 1e6:.1f} MB more"
        )
