"""Lets whole nodes live for days in a simulated network, and says of each seed whether all that is promised has come
to pass (docs/ARCHITECTURE.md, "Simulation"): ``scripts/simulate [--seeds 1-3] [--nodes N] [--days D]``.

Exit status 1 where a seed failed: what is wrong, how to see it again and what befell whom is told. 2 for a wrong
option, 130 after an interrupt.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from ctypes import CDLL
from functools import partial
from typing import Final

import structlog
import trio

from bench.arguments import positive
from p2pchat.testing.clock import JumpClock
from p2pchat.testing.kem import counted_kem
from p2pchat.testing.once import computed_once
from p2pchat.testing.schedule import fixed_schedule
from p2pchat.testing.upkeep import rare_upkeep
from simulate.bounds import small_mailboxes
from simulate.oracle import name_of
from simulate.plan import DAY_S, HOUR_S, Act, Scale, drawn
from simulate.planted import BUGS, Bug, planted
from simulate.run import Outcome, carry_out

_COMPLAINTS: Final = 20
_ACTS: Final = 40
_NODES_MAX: Final = 2_000
_DAYS_MAX: Final = 366.0
_FIRST_H: Final = 1.0
"""Until everybody has been there."""
_INTERRUPTED: Final = 130
_PR_SET_PDEATHSIG: Final = 1


def main() -> int:
    """The exit status."""
    parser = _parser()
    asked = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of the seed
        os.execve(  # noqa: S606  our own interpreter
            sys.executable, [sys.executable, "-m", "simulate", *sys.argv[1:]], os.environ | {"PYTHONHASHSEED": "0"}
        )
    first, _, last = asked.seeds.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal() and int(first) <= int(last or first)):
        parser.error("--seeds takes a number, or two as 1-3")
    if not 2 <= asked.nodes <= _NODES_MAX or asked.jobs < 1:
        parser.error(f"--nodes is 2 to {_NODES_MAX}, and --jobs 1 at least")
    hours = asked.days * DAY_S / HOUR_S
    if asked.days > _DAYS_MAX or asked.settle_hours > hours - _FIRST_H:
        parser.error(f"--days is at most {_DAYS_MAX:g}, and an hour longer than --settle-hours at least")
    seeds = range(int(first), int(last or first) + 1)
    scale = Scale(asked.nodes, asked.days, settle_s=asked.settle_hours * HOUR_S)
    one = partial(_timed, scale=scale, bug=asked.plant, verbose=asked.verbose)
    each: Iterator[tuple[Outcome, float]] = map(one, seeds)
    if asked.jobs > 1:
        each = ProcessPoolExecutor(asked.jobs, initializer=_end_with, initargs=(os.getpid(),)).map(one, seeds)
    bad, done, took_s = 0, 0, 0.0

    def summed_up() -> str:
        so_far = f"{done} of {len(seeds)}" if done < len(seeds) else f"{done}"
        return f"{so_far} seeds of {scale.nodes} nodes and {scale.days:g} days, {bad} failed, {took_s:.0f} s of a core"

    try:
        for seed, (outcome, seconds) in zip(seeds, each, strict=True):
            bad += bool(outcome.complaints)
            took_s += seconds
            done += 1
            print(_line(seed, outcome, seconds), flush=True)
            if outcome.complaints:
                print(*_story(seed, scale, asked.plant, outcome), sep="\n  ", flush=True)
    except* KeyboardInterrupt:
        print(summed_up(), flush=True)
        os._exit(_INTERRUPTED)  # a pool would wait for its seeds; its processes end with this one
    print(summed_up())
    return int(bad > 0)


def _parser() -> argparse.ArgumentParser:
    usual = Scale()
    parser = argparse.ArgumentParser(
        prog="simulate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="1-3", metavar="A-B", help="one, or from one to another (%(default)s)")
    parser.add_argument("--nodes", type=int, default=usual.nodes, metavar="N", help="people (%(default)s)")
    parser.add_argument("--days", type=positive, default=usual.days, metavar="D", help="in all (%(default)s)")
    parser.add_argument(
        "--settle-hours",
        type=positive,
        default=usual.settle_s / HOUR_S,
        metavar="H",
        help="for which all are there in the end (%(default)s)",
    )
    parser.add_argument("--plant", choices=BUGS, help="a bug that is to be found")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="seeds at the same time (%(default)s)")
    parser.add_argument("--verbose", action="store_true", help="a line each half a day")
    return parser


def _end_with(parent: int) -> None:
    """What a process of a pool begins with: however its parent ends, so does it, and an interrupt is the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # it ended before the kernel was asked


