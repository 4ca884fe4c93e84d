"""Scripts that read the event log through connections that end at any byte, and the accounts that they keep of it.

A reader connects again as soon as its connection has ended, also where the daemon was killed, and checks each event as
it comes: it follows the one before it, on every connection, from where the daemon said that it begins.
"""

from __future__ import annotations

import json
import random
import socket
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final

from tests.e2e.daemons import DEADLINE_S

_READ_BYTES: Final = 65_536


class Wire:
    """One connection, of which every byte is read by hand."""

    def __init__(self, daemon: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(DEADLINE_S)
        try:
            self._socket.connect(str(daemon))
        except OSError:
            self._socket.close()
            raise
        self._unread = b""

    def close(self) -> None:
        """At this byte, whatever else has come."""
        self._socket.close()

    def ask(self, number: int, method: str, *, bytes_sent: int | None = None, **params: object) -> None:
        """Send a request, or no more of it than so many bytes."""
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self._socket.sendall((json.dumps(request).encode() + b"\n")[:bytes_sent])

    def next(self) -> dict[str, Any]:
        """The next whole line."""
        while b"\n" not in self._unread:
            self.take(_READ_BYTES)
        line, _, self._unread = self._unread.partition(b"\n")
        value: dict[str, Any] = json.loads(line)
        assert "error" not in value, value["error"]
        return value

    @property
    def is_between(self) -> bool:
        """Whether nothing of the next line was read yet."""
        return not self._unread

    def take(self, most: int) -> None:
        """Up to so many bytes more, as they come."""
        data = self._socket.recv(most)
        if not data:
            raise ConnectionResetError("the daemon closed the connection")
        self._unread += data


def connected(daemon: Path) -> Wire:
    """A connection, as soon as there is a daemon."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return Wire(daemon)
        except (ConnectionError, FileNotFoundError):
            assert time.monotonic() < deadline, "nobody answers"
            time.sleep(0.02)


class Reader(ABC):
    """Reads every event up to ``last``, and is cut off ``cuts`` times on the way.

    Args:
        chance: decides where.
    """

    def __init__(self, daemon: Path, chance: random.Random, cuts: int, last: int) -> None:
        self._daemon = daemon
        self.chance = chance
        self._last = last
        self._cuts = sorted(chance.randrange(1, last) for _ in range(cuts))
        self.high = 0
        self.twice = 0
        self.connections = 0
        self.died = 0
        self._is_served = False
        self.events: list[tuple[str, str]] = []

    def run(self) -> None:
        """Read on until everything was read."""
        while self.high < self._last:
            wire = connected(self._daemon)
            self.connections += 1
            self._is_served = False
            try:
                self._converse(wire)
            except ConnectionError:
                self.died += self._is_served  # else nobody had taken it from the queue of the daemon that was killed
            finally:
                wire.close()

    @abstractmethod
    def since(self) -> object:
        """What the subscription begins after."""

    @abstractmethod
    def begins(self, cursor: int) -> None:
        """Check where the daemon begins."""

    def heard(self, wire: Wire, seq: int) -> None:  # noqa: B027  not all do anything then
        """An event came, once more or for the first time."""

    def replied(self, reply: dict[str, Any]) -> None:
        """A reply came that is not the subscription's."""
        raise AssertionError(reply)

    def part(self, wire: Wire, seq: int) -> None:
        """The connection is about to be cut after the event ``seq``: at a byte of the next one, perhaps."""
        if self.chance.random() < 0.5 and wire.is_between:
            wire.take(self.chance.randint(1, 300))

    def _converse(self, wire: Wire) -> None:
        cut_after = self._cuts.pop(0) if self._cuts else self._last
        wire.ask(0, "events.subscribe", since=self.since())
        if cut_after <= self.high and self.chance.random() < 0.5:
            return  # before it knows whether there is a subscription
        seq = wire.next()["result"]["cursor"]
        self._is_served = True
        self.begins(seq)
        while seq < cut_after:
            message = wire.next()
            if "result" in message:
                self.replied(message)
                continue
            event = message["params"]
            if event["seq"] is None:
                continue  # not stored
            assert event["seq"] == seq + 1, "a gap, or one twice"
            seq += 1
            if seq <= self.high:
                self.twice += 1
            else:
                assert seq == self.high + 1, "a gap between connections"
                self.high = seq
                self.events.append((event["type"], event["data"].get("id", "")))
            self.heard(wire, seq)
        if cut_after < self._last:
            self.part(wire, seq)


class WithCursor(Reader):
    """Remembers the last seq itself: nothing comes twice."""

    def since(self) -> object:
        return self.high

    def begins(self, cursor: int) -> None:
        assert cursor == self.high


class WithName(Reader):
    """A consumer, which acknowledges what it has done with, and does not know what became of some of its acks."""

    def __init__(self, daemon: Path, chance: random.Random, cuts: int, last: int) -> None:
        super().__init__(daemon, chance, cuts, last)
        self._acked = 0
        self._doubtful: set[int] = set()
        self.lost = 0

    def since(self) -> object:
        return {"consumer": "bot", "start": 0}

    def begins(self, cursor: int) -> None:
        assert cursor == self._acked or cursor in self._doubtful, "it begins where it has acknowledged nothing"
        self._settle(cursor)

    def heard(self, wire: Wire, seq: int) -> None:
        if self.chance.random() < 0.3:
            self._ack(wire, seq)

    def replied(self, reply: dict[str, Any]) -> None:
        seq = reply["result"]["seq"]
        assert seq >= reply["id"], "an ack was taken back"
        assert seq <= self._acked or seq in self._doubtful
        self._settle(seq)

    def part(self, wire: Wire, seq: int) -> None:
        match self.chance.randrange(3):
            case 0:
                super().part(wire, seq)  # before the ack
            case 1:
                self._ack(wire, seq)  # its reply is lost
                self.lost += 1
            case _:
                wire.ask(seq, "events.ack", bytes_sent=self.chance.randint(1, 60), consumer="bot", seq=seq)

    def _ack(self, wire: Wire, seq: int) -> None:
        wire.ask(seq, "events.ack", consumer="bot", seq=seq)
        self._doubtful.add(seq)

    def _settle(self, seq: int) -> None:
        self._acked = max(self._acked, seq)
        self._doubtful = {each for each in self._doubtful if each > self._acked}
