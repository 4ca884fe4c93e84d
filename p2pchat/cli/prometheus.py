"""``stats.get`` as text for Prometheus.

Rules:

- Every name begins with ``p2pchat_`` and says its unit; what only rises ends in ``_total``. Labels are kinds, protocols
  and statistics: nobody is named.
- The order is always the same. What the node does not tell is left out.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/, "Text-based format".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from p2pchat.base.silent import Silent
from p2pchat.cli.reading import fields

_PREFIX: Final = "p2pchat_"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True, repr=False)
class Metric(Silent):
    """One family. ``field``: of ``stats.get``; ``label``: what its members are called, where it is an object;
    ``scale``: what a value is multiplied with."""

    field: str
    name: str
    kind: str
    text: str
    label: str = ""
    scale: float = 1


METRICS: Final = (
    Metric("uptime_s", "uptime_seconds", "gauge", "Time since the daemon was started."),
    Metric("peers", "peers", "gauge", "Nodes that this one is connected to."),
    Metric("connections", "connections", "gauge", "Connections, by who has made them; or relayed.", "direction"),
    Metric("handshakes", "handshakes", "gauge", "Handshakes under way with those who come."),
    Metric("streams", "streams", "gauge", "Streams that others have opened.", "protocol"),
    Metric("refusals", "refusals_total", "counter", "What others were refused since the node was unlocked.", "kind"),
    Metric("outbox", "outbox_messages", "gauge", "Messages that are not delivered yet."),
    Metric("records", "stored_records", "gauge", "Records of the DHT that are kept for others."),
    Metric("mailbox_boxes", "mailbox_boxes", "gauge", "Boxes that are held for others."),
    Metric("mailbox_bytes", "mailbox_bytes", "gauge", "Bytes of the boxes that are held for others."),
    Metric("unfinished_bytes", "unfinished_bytes", "gauge", "Bytes of frames that strangers have begun."),
    Metric("tasks", "tasks", "gauge", "Tasks of the event loop."),
    Metric("rss_bytes", "resident_memory_bytes", "gauge", "Memory of the daemon."),
    Metric("db_bytes", "database_bytes", "gauge", "Size of the database."),
    Metric("wal_bytes", "database_log_bytes", "gauge", "Size of the write-ahead log of the database."),
    Metric("commits", "commits_total", "counter", "Transactions of the database since the node was unlocked."),
    Metric("commits_failed", "commits_failed_total", "counter", "Those of them that were undone."),
    Metric("commit_ms", "commit_duration_seconds", "gauge", "How long a transaction takes.", "statistic", 0.001),
)


def exposition(stats: Mapping[str, object]) -> Iterator[str]:
    """The lines of the text, without their line feeds."""
    for metric in METRICS:
        samples = list(_samples(metric, stats))
        if samples:
            yield f"# HELP {_PREFIX}{metric.name} {metric.text}"
            yield f"# TYPE {_PREFIX}{metric.name} {metric.kind}"
            yield from samples


def _samples(metric: Metric, stats: Mapping[str, object]) -> Iterator[str]:
    if not metric.label:
        yield from _sample(metric, "", stats.get(metric.field))
        return
    members = fields(stats, metric.field)
    for member in sorted(members):
        yield from _sample(metric, f'{{{metric.label}="{member.translate(_ESCAPES)}"}}', members[member])


def _sample(metric: Metric, labels: str, value: object) -> Iterator[str]:
    if isinstance(value, int | float):
        shown = str(value) if metric.scale == 1 else f"{value * metric.scale:.9g}"
        yield f"{_PREFIX}{metric.name}{labels} {shown}"
