"""Values of one kind, and what is told of them: the median and how far they lie apart."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(slots=True)
class Sample:
    """One value a run, in the unit of its row."""

    values: list[float] = field(default_factory=list[float])

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)


class Samples:
    """Everything that was measured, by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Sample] = {}

    def add(self, name: str, *values: float) -> None:
        self._by_name.setdefault(name, Sample()).values.extend(values)

    def take(self, other: Samples) -> None:
        """Add all that another one has."""
        for name, sample in other._by_name.items():
            self.add(name, *sample.values)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Sample:
        return self._by_name[name]


def rounds(runs: int, samples: Samples, *, warm_up: bool) -> Iterator[tuple[int, Samples]]:
    """The number of each run, and where its values go; they are kept when it is over, so that half a run leaves none.

    Args:
        warm_up: a run 0 comes first, which fills the caches of files and processors, and whose values go nowhere.
    """
    for index in range(0 if warm_up else 1, runs + 1):
        if sys.stderr.isatty():
            print(f"run {index} of {runs}" if index else "warming up", file=sys.stderr)
        values = Samples()
        yield index, values
        if index:
            samples.take(values)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` (0 to 1) of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def cpu_seconds(work: Callable[[], object]) -> float:
    """How much CPU ``work`` takes in this thread: what else the machine does slows it by its caches alone."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def each_s(work: Callable[[], object], count: int, warm_up: int = 1) -> list[float]:
    """How long each of ``count`` calls of ``work`` takes, after ``warm_up`` calls that do not count."""
    for _ in range(warm_up):
        work()
    return [seconds(work) for _ in range(count)]
