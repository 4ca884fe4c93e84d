"""``scripts/bench flood [--seconds N] [--floods KIND…] [--records N] [--json FILE]``: one floods, another one talks.

Processes beside this: the daemon under attack, an honest daemon that sends it one text after the other and waits for
each delivery, an honest stranger that connects twice a second (:mod:`bench.knocker`), and the flooder
(:mod:`bench.flooder`), which has a core of its own, since on a machine of its own it would take no CPU from the others:
these share another, and the daemon under attack comes last there (:mod:`bench.apart`), quiet or not. What one peer can
do is done by a stranger and by a contact, who connect again whenever they are cut off; what takes many sockets or
PeerIDs (:mod:`bench.siege`) by strangers, from another address than the honest ones have. How many flights, connections
or records that comes to depends on the seconds: ``offered`` says it.

- *p50, p99*: of the honest text, quiet right before the flood and during it; the bar is p99 under 3 × its quiet value.
- *RSS, descriptors* of the daemon under attack: before, the most during, and 2 s after.
- *connect*: the longest that the honest stranger took; the bar is 2 s.
- *disk*: how much more the database and its log have after the flood.
- *cut*: streams and connections that were ended, and after how long the first was.
- What the daemon's log said of refusals stands at the end; a kind is told each time its count has doubled.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from bench.acquainted import Acquainted, known
from bench.apart import set_apart
from bench.arguments import at_least_one, positive
from bench.daemons import Node, until
from bench.files import to_write
from bench.fleet import Crew
from bench.flooder import KINDS, PEER_KINDS, Attack, Attacked
from bench.knocker import Knock
from bench.light import Meet
from bench.measure import quantile
from bench.procfs import resident_mb
from bench.report import carried_out
from bench.siege import BOGUS_PEERS, bogus_address
from p2pchat.api.errors import ApiError
from p2pchat.cli.reading import fields, number, objects
from p2pchat.cli.sandbox import Sandbox
from p2pchat.client.blocking import Client

_BAR: Final = 3.0
_CONNECT_BAR_S: Final = 2.0
_AFTER_S: Final = 2.0
_WHO: Final = ("stranger", "contact")


@dataclass(slots=True)
class Row:
    """One flood by one peer; times in ms, memory in MB."""

    kind: str
    who: str
    texts: int
    quiet: tuple[float, float]
    during: tuple[float, float]
    rss: tuple[float, float, float]
    descriptors: tuple[int, int, int]
    attacked: dict[str, float]
    connect_s: list[float]
    disk_kb: float
    refused: dict[str, int]

    @property
    def ratio(self) -> float:
        """p99 during the flood, × quiet."""
        return self.during[1] / self.quiet[1]

    def line(self) -> str:
        """For people."""
        one, many = self.quiet, self.during
        return (
            f"{self.kind:<28} {self.who:<8} {one[0]:>5.1f} {one[1]:>6.1f} {many[0]:>6.1f} {many[1]:>7.1f}"
            f" {self.ratio:>5.2f} {'ok    ' if self.ratio < _BAR else 'MISSES'}"
            f" {max(self.connect_s):>7.2f} {'ok    ' if max(self.connect_s) < _CONNECT_BAR_S else 'MISSES'}"
            f" {self.disk_kb:>7,.0f}"
            f" {self.rss[0]:>5.0f} {self.rss[1]:>5.0f} {self.rss[2]:>5.0f}"
            f" {self.descriptors[0]:>4} {self.descriptors[1]:>4} {self.descriptors[2]:>4}"
            f" {self.attacked['offered']:>9,.0f} {self.attacked['bytes'] / 1e6:>7,.0f} {self.attacked['cuts']:>6,.0f}"
            f" {self.attacked['first_cut_s']:>6.2f}"
        )


@dataclass(slots=True)
class Flooded:
    """All of them."""

    rows: list[Row] = field(default_factory=list[Row])
    told: list[str] = field(default_factory=list[str])

    def figures(self) -> dict[str, object]:
        """For programs."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        head = (
            f"{'flood':<28} {'by':<8} {'quiet':>5} {'p99':>6} {'during':>6} {'p99':>7} {'×':>5} {'':<6}"
            f" {'connect':>7} {'':<6} {'disk kB':>7}"
            f" {'RSS':>5} {'peak':>5} {'after':>5} {'fds':>4} {'peak':>4} {'aft.':>4}"
            f" {'offered':>9} {'MB':>7} {'cut':>6} {'1st s':>6}"
        )
        refused = [f"{row.kind}, {row.who}: {_shown(row.refused)}" for row in self.rows if row.refused]
        return [head, *(row.line() for row in self.rows), *refused, *self.told]


