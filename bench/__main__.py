"""Measure this machine: ``scripts/bench WHAT [--runs N] [--json FILE] [--compare OLD.json] [--plot FILE.png]``.

WHAT is away, basics, control, crypto, delivery, discovery, history, import, mailbox, memory, retention, start or
websocket, or all, which is one after the other of those that :data:`_ALL` names. ``--quick`` does as little as shows
that it works.

``scripts/bench simulation [--walks N] [--plot FILE.png] [--quick]`` needs no quiet machine: its figures are the same
everywhere.

It is a measurement: a bar that is missed is said, and the exit status is 0. However it ends no process and no file
stays, but for what was asked for.
"""

from __future__ import annotations

import argparse
import json
import sys
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
    budget,
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
from bench.measure import Sample, Samples
from bench.report import Metric, aligned, document, machine, table
from chaos.plot import Unavailable
from p2pchat.base.errors import P2PChatError
from p2pchat.cli.sandbox import Interrupted, Sandbox, in_sandbox

Measure = Callable[[Sandbox, Path, int, bool, Samples], None]
"""(sandbox, its folder, runs, quick, where values go)."""


@dataclass(frozen=True, slots=True)
class _What:
    """A measure.

    Args:
        runs: how many values of each figure it takes where nobody says.
        curves: what ``--plot`` draws.
    """

    help: str
    run: Measure
    metrics: Sequence[Metric]
    runs: int = 5
    curves: Sequence[plot.Curve] = ()


