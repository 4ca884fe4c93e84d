"""Keys that are dated later than it is: the clock was ahead when they were made, or it is behind now.

A machine without a battery starts years behind, until it is told the time. What is deleted then cannot be opened when
it comes: the keys stay until the clock has gone on for a day and they are still ahead of it.
"""

from __future__ import annotations

from typing import Final

from p2pchat.core.params import DAY_S, Params
from p2pchat.store import meta
from p2pchat.store.db import Tx

_SINCE: Final = "keys_ahead_since"
_TIME_BYTES: Final = 8


def may_be_behind(tx: Tx, params: Params) -> bool:
    """Whether the clock of now may be the one that is wrong. To be asked every now and then: it counts from the first
    time on."""
    sql = "SELECT 1 FROM mailbox_key WHERE made_s > ?1 UNION SELECT 1 FROM spk WHERE made_s > ?1"
    row = tx.one(sql, (tx.now_s + params.skew_s,))
    noted = meta.get(tx, _SINCE)
    if row is None:
        if noted is not None:
            meta.forget(tx, _SINCE)
        return False
    since_s = tx.now_s if noted is None else int.from_bytes(noted, "big")
    if noted is None or since_s > tx.now_s:
        since_s = tx.now_s
        meta.put(tx, _SINCE, since_s.to_bytes(_TIME_BYTES, "big"))
    return tx.now_s < since_s + DAY_S
