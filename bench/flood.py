"""``scripts/bench flood [--seconds N] [--kind KIND] [--json FILE]``: one peer floods, another one talks.

Three processes beside this: the daemon under attack, an honest daemon that sends it one text after the other and waits
for each delivery, and the flooder (:mod:`bench.flooder`) at the lowest priority, since on a machine of its own it would
take no CPU from the two. Each kind of flood is done by a stranger and by a contact, who connect again whenever they
are cut off.

- *p50, p99*: of the honest text, quiet right before the flood and during it; the bar is p99 under 3 × its quiet value.
- *RSS, descriptors* of the daemon under attack: before, the most during, and 2 s after.
- *cut*: streams and connections that were ended, and after how long the first was.
- What the daemon's log said of refusals stands at the end; a kind is told each time its count has doubled.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from bench.acquainted import Acquainted, known
from bench.daemons import Node, until
from bench.fleet import Crew
from bench.flooder import KINDS, Attack, Attacked
from bench.light import Meet
from bench.measure import quantile
from bench.procfs import resident_mb
from bench.report import machine
from p2pchat.base.errors import P2PChatError
from p2pchat.cli.reading import objects
from p2pchat.cli.sandbox import Interrupted, Sandbox, in_sandbox

_BAR: Final = 3.0
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

    def lines(self) -> list[str]:
        """For people."""
        head = (
            f"{'flood':<28} {'by':<8} {'quiet':>5} {'p99':>6} {'during':>6} {'p99':>7} {'×':>5} {'':<6}"
            f" {'RSS':>5} {'peak':>5} {'after':>5} {'fds':>4} {'peak':>4} {'aft.':>4}"
            f" {'offered':>9} {'MB':>7} {'cut':>6} {'1st s':>6}"
        )
        return [head, *(row.line() for row in self.rows), *self.told]


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="bench flood", description="One peer floods, another one talks.")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="N", help="of each flood (10)")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this one; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    told, found = machine(), Flooded()

    def work(sandbox: Sandbox) -> None:
        _run(sandbox, sandbox.open(), options.seconds, options.kind or KINDS, found)

    try:
        in_sandbox("p2pchat-bench-", work)
    except Interrupted as interrupted:
        return interrupted.exit_status
    except P2PChatError as error:
        print(f"{error.error_name}: {error.message}", file=sys.stderr)
        return 1
    before = told()
    print(", ".join(f"{name} {value}" for name, value in before.items()), *found.lines(), sep="\n")
    if options.json:
        options.json.write_text(json.dumps({"machine": before} | asdict(found), indent=1) + "\n", encoding="utf-8")
    return 0


def _run(sandbox: Sandbox, folder: Path, seconds: float, kinds: Sequence[str], found: Flooded) -> None:
    victim = Node(sandbox, folder / "v", "Victim", "+821012345678")
    honest = Node(sandbox, folder / "h", "Honest", "+821098765432")
    for node in (victim, honest):
        node.init()
    for node in (victim, honest):
        node.ended()
    own, friend = Acquainted(victim), Acquainted(honest)
    session = own.meet(friend)
    crew = Crew(sandbox, folder, "flooder", "bench.flooder")
    crew.connect()
    crew.ask(Meet(str(own.paths.database), str(own.paths.key_file), 1), int)
    victim.start()
    friend.know(own, session, victim.address)
    honest.start()
    until(sandbox, lambda: _is_online(victim), "The honest daemon does not connect")
    _texts_ms(honest, time.monotonic() + 2)
    for kind in kinds:
        for who in _WHO:
            attack = Attack(known(victim.address), kind, seconds, own.ask if who == "contact" else None)
            found.rows.append(_flooded(victim, honest, crew, attack, who))
            print(found.rows[-1].line(), file=sys.stderr, flush=True)
    found.told = [line for line in victim.process.log.read_text().splitlines() if "peer.cut_off" in line]
    for node in (victim, honest):
        node.stop()


def _is_online(node: Node) -> bool:
    return any(contact["online"] is True for contact in objects(node.client.call("contacts.list"), "contacts"))


def _flooded(victim: Node, honest: Node, crew: Crew, attack: Attack, who: str) -> Row:
    pid = victim.process.pid
    quiet, _ = _texts_ms(honest, time.monotonic() + attack.seconds / 2)
    before, sizes = _size(pid), list[tuple[float, int]]()
    crew.send(attack)
    during, sizes = _texts_ms(honest, time.monotonic() + attack.seconds, pid)
    attacked = crew.receive(Attacked)
    time.sleep(_AFTER_S)
    after = _size(pid)
    peak = max(size for size, _ in sizes), max(count for _, count in sizes)
    return Row(
        attack.kind,
        who,
        len(during),
        (quantile(quiet, 0.5), quantile(quiet, 0.99)),
        (quantile(during, 0.5), quantile(during, 0.99)),
        (before[0], peak[0], after[0]),
        (before[1], peak[1], after[1]),
        {name: getattr(attacked, name) for name in attacked.__struct_fields__},
    )


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
