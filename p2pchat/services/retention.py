"""The event log is bounded: 30 days, and a million events; but what a consumer has not done with waits for it, unless
it has let a week go by. Who has done with everything that it reads has let nothing go by, however long ago that was.

It goes in slices, each a job of the store of its own: a month of events that goes at once would keep everybody waiting
for as long as that takes.
"""

from __future__ import annotations

from typing import Final

from p2pchat.core.params import DAY_S
from p2pchat.store import consumers, eventlog
from p2pchat.store.consumers import ConsumerRow
from p2pchat.store.db import Database, Tx

EVENTS_KEPT_MS: Final = 30 * DAY_S * 1000
EVENTS_KEPT: Final = 1_000_000
NEGLECTED_MS: Final = 7 * DAY_S * 1000
"""A consumer that has acknowledged nothing for so long, although something as old waits for it, holds nothing back."""

_SLICE_ROWS: Final = 1_000


async def bound_log(database: Database) -> None:
    """Forget what is too much of the event log.

    Raises:
        StoreError: the disk refused; what is left goes another time.
    """
    while await database.run(forget_some):
        pass


def forget_some(tx: Tx) -> bool:
    """One slice; whether there may be more."""
    held: list[int] = []
    for each in consumers.everyone(tx):
        seq, goes_on = _waits_from(tx, each)
        if goes_on:
            return True
        if seq is not None:
            held.append(seq)
    up_to = min(held, default=None)
    return bool(eventlog.drop(tx, tx.now_ms - EVENTS_KEPT_MS, EVENTS_KEPT, up_to, _SLICE_ROWS))


def _waits_from(tx: Tx, consumer: ConsumerRow) -> tuple[int | None, bool]:
    """The seq behind which everything is kept for a consumer, None for a neglected one; and whether it is not known
    yet, for there is more to pass over than goes at once."""
    neglected_ms = tx.now_ms - NEGLECTED_MS
    said_ms = consumer.made_ms if consumer.acked_ms is None else consumer.acked_ms
    if said_ms >= neglected_ms:
        return consumer.seq, False
    if eventlog.has_lost(tx, consumer.seq, consumer.reads):
        return None, False
    seq, lets_wait, goes_on = eventlog.pass_over(tx, consumer.seq, consumer.reads, neglected_ms, _SLICE_ROWS)
    if seq != consumer.seq:
        consumers.go_on(tx, consumer.name, seq)
    return None if lets_wait else seq, goes_on
