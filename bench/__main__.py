"""Measure this machine: ``scripts/bench WHAT [--runs N] [--json FILE] [--quick]``; WHAT is basics, control, crypto,
delivery, discovery, history, import, mailbox, retention or websocket.

``scripts/bench simulation [--walks N] [--quick]`` needs no quiet machine: its figures are the same everywhere.

It is a measurement: a bar that is missed is said, and the exit status is 0. However it ends no process and no file
stays, but for FILE.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench import (
    away,
    basics,
    book,
    budget,
    control,
    crowd,
    crypto,
    delivery,
    discovery,
    flood,
    held,
    history,
    mailbox,
    reach,
    retention,
    simulation,
    sybils,
    websocket,
)
from bench.measure import Samples
from bench.report import Metric, document, machine, table
from p2pchat.base.errors import P2PChatError
from p2pchat.cli.sandbox import Interrupted, Sandbox, in_sandbox

Measure = Callable[[Sandbox, Path, int, bool, Samples], None]
"""(sandbox, its folder, runs, quick, where values go)."""

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
    if arguments.measure is None:
        return _simulate(arguments.walks, simulation.SIZES[:1] if arguments.quick else simulation.SIZES)
    return _measure(arguments)


def _measure(arguments: argparse.Namespace) -> int:
    metrics: Sequence[Metric] = arguments.metrics
    measure: Measure = arguments.measure
    if "messages" in arguments:
        measure = partial(arguments.measure, messages=arguments.messages)
    samples, told = Samples(), machine()

    def work(sandbox: Sandbox) -> None:
        measure(sandbox, sandbox.open(), arguments.runs, arguments.quick, samples)

    try:
        in_sandbox("p2pchat-bench-", work)
    except Interrupted as interrupted:
        return interrupted.exit_status
    except P2PChatError as error:
        print(f"{error.error_name}: {error.message}", file=sys.stderr)
        return 1
    before = told()
    print(", ".join(f"{name} {value}" for name, value in before.items()), *table(metrics, samples), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(document(metrics, samples, before), indent=1) + "\n", encoding="utf-8")
    return 0


def _basics(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    basics.run(sandbox, folder, runs, basics.QUICK if quick else basics.Scale(), samples)


def _discovery(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    discovery.run(sandbox, folder, runs, discovery.QUICK if quick else discovery.Scale(), samples)


def _simulate(walks: int, sizes: Sequence[int]) -> int:
    rows = [simulation.measure(nodes, dead, walks) for nodes in sizes for dead in simulation.DEAD]
    print(*simulation.aligned([simulation.HEADINGS, *(row.cells() for row in rows)]), "", sep="\n")
    print(*simulation.aligned(budget.table([row for row in rows if not row.dead])), sep="\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench", description="Measure p2pchat on this machine, beside its raw limits."
    )
    what = parser.add_subparsers(required=True, metavar="WHAT")
    what.add_parser("sybils", help="what is found although all nodes nearest to a loc lie; has options of its own")
    what.add_parser("held", help="loading what a node keeps for others; has options of its own")
    what.add_parser("crowd", help="100 peers talk to one node for ten minutes; has options of its own")
    what.add_parser("flood", help="a peer floods, another one talks; has options of its own")
    what.add_parser("reach", help="who reaches whom in test networks, how fast; root; has options of its own")
    command = what.add_parser("away", help="messages to somebody who is gone, held by two nodes, until they are back")
    _measured(command, away.run, away.METRICS, runs=3)
    command = what.add_parser("basics", help="start, memory, idle CPU, commands, messages, match")
    _measured(command, _basics, basics.METRICS, runs=5)
    command = what.add_parser(
        "control", help="calls, events and commands by the socket, alone and beside 2,000 clients"
    )
    _measured(command, control.run, control.METRICS, runs=5)
    command = what.add_parser("crypto", help="messages sealed and opened, sessions made, sizes; no network, no disk")
    _measured(command, crypto.run, crypto.METRICS, runs=5)
    command = what.add_parser("delivery", help="texts between two daemons: throughput, latency, CPU")
    _measured(command, delivery.run, delivery.METRICS, runs=5)
    command = what.add_parser("discovery", help="walks, pushes, match and mass death in a network of 50 nodes")
    _measured(command, _discovery, discovery.METRICS, runs=3)
    command = what.add_parser("history", help="pages, searches, starts and sends with a million messages")
    _measured(command, history.run, history.METRICS, runs=1)
    command.add_argument(
        "--messages", type=_at_least_one, default=history.MANY, metavar="N", help="in the larger profile (1,000,000)"
    )
    command = what.add_parser("import", help="an address book of 500 people: CPU, memory, latency meanwhile")
    _measured(command, book.run, book.METRICS, runs=1)
    command = what.add_parser("mailbox", help="a node that holds boxes for a thousand owners")
    _measured(command, mailbox.run, mailbox.METRICS, runs=3)
    command = what.add_parser("retention", help="a million events go from the log; the store alone")
    _measured(command, retention.run, retention.METRICS, runs=3)
    command = what.add_parser("websocket", help="connections by WebSocket beside plain ones; no disk")
    _measured(command, websocket.run, websocket.METRICS, runs=5)
    command = what.add_parser("simulation", help="the lookup machine in networks of up to 100,000 nodes; budgets")
    command.add_argument("--walks", type=_at_least_one, default=1000, metavar="N", help="in each network (1000)")
    command.add_argument("--quick", action="store_true", help="1,000 nodes only")
    command.set_defaults(measure=None)
    return parser


def _measured(command: argparse.ArgumentParser, measure: Measure, metrics: Sequence[Metric], runs: int) -> None:
    command.add_argument(
        "--runs", type=_at_least_one, default=runs, metavar="N", help=f"values of each figure ({runs})"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write every value there, too")
    command.add_argument(
        "--quick", action="store_true", help="as little as shows that it works; the figures mean little"
    )
    command.set_defaults(measure=measure, metrics=metrics)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
