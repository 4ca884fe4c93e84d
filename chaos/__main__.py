"""``scripts/chaos``: real daemons talk while all that can go wrong does, strangers attack them, and nothing is lost.

    scripts/chaos --minutes 10 --seed 7            8 nodes; the same seed has the same plan, which is printed first
    scripts/chaos --minutes 360 --json F --plot P  for a night
    scripts/chaos --soak --minutes 120 --nodes 10  nothing goes wrong: what a node takes must not grow

Each node is a process with a home of its own, on loopback; the first two hold mailboxes for the others, one has a
passphrase, one stands on a small disk. They are killed, stopped, cut off, misdated, locked, moved to other ports, out
of space, slowed by their disks and damaged, then healed; what was accepted must then be at both ends, once and in
order. It needs no root.

PASS and exit status 0, or FAIL with the first violation and 1. Before anything starts: 2, a wrong option; 64, FILE or
DIR cannot be written; 69, there is nothing to draw with. 74: PASS, but FILE could not be written in the end. No process
and no file stays, but for FILE, DIR, and the logs of a run that failed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from bench.files import picture, unwritable
from chaos import soak
from chaos.figures import Figures
from chaos.plot import Unavailable, draw, pyplot
from chaos.run import SEEN, Asked, Outcome, run
from chaos.verdict import table
from p2pchat.base.errors import P2PChatError
from p2pchat.cli.sandbox import Interrupted, Sandbox, in_sandbox

EX_USAGE: Final = 64
EX_UNAVAILABLE: Final = 69
EX_IOERR: Final = 74
_LEAST_NODES: Final = 3
_MOST_MINUTES: Final = 7 * 24 * 60
_MOST_PER_SECOND: Final = 1_000


def main() -> int:
    """The exit status."""
    asked = _parser().parse_args()
    if asked.plot is not None:
        try:
            pyplot()
        except Unavailable as reason:
            return _refused(f"{reason}", EX_UNAVAILABLE)
    if wrong := unwritable(asked.json, asked.plot) or _unmade(asked.keep):
        return _refused(wrong, EX_USAGE)
    shape = Asked(asked.minutes * 60, asked.seed, asked.nodes, asked.attackers, asked.per_second, asked.soak)
    try:
        outcome, kept = in_sandbox("p2pchat-chaos-", partial(_work, asked=shape, keep=asked.keep))
    except Interrupted as interrupted:
        return interrupted.exit_status
    try:
        status = _tell(outcome, kept, is_soak=asked.soak)
        is_written = outcome is None or _write(outcome.figures, asked, kept)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return status if is_written else status or EX_IOERR


def _refused(sentence: str, status: int) -> int:
    print(f"chaos: {sentence}", file=sys.stderr)
    return status


def _unmade(folder: Path | None) -> str | None:
    """Make the folder for the logs, if there shall be one; a sentence where that cannot be."""
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{folder} cannot be made: {error.strerror}."
    return None if os.access(folder, os.W_OK | os.X_OK) else f"Nothing can be written into {folder}."


def _tell(outcome: Outcome | None, kept: Path | None, *, is_soak: bool) -> int:
    """Print what came of it, the verdict last; the exit status."""
    wrong = None
    if outcome is not None:
        print("", *table(outcome.checks), "", *outcome.figures.lines(), sep="\n")
        if is_soak:
            print(*soak.lines(outcome.figures.samples), sep="\n")
        wrong = outcome.figures.first_wrong
    if kept is not None:
        print(f"the logs are in {kept}")
    if outcome is not None and wrong is None:
        print("PASS", flush=True)
        return 0
    print("FAIL" if wrong is None else f"FAIL: {wrong}", flush=True)
    return 1


def _write(figures: Figures, asked: argparse.Namespace, kept: Path | None) -> bool:
    """Write figures and picture, each whatever comes of the others; whether all could be."""
    document = json.dumps(figures.document(), indent=1) + "\n"
    writes: list[tuple[Path | None, Callable[[Path], object]]] = [
        (asked.json, lambda file: file.write_text(document, encoding="utf-8")),
        (kept and kept / "figures.json", lambda file: file.write_text(document, encoding="utf-8")),
        (asked.plot, partial(soak.draw if asked.soak else draw, figures)),
    ]
    is_written = True
    for file, write in writes:
        try:
            if file is not None:
                write(file)
        except OSError as error:
            print(f"chaos: {file} cannot be written: {error.strerror}.", file=sys.stderr)
            is_written = False
    return is_written


def _work(sandbox: Sandbox, *, asked: Asked, keep: Path | None) -> tuple[Outcome | None, Path | None]:
    """The outcome, None where it could not go on; and where the logs are, if they are kept."""
    folder = sandbox.open()
    outcome: Outcome | None = None
    try:
        outcome = run(sandbox, folder, asked, lambda line: print(line, flush=True))
    except P2PChatError as error:
        print(f"it cannot go on: {error.error_name}: {error.message}")
    except Exception:  # a defect of ours: what led to it stands in the logs
        traceback.print_exc()
    if outcome is None or outcome.figures.first_wrong is not None or keep is not None:
        return outcome, _keep(folder, keep)
    return outcome, None


def _keep(folder: Path, place: Path | None) -> Path | None:
    """Put what tells of the run there; in a new directory if none is given."""
    try:
        place = place or Path(tempfile.mkdtemp(prefix="p2pchat-failed-"))
        for path in [*folder.glob("*.log"), folder / SEEN]:
            if path.exists():
                shutil.copy(path, place)
    except OSError as error:  # the verdict is worth more
        print(f"chaos: the logs cannot be kept: {error.strerror}.", file=sys.stderr)
    return place


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=_minutes, default=10.0, metavar="M", help="how long things go wrong (10)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the plan and the texts (1)")
    parser.add_argument("--nodes", type=_nodes, default=8, metavar="N", help="3 at least (8)")
    parser.add_argument(
        "--per-second", type=_rate, default=5.0, metavar="R", help="texts, of all together (5); 0: trouble alone"
    )
    parser.add_argument("--attackers", action=argparse.BooleanOptionalAction, default=True, help="strangers that flood")
    parser.add_argument("--soak", action="store_true", help="let nothing go wrong, and look whether anything grows")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    parser.add_argument("--plot", type=picture, metavar="FILE.png", help="draw latency and memory; needs matplotlib")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy the logs there, also of a run that went well")
    return parser


def _nodes(text: str) -> int:
    if not text.isdecimal() or not _LEAST_NODES <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"a number from {_LEAST_NODES} to 100")
    return int(text)


def _minutes(text: str) -> float:
    if not 0 < (value := _number(text)) <= _MOST_MINUTES:
        raise argparse.ArgumentTypeError(f"a number above 0, {_MOST_MINUTES:,} at most, which is a week")
    return value


def _rate(text: str) -> float:
    if not 0 <= (value := _number(text)) <= _MOST_PER_SECOND:
        raise argparse.ArgumentTypeError(f"a number from 0 to {_MOST_PER_SECOND:,}")
    return value


def _number(text: str) -> float:
    """What is none is in no range."""
    try:
        return float(text)
    except ValueError:
        return math.nan


if __name__ == "__main__":
    sys.exit(main())
