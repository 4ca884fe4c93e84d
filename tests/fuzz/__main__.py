"""``scripts/fuzz``: junk for a real daemon, by hand. Prints a table and exits 1 on any finding.

scripts/fuzz                              every target, 10^5 inputs each
scripts/fuzz --target kad --count 1000    one of them, shorter
scripts/fuzz --target kad --seed 7 --start 4321 --count 1    one input again
scripts/fuzz requests --count 1000000     requests for the server and the methods in one process
scripts/fuzz decoders --help              junk for decoders instead, guided by coverage
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

import trio

from p2pchat.net.quiet import quiet_library_logs
from tests.fuzz import requests
from tests.fuzz.campaign import TARGETS, Report, run
from tests.fuzz.daemon import pair
from tests.fuzz.decoders import __main__ as decoders

_SHOWN_BYTES = 2_000


def main() -> int:
    """The entry point; the exit status."""
    if sys.argv[1:2] == ["decoders"]:
        return decoders.main(sys.argv[2:])
    if sys.argv[1:2] == ["requests"]:
        return requests.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="default: all, one after the other")
    parser.add_argument("--count", type=int, default=100_000, help="inputs for each target (default: 100000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="the number of the first input")
    asked = parser.parse_args()
    quiet_library_logs()
    failed = False
    for target in asked.target or list(TARGETS):
        with tempfile.TemporaryDirectory(prefix="p2pchat-fuzz-") as folder, pair(Path(folder)) as daemons:
            begin = partial(run, daemons, target, seed=asked.seed, start=asked.start, count=asked.count)
            report = trio.run(begin, strict_exception_groups=True)
        print(described(report), flush=True)
        failed = failed or bool(report.feed.findings)
    return 1 if failed else 0


def described(report: Report) -> str:
    """What became of a target, for a person; what is needed to see a finding again."""
    feed, before, after = report.feed, report.before, report.after
    inputs = feed.taken
    lines = [
        f"{report.target}: {'FAILED' if feed.findings else 'ok'}",
        f"  inputs    {inputs} in {report.seconds:.0f} s, {inputs / max(report.seconds, 0.001):.0f}/s"
        + (f", and {feed.asked} junk answers to what the daemon asked" if feed.asked else ""),
        f"  became    {_counted(feed.outcomes)}",
        f"  logged    {_counted(report.logged)}",
        f"  memory    {before.rss_kib / 1024:.1f} MiB after the warm-up, {after.rss_kib / 1024:.1f} at the end",
        f"  files     {before.descriptors}, {after.descriptors}; threads {before.threads}, {after.threads}",
        f"  friend    {len(report.latencies_ms)} texts, delivered in {statistics.median(report.latencies_ms):.0f} ms"
        f" (half), {max(report.latencies_ms):.0f} ms (the slowest)",
    ]
    if feed.findings:
        lines += [f"  FOUND     {finding}" for finding in feed.findings]
        lines.append(f"  again     --target {report.target} --seed {feed.seed} --start N --count 1, with N of:")
        lines += [f"  {each.index}: {each.data[:_SHOWN_BYTES].hex()}" for each in feed.suspects()]
    return "\n".join(lines)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items(), key=lambda row: -row[1])) or "nothing"


if __name__ == "__main__":
    sys.exit(main())