def _basics(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    basics.run(sandbox, folder, runs, basics.QUICK if quick else basics.Scale(), samples)


def _discovery(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    discovery.run(sandbox, folder, runs, discovery.QUICK if quick else discovery.Scale(), samples)


_WHAT: Final[dict[str, _What]] = {
    "away": _What(
        "messages to somebody who is gone, held by two nodes, until they are back", away.run, away.METRICS, runs=3
    ),
    "basics": _What("commands, messages, match", _basics, basics.METRICS),
    "control": _What("calls, events and commands by the socket, beside 2,000 clients", control.run, control.METRICS),
    "crypto": _What("messages sealed and opened, sessions made, sizes; no network", crypto.run, crypto.METRICS),
    "delivery": _What(
        "texts between two daemons: throughput, latency, CPU", delivery.run, delivery.METRICS, curves=delivery.CURVES
    ),
    "discovery": _What(
        "walks, pushes, match and mass death in a network of 50 nodes", _discovery, discovery.METRICS, runs=3
    ),
    "history": _What("pages, searches, starts and sends with a million messages", history.run, history.METRICS, runs=1),
    "import": _What("an address book of 500 people: CPU, memory, latency", book.run, book.METRICS, runs=1),
    "mailbox": _What("a node that holds boxes for a thousand owners", mailbox.run, mailbox.METRICS, runs=3),
    "memory": _What("memory and idle CPU, alone and with fifty people; weight of modules", memory.run, memory.METRICS),
    "retention": _What("a million events go from the log; the store alone", retention.run, retention.METRICS, runs=3),
    "start": _What(
        "starts, warm and cold, by history, with a passphrase", start.run, start.METRICS, curves=start.CURVES
    ),
    "websocket": _What("connections by WebSocket beside plain ones; no disk", websocket.run, websocket.METRICS),
}
_ALL: Final = (
    "crypto",
    "start",
    "memory",
    "basics",
    "control",
    "delivery",
    "mailbox",
    "discovery",
    "retention",
    "websocket",
)
"""Those of less than half an hour."""

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
        old = compare.read(arguments.compare) if arguments.compare else None
        if arguments.plot:
            plot.check()
    except (compare.Unreadable, Unavailable) as error:
        print(error, file=sys.stderr)
        return 64 if isinstance(error, compare.Unreadable) else 69
    if arguments.what == "simulation":
        sizes = simulation.SIZES[:1] if arguments.quick else simulation.SIZES
        return _simulate(arguments.walks, sizes, arguments.plot)
    return _measure(arguments, old)


def _measure(arguments: argparse.Namespace, old: Mapping[str, compare.Figures] | None) -> int:
    names = _ALL if arguments.what == "all" else (arguments.what,)
    documents: dict[str, dict[str, object]] = {}
    drawn: list[plot.Drawn] = []
    for name in names:
        what, samples, told = _WHAT[name], Samples(), machine()
        run = partial(history.run, messages=arguments.messages) if name == "history" else what.run
        try:
            in_sandbox("p2pchat-bench-", partial(_work, run, arguments.runs or what.runs, arguments.quick, samples))
        except Interrupted as interrupted:
            return interrupted.exit_status
        except P2PChatError as error:
            print(f"{error.error_name}: {error.message}", file=sys.stderr)
            return 1
        before = told()
        title = [name] if len(names) > 1 else []
        facts = ", ".join(f"{key} {value}" for key, value in before.items())
        print(*title, facts, *table(what.metrics, samples), *([""] if title else []), sep="\n", flush=True)
        documents[name] = document(what.metrics, samples, before)
        drawn += [curve.drawn(samples) for curve in what.curves]
        _write(arguments.json, documents, one=len(names) == 1)  # what is measured is kept, whatever comes of the rest
    if old is not None:
        new = compare.parsed(msgspec.json.encode(_whole(documents, one=len(names) == 1)))
        print("", *compare.lines(old, new), sep="\n")
    if arguments.plot:
        plot.draw(drawn, arguments.plot)
    return 0


def _work(run: Measure, runs: int, quick: bool, samples: Samples, sandbox: Sandbox) -> None:
    run(sandbox, sandbox.open(), runs, quick, samples)


def _whole(documents: dict[str, dict[str, object]], *, one: bool) -> dict[str, object]:
    """Of one measure its own, of all of them by name."""
    return next(iter(documents.values())) if one else {"measures": documents}


def _write(file: Path | None, documents: dict[str, dict[str, object]], *, one: bool) -> None:
    if file is not None:
        file.write_text(json.dumps(_whole(documents, one=one), indent=1) + "\n", encoding="utf-8")


def _simulate(walks: int, sizes: Sequence[int], picture: Path | None) -> int:
    rows = [simulation.measure(nodes, dead, walks) for nodes in sizes for dead in simulation.DEAD]
    print(*aligned([simulation.HEADINGS, *(row.cells() for row in rows)]), "", sep="\n")
    print(*aligned(budget.table([row for row in rows if not row.dead])), sep="\n")
    if picture:
        plot.draw([_cost(rows, dead) for dead in simulation.DEAD], picture)
    return 0


def _cost(rows: Sequence[simulation.Row], dead: float) -> plot.Drawn:
    points = [(row.nodes, Sample([each.requests for each in row.outcomes])) for row in rows if row.dead == dead]
    return plot.Drawn(f"a walk where {dead:.0%} are dead", "nodes", "requests", tuple(points))


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
        _measured(command, str(what.runs), plots=bool(what.curves))
        if name == "history":
            many = "in the larger profile (1,000,000)"
            command.add_argument("--messages", type=_at_least_one, default=history.MANY, metavar="N", help=many)
    command = subparsers.add_parser("all", help=f"{', '.join(_ALL)}: one after the other, in one file")
    _measured(command, "what each has", plots=True)
    command = subparsers.add_parser("simulation", help="the lookup machine in networks of up to 100,000 nodes; budgets")
    command.add_argument("--walks", type=_at_least_one, default=1000, metavar="N", help="in each network (1000)")
    command.add_argument("--quick", action="store_true", help="1,000 nodes only")
    command.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the cost by the size of the network")
    command.set_defaults(compare=None)
    return parser


def _measured(command: argparse.ArgumentParser, runs: str, *, plots: bool) -> None:
    command.add_argument("--runs", type=_at_least_one, metavar="N", help=f"values of each figure ({runs})")
    command.add_argument("--json", type=Path, metavar="FILE", help="write every value there, too")
    command.add_argument("--compare", type=Path, metavar="OLD.json", help="say what has changed since those figures")
    if plots:
        command.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the curves; needs matplotlib")
    else:
        command.set_defaults(plot=None)
    command.add_argument(
        "--quick", action="store_true", help="as little as shows that it works; the figures mean little"
    )


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
