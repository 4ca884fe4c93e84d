"""A picture of a run: how long texts took, what nodes had in memory, and what befell them when. Needs matplotlib."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from chaos.figures import Figures

_COLOURS: Final = {
    "kill": "tab:red",
    "stop": "tab:purple",
    "cut": "tab:orange",
    "halve": "tab:brown",
    "clock": "tab:cyan",
    "fill": "tab:olive",
    "slow": "tab:green",
    "lock": "tab:pink",
    "move": "tab:gray",
    "damage": "black",
    "flood": "tab:blue",
}


class Unavailable(Exception):
    """There is nothing to draw with; the message says what to do."""


def pyplot() -> Any:  # noqa: ANN401  matplotlib is untyped, and not installed as a rule
    """matplotlib's drawing functions, with no window.

    Raises:
        Unavailable: matplotlib is not installed.
    """
    try:
        import_module("matplotlib").use("Agg")
    except ModuleNotFoundError:
        raise Unavailable("--plot needs matplotlib: .venv/bin/pip install matplotlib") from None
    return import_module("matplotlib.pyplot")


def draw(figures: Figures, file: Path) -> None:
    """Write the picture."""
    plot = pyplot()
    drawing, (above, middle, below) = plot.subplots(3, 1, sharex=True, figsize=(14, 9), height_ratios=(4, 2, 2))
    above.scatter([at_s for at_s, _ in figures.texts], [took_s for _, took_s in figures.texts], s=3, color="black")
    above.set(yscale="log", ylabel="asked → received, s", title=f"seed {figures.seed}: {figures.verdict}")
    times = [sample.at_s for sample in figures.samples]
    for node in range(figures.nodes):
        middle.plot(times, [sample.rss_mb[node] or None for sample in figures.samples], linewidth=0.8)
    middle.set(ylabel="RSS, MB")
    kinds = sorted({act.kind for act in figures.plan})
    for act in figures.plan:
        colour = _COLOURS[act.kind]
        below.barh(kinds.index(act.kind), max(act.for_s, 0.5), left=act.at_s, color=colour)
        for each in (above, middle):
            each.axvline(act.at_s, color=colour, alpha=0.4, linewidth=0.8)
    below.set(yticks=range(len(kinds)), yticklabels=kinds, xlabel="s")
    drawing.tight_layout()
    drawing.savefig(file, dpi=110)
    plot.close(drawing)
