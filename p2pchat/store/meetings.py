"""Where a contact is met again when both have moved: the rdv of each session with it (PROTOCOL.md 3.4).

A restored node has no session, but those of before the backup are still the contact's: their rdv came with the backup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from p2pchat.store import sessions
from p2pchat.store.db import Tx

_MEETINGS: Final = 2  # the two ends may not agree yet which of the newest two is the sending one


@dataclass(frozen=True, slots=True)
class MeetingRow:
    """The rdv (32 bytes) of a session that was opened at ``ms`` with the contact's device ``device_ms``."""

    device_ms: int
    ms: int
    rdv: bytes = field(repr=False)


def of_contact(tx: Tx, contact: int) -> list[MeetingRow]:
    """The newest two, the one that either end would send on first. Source: PROTOCOL.md 4.6."""
    known = [row.session for row in sessions.of_contact(tx, contact)]
    found = [(s.peer_epoch_ms, s.ms, s.ad, s.rdv) for s in known if s.rdv is not None]
    kept = tx.all("SELECT device_ms, ms, rdv FROM meeting WHERE contact = ?", (contact,))
    found += [(device_ms, ms, b"", bytes(rdv)) for device_ms, ms, rdv in kept]
    newest = sorted(found, key=lambda each: (-each[0], -each[1], each[2]))[:_MEETINGS]
    return [MeetingRow(device_ms, ms, rdv) for device_ms, ms, _, rdv in newest]


def keep(tx: Tx, contact: int, rows: Sequence[MeetingRow]) -> None:
    """Those of a backup."""
    tx.many("INSERT INTO meeting VALUES (?, ?, ?, ?)", [(contact, row.device_ms, row.ms, row.rdv) for row in rows])


def forget(tx: Tx, contact: int) -> None:
    """A session is there again, and the contact knows where this node is."""
    tx.execute("DELETE FROM meeting WHERE contact = ?", (contact,))
