"""The event log is bounded: 30 days, and a million events; but what a consumer has not done with waits for it, unless
it has let a week go by.

It goes in slices, each a job of the store of its own: a month of events that goes at once would keep everybody waiting
for as long as that takes.
"""

from __future__ import annotations

from typing import Final

from p2pchat.core.params import DAY_S
from p2pchat.store import consumers, eventlog
from p2pchat.store.db import Database, Tx

EVENTS_KEPT_MS: Final = 30 * DAY_S * 1000
EVENTS_KEPT: Final = 1_000_000
NEGLECTED_MS: Final = 7 * DAY_S * 1000
"""A consumer that has acknowledged nothing for so long holds nothing back any more."""

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
    first = eventlog.oldest(tx)
    held = consumers.held_from(tx, tx.now_ms - NEGLECTED_MS)
    dropped = eventlog.drop(tx, tx.now_ms - EVENTS_KEPT_MS, EVENTS_KEPT, held, _SLICE_ROWS)
    if dropped:
        consumers.step_over(tx, first, dropped)
    return bool(dropped)
