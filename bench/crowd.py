"""``scripts/bench crowd [--minutes N] [--light N] [--daemons N] [--per-second N] [--json FILE]``: many to one node.

One daemon under measure, with production parameters. Light peers (:mod:`bench.light`, one process) and further daemons,
a client each that waits for every delivery, send it texts of 256 bytes at a steady rate, all of which are lone: what
arrives together shares a commit. They are written into the profiles before these are started, so that nothing is
derived and nobody searches.

- *Sent, acked, in the store*: nothing lost, nothing twice. A text that a daemon sends counts when it is delivered.
- *Times*, by the minute. *Light*: from when a text was due to when its sender had the ack. The light peers share two
  cores with the daemon: what their own process was behind with is told, and is part of the times. *Daemons*: of the
  call of the client, who makes the next one when it is over.
- *RSS* of the daemon at the end of each minute, and its growth from the end of the first. *CPU*: of the daemon and its
  children, percent of one core, and microseconds a text over the whole run.
- *Carried*: texts a second from the first that was due to the last ack. Where that is less than was asked for, the
  machine could not carry it, and the times are those of a queue.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from bench.acquainted import Acquainted, known
from bench.arguments import number, positive
from bench.daemons import Node, until
from bench.files import to_write
from bench.fleet import Crew
from bench.light import Meet, Talk, Talked
from bench.measure import quantile
from bench.procfs import between_ns, cpu_ns, resident_mb
from bench.report import carried_out
from p2pchat.cli.reading import objects
from p2pchat.cli.sandbox import Sandbox
from p2pchat.client.blocking import Client

_BYTES: Final = 256
_GROWTH: Final = 1.10
_MINUTE_S: Final = 60.0
_PAGE: Final = 1_000


@dataclass(slots=True)
class Minute:
    """One minute; times in ms (p50, p99), memory in MB, CPU in percent of a core."""

    texts: int = 0
    light: tuple[float, float] = (0.0, 0.0)
    daemons: tuple[float, float] = (0.0, 0.0)
    rss: float = 0.0
    cpu: float = 0.0


@dataclass(slots=True)
class Crowd:
    """What is told of a run."""

    sent: int = 0
    acked: int = 0
    stored: int = 0
    distinct: int = 0
    lost_streams: int = 0
    nacks: int = 0
    late_p99_ms: float = 0.0
    carried_per_s: float = 0.0
    cpu_us: float = 0.0
    minutes: list[Minute] = field(default_factory=list[Minute])

    @property
    def growth(self) -> float:
        """Of the RSS after the first minute, as a ratio."""
        return self.minutes[-1].rss / self.minutes[0].rss

    def figures(self) -> dict[str, object]:
        """For programs."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        whole = self.sent == self.acked == self.stored == self.distinct
        rows = [
            f"{'minute':>6} {'texts':>8} {'light p50':>10} {'p99 ms':>8} {'daemons p50':>12} {'p99 ms':>8}"
            f" {'RSS MB':>8} {'CPU %':>6}"
        ]
        rows += [
            f"{index:>6} {each.texts:>8,} {each.light[0]:>10.1f} {each.light[1]:>8.1f} {each.daemons[0]:>12.1f}"
            f" {each.daemons[1]:>8.1f} {each.rss:>8.1f} {each.cpu:>6.0f}"
            for index, each in enumerate(self.minutes, 1)
        ]
        return [
            *rows,
            f"sent {self.sent:,}, acked {self.acked:,}, in the store {self.stored:,}, of them distinct"
            f" {self.distinct:,}: {'ok' if whole else 'MISSES'}; streams lost {self.lost_streams}, nacks {self.nacks}",
            f"RSS after the first minute × {self.growth:.3f}, at most {_GROWTH}:"
            f" {'ok' if self.growth <= _GROWTH else 'MISSES'}; the light peers were late by {self.late_p99_ms:.1f} ms"
            " (p99)",
            f"carried {self.carried_per_s:,.0f} texts/s; CPU of the daemon {self.cpu_us:,.0f} µs a text",
        ]


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="bench crowd", description="Many peers talk to one node.")
    parser.add_argument("--minutes", type=positive, default=10.0, metavar="N")
    parser.add_argument("--light", type=number, default=90, metavar="N", help="peers in one process (90)")
    parser.add_argument("--daemons", type=number, default=10, metavar="N", help="peers that are daemons (10)")
    parser.add_argument("--per-second", type=positive, default=10.0, metavar="N", help="texts of each (10)")
    parser.add_argument("--json", type=to_write, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    if not options.light + options.daemons:
        parser.error("somebody has to talk: --light or --daemons")
    found = Crowd()

    def work(sandbox: Sandbox) -> None:
        _run(sandbox, sandbox.open(), options, found)

    return carried_out(work, found, options.json)


def _run(sandbox: Sandbox, folder: Path, options: argparse.Namespace, found: Crowd) -> None:
    seconds = options.minutes * _MINUTE_S
    center = Node(sandbox, folder / "c", "Center", "+821012345678")
    friends = [
        Node(sandbox, folder / str(index), f"Friend {index}", f"+8210{20_000_000 + index}")
        for index in range(options.daemons)
    ]
    for node in (center, *friends):
        node.init()
    for node in (center, *friends):
        node.ended()
    own = Acquainted(center)
    sessions = [own.meet(Acquainted(friend)) for friend in friends]
    crew = Crew(sandbox, folder, "light", "bench.light", seconds + 300)
    crew.connect()
    crew.ask(Meet(str(own.paths.database), str(own.paths.key_file), options.light), int)
    center.start()
    for friend, session in zip(friends, sessions, strict=True):
        Acquainted(friend).know(own, session, center.address)
        friend.start()
    until(sandbox, lambda: _online(center) == len(friends), "The daemons do not connect")
    watch = _Watch(center.process.pid, seconds)
    talkers = [_Talker(friend.socket, options.per_second, seconds) for friend in friends]
    cpu = cpu_ns(center.process.pid)
    crew.send(Talk(known(center.address), options.per_second, seconds, _BYTES))
    for thread in (*talkers, watch):
        thread.start()
    talked = crew.receive(Talked)
    for thread in (*talkers, watch):
        thread.join()
    found.cpu_us = between_ns(cpu, cpu_ns(center.process.pid)) / 1000
    _count(found, talked, talkers, watch, center, own)


def _online(node: Node) -> int:
    return sum(contact["online"] is True for contact in objects(node.client.call("contacts.list"), "contacts"))


class _Talker(threading.Thread):
    """Has a daemon send texts, one after the other, and waits for each delivery."""

    def __init__(self, socket: Path, per_s: float, seconds: float) -> None:
        super().__init__(daemon=True)
        self._socket, self._per_s, self._seconds = socket, per_s, seconds
        self.sent = 0
        self.taken: list[tuple[float, float]] = []

    def run(self) -> None:
        began = due = time.monotonic()
        with Client(self._socket) as client:
            while due < began + self._seconds:
                time.sleep(max(0.0, due - time.monotonic()))
                called = time.monotonic()
                self.sent += 1
                client.call("message.send", to="Center", text="x" * _BYTES, wait="delivered")
                self.taken.append((called - began, time.monotonic() - called))
                due += 1 / self._per_s


class _Watch(threading.Thread):
    """Looks at a process once a minute."""

    def __init__(self, pid: int, seconds: float) -> None:
        super().__init__(daemon=True)
        self._pid, self._seconds = pid, seconds
        self.rows: list[tuple[float, float]] = []

    def run(self) -> None:
        at = began = time.monotonic()
        while at < began + self._seconds:
            before, span = cpu_ns(self._pid), min(_MINUTE_S, began + self._seconds - at)
            at += span
            time.sleep(max(0.0, at - time.monotonic()))
            self.rows.append((resident_mb(self._pid)[0], between_ns(before, cpu_ns(self._pid)) / span / 1e7))


def _count(found: Crowd, talked: Talked, talkers: list[_Talker], watch: _Watch, center: Node, own: Acquainted) -> None:
    found.sent = talked.sent + sum(talker.sent for talker in talkers)
    found.acked = talked.acked + sum(len(talker.taken) for talker in talkers)
    found.lost_streams, found.nacks, found.late_p99_ms = talked.lost, talked.nacks, talked.late * 1000
    for index, ((rss, cpu), light) in enumerate(zip(watch.rows, talked.minutes, strict=False)):
        called = [taken for talker in talkers for at, taken in talker.taken if int(at / _MINUTE_S) == index]
        found.minutes.append(Minute(len(light) + len(called), _times(light), _times(called), rss, cpu))
    ended = [at + taken for talker in talkers for at, taken in talker.taken]
    found.carried_per_s = found.acked / max([talked.seconds, *ended])
    found.cpu_us /= max(found.acked, 1)
    center.stop()
    found.stored, found.distinct = own.received()


def _times(taken_s: list[float]) -> tuple[float, float]:
    return (quantile(taken_s, 0.5) * 1000, quantile(taken_s, 0.99) * 1000) if taken_s else (0.0, 0.0)
