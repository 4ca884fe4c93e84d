"""Proofs of numbers: the newest question that was put to each contact, and that each has put (PROTOCOL.md 3.6)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from p2pchat.store.db import Tx

_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class ProofRow:
    """One question.

    Attributes:
        own: this node asked; else the contact did.
        vid: 16 bytes, names it.
        key: 32 bytes of the code, as long as an own one is open.
        until_s: unix time at which it ends.
        tries: how many proofs were sent for it, or came.
        heard: 16-byte ids of the items that were taken for it: a repeat is none.
        closed: there is nothing more to come of it.
    """

    contact: int
    own: bool
    vid: bytes = field(repr=False)
    key: bytes | None = field(repr=False)
    until_s: int
    tries: int = 0
    heard: tuple[bytes, ...] = field(default=(), repr=False)
    closed: bool = False

    def lives(self, now_s: int, life_s: int) -> bool:
        """Whether it has not ended; one that a clock was ahead of has, so that setting a clock prolongs nothing."""
        return now_s < self.until_s <= now_s + life_s

    def close(self) -> ProofRow:
        """The question without its key."""
        return replace(self, key=None, closed=True)


def get(tx: Tx, contact: int, *, own: bool) -> ProofRow | None:
    """The newest question to ``contact``, or of it."""
    row = tx.one(
        "SELECT vid, key, until_s, tries, heard, closed FROM proof WHERE contact = ? AND own = ?", (contact, own)
    )
    if row is None:
        return None
    vid, key, until_s, tries, heard, closed = row
    ids = tuple(bytes(heard[at : at + _ID_BYTES]) for at in range(0, len(heard), _ID_BYTES))
    return ProofRow(
        contact, own, bytes(vid), bytes(key) if key is not None else None, until_s, tries, ids, bool(closed)
    )


def save(tx: Tx, row: ProofRow) -> None:
    """Keep ``row`` in place of what was there in its direction."""
    tx.execute(
        "INSERT OR REPLACE INTO proof VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (row.contact, row.own, row.vid, row.key, row.until_s, row.tries, b"".join(row.heard), row.closed),
    )


def prune(tx: Tx, life_s: int, kept_s: int) -> None:
    """Drop the keys of what has ended, and ``kept_s`` after its end all of it.

    Args:
        life_s: how long a question lives; what ends later than that from now was made by a clock that was ahead.
    """
    now_s = tx.now_s
    tx.execute(
        "UPDATE proof SET key = NULL WHERE key IS NOT NULL AND until_s NOT BETWEEN ? AND ?", (now_s + 1, now_s + life_s)
    )
    tx.execute("DELETE FROM proof WHERE until_s NOT BETWEEN ? AND ?", (now_s - kept_s, now_s + life_s + kept_s))
