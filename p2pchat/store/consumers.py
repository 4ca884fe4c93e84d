"""Readers of the event log that are known by name, and how far each has come."""

from __future__ import annotations

from collections.abc import Sequence
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


def go_on(tx: Tx, name: str, seq: int) -> None:
    """It reads nothing up to ``seq``, and so has nothing to do with it: that is no word of its own."""
    tx.execute("UPDATE consumer SET seq = ? WHERE name = ?", (seq, name))