def _shown(counts: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in counts.items())


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="bench flood", description="Somebody floods, somebody else talks.")
    parser.add_argument("--seconds", type=positive, default=10.0, metavar="N", help="of each flood (10)")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this one; may be repeated")
    parser.add_argument(
        "--floods", nargs="+", choices=KINDS, metavar="KIND", help="only these; all: " + ", ".join(KINDS)
    )
    parser.add_argument(
        "--records", type=at_least_one, default=64, metavar="N", help="valid ones that are mined before (64)"
    )
    parser.add_argument("--json", type=to_write, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    found = Flooded()

    def work(sandbox: Sandbox) -> None:
        _run(sandbox, sandbox.open(), options, found)

    return carried_out(work, found, options.json)


def _run(sandbox: Sandbox, folder: Path, options: argparse.Namespace, found: Flooded) -> None:
    victim = Node(sandbox, folder / "v", "Victim", "+821012345678")
    honest = Node(sandbox, folder / "h", "Honest", "+821098765432")
    for node in (victim, honest):
        node.init()
    for node in (victim, honest):
        node.ended()
    own, friend = Acquainted(victim), Acquainted(honest)
    session = own.meet(friend)
    crew = Crew(sandbox, folder, "flooder", "bench.flooder")
    knocker = Crew(sandbox, folder, "knocker", "bench.knocker")
    crew.connect()
    knocker.connect()
    crew.ask(Meet(str(own.paths.database), str(own.paths.key_file), 1), int)
    victim.start()
    friend.know(own, session, victim.address)
    honest.start()
    until(sandbox, lambda: _is_online(victim), "The honest daemon does not connect")
    _texts_ms(honest, time.monotonic() + 2)
    if not set_apart(crew.pid, victim.process.pid, [honest.process.pid, knocker.pid, os.getpid()]):
        found.told.append("The flooder has no core of its own: that takes two, and root.")
    scene = Scene(victim, honest, crew, knocker, own.paths.database)
    port = _free_port()
    for kind in options.floods or options.kind or KINDS:
        for who in _WHO if kind in PEER_KINDS else _WHO[:1]:
            ask = own.ask if who == "contact" else None
            attack = Attack(known(victim.address), kind, options.seconds, ask, port, options.records)
            found.rows.append(_flooded(scene, attack, who))
            print(found.rows[-1].line(), file=sys.stderr, flush=True)
    found.told += [
        line for line in victim.process.log.read_text().splitlines() if "peer.cut_off" in line or "peer.paced" in line
    ]
    for node in (victim, honest):
        node.stop()


def _is_online(node: Node) -> bool:
    return any(contact["online"] is True for contact in objects(node.client.call("contacts.list"), "contacts"))


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is there. ``database``: that of the victim."""

    victim: Node
    honest: Node
    crew: Crew
    knocker: Crew
    database: Path

    def disk_kb(self) -> float:
        """What the victim's database has."""
        files = (self.database, self.database.with_name(f"{self.database.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists()) / 1e3

    def refused(self) -> dict[str, object]:
        """By the victim, until now."""
        return fields(self.victim.client.call("stats.get"), "refusals")


def _flooded(scene: Scene, attack: Attack, who: str) -> Row:
    pid = scene.victim.process.pid
    quiet, _ = _texts_ms(scene.honest, time.monotonic() + attack.seconds / 2)
    before, disk_kb, refused = _size(pid), scene.disk_kb(), scene.refused()
    scene.crew.send(attack)
    scene.knocker.send(Knock(attack.node, attack.seconds))
    asks = _Asks(scene.victim.socket, bogus_address(attack.port), attack.seconds)
    if attack.kind == BOGUS_PEERS:
        asks.start()
    during, sizes = _texts_ms(scene.honest, time.monotonic() + attack.seconds, pid)
    attacked, connect_s = scene.crew.receive(Attacked), scene.knocker.receive(list[float])
    if attack.kind == BOGUS_PEERS:
        asks.join()
    time.sleep(_AFTER_S)
    after = _size(pid)
    peak = max(size for size, _ in sizes), max(count for _, count in sizes)
    now = scene.refused()
    more = {kind: number(now, kind) - number(refused, kind) for kind in now}
    return Row(
        attack.kind,
        who,
        len(during),
        (quantile(quiet, 0.5), quantile(quiet, 0.99)),
        (quantile(during, 0.5), quantile(during, 0.99)),
        (before[0], peak[0], after[0]),
        (before[1], peak[1], after[1]),
        {name: getattr(attacked, name) for name in attacked.__struct_fields__},
        connect_s,
        scene.disk_kb() - disk_kb,
        {kind: count for kind, count in more.items() if count},
    )


class _Asks(threading.Thread):
    """Has the victim start from the node that tells of bogus peers, again and again: that walks."""

    def __init__(self, socket: Path, address: str, seconds: float) -> None:
        super().__init__(daemon=True)
        self._socket, self._address, self._seconds = socket, address, seconds

    def run(self) -> None:
        until_s = time.monotonic() + self._seconds
        with Client(self._socket) as client:
            while time.monotonic() < until_s:
                with suppress(ApiError):  # it does not listen yet, or not any more
                    client.call("net.bootstrap", address=self._address)
                time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _size(pid: int) -> tuple[float, int]:
    return resident_mb(pid)[0], len(os.listdir(f"/proc/{pid}/fd"))


def _texts_ms(honest: Node, until_s: float, watched: int | None = None) -> tuple[list[float], list[tuple[float, int]]]:
    """How long each lone text took until it was delivered, and what ``watched`` had in memory and open meanwhile."""
    taken: list[float] = []
    sizes: list[tuple[float, int]] = []
    while (began := time.monotonic()) < until_s:
        honest.client.call("message.send", to="Victim", text="x" * 256, wait="delivered", timeout_ms=60_000)
        taken.append((time.monotonic() - began) * 1000)
        if watched is not None and len(taken) % 10 == 1:
            sizes.append(_size(watched))
    return taken, sizes
