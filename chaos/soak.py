"""``scripts/chaos --soak``: hours in which nothing goes wrong; a node must take no more in the end than early on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from bench.procfs import cpu_ns
from chaos.figures import Burden, Figures, Sample
from chaos.node import Daemon
from chaos.plot import pyplot
from p2pchat.cli.reading import number

RSS_TIMES: Final = 1.02
PAGES_BYTES: Final = 8_192_000
"""What a connection keeps of the database in memory (``cache_size`` in :mod:`p2pchat.store.sqlite`)."""
_PAGE_TIMES: Final = 1.1
"""What a page takes there: itself, and who it is."""
DESCRIPTORS_MORE: Final = 4
TASKS_MORE: Final = 10
"""A connection that is being made, a call that is being answered."""
WAL_BYTES: Final = 8 << 20
"""Twice what one checkpoint leaves behind (1,000 pages of 4 KiB)."""
_LEAST_SAMPLES: Final = 8


def burden(node: Daemon) -> Burden:
    """What it takes now.

    Raises:
        ApiError: it does not answer.
    """
    assert node.process is not None  # noqa: S101  nobody ends in a soak
    stats, pid = node.call("stats.get"), node.process.pid
    return Burden(
        round(number(stats, "rss_bytes") / 1e6, 2),
        len(os.listdir(f"/proc/{pid}/fd")),
        number(stats, "tasks"),
        number(stats, "db_bytes"),
        number(stats, "wal_bytes"),
        round(sum(cpu_ns(pid).values()) / 1e9, 2),
    )


def swollen(samples: Sequence[Sample]) -> Iterator[str]:
    """What has grown from the second quarter of the time to the last: in the first one everything warms up."""
    if len(samples) < _LEAST_SAMPLES:
        yield f"{len(samples)} looks in all, which is too few to tell"
        return
    quarter = len(samples) // 4
    for node in range(len(samples[0].burdens)):
        early, late = (
            [sample.burdens[node] for sample in part] for part in (samples[quarter : 2 * quarter], samples[-quarter:])
        )
        yield from _swollen(f"node {node}", early, late)


def _swollen(who: str, early: Sequence[Burden], late: Sequence[Burden]) -> Iterator[str]:
    before, after = (median(map(_without_pages_mb, part)) for part in (early, late))
    if after > before * RSS_TIMES:
        yield f"{who}: {before:.1f} MB without the database's pages, and {after:.1f} in the end"
    before, after = (max(each.descriptors for each in part) for part in (early, late))
    if after > before + DESCRIPTORS_MORE:
        yield f"{who}: {before} descriptors at most, and {after} in the end"
    before, after = (max(each.tasks for each in part) for part in (early, late))
    if after > before + TASKS_MORE:
        yield f"{who}: {before} tasks at most, and {after} in the end"
    most = max(each.wal_bytes for each in [*early, *late])
    if most > WAL_BYTES:
        yield f"{who}: a write-ahead log of {most:,} bytes"


def _without_pages_mb(burden: Burden) -> float:
    return burden.rss_mb - _PAGE_TIMES * min(burden.db_bytes, PAGES_BYTES) / 1e6


def lines(samples: Sequence[Sample]) -> Iterator[str]:
    """For people: of all nodes, the least and the most at the first look, at one fourth of the time, and at the end."""
    for name, sample in (("first", samples[0]), ("at a fourth", samples[len(samples) // 4]), ("last", samples[-1])):
        rss = [each.rss_mb for each in sample.burdens]
        told = [f"RSS {min(rss):.1f} to {max(rss):.1f} MB"]
        for what in ("descriptors", "tasks"):
            counts = [getattr(each, what) for each in sample.burdens]
            told.append(f"{what} {min(counts)} to {max(counts)}")
        told.append(f"databases {sum(each.db_bytes for each in sample.burdens) / 1e6:.1f} MB in all")
        told.append(f"largest log {max(each.wal_bytes for each in sample.burdens) / 1e6:.1f} MB")
        yield f"{name}, {sample.at_s:,.0f} s: {', '.join(told)}"
    first, last = samples[0], samples[-1]
    if last is first:
        return
    ran_s = sum(after.cpu_s - before.cpu_s for before, after in zip(first.burdens, last.burdens, strict=True))
    share = ran_s / (last.at_s - first.at_s) / len(last.burdens)
    yield f"CPU: {share:.2%} of a core a node"


def draw(figures: Figures, file: Path) -> None:
    """Write the picture: a line a node."""
    plot = pyplot()
    times = [sample.at_s / 60 for sample in figures.samples]
    drawing, panels = plot.subplots(6, 1, sharex=True, figsize=(12, 14))
    above, *rest = panels
    above.scatter([at_s / 60 for at_s, _ in figures.texts], [took_s for _, took_s in figures.texts], s=2, color="black")
    above.set(yscale="log", ylabel="asked → received, s")
    above.set_title(f"{figures.nodes} nodes, {len(figures.texts):,} texts: {figures.verdict}")
    kinds = (
        ("rss_mb", "RSS, MB", 1), ("descriptors", "descriptors", 1), ("tasks", "tasks", 1),
        ("db_bytes", "database, MB", 1e6), ("wal_bytes", "write-ahead log, MB", 1e6),
    )  # fmt: skip
    for panel, (what, label, unit) in zip(rest, kinds, strict=True):
        values = [[getattr(each, what) / unit for each in sample.burdens] for sample in figures.samples]
        panel.plot(times, values, linewidth=0.8)
        panel.set(ylabel=label, ylim=(0, 1.15 * max(map(max, values))))
    panels[-1].set(xlabel="minutes")
    drawing.tight_layout()
    drawing.savefig(file, dpi=110)
    plot.close(drawing)
