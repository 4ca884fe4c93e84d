"""Pictures of what was measured: how figures grow with the load, the history or the network. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from bench.measure import Sample, Samples
from chaos.plot import pyplot

_COLUMNS: Final = 2
_HEADROOM: Final = 0.1  # for each line of the legend
_CAPTION: Final = "points: medians; bars: from the lowest to the highest of the runs"


@dataclass(frozen=True, slots=True)
class Line:
    """A figure at several places.

    Args:
        title: in the legend; empty where it is the only one.
        points: where (a number, or the name under which that was collected), and the name of the figure there.
    """

    title: str
    points: tuple[tuple[float | str, str], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Figures of one unit against what they depend on.

    Args:
        across: what they depend on, with its unit.
        up: what they are, with their unit.
        steep: they grow so much that only a logarithmic axis shows them all.
        ideal: what a line would be that is as high as it is far, in the legend; empty: there is no such line.
    """

    title: str
    across: str
    up: str
    lines: tuple[Line, ...]
    steep: bool = False
    ideal: str = ""

    def drawn(self, samples: Samples) -> Drawn:
        return Drawn(self, tuple(_values(line, samples) for line in self.lines))


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart with the values of each line."""

    chart: Chart
    values: tuple[tuple[tuple[float, Sample], ...], ...]


def _values(line: Line, samples: Samples) -> tuple[tuple[float, Sample], ...]:
    """Where a smaller run has no value there is no point."""
    return tuple(
        (samples[at].median if isinstance(at, str) else at, samples[name])
        for at, name in line.points
        if name in samples
    )


def check() -> None:
    """Before anything is measured.

    Raises:
        Unavailable: matplotlib is not installed.
    """
    pyplot()


def draw(charts: Sequence[Drawn], file: Path) -> None:
    """Write a picture with each chart on axes of its own.

    Raises:
        Unavailable: matplotlib is not installed.
    """
    plot = pyplot()
    columns = min(len(charts), _COLUMNS)
    rows = -(-len(charts) // columns)
    drawing, axes = plot.subplots(rows, columns, figsize=(7 * columns, 4 * rows), squeeze=False)
    flat = [each for row in axes for each in row]
    for drawn, each in zip(charts, flat, strict=False):
        _draw(drawn, each)
    for each in flat[len(charts) :]:
        each.remove()
    drawing.supxlabel(_CAPTION, fontsize="small")
    drawing.tight_layout()
    drawing.savefig(file, dpi=110)
    plot.close(drawing)


def _draw(drawn: Drawn, axes: Any) -> None:  # noqa: ANN401  matplotlib is untyped
    chart = drawn.chart
    for line, values in zip(chart.lines, drawn.values, strict=True):
        at = [place for place, _ in values]
        medians = [sample.median for _, sample in values]
        below = [sample.median - sample.low for _, sample in values]
        above = [sample.high - sample.median for _, sample in values]
        axes.errorbar(at, medians, yerr=(below, above), marker="o", markersize=4, capsize=3, label=line.title)
    places = sorted({place for values in drawn.values for place, _ in values})
    if chart.ideal:
        axes.plot(places, places, linestyle="--", color="gray", label=chart.ideal)
    axes.set(xscale="log", yscale="log" if chart.steep else "linear", title=chart.title)
    axes.set(xlabel=chart.across, ylabel=chart.up)
    axes.set_xticks(places, [f"{place:,.0f}" for place in places])
    axes.minorticks_off()
    ticker = import_module("matplotlib.ticker")
    if chart.steep:
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    else:
        axes.set_ylim(0, axes.get_ylim()[1] * (1 + _HEADROOM * len(chart.lines)))
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.5g}"))
    axes.grid(alpha=0.3)
    if len(chart.lines) > 1 or chart.ideal:
        axes.legend(fontsize="small", loc="upper left")
