"""``scripts/mutants [SUBJECT…]``: change the core in every small way, and see whether its tests notice.

scripts/mutants                           every subject, one after the other
scripts/mutants ratchet --only encrypt    the changes whose name holds "encrypt"
scripts/mutants --list                    which changes there are

A change that no test notices *survives*: it lacks a test, or changes nothing that matters, and then stands in
tests/mutation/survivors.toml with the reason. Exits 1 where one survives without a reason, or a reason is for a line
that is no longer there. It runs at the lowest priority in one process after the other.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.subjects import SUBJECTS, Subject
from tests.mutation.trial import CannotRun, attempt, cpu_s, prepare

ROOT: Final = Path(__file__).parents[2]
SURVIVORS: Final = Path(__file__).with_name("survivors.toml")
_LEAST_LIMIT_S: Final = 10.0


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)}; default: all")
    parser.add_argument("--only", default="", metavar="TEXT", help="those whose name holds it")
    parser.add_argument("--list", action="store_true", help="name them and run nothing")
    asked = parser.parse_args()
    unknown = [name for name in asked.subjects if name not in SUBJECTS]
    if unknown:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(SUBJECTS)}")
    chosen = [SUBJECTS[name] for name in asked.subjects or SUBJECTS]
    if asked.list:
        for subject in chosen:
            _, mutants = found(subject)
            print(*(f"{subject.name}:{mutant.line} {mutant.name}" for mutant in mutants), sep="\n")
        return 0
    os.nice(19)
    os.chdir(ROOT)
    prepare()
    try:
        return max([_try(subject, asked.only) for subject in chosen])
    except CannotRun as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2


def found(subject: Subject) -> tuple[ast.Module, list[Mutant]]:
    """A tree of the subject's module, and the changes that can be made in it."""
    tree = ast.parse((ROOT / subject.file).read_text(encoding="utf-8"))
    return tree, mutants_of(tree)


def explained() -> Mapping[str, Mapping[str, str]]:
    """What may survive: of each subject, names of mutants with the reason."""
    tables = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))
    return {name: {row["mutant"]: row["why"] for row in rows} for name, rows in tables.items()}


def _try(subject: Subject, only: str) -> int:
    began, outcomes = time.monotonic(), Counter[str]()
    tests = [str(ROOT / test) for test in subject.tests]
    limit_s = max(_LEAST_LIMIT_S, 5 * cpu_s(tests))
    reasons = explained().get(subject.name, {})
    tree, mutants = found(subject)
    for mutant in _holding(mutants, only):
        outcome: str = attempt(subject.module, ROOT / subject.file, tree, mutant, tests, limit_s)
        if outcome == "survived" and mutant.name in reasons:
            outcome = "explained"
        if outcome == "survived":
            print(f"{subject.file}:{mutant.line} survives: {mutant.name}", flush=True)
        outcomes[outcome] += 1
    stale = [] if only else sorted(reasons.keys() - {mutant.name for mutant in mutants})
    print(*(f"{subject.file} has no such line: {name}" for name in stale), sep="\n", end="\n" if stale else "")
    print(f"{subject.name}: {_told(outcomes)}, in {time.monotonic() - began:.0f} s", flush=True)
    return 1 if outcomes["survived"] or stale else 0


def _holding(mutants: Iterable[Mutant], only: str) -> list[Mutant]:
    return [mutant for mutant in mutants if only in mutant.name]


def _told(outcomes: Counter[str]) -> str:
    killed = outcomes["killed"] + outcomes["timeout"]
    return (
        f"{outcomes.total()} mutants, {killed} killed ({outcomes['timeout']} by the time limit), "
        f"{outcomes['explained']} explained, {outcomes['survived']} survive"
    )


if __name__ == "__main__":
    sys.exit(main())
