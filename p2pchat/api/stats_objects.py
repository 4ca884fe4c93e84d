"""What ``stats.get`` replies. Source: docs/CONTROL-API.md, "Objects"."""

from __future__ import annotations

from msgspec import Struct

from p2pchat.base.silent import Silent


class ConnectionCounts(Silent, Struct, kw_only=True):
    """Connections: direct ones by who has made them, and those through relays."""

    inbound: int
    outbound: int
    relayed: int


class Quantiles(Silent, Struct, kw_only=True):
    """Of a time: the median and the 99th percentile of the last 1,024, and the longest since the node was unlocked."""

    p50: float
    p99: float
    max: float


class Stats(Silent, Struct, kw_only=True):
    """What goes on in the node. ``streams``: that others have opened, by protocol; ``refusals``: by kind, since it was
    unlocked; ``unfinished_bytes``: what strangers have begun and not ended; ``tasks``: of the event loop;
    ``rss_bytes``: null where the system does not tell."""

    uptime_s: int
    peers: int
    connections: ConnectionCounts
    handshakes: int
    streams: dict[str, int]
    refusals: dict[str, int]
    outbox: int
    records: int
    mailbox_boxes: int
    mailbox_bytes: int
    unfinished_bytes: int
    tasks: int
    rss_bytes: int | None
    db_bytes: int
    wal_bytes: int
    commits: int
    commits_failed: int
    commit_ms: Quantiles
