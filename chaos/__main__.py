"""``scripts/chaos``: real daemons talk while all that can go wrong does, strangers attack them, and nothing is lost.

    scripts/chaos --minutes 10 --seed 7            8 nodes; the same seed has the same plan, which is printed first
    scripts/chaos --minutes 360 --json F --plot P  for a night
    scripts/chaos --soak --minutes 120 --nodes 10  nothing goes wrong: what a node takes must not grow

Each node is a process with a home of its own, on loopback; the first two hold mailboxes for the others, one has a
passphrase, one stands on a small disk. They are killed, stopped, cut off, misdated, locked, moved to other ports, out
of space, slowed by their disks and damaged, then healed; what was accepted must then be at both ends, once and in
order. It needs no root.

PASS and exit status 0, or FAIL with the first violation and 1. No process and no file stays, but for FILE, DIR, and
the logs of a run that failed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from chaos import soak
from chaos.plot import Unavailable, draw, pyplot
from chaos.run import SEEN, Asked, Outcome, run
from chaos.verdict import table
from p2pchat.base.errors import P2PChatError
from p2pchat.cli.sandbox import Interrupted, Sandbox, in_sandbox

_LEAST_NODES = 3


def main() -> int:
    """The exit status."""
    asked = _parser().parse_args()
    if asked.plot is not None:
        try:
            pyplot()
        except Unavailable as reason:
            print(f"chaos: {reason}", file=sys.stderr)
            return 69
    shape = Asked(asked.minutes * 60, asked.seed, asked.nodes, asked.attackers, asked.per_second, asked.soak)
    try:
        outcome, kept = in_sandbox("p2pchat-chaos-", partial(_work, asked=shape, keep=asked.keep))
    except Interrupted as interrupted:
        return interrupted.exit_status
    figures = None if outcome is None else outcome.figures
    if outcome is not None:
        print("", *table(outcome.checks), "", *outcome.figures.lines(), sep="\n")
        if asked.soak:
            print(*soak.lines(outcome.figures.samples), sep="\n")
        document = json.dumps(outcome.figures.document(), indent=1) + "\n"
        if asked.json is not None:
            asked.json.write_text(document, encoding="utf-8")
        if kept is not None:
            (kept / "figures.json").write_text(document, encoding="utf-8")
        if asked.plot is not None:
            (soak.draw if asked.soak else draw)(outcome.figures, asked.plot)
    if kept is not None:
        print(f"the logs are in {kept}")
    if figures is not None and figures.first_wrong is None:
        print("PASS")
        return 0
    print("FAIL" if figures is None else f"FAIL: {figures.first_wrong}")
    return 1


def _work(sandbox: Sandbox, *, asked: Asked, keep: Path | None) -> tuple[Outcome | None, Path | None]:
    """The outcome, None where it could not go on; and where the logs are, if they are kept."""
    folder = sandbox.open()
    outcome: Outcome | None = None
    try:
        outcome = run(sandbox, folder, asked, lambda line: print(line, flush=True))
    except P2PChatError as error:
        print(f"it cannot go on: {error.error_name}: {error.message}")
    if outcome is None or outcome.figures.first_wrong is not None or keep is not None:
        return outcome, _keep(folder, keep)
    return outcome, None


def _keep(folder: Path, place: Path | None) -> Path:
    """Put what tells of the run there; in a new directory if none is given."""
    place = place or Path(tempfile.mkdtemp(prefix="p2pchat-failed-"))
    place.mkdir(parents=True, exist_ok=True)
    for path in [*folder.glob("*.log"), folder / SEEN]:
        if path.exists():
            shutil.copy(path, place)
    return place


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="how long things go wrong (10)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the plan and the texts (1)")
    parser.add_argument("--nodes", type=_nodes, default=8, metavar="N", help="3 at least (8)")
    parser.add_argument("--per-second", type=float, default=5.0, metavar="R", help="texts, of all together (5)")
    parser.add_argument("--attackers", action=argparse.BooleanOptionalAction, default=True, help="strangers that flood")
    parser.add_argument("--soak", action="store_true", help="let nothing go wrong, and look whether anything grows")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw latency and memory; needs matplotlib")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy the logs there, also of a run that went well")
    return parser


def _nodes(text: str) -> int:
    if not text.isdecimal() or not _LEAST_NODES <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"a number from {_LEAST_NODES} to 100")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
