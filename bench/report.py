"""Rows for people and for programs: value, spread, what the machine can do, the bar, and whether it is kept."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from bench.measure import Sample, Samples
from bench.procfs import ticks
from p2pchat.base.errors import P2PChatError
from p2pchat.cli.sandbox import Interrupted, Sandbox, in_sandbox


class Found(Protocol):
    """What a measurement has come to that is no table of metrics."""

    def lines(self) -> list[str]:
        """For people."""
        ...

    def figures(self) -> dict[str, object]:
        """For programs."""
        ...


_HEADINGS = ("", "median", "min – max", "raw limit of this run", "× raw", "bar", "")


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table.

    Args:
        name: under which its values were collected.
        title: what a person reads.
        beside: names of raw limits in the same unit, each with its title; a smaller run may leave some of them out.
        bar: what it must keep; None where there is none.
        goal: what it should come to beyond its bar; None where there is none.
        rising: more is better, so that the bar is a lower bound.
    """

    name: str
    title: str
    unit: str
    beside: tuple[tuple[str, str], ...] = ()
    bar: float | None = None
    goal: float | None = None
    rising: bool = False

    def verdict(self, sample: Sample) -> str:
        if self.bar is None:
            return ""
        if not self._keeps(sample, self.bar):
            return "MISSES"
        if self.goal is None:
            return "ok"
        return "ok, goal too" if self._keeps(sample, self.goal) else "ok, not the goal"

    def _keeps(self, sample: Sample, bound: float) -> bool:
        return sample.median >= bound if self.rising else sample.median < bound


def table(metrics: Sequence[Metric], samples: Samples) -> list[str]:
    """Aligned lines; further raw limits of a metric stand below the first."""
    rows: list[list[str]] = [list(_HEADINGS)]
    for metric in metrics:
        sample = samples[metric.name]
        sign = "≥" if metric.rising else "<"
        bar = ", goal ".join(f"{sign} {shown(bound)}" for bound in (metric.bar, metric.goal) if bound is not None)
        value = f"{shown(sample.median)} {metric.unit}"
        spread = f"{shown(sample.low)} – {shown(sample.high)}"
        found = [(name, title) for name, title in metric.beside if name in samples]
        raw = [_beside(name, title, metric, samples) for name, title in found] or [["", ""]]
        rows.append([metric.title, value, spread, *raw[0], bar, metric.verdict(sample)])
        rows += [["", "", "", *further, "", ""] for further in raw[1:]]
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with their columns one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def machine() -> Callable[[], dict[str, object]]:
    """Where and when, and how busy it is; what is returned tells of it when all is measured.

    With more than a few tenths of other load, or a few percent stolen by the host for others, no figure means much.
    """
    began: dict[str, object] = {
        "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }
    before, before_stolen = ticks()

    def told() -> dict[str, object]:
        now, now_stolen = ticks()
        return began | {"stolen %": round(100 * (now_stolen - before_stolen) / max(now - before, 1), 1)}

    return told


def carried_out(work: Callable[[Sandbox], None], found: Found, file: Path | None) -> int:
    """Do ``work`` in a sandbox, and print what was ``found``; the exit status.

    Args:
        file: where to write the figures, too.
    """
    told = machine()
    try:
        in_sandbox("p2pchat-bench-", work)
    except Interrupted as interrupted:
        return interrupted.exit_status
    except P2PChatError as error:
        print(f"{error.error_name}: {error.message}", file=sys.stderr)
        return 1
    before = told()
    print(", ".join(f"{name} {value}" for name, value in before.items()), *found.lines(), sep="\n")
    if file is not None:
        file.write_text(json.dumps({"machine": before} | found.figures(), indent=1) + "\n", encoding="utf-8")
    return 0


def document(metrics: Sequence[Metric], samples: Samples, before: dict[str, object]) -> dict[str, object]:
    """The same with every single value, for programs. ``before``: what :func:`machine` has told."""
    return {"machine": before, "rows": [_fields(metric, samples) for metric in metrics]}


def _fields(metric: Metric, samples: Samples) -> dict[str, object]:
    sample = samples[metric.name]
    found = [(name, title) for name, title in metric.beside if name in samples]
    limits = [{"name": name, "title": title, **_numbers(samples[name])} for name, title in found]
    return asdict(metric) | _numbers(sample) | {"beside": limits, "verdict": metric.verdict(sample)}


def _numbers(sample: Sample) -> dict[str, object]:
    return {"median": sample.median, "low": sample.low, "high": sample.high, "values": sample.values}


def _beside(name: str, title: str, metric: Metric, samples: Samples) -> list[str]:
    limit = samples[name].median
    ratio = shown(samples[metric.name].median / limit) if limit else "–"
    return [f"{shown(limit)} {metric.unit}  {title}", ratio]


def shown(value: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
