"""``scripts/endure``: two daemons, texts both ways, and all that can go wrong meanwhile; exits 1 if any of it shows.

scripts/endure                            10,000 texts each way, 30 kills and the rest: some minutes
scripts/endure --quick                    as the tests run it
scripts/endure --seed 7                   another schedule; the same seed is the same one

It prints what it does when it does it, and a verdict. No process and no file stays, but for files where it is killed
itself.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from p2pchat.cli.sandbox import Interrupted, Sandbox, in_sandbox
from tests.endure.run import Report, endure
from tests.endure.schedule import QUICK, Scale
from tests.endure.verdict import table
from tests.endure.world import Fallen


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="endure", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--messages", type=int, help="in each direction (10000)")
    parser.add_argument("--kills", type=int, help="of both daemons together (30)")
    parser.add_argument("--quick", action="store_true", help="600 messages, 4 kills, seconds instead of minutes")
    asked = parser.parse_args()
    given = {name: value for name in ("messages", "kills") if (value := getattr(asked, name)) is not None}
    scale = replace(QUICK if asked.quick else Scale(), **given)

    def work(sandbox: Sandbox) -> Report:
        return endure(sandbox.open(), asked.seed, scale, lambda line: print(line, flush=True))

    try:
        report = in_sandbox("p2pchat-endure-", work)
    except Interrupted as interrupted:
        return interrupted.exit_status
    except (AssertionError, Fallen) as failure:  # it cannot go on, and nothing can be counted
        print(f"NOT GOOD: {failure}")
        return 1
    print(*described(report), sep="\n")
    return 0 if report.good else 1


def described(report: Report) -> list[str]:
    """The verdict and what belongs to it, for a person."""
    return [
        "",
        *table(report.checks),
        "",
        *(f"{name}: {fact}" for name, fact in report.facts.items()),
        *(f"skipped: {each}" for each in report.skipped),
        *(f"DID NOT HAPPEN: {each}" for each in report.missing),
        "good" if report.good else "NOT GOOD",
    ]


if __name__ == "__main__":
    sys.exit(main())
