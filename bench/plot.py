"""Pictures of what was measured: how a figure grows with the load, the history or the network. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Sample, Samples
from chaos.plot import pyplot


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure against what it depends on.

    Args:
        across: what the figure depends on, as a person reads it.
        points: its values, each with the name under which the figure was collected there.
    """

    title: str
    across: str
    unit: str
    points: tuple[tuple[float, str], ...]

    def drawn(self, samples: Samples) -> Drawn:
        return Drawn(self.title, self.across, self.unit, tuple((at, samples[name]) for at, name in self.points))


@dataclass(frozen=True, slots=True)
class Drawn:
    """A curve with its values."""

    title: str
    across: str
    unit: str
    points: tuple[tuple[float, Sample], ...]


def check() -> None:
    """Before anything is measured.

    Raises:
        Unavailable: matplotlib is not installed.
    """
    pyplot()


def draw(curves: Sequence[Drawn], file: Path) -> None:
    """Write a picture with each curve on axes of its own: medians, and from the lowest value to the highest.

    Raises:
        Unavailable: matplotlib is not installed.
    """
    plot = pyplot()
    drawing, axes = plot.subplots(len(curves), 1, figsize=(8, 3.5 * len(curves)), squeeze=False)
    for curve, (each,) in zip(curves, axes, strict=True):
        at = [place for place, _ in curve.points]
        medians = [sample.median for _, sample in curve.points]
        below = [sample.median - sample.low for _, sample in curve.points]
        above = [sample.high - sample.median for _, sample in curve.points]
        each.errorbar(at, medians, yerr=(below, above), marker="o", capsize=3, color="black")
        each.set(xscale="log", ylim=(0, None), title=curve.title, xlabel=curve.across, ylabel=curve.unit)
    drawing.tight_layout()
    drawing.savefig(file, dpi=110)
    plot.close(drawing)
