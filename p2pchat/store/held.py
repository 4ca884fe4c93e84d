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

START: Final[Key] = (b"", b"")

_OWNER: Final = "held_by"


def begin(tx: Tx, own: PeerId) -> None:
    """Forget all that was kept under another node key: serving it on would tell who that was."""
    if meta.get(tx, _OWNER) != bytes(own):
        tx.execute("DELETE FROM held")
        meta.put(tx, _OWNER, bytes(own))


def page(tx: Tx, after: Key, count: int) -> list[Held]:
    """At most ``count`` entries in the order of their keys, from the one that follows ``after``."""
    rows = tx.all(
        "SELECT loc, record, prefix, writer, seq, expiry, work FROM held WHERE (loc, writer) > (?, ?)"
        " ORDER BY loc, writer LIMIT ?",
        (*after, count),
    )
    return [Held(*row) for row in rows]


def save(tx: Tx, entries: Sequence[Held], gone: Sequence[Key]) -> None:
    """Write ``entries`` over what was there, and forget those that are ``gone``."""
    tx.many("INSERT OR REPLACE INTO held (loc, record, prefix, writer, seq, expiry, work) VALUES (?, ?, ?, ?, ?, ?, ?)", entries)
    tx.many("DELETE FROM held WHERE loc = ? AND writer = ?", gone)
