"""``scripts/fuzz decoders [NAME…]``: every decoder under a coverage-guided fuzzer, one after the other.

scripts/fuzz decoders                          each of them, 10^6 inputs
scripts/fuzz decoders cert kad-reply --count 1000

An input may be refused with a declared error, and with nothing else; it has 10 s and the process 1 GiB. Exits 1 where
one fails, and prints it in hexadecimal. --keep takes the fewest inputs that reach as much into tests/fuzz/corpus.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.fuzz.decoders.corpus import keep, kept
from tests.fuzz.decoders.registry import MODULES, TARGETS
from tests.fuzz.decoders.target import Target

_ABSENT: Final = "atheris is not installed: .venv/bin/pip install --require-hashes -r requirements-fuzz.lock"
_INPUT_S: Final = 10
_MEMORY_MB: Final = 1_024
_STATISTIC: Final = re.compile(r"^stat::(\w+):\s+(\d+)$", re.MULTILINE)


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="fuzz decoders", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(TARGETS)}")
    parser.add_argument("--count", type=int, default=1_000_000, help="inputs for each (default: 1000000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="renew tests/fuzz/corpus")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.names if name not in TARGETS]
    if unknown:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(TARGETS)}")
    if find_spec("atheris") is None:
        print(_ABSENT, file=sys.stderr)
        return 2
    os.nice(19)
    failed = [
        target.name
        for target in map(TARGETS.__getitem__, asked.names or TARGETS)
        if not _fuzz(target, asked.count, asked.seed, keeps=asked.keep)
    ]
    return 1 if failed else 0


def _fuzz(target: Target, count: int, seed: int, *, keeps: bool) -> bool:
    """Whether every input was accepted or refused as declared."""
    with tempfile.TemporaryDirectory(prefix="p2pchat-fuzz-") as name:
        inputs, findings, scratch = (Path(name) / part for part in ("inputs", "findings", "scratch"))
        for folder in (inputs, findings, scratch):
            folder.mkdir()
        known = [*target.seeds(), *kept(target)]
        for number, data in enumerate(known):
            (inputs / f"known-{number}").write_bytes(data)
        began = time.monotonic()
        status, report = _guided(target, count, seed, inputs, f"{findings}/", scratch)
        spent_s = time.monotonic() - began
        found = [path.read_bytes() for path in sorted(findings.iterdir())]
        reached = [path.read_bytes() for path in sorted(inputs.iterdir())]
    statistics = dict(_STATISTIC.findall(report))
    tried, peak = statistics.get("number_of_executed_units", "?"), statistics.get("peak_rss_mb", "?")
    verdict = "FAILED" if status else "ok"
    print(f"{target.name}: {verdict}, {tried} inputs in {spent_s:.0f} s, {peak} MB at most", end="", flush=True)
    print(f", {keep(target, [*known, *reached])} kept" if keeps and not status else "", flush=True)
    for data in found:
        print(f"  FOUND {data.hex()}", flush=True)
    if status:
        print(report[-3_000:], flush=True)
    return status == 0


def _guided(target: Target, count: int, seed: int, inputs: Path, findings: str, scratch: Path) -> tuple[int, str]:
    """``scratch``: for its temporary files, since it ends without removing any."""
    options = [
        f"-runs={count}", f"-seed={seed}", f"-max_len={target.max_bytes}", f"-timeout={_INPUT_S}",
        f"-rss_limit_mb={_MEMORY_MB}", f"-artifact_prefix={findings}", "-print_final_stats=1", "-verbosity=0",
    ]  # fmt: skip
    command = [sys.executable, "-m", "tests.fuzz.decoders.guided", MODULES[target.name], target.name, *options]
    environment = os.environ | {"TMPDIR": str(scratch)}
    done = subprocess.run(
        [*command, str(inputs)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.returncode, done.stdout.decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
