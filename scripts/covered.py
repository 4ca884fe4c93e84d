"""``scripts/coverage``: how much of each layer the tests reach, in lines and in branches.

What counts are the suites that need no real process: a line that only a daemon on this machine reaches is looked at
only when one was started, and by ``kill -9`` not even then. ``--processes`` adds the tests of processes, whose daemons
report too when they end by themselves.

Exit status 1 where a layer is below the bar, a test fails or the report is lost; 2, before anything runs, for a wrong
option or a FILE that cannot be written; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bench.files import to_write

ROOT: Final = Path(__file__).resolve().parents[1]
BAR_PERCENT: Final = 95.0
LAYERS: Final = ("core", "services", "store", "control")
SUITES: Final = ("tests/unit", "tests/property", "tests/vectors", "tests/migrations", "tests/sim")
TWO_WORKERS: Final = ("-n", "2", "--dist", "worksteal", "-o", "faulthandler_timeout=3600")
ENDS_S: Final = 20.0
"""So long pytest has to end its workers after Ctrl-C."""


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="scripts/coverage", description=(__doc__ or "").partition("\n")[2])
    parser.add_argument("--processes", action="store_true", help="count tests/e2e too, which takes longer")
    parser.add_argument("--missing", action="store_true", help="name the lines and branches that no test reaches")
    parser.add_argument("--json", type=destination, metavar="FILE", help="write what coverage.py says of every file")
    options = parser.parse_args()
    os.chdir(ROOT)
    try:
        return measured(options)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def destination(text: str) -> Path:
    """Where the report shall go, from the folder where that was said: the tests run in the checkout's."""
    return to_write(text).absolute()


def measured(options: argparse.Namespace) -> int:
    """Run the tests and say what they reach; the exit status."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # who was interrupted may still be writing
        os.environ["COVERAGE_FILE"] = os.fspath(Path(folder) / "data")
        passed = run("run", "-m", "pytest", "-q", *TWO_WORKERS, *SUITES)
        if options.processes:
            passed = run("run", "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "tests/e2e") and passed
        report = Path(folder) / "report"
        if not (run("combine", "--quiet") and run("json", "--quiet", "-o", os.fspath(report))):
            return 1
        files = json.loads(report.read_text("utf-8"))["files"]
        if options.missing:
            print(*missing(files), sep="\n")
        lines, reached = table(files)
        print(*lines, sep="\n", flush=True)
        if options.json is not None:
            try:
                shutil.copyfile(report, options.json)
            except OSError as error:
                print(f"scripts/coverage: {options.json} cannot be written: {error.strerror}", file=sys.stderr)
                return 1
    if not passed:
        print("scripts/coverage: a test failed, so the figures are of what ran", file=sys.stderr)
    return int(not (passed and reached))


def run(*arguments: str) -> bool:
    """Whether coverage.py ended well."""
    with subprocess.Popen([sys.executable, "-m", "coverage", *arguments]) as child:  # noqa: S603
        try:
            return child.wait() == 0
        except KeyboardInterrupt:  # which the terminal has told the child, too
            with suppress(subprocess.TimeoutExpired):
                child.wait(ENDS_S)
            raise
        finally:
            child.terminate()


def table(files: dict[str, Any]) -> tuple[list[str], bool]:
    """A line for each layer, and whether all of them are at the bar or above it."""
    lines = [f"{'layer':<10}{'lines':>8}{'reached':>10}{'branches':>10}{'reached':>10}"]
    good = True
    for layer in LAYERS:
        sums = [each["summary"] for name, each in files.items() if f"p2pchat/{layer}/" in Path(name).as_posix()]
        total, reached, branches, taken = (
            sum(each[key] for each in sums)
            for key in ("num_statements", "covered_lines", "num_branches", "covered_branches")
        )
        of_lines, of_branches = percent(reached, total), percent(taken, branches)
        below = min(of_lines, of_branches) < BAR_PERCENT
        good = good and not below
        end = f"  below {BAR_PERCENT:.0f} %" if below else ""
        lines.append(f"{layer:<10}{total:>8}{of_lines:>8.1f} %{branches:>10}{of_branches:>8.1f} %{end}")
    return lines, good


def percent(part: int, whole: int) -> float:
    """Of nothing, nothing was reached: a layer that is not found is no success."""
    return 100 * part / whole if whole else 0.0


def missing(files: dict[str, Any]) -> Iterator[str]:
    """A line for each file in which something is not reached; a branch is (from, to), and a way out of it negative."""
    for name, each in sorted(files.items()):
        parts = list[str]()
        if each["missing_lines"]:
            parts.append("lines " + " ".join(map(str, each["missing_lines"])))
        if each["missing_branches"]:
            parts.append("branches " + " ".join(f"({start}, {end})" for start, end in each["missing_branches"]))
        if parts:
            yield f"{name}: {'; '.join(parts)}"


if __name__ == "__main__":
    sys.exit(main())
