"""The numbers of a run, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from bench.measure import quantile
from chaos.hellos import Hellos
from chaos.plan import Act
from chaos.seen import Said, Seen

_AFTER_S: Final = 2.0
"""So long after a trouble its effects are still counted to it."""

Span = tuple[float, float, frozenset[int]]
"""From, until, of whom."""


@dataclass(frozen=True, slots=True)
class Latency:
    """From the first call of ``message.send`` until the reader was told, in ms, of so many texts."""

    texts: int
    p50: float
    p99: float
    most: float

    def __str__(self) -> str:
        return f"{self.texts:>6,} texts  p50 {self.p50:>7,.0f}  p99 {self.p99:>9,.0f}  most {self.most:>9,.0f} ms"


@dataclass(frozen=True, slots=True)
class Burden:
    """What a node takes: ``cpu_s`` since its start."""

    rss_mb: float
    descriptors: int
    tasks: int
    db_bytes: int
    wal_bytes: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at all nodes, so long after the beginning: MB each, 0 of those that do not answer; all databases; in a
    soak all that each takes."""

    at_s: float
    rss_mb: list[float]
    disk_bytes: int
    burdens: list[Burden] = field(default_factory=list[Burden])


@dataclass(slots=True)
class Figures:
    """All of them."""

    seed: int
    nodes: int
    minutes: float
    verdict: str = ""
    first_wrong: str | None = None
    said: int = 0
    accepted: int = 0
    received: int = 0
    held: int = 0
    calls_repeated: int = 0
    events: int = 0
    refusals: dict[str, int] = field(default_factory=dict[str, int])
    acts: dict[str, int] = field(default_factory=dict[str, int])
    kills: int = 0
    starts_refused: int = 0
    latency: dict[str, Latency] = field(default_factory=dict[str, Latency])
    drained_s: float = 0.0
    rss_mb: dict[str, float] = field(default_factory=dict[str, float])
    disk_mb: dict[str, float] = field(default_factory=dict[str, float])
    carried_mb: float = 0.0
    absent_s: list[float] = field(default_factory=list[float])
    floods: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    commits_waited: int = 0
    hellos: Hellos = field(default_factory=Hellos)
    cannot: list[str] = field(default_factory=list[str])
    machine: dict[str, object] = field(default_factory=dict[str, object])
    plan: list[Act] = field(default_factory=list[Act])
    samples: list[Sample] = field(default_factory=list[Sample])
    texts: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def document(self) -> dict[str, object]:
        """For programs; ``texts`` are (when it was asked for, seconds until the reader was told)."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"texts: {self.said:,} said, {self.accepted:,} accepted, {self.received:,} received, {self.held:,} of them"
            f" held in mailboxes; {self.calls_repeated:,} calls repeated; {self.events:,} events followed",
            *(f"latency, {name:<14} {latency}" for name, latency in self.latency.items()),
            f"acts: {_counted(self.acts)}; {self.kills} processes killed; {self.starts_refused} starts refused for want"
            " of space",
            f"refused and asked again: {_counted(self.refusals)}",
            *(f"flood: {_counted(flood)}" for flood in self.floods),
            f"slow disks: {self.commits_waited:,} commits waited; {self.hellos}",
            f"drained in {self.drained_s:.1f} s; {self.carried_mb:,.1f} MB between the nodes",
            f"memory: {_measured(self.rss_mb)} MB; databases: {_measured(self.disk_mb)} MB",
            f"without service, by node: {' '.join(f'{each:.0f}' for each in self.absent_s)} s",
            f"machine: {', '.join(f'{name} {value}' for name, value in self.machine.items())}",
            *(f"NOT DONE: {each}" for each in self.cannot),
        ]


def _counted(counts: Mapping[str, object]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _measured(sizes: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {size:,.1f}" for name, size in sizes.items())


def spans(acts: Iterable[Act], nodes: int, began_s: float) -> tuple[list[Span], list[Span]]:
    """(troubles, floods) that were, on the clock of :class:`Seen`. Everybody is in a cut through the middle."""
    troubles: list[Span] = []
    floods: list[Span] = []
    for act in acts:
        who = frozenset(range(nodes) if act.kind in ("halve", "damage") else act.who)
        span = (began_s + act.at_s, began_s + act.until_s + _AFTER_S, who)
        (floods if act.kind == "flood" else troubles).append(span)
    return troubles, floods


def latencies(said: Iterable[Said], troubles: Sequence[Span], floods: Sequence[Span]) -> dict[str, Latency]:
    """Of texts that nothing befell, of those to or from somebody who was flooded meanwhile, and of all others."""
    found: dict[str, list[float]] = {"quiet": [], "under a flood": [], "in trouble": []}
    for each in said:
        if each.received_s and each.asked_s:
            kind = "in trouble" if _met(each, troubles) else "under a flood" if _met(each, floods) else "quiet"
            found[kind].append((each.received_s[0] - each.asked_s) * 1000)
    return {
        name: Latency(len(values), quantile(values, 0.5), quantile(values, 0.99), max(values))
        for name, values in found.items()
        if values
    }


def _met(said: Said, spans: Sequence[Span]) -> bool:
    return any(
        said.asked_s < until and begin < said.received_s[0] and (said.writer in who or said.reader in who)
        for begin, until, who in spans
    )


def absent_s(seen: Seen, began_s: float, ended_s: float) -> list[float]:
    """By node, how long its client got no answer between two moments."""
    found = [0.0] * seen.nodes
    present = [True] * seen.nodes
    since = [began_s] * seen.nodes
    for at_s, node, is_present in [*seen.presence, *((ended_s, node, True) for node in range(seen.nodes))]:
        at_s = min(max(at_s, began_s), ended_s)
        if not present[node]:
            found[node] += at_s - since[node]
        present[node], since[node] = is_present, at_s
    return found
