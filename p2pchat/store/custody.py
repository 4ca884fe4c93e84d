"""Which holders have a box with an envelope of ours, and until when (PROTOCOL.md 6.3, 6.5).

A custody belongs to an envelope: it goes with it, when its session is given up, and when an ack settles it. That a
message was held once stays with the message: ``held_ms`` says since when it is, 0 that it was told to be held no more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from p2pchat.base.ids import PeerId
from p2pchat.store.db import Row, Tx
from p2pchat.store.messages import MessageRow
from p2pchat.store.sessions import EnvelopeRow

_LACKING: Final = (
    "FROM envelope INDEXED BY envelope_open WHERE session = ? AND bytes IS NOT NULL AND live IS NULL "
    "AND (n1 > 0 OR ?) AND NOT EXISTS "
    "(SELECT 1 FROM custody WHERE envelope = envelope.id AND holder = ? AND until_s > ?) "
)


@dataclass(frozen=True, slots=True)
class CustodyRow:
    """``holder`` keeps a box until unix second ``until_s``; ``receipt``: hash of the box and its signature."""

    holder: PeerId
    until_s: int
    receipt: bytes = field(repr=False)


def lacks(tx: Tx, session: int, holder: PeerId, left_s: int) -> bool:
    """Whether ``holder`` has not every unacknowledged message of ``session`` for ``left_s`` seconds more."""
    values = (session, False, bytes(holder), tx.now_s + left_s)
    return tx.one(f"SELECT 1 {_LACKING} LIMIT 1", values) is not None


def lacking(
    tx: Tx, session: int, holder: PeerId, left_s: int, limit: int, *, messages_alone: bool
) -> list[EnvelopeRow]:
    """Unacknowledged envelopes of ``session`` that ``holder`` has not for ``left_s`` seconds more, in order; none that
    is for a live stream alone.

    Args:
        messages_alone: leave out those without a message.
    """
    values = (session, not messages_alone, bytes(holder), tx.now_s + left_s, limit)
    rows = tx.all(f"SELECT id, eid, bytes, n0, n1 {_LACKING} ORDER BY id LIMIT ?", values)
    return [EnvelopeRow(row[0], bytes(row[1]), bytes(row[2]), row[3], row[4]) for row in rows]


def note(tx: Tx, envelopes: Sequence[EnvelopeRow], custody: CustodyRow) -> list[int]:
    """A holder has these; row ids of the messages that nobody held before, or was told to hold any more. One that was
    settled meanwhile is left."""
    first: list[int] = []
    for envelope in envelopes:
        there = tx.one("SELECT contact FROM envelope WHERE id = ? AND bytes IS NOT NULL", (envelope.id,))
        if there is None:
            continue
        tx.execute(
            "INSERT INTO custody (envelope, holder, until_s, receipt) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
            "SET until_s = excluded.until_s, receipt = excluded.receipt",
            (envelope.id, bytes(custody.holder), custody.until_s, custody.receipt),
        )
        rows = tx.all(
            "UPDATE message SET held_ms = ? WHERE incoming = 0 AND contact = ? AND n BETWEEN ? AND ? "
            "AND state = 'sent' AND live = 0 AND ifnull(held_ms, 0) = 0 RETURNING id",
            (tx.now_ms, there[0], envelope.n0, envelope.n1),
        )
        first += [row[0] for row in rows]
    return sorted(first)


def forget(tx: Tx, envelope: int) -> None:
    """It is settled: whoever holds it holds what nobody needs."""
    tx.execute("DELETE FROM custody WHERE envelope = ?", (envelope,))


def end(tx: Tx) -> dict[int, list[int]]:
    """Forget what is held no more; by contact, the row ids of the messages that wait and that nobody holds now."""
    return _unheld(tx, _envelopes(tx.all("DELETE FROM custody WHERE until_s <= ? RETURNING envelope", (tx.now_s,))))


def next_end(tx: Tx) -> int | None:
    """The unix second at which the next custody ends."""
    row = tx.one("SELECT min(until_s) FROM custody")
    return None if row is None or row[0] is None else int(row[0])


def keep_only(tx: Tx, contact: int, named: Iterable[PeerId]) -> list[int]:
    """Forget what anybody but these holds for ``contact``; row ids of the messages that nobody holds now."""
    kept = frozenset(map(bytes, named))
    rows = tx.all(
        "SELECT envelope, holder FROM custody JOIN envelope ON envelope.id = custody.envelope WHERE contact = ?",
        (contact,),
    )
    others = [(row[0], bytes(row[1])) for row in rows if bytes(row[1]) not in kept]
    tx.many("DELETE FROM custody WHERE envelope = ? AND holder = ?", others)
    return _unheld(tx, {envelope for envelope, _ in others}).get(contact, [])


def void(tx: Tx, contact: int) -> list[int]:
    """What is held for ``contact`` is for a device that it has no more; the row ids of the messages that wait."""
    sql = "DELETE FROM custody WHERE envelope IN (SELECT id FROM envelope WHERE contact = ?) RETURNING envelope"
    return _unheld(tx, _envelopes(tx.all(sql, (contact,)))).get(contact, [])


def _envelopes(rows: Iterable[Row]) -> set[int]:
    return {row[0] for row in rows}


def _unheld(tx: Tx, envelopes: Iterable[int]) -> dict[int, list[int]]:
    """By contact, the row ids of the messages in these that wait, and that nobody holds now: each is found once."""
    unheld: dict[int, list[int]] = {}
    for envelope in sorted(envelopes):
        rows = tx.all(
            "UPDATE message SET held_ms = 0 FROM envelope WHERE envelope.id = ? AND bytes IS NOT NULL "
            "AND incoming = 0 AND message.contact = envelope.contact AND n BETWEEN n0 AND n1 AND state = 'sent' "
            "AND message.live = 0 AND held_ms > 0 AND NOT EXISTS (SELECT 1 FROM custody JOIN envelope other "
            "ON other.id = custody.envelope WHERE other.contact = message.contact "
            "AND message.n BETWEEN other.n0 AND other.n1) RETURNING message.contact, message.id",
            (envelope,),
        )
        for contact, message in rows:
            unheld.setdefault(contact, []).append(message)
    return {contact: sorted(found) for contact, found in unheld.items()}


def holders(tx: Tx, rows: Sequence[MessageRow]) -> dict[int, list[tuple[PeerId, int]]]:
    """By row id, who holds each of ``rows`` that is held, and until which unix second."""
    held: dict[int, dict[int, int]] = {}  # of each contact: number → row id
    for row in rows:
        if row.state == "held":
            held.setdefault(row.contact, {})[row.n] = row.id
    found: dict[int, list[tuple[PeerId, int]]] = {}
    for contact, ids in held.items():
        numbers = sorted(ids)
        for n0, n1, holder, until_s in tx.all(
            "SELECT n0, n1, holder, max(until_s) FROM custody JOIN envelope ON envelope.id = custody.envelope "
            "WHERE envelope.contact = ? AND n1 >= ? AND n0 <= ? AND until_s > ? AND bytes IS NOT NULL "
            "GROUP BY n0, n1, holder ORDER BY holder",
            (contact, numbers[0], numbers[-1], tx.now_s),
        ):
            for n in numbers[bisect_left(numbers, n0) : bisect_left(numbers, n1 + 1)]:
                found.setdefault(ids[n], []).append((PeerId(bytes(holder)), until_s))
    return found
