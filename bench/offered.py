"""Latency and throughput against load: rows and charts of what is asked for at one rate after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bench.measure import Samples, quantile
from bench.plot import Chart, Line
from bench.report import Metric

Beside = tuple[tuple[str, str], ...]

RATES: Final = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
"""A second. The highest are beyond what Python takes on such machines: there the throughput is what it can do."""

_SHARES: Final = {"p50": 0.5, "p99": 0.99}


def rows(what: str, done: str, rate_beside: Beside, late_beside: Beside) -> Iterator[Metric]:
    """Three rows a rate.

    Args:
        what: is asked for.
        done: what becomes of it.
        rate_beside: raw limits of how many a second, beside the highest rate alone.
        late_beside: raw limits of how late one is.
    """
    for rate in RATES:
        title = f"{rate:,} {what}/s offered"
        limits = rate_beside if rate == RATES[-1] else ()
        yield Metric(f"offered {rate} /s", f"{title}: {done}", "/s", limits, rising=True)
        for share in _SHARES:
            yield Metric(f"offered {rate} {share} ms", f"{title}: due → {done}, {share}", "ms", late_beside)


def charts(what: str, done: str) -> tuple[Chart, ...]:
    """Throughput, and how late what was asked for is, by the rates."""
    across = f"{what} offered a second"
    return (
        Chart(
            f"Throughput: {what} {done}",
            across,
            f"{what} {done} a second",
            (Line(done, tuple((rate, f"offered {rate} /s") for rate in RATES)),),
            steep=True,
            ideal="as many as offered",
        ),
        Chart(
            f"Latency: {what} {done}",
            across,
            f"due → {done}, ms",
            tuple(Line(share, tuple((rate, f"offered {rate} {share} ms") for rate in RATES)) for share in _SHARES),
            steep=True,
        ),
    )


def add(samples: Samples, rate: int, seconds: float, late_ms: Sequence[float]) -> None:
    """One value of each row of ``rate``.

    Args:
        seconds: from when the first was due until the last was done.
        late_ms: each, from when it was due until it was done.
    """
    samples.add(f"offered {rate} /s", len(late_ms) / seconds)
    for name, share in _SHARES.items():
        samples.add(f"offered {rate} {name} ms", quantile(late_ms, share))
