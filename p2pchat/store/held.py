"""The records that this node keeps for others, and its own, as the storer of the DHT holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from p2pchat.base.ids import PeerId
from p2pchat.core.storer import Held
from p2pchat.store import meta
from p2pchat.store.db import Tx

Key = tuple[bytes, bytes]
"""(loc, writer) of an entry."""

_OWNER: Final = "held_by"


def begin(tx: Tx, own: PeerId) -> None:
    """Forget all that was kept under another node key: serving it on would tell who that was."""
    if meta.get(tx, _OWNER) != bytes(own):
        tx.execute("DELETE FROM held")
        meta.put(tx, _OWNER, bytes(own))


def page(tx: Tx, after: int, count: int) -> tuple[int, list[Held]]:
    """At most ``count`` entries that follow row ``after``, from 0 on, and the row to go on from."""
    rows = tx.all(
        "SELECT id, loc, record, prefix, writer, seq, expiry, work FROM held WHERE id > ? ORDER BY id LIMIT ?",
        (after, count),
    )
    return rows[-1][0] if rows else after, [Held(*row[1:]) for row in rows]


def of_others(tx: Tx) -> tuple[int, int]:
    """How many records of others there are, and their bytes."""
    row = tx.one("SELECT count(*), coalesce(sum(length(record)), 0) FROM held WHERE length(prefix) > 0")
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def save(tx: Tx, entries: Sequence[Held], gone: Sequence[Key]) -> None:
    """Write ``entries`` over what was there, and forget those that are ``gone``.

    Raises:
        StoreError: there are some to write, and they could not be kept now.
    """
    if entries:
        tx.need_room()
    tx.many(
        "INSERT OR REPLACE INTO held (loc, record, prefix, writer, seq, expiry, work) VALUES (?, ?, ?, ?, ?, ?, ?)",
        entries,
    )
    tx.many("DELETE FROM held WHERE loc = ? AND writer = ?", gone)
