"""Measure this machine: ``scripts/bench WHAT [--runs N] [--json FILE] [--compare OLD.json] [--plot FILE.png]``.

WHAT is away, basics, control, crypto, delivery, discovery, history, import, mailbox, memory, retention, simulation,
start or websocket, or all, which is one after the other of those that :data:`_ALL` names. ``--quick`` does as little as
shows that it works.

It is a measurement: a bar that is missed or a figure that is worse than an older one is said, and the exit status is
0. One measure that fails does not keep ``all`` from the others; the exit status is 1 then. After an interrupt the runs
that were over are shown, written, compared and drawn all the same. However it ends no process and no file stays, but
for what was asked for.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from bench import (
    away,
    basics,
    book,
    compare,
    control,
    crowd,
    crypto,
    delivery,
    discovery,
    flood,
    held,
    history,
    mailbox,
    memory,
    plot,
    reach,
    retention,
    simulation,
    start,
    sybils,
    websocket,
)
from bench.arguments import at_least_one
from bench.files import picture, unwritable
from bench.measure import Samples
from bench.report import Metric, document, machine, table
from chaos.plot import Unavailable
from p2pchat.base.errors import P2PChatError
from p2pchat.cli.sandbox import Interrupted, Interrupts, Sandbox, in_sandbox

Measure = Callable[[Sandbox, Path, int, bool, Samples], None]
"""(sandbox, its folder, runs, quick, where values go)."""


@dataclass(frozen=True, slots=True)
class _What:
    """A measure.

    Args:
        minutes: what so many runs take on two quiet cores, about.
        runs: how many values of each figure it takes where nobody says.
        charts: what ``--plot`` draws.
        after: lines that follow the table.
    """

    help: str
    run: Measure
    metrics: Sequence[Metric]
    minutes: float
    runs: int = 5
    charts: Sequence[plot.Chart] = ()
    after: Callable[[Samples], Sequence[str]] = lambda _: ()


def _basics(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    basics.run(sandbox, folder, runs, basics.QUICK if quick else basics.Scale(), samples)


def _discovery(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    discovery.run(sandbox, folder, runs, discovery.QUICK if quick else discovery.Scale(), samples)


_WHAT: Final[dict[str, _What]] = {
    "away": _What(
        "messages to somebody who is gone, held by two nodes, until they are back", away.run, away.METRICS, 3, runs=3
    ),
    "basics": _What("commands, messages, match", _basics, basics.METRICS, 2.5),
    "control": _What(
        "calls, events and commands by the socket, beside 2,000 clients",
        control.run,
        control.METRICS,
        2.5,
        charts=control.CHARTS,
    ),
    "crypto": _What("messages sealed and opened, sessions made, sizes; no network", crypto.run, crypto.METRICS, 0.6),
    "delivery": _What(
        "texts between two daemons: throughput, latency, CPU",
        delivery.run,
        delivery.METRICS,
        3.5,
        charts=delivery.CHARTS,
    ),
    "discovery": _What(
        "walks, pushes, match and mass death in a network of 50 nodes", _discovery, discovery.METRICS, 15.5
    ),
    "history": _What(
        "pages, searches, starts and sends with a million messages",
        history.run,
        history.METRICS,
        8,
        runs=1,
        charts=history.CHARTS,
    ),
    "import": _What("an address book of 500 people: CPU, memory, latency", book.run, book.METRICS, 7, runs=1),
    "mailbox": _What("a node that holds boxes for a thousand owners", mailbox.run, mailbox.METRICS, 1.5),
    "memory": _What(
        "memory and idle CPU, alone and with fifty people; weight of modules", memory.run, memory.METRICS, 11.5
    ),
    "retention": _What(
        "a million events go from the log; the store alone", retention.run, retention.METRICS, 2, runs=3
    ),
    "simulation": _What(
        "the lookup machine in networks of up to 100,000 nodes; budgets",
        simulation.run,
        simulation.METRICS,
        0.5,
        charts=simulation.CHARTS,
        after=simulation.budgets,
    ),
    "start": _What(
        "starts, warm and cold, by history, with a passphrase", start.run, start.METRICS, 1.5, charts=start.CHARTS
    ),
    "websocket": _What("connections by WebSocket beside plain ones; no disk", websocket.run, websocket.METRICS, 1),
}
_ALL: Final = ("crypto", "simulation", "mailbox", "control", "delivery", "start", "memory", "discovery")
"""Together at most forty minutes on two quiet cores; the longest last."""

_OWN: Final[dict[str, Callable[[Sequence[str]], int]]] = {
    "sybils": sybils.main,
    "held": held.main,
    "crowd": crowd.main,
    "flood": flood.main,
    "reach": reach.main,
}
"""What has options of its own."""


def main() -> int:
    """The exit status."""
    own = _OWN.get(sys.argv[1]) if len(sys.argv) > 1 else None
    if own is not None:
        return own(sys.argv[2:])
    arguments = _parser().parse_args()
    try:
        old = compare.read(arguments.compare) if arguments.compare else {}
        if arguments.plot:
            plot.check()
    except (compare.Unreadable, Unavailable) as error:
        print(error, file=sys.stderr)
        return 64 if isinstance(error, compare.Unreadable) else 69
    if wrong := unwritable(arguments.json, arguments.plot):
        print(wrong, file=sys.stderr)
        return 64
    with Interrupts() as interrupts:
        try:
            return _All(arguments, interrupts).measure(old)
        except Interrupted as interrupted:
            return interrupted.exit_status


class _All:
    """Of one measure, or of several one after the other, what is found."""

    def __init__(self, arguments: argparse.Namespace, interrupts: Interrupts) -> None:
        self._arguments = arguments
        self._interrupts = interrupts
        self._names = _ALL if arguments.what == "all" else (arguments.what,)
        self._documents: dict[str, dict[str, object]] = {}
        self._drawn: list[plot.Drawn] = []

    def measure(self, old: Mapping[str, compare.Figures]) -> int:
        """The exit status."""
        statuses = [0]
        for index in range(len(self._names)):
            statuses.append(self._one(index))
            if statuses[-1] > 1:  # interrupted
                break
        if old and self._documents:
            print("", *compare.lines(old, compare.parsed(msgspec.json.encode(self._whole()))), sep="\n", flush=True)
        if self._arguments.plot and self._drawn:
            plot.draw(self._drawn, self._arguments.plot)
        return max(statuses)

    def _one(self, index: int) -> int:
        """The same of the measure with that number."""
        name, status = self._names[index], 0
        what, samples, told, runs = _WHAT[name], Samples(), machine(), self._runs(self._names[index])
        several = len(self._names) > 1
        if several:
            print(name, self._progress(index), sep="\n", flush=True)
        try:
            in_sandbox("p2pchat-bench-", partial(_work, self._run(name), runs, self._arguments.quick, samples))
        except Interrupted as interrupted:
            status = interrupted.exit_status
        except P2PChatError as error:
            print(f"{error.error_name}: {error.message}", file=sys.stderr)
            status = 1
        except Exception:  # a defect of the one is told, and no reason to go without the others
            traceback.print_exc()
            status = 1
        if any(metric.name not in samples for metric in what.metrics):
            return status
        before = told()
        with self._interrupts.protected():
            self._documents[name] = document(what.metrics, samples, before)
            self._drawn += [chart.drawn(samples) for chart in what.charts]
            self._write()  # what is measured is kept, whatever comes of the rest
        facts = [", ".join(f"{key} {value}" for key, value in before.items())]
        if status:
            facts.append(f"ended early: {len(samples[what.metrics[0].name].values)} of {runs} runs")
        after = what.after(samples)
        print(*facts, *table(what.metrics, samples), *([""] if after else []), *after, sep="\n")
        print(end="\n" * several, flush=True)
        return status

    def _run(self, name: str) -> Measure:
        if name == "history":
            return partial(history.run, messages=self._arguments.messages)
        return _WHAT[name].run

    def _runs(self, name: str) -> int:
        return self._arguments.runs or _WHAT[name].runs

    def _minutes(self, names: Sequence[str]) -> float:
        """What they take, about: the run that warms up is one more."""
        return sum(_WHAT[name].minutes * (1 + self._runs(name)) / (1 + _WHAT[name].runs) for name in names)

    def _progress(self, index: int) -> str:
        place = f"{index + 1} of {len(self._names)}"
        if self._arguments.quick:
            return place
        one, left = (_rounded(self._minutes(names)) for names in (self._names[index : index + 1], self._names[index:]))
        return f"{place}, {time.strftime('%H:%M')}: about {one} on two quiet cores, {left} with what follows"

    def _whole(self) -> dict[str, object]:
        """Of one measure its own, of all of them by name."""
        return next(iter(self._documents.values())) if len(self._names) == 1 else {"measures": self._documents}

    def _write(self) -> None:
        if self._arguments.json is not None:
            self._arguments.json.write_text(json.dumps(self._whole(), indent=1) + "\n", encoding="utf-8")


def _work(run: Measure, runs: int, quick: bool, samples: Samples, sandbox: Sandbox) -> None:
    run(sandbox, sandbox.open(), runs, quick, samples)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench", description="Measure p2pchat on this machine, beside its raw limits."
    )
    subparsers = parser.add_subparsers(required=True, metavar="WHAT", dest="what")
    subparsers.add_parser(
        "sybils", help="what is found although all nodes nearest to a loc lie; has options of its own"
    )
    subparsers.add_parser("held", help="loading what a node keeps for others; has options of its own")
    subparsers.add_parser("crowd", help="100 peers talk to one node for ten minutes; has options of its own")
    subparsers.add_parser("flood", help="a peer floods, another one talks; has options of its own")
    subparsers.add_parser("reach", help="who reaches whom in test networks, how fast; root; has options of its own")
    for name, what in _WHAT.items():
        command = subparsers.add_parser(name, help=what.help)
        _measured(command, f"{what.runs}, about {_rounded(what.minutes)} on two quiet cores", plots=bool(what.charts))
        if name == "history":
            many = "in the larger profile (1,000,000)"
            command.add_argument("--messages", type=at_least_one, default=history.MANY, metavar="N", help=many)
    command = subparsers.add_parser("all", help=f"{', '.join(_ALL)}: one after the other, in one file")
    total = _rounded(sum(_WHAT[name].minutes for name in _ALL))
    _measured(command, f"what each has, about {total} on two quiet cores", plots=True)
    return parser


def _rounded(minutes: float) -> str:
    return "a minute" if minutes <= 1 else f"{minutes:.0f} minutes"


def _measured(command: argparse.ArgumentParser, runs: str, *, plots: bool) -> None:
    command.add_argument("--runs", type=at_least_one, metavar="N", help=f"values of each figure ({runs})")
    command.add_argument("--json", type=Path, metavar="FILE", help="write every value there, too")
    command.add_argument("--compare", type=Path, metavar="OLD.json", help="say what has changed since those figures")
    if plots:
        command.add_argument("--plot", type=picture, metavar="FILE.png", help="draw the curves; needs matplotlib")
    else:
        command.set_defaults(plot=None)
    command.add_argument(
        "--quick", action="store_true", help="as little as shows that it works; the figures mean little"
    )


if __name__ == "__main__":
    sys.exit(main())
