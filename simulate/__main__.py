"""``scripts/simulate [--seeds 1-3] [--nodes N] [--days D] [--plant BUG]``: see the package."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

import structlog
import trio
from trio.testing import MockClock

from p2pchat.testing.schedule import fixed_schedule
from p2pchat.testing.upkeep import rare_upkeep
from simulate.plan import Scale, drawn
from simulate.run import Outcome, carry_out


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seeds", default="1-3", metavar="A-B")
    parser.add_argument("--nodes", type=int, default=40)
    parser.add_argument("--days", type=float, default=10.0)
    parser.add_argument("--verbose", action="store_true")
    asked = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of the seed
        os.execve(sys.executable, [sys.executable, "-m", "simulate", *sys.argv[1:]], os.environ | {"PYTHONHASHSEED": "0"})
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    first, _, last = asked.seeds.partition("-")
    bad = 0
    for seed in range(int(first), int(last or first) + 1):
        began = time.process_time()
        outcome = simulate(seed, Scale(asked.nodes, asked.days), verbose=asked.verbose)
        bad += bool(outcome.complaints)
        took = time.process_time() - began
        verdict = "FAIL" if outcome.complaints else "pass"
        print(
            f"seed {seed}: {verdict}, {outcome.days:.1f} days, {outcome.accepted:,} texts, {outcome.arrived:,} arrived, "
            f"{outcome.excused:,} excused, {dict(outcome.acts)}, {outcome.digest}, {took:.0f} s",
            *outcome.complaints[:20],
            sep="\n  ",
            flush=True,
        )
    return int(bad > 0)


def simulate(seed: int, scale: Scale, *, verbose: bool = False) -> Outcome:
    """One run."""
    plan = drawn(seed, scale)

    async def work() -> Outcome:
        return await carry_out(plan, seed, say=lambda what: print(f"  {what}, {time.process_time():.0f} s", flush=True) if verbose else None)

    with fixed_schedule(seed), rare_upkeep():
        return trio.run(work, clock=MockClock(autojump_threshold=0))


if __name__ == "__main__":
    sys.exit(main())