def simulate(seed: int, scale: Scale, *, bug: Bug | None = None, verbose: bool = False) -> Outcome:
    """One run.

    Concurrency: it is the same whenever it is repeated with PYTHONHASHSEED=0; else it is as good, and another.
    """
    plan = drawn(seed, scale)

    def say(what: str) -> None:
        if verbose:
            print(f"  {what}, {time.process_time():.0f} s", flush=True)

    async def work() -> Outcome:
        return await carry_out(plan, seed, say=say)

    with _quiet(), fixed_schedule(seed), counted_kem(), computed_once(), rare_upkeep(), small_mailboxes(), planted(bug):
        return trio.run(work, clock=JumpClock())


@contextmanager
def _quiet() -> Generator[None]:
    """Without the logs of all nodes, and with few looks for cycles: among many nodes they cost a tenth of all."""
    before, thresholds = structlog.get_config(), gc.get_threshold()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.set_threshold(100_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        structlog.configure(**before)


def _timed(seed: int, scale: Scale, bug: Bug | None, *, verbose: bool) -> tuple[Outcome, float]:
    """The outcome, and for how many seconds a core was busy."""
    began = time.process_time()
    outcome = simulate(seed, scale, bug=bug, verbose=verbose)
    return outcome, time.process_time() - began


def _line(seed: int, outcome: Outcome, seconds: float) -> str:
    verdict = "FAIL" if outcome.complaints else "pass"
    return (
        f"seed {seed}: {verdict}, {outcome.days:.1f} days, {outcome.accepted:,} texts, {outcome.arrived:,} arrived, "
        f"{outcome.excused:,} excused, {outcome.acts['kill']:,} kills, {outcome.acts['down']:,} departures, "
        f"{outcome.digest}, {seconds:.0f} s"
    )


def _story(seed: int, scale: Scale, bug: Bug | None, outcome: Outcome) -> list[str]:
    """What is wrong, how to see it again, and what befell the people of the first complaint before it."""
    plan, complaints = drawn(seed, scale), outcome.complaints[:_COMPLAINTS]
    concerned = {int(each) for each in re.findall(r"\bp(\d{3,})\b", complaints[0])}
    acts = [
        each
        for each in plan.acts
        if each.at_s <= outcome.days * DAY_S and (each.who in concerned or each.other in concerned)
    ]
    again = f"scripts/simulate --seeds {seed} --nodes {scale.nodes} --days {scale.days:g}"
    again += f" --settle-hours {scale.settle_s / HOUR_S:g}" + (f" --plant {bug}" if bug else "")
    people = [
        f"{name_of(who)}: clock wrong by {plan.skews[who]:.0f} s, "
        + (f"always there, offers {plan.staying[who]:,} bytes" if who in plan.staying else "comes and goes")
        for who in sorted(concerned)
    ]
    return [again, *complaints, *people, *[_told(each) for each in acts[-_ACTS:]]]


def _told(act: Act) -> str:
    other = f" {name_of(act.other)}" if act.other >= 0 else ""
    return f"day {act.at_s / DAY_S:.4f}: {act.kind} {name_of(act.who)}{other}" + (
        f" {act.value:.1f} s" if act.value else ""
    )


if __name__ == "__main__":
    sys.exit(main())
