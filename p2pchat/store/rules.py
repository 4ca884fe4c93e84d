"""What the user has said of who may come near: contacts, PeerIDs and networks, allowed or denied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from p2pchat.base.ids import PeerId
from p2pchat.store.db import Row, Tx

Kind = Literal["contact", "peer", "network"]

_SELECT: Final = "SELECT id, contact, peer, network, allow, made_ms FROM rule"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a rule is about: one of the three. ``contact`` is a row id; ``network`` in CIDR notation, as short as can
    be."""

    contact: int | None = None
    peer: PeerId | None = None
    network: str | None = field(default=None, repr=False)

    @property
    def kind(self) -> Kind:
        """Which of the three it is."""
        return "contact" if self.contact is not None else "peer" if self.peer is not None else "network"


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule. ``allow``: whoever it is about may come near, or may not; ``made_ms``: unix ms."""

    id: int
    about: Subject
    allow: bool
    made_ms: int


def _row(row: Row) -> RuleRow:
    peer = None if row[2] is None else PeerId(row[2])
    return RuleRow(row[0], Subject(row[1], peer, row[3]), bool(row[4]), row[5])


def put(tx: Tx, about: Subject, *, allow: bool) -> RuleRow:
    """Make the rule about ``about``, in place of the one that there is; an equal one stays as it is."""
    known = get(tx, about)
    if known is not None and known.allow == allow:
        return known
    if known is not None:
        tx.execute("DELETE FROM rule WHERE id = ?", (known.id,))
    peer = None if about.peer is None else bytes(about.peer)
    row_id = tx.insert(
        "INSERT INTO rule (contact, peer, network, allow, made_ms) VALUES (?, ?, ?, ?, ?)",
        (about.contact, peer, about.network, allow, tx.now_ms),
    )
    return RuleRow(row_id, about, allow, tx.now_ms)


def get(tx: Tx, about: Subject) -> RuleRow | None:
    value = about.contact if about.contact is not None else about.network
    row = tx.one(
        f"{_SELECT} WHERE {about.kind} = ?",  # one of three words
        (bytes(about.peer) if about.peer is not None else value,),
    )
    return None if row is None else _row(row)


def forget(tx: Tx, rule: int) -> None:
    tx.execute("DELETE FROM rule WHERE id = ?", (rule,))


def everyone(tx: Tx) -> list[RuleRow]:
    """All rules, the oldest first."""
    return [_row(row) for row in tx.all(_SELECT + " ORDER BY made_ms, id")]


def count(tx: Tx) -> int:
    row = tx.one("SELECT count(*) FROM rule")
    return 0 if row is None else int(row[0])


def hand_over(tx: Tx, contact: int, other: int) -> None:
    """``other`` goes into ``contact``: so does the rule about it, where there is none about ``contact``."""
    tx.execute("UPDATE OR IGNORE rule SET contact = ? WHERE contact = ?", (contact, other))
