"""Which event log this is and where it begins and ends, known without asking the store: every client wants to know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from p2pchat.core.events import DomainEvent
from p2pchat.store.tx import Tx

_LOG: Final = "event_log"


@dataclass(slots=True)
class LogEnds:
    """As of the newest transaction that was told of.

    Args:
        log: 16 hexadecimal characters, made with the log.
        head: the seq of the newest event; 0 when there never was one.
        oldest: the seq of the oldest event kept; ``head + 1`` when there is none.
    """

    log: str = field(repr=False)
    head: int
    oldest: int

    def committed(self, events: Iterable[DomainEvent], oldest: int | None) -> None:
        """``events`` were written; ``oldest``: of what is kept now, None where nothing was dropped."""
        self.head += sum(1 + event.more for event in events)
        self.oldest = self.oldest if oldest is None else oldest


def head(tx: Tx) -> int:
    """The seq of the newest event; 0 when there never was one."""
    row = tx.one("SELECT seq FROM sqlite_sequence WHERE name = 'event'")
    return int(row[0]) if row else 0


def oldest(tx: Tx) -> int:
    """The seq of the oldest event kept; ``head + 1`` when there is none."""
    row = tx.one("SELECT min(seq) FROM event")
    return int(row[0]) if row and row[0] is not None else head(tx) + 1


def ends(tx: Tx) -> LogEnds:
    """As the database has them now. A log without a name is given one for good: a profile that is restored has another
    log, whose seqs say nothing about those of this."""
    if (log := _name(tx)) is None:
        tx.execute("INSERT INTO meta VALUES (?, randomblob(8))", (_LOG,))
        log = _name(tx)
    assert log is not None  # noqa: S101  it was made
    return LogEnds(log, head(tx), oldest(tx))


def _name(tx: Tx) -> str | None:
    row = tx.one("SELECT hex(value) FROM meta WHERE key = ?", (_LOG,))
    return None if row is None else str(row[0]).lower()
