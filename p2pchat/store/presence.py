"""Presences: the own ones, and the keys that contacts have given (PROTOCOL.md 3.4)."""

from __future__ import annotations

from dataclasses import dataclass, field

from p2pchat.core.presence import OwnPresence, PresenceKey
from p2pchat.store.db import Row, Tx


@dataclass(frozen=True, slots=True)
class HeldPresence:
    """What a contact gave. ``device_ms``: epoch_ms of the device it came from; ``seq``: of the newest record read."""

    device_ms: int
    seq: int
    key: PresenceKey = field(repr=False)


def own(tx: Tx) -> OwnPresence | None:
    """The newest own presence, if one was made."""
    row = tx.one("SELECT n, seed, epoch, key FROM presence_own ORDER BY n DESC LIMIT 1")
    return None if row is None else OwnPresence(row[0], bytes(row[1]), row[2], bytes(row[3]))


def save_own(tx: Tx, presence: OwnPresence) -> None:
    """Keep ``presence`` as it is now; the keys of weeks that it no longer has are gone."""
    tx.execute(
        "INSERT INTO presence_own VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET epoch = ?3, key = ?4",
        (presence.n, presence.seed, presence.epoch, presence.key),
    )


def forget_own_before(tx: Tx, n: int) -> None:
    tx.execute("DELETE FROM presence_own WHERE n < ?", (n,))


def held(tx: Tx, contact: int) -> HeldPresence | None:
    """The presence that ``contact`` has given."""
    row = tx.one("SELECT device_ms, seq, n, gate, epoch, key FROM contact_presence WHERE contact = ?", (contact,))
    return None if row is None else _held(row)


def _held(row: Row) -> HeldPresence:
    return HeldPresence(row[0], row[1], PresenceKey(row[2], bytes(row[3]), row[4], bytes(row[5])))


def hold(tx: Tx, contact: int, presence: HeldPresence) -> None:
    """Keep what ``contact`` gave, or the same one with a later key, in place of what was there."""
    key = presence.key
    tx.execute(
        "INSERT OR REPLACE INTO contact_presence VALUES (?, ?, ?, ?, ?, ?, ?)",
        (contact, presence.device_ms, key.n, key.gate, key.epoch, key.key, presence.seq),
    )
