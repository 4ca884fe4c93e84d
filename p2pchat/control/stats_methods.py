"""``stats.get``: what goes on in this node, in numbers that name nobody."""

from __future__ import annotations

import time
from pathlib import Path
from resource import getpagesize
from typing import Final

import trio

from p2pchat.api import calls, stats_objects
from p2pchat.control.server import Connection
from p2pchat.services.context import Context
from p2pchat.store import mailbox, messages, sizes
from p2pchat.store.db import Tx
from p2pchat.store.timings import Timings

_MEMORY: Final = Path("/proc/self/statm")  # on Linux alone


class StatsMethods:
    """One method of the API each.

    Args:
        started: when the daemon did, on the monotonic clock.
    """

    def __init__(self, context: Context, started: float) -> None:
        self._context = context
        self._started = started

    async def get(self, _params: calls.NoParams, _: Connection) -> stats_objects.Stats:
        context = self._context
        outbox, (boxes, box_bytes), (db_bytes, wal_bytes) = await context.db.run(_stored)
        load, charges = context.network.load(), context.charges
        return stats_objects.Stats(
            uptime_s=int(time.monotonic() - self._started),
            peers=len(context.network.links()),
            connections=stats_objects.ConnectionCounts(
                inbound=load.inbound, outbound=load.outbound, relayed=load.relayed
            ),
            handshakes=load.handshakes,
            streams=dict(load.streams),
            refusals=charges.refusals.counts(),
            outbox=outbox,
            records=len(context.dht.storer) if hasattr(context, "dht") else 0,
            mailbox_boxes=boxes,
            mailbox_bytes=box_bytes,
            unfinished_bytes=charges.unfinished.total,
            tasks=trio.lowlevel.current_statistics().tasks_living,
            rss_bytes=_resident_bytes(),
            db_bytes=db_bytes,
            wal_bytes=wal_bytes,
            commits=context.db.commits.count,
            commits_failed=context.db.commits.failed,
            commit_ms=_shown(context.db.commits),
        )


def _stored(tx: Tx) -> tuple[int, tuple[int, int], tuple[int, int]]:
    return messages.outbox_size(tx), mailbox.total(tx), sizes.on_disk(tx)


def _shown(commits: Timings) -> stats_objects.Quantiles:
    median, most = commits.quantile_s(0.5), commits.quantile_s(0.99)
    return stats_objects.Quantiles(p50=_ms(median), p99=_ms(most), max=_ms(commits.most_s))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _resident_bytes() -> int | None:
    try:
        return int(_MEMORY.read_text().split()[1]) * getpagesize()
    except OSError:
        return None
