"""Readers of the event log that are known by name, and how far each has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from p2pchat.store.db import Row, Tx

_SELECT: Final = "SELECT name, seq, types, acked_ms, made_ms FROM consumer"


@dataclass(frozen=True, slots=True)
class ConsumerRow:
    """One reader. ``seq``: what it has done with, all before included; ``types``: patterns of what it reads, None for
    everything; ``acked_ms``: when it last said so, None for never; both times are unix ms."""

    name: str = field(repr=False)
    seq: int
    types: tuple[str, ...] | None = field(repr=False)
    acked_ms: int | None
    made_ms: int

    def reads(self, kind: str) -> bool:
        """Whether it wants events of this type."""
        return self.types is None or any(fnmatchcase(kind, pattern) for pattern in self.types)


def _row(row: Row) -> ConsumerRow:
    name, seq, types, acked_ms, made_ms = row
    return ConsumerRow(name, seq, None if types is None else tuple(types.split(" ")), acked_ms, made_ms)


def get(tx: Tx, name: str) -> ConsumerRow | None:
    row = tx.one(f"{_SELECT} WHERE name = ?", (name,))
    return None if row is None else _row(row)


def everyone(tx: Tx) -> list[ConsumerRow]:
    """The oldest first."""
    return [_row(row) for row in tx.all(f"{_SELECT} ORDER BY made_ms, name")]


def count(tx: Tx) -> int:
    row = tx.one("SELECT count(*) FROM consumer")
    return 0 if row is None else int(row[0])


def make(tx: Tx, name: str, seq: int) -> None:
    """A reader that begins after ``seq``."""
    tx.execute("INSERT INTO consumer VALUES (?, ?, NULL, NULL, ?)", (name, seq, tx.now_ms))


def read_types(tx: Tx, name: str, types: Sequence[str] | None) -> None:
    """Note which events it reads from now on."""
    tx.execute("UPDATE consumer SET types = ? WHERE name = ?", (None if types is None else " ".join(types), name))


def ack(tx: Tx, name: str, seq: int) -> None:
    """It has done with everything up to ``seq``."""
    tx.execute("UPDATE consumer SET seq = ?, acked_ms = ? WHERE name = ?", (seq, tx.now_ms, name))


def forget(tx: Tx, name: str) -> None:
    tx.execute("DELETE FROM consumer WHERE name = ?", (name,))


def held_from(tx: Tx, since_ms: int) -> int | None:
    """The least that one who has acknowledged something, or was made, since ``since_ms`` has done with; None: nobody
    has."""
    row = tx.one("SELECT min(seq) FROM consumer WHERE coalesce(acked_ms, made_ms) >= ?", (since_ms,))
    return None if row is None or row[0] is None else int(row[0])


def step_over(tx: Tx, first: int, dropped: Mapping[str, int]) -> None:
    """Let those go on who miss nothing of what was dropped.

    A reader of received messages alone acknowledges nothing while none comes: that others were dropped behind its back
    is no loss of its own.

    Args:
        first: the seq of the oldest event that was dropped.
        dropped: the last seq of each type that was.
    """
    last = max(dropped.values())
    for each in everyone(tx):
        behind = first <= each.seq + 1 and each.seq < last
        if behind and not any(seq > each.seq and each.reads(kind) for kind, seq in dropped.items()):
            tx.execute("UPDATE consumer SET seq = ? WHERE name = ?", (last, each.name))
