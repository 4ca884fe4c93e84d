"""What discovery keeps: era secrets, pair roots, the matching machine of each slot, and own records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from p2pchat.store.db import Tx


@dataclass(frozen=True, slots=True)
class Published:
    """An own record: ``seq`` is committed before ``record`` leaves; ``record`` is None until its work of
    ``bits`` leading zeros is done."""

    loc: bytes = field(repr=False)
    data: bytes = field(repr=False)
    seq: int
    bits: int
    record: bytes | None = field(repr=False)
    republish_s: int


@dataclass(frozen=True, slots=True)
class Rootless:
    """A contact without a root in some era. ``until_s``: until when it is looked for, 0 where it is matched."""

    contact: int
    number: str = field(repr=False)
    until_s: int


def idsec(tx: Tx, era: int) -> bytes | None:
    row = tx.one("SELECT secret FROM idsec WHERE era = ?", (era,))
    return None if row is None else bytes(row[0])


def newest_idsec(tx: Tx) -> tuple[int, bytes] | None:
    row = tx.one("SELECT era, secret FROM idsec ORDER BY era DESC LIMIT 1")
    return None if row is None else (int(row[0]), bytes(row[1]))


def save_idsec(tx: Tx, era: int, secret: bytes) -> None:
    tx.execute("INSERT INTO idsec VALUES (?, ?) ON CONFLICT DO NOTHING", (era, secret))


def forget_idsec(tx: Tx, before_era: int) -> None:
    tx.execute("DELETE FROM idsec WHERE era < ?", (before_era,))


def root(tx: Tx, contact: int, own: str, number: str, era: int) -> bytes | None:
    row = tx.one(
        "SELECT root FROM pair_root WHERE contact = ? AND own = ? AND number = ? AND era = ?",
        (contact, own, number, era),
    )
    return None if row is None else bytes(row[0])


def save_root(tx: Tx, contact: int, own: str, number: str, era: int, value: bytes) -> None:
    values = (contact, own, number, era, value)
    tx.execute("INSERT INTO pair_root VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values)


def rootless(tx: Tx, own: str, era: int, until_s: int) -> tuple[list[Rootless], int]:
    """The contacts that are looked for beyond ``until_s`` and have no root in ``era``, and how many are looked for."""
    rows = tx.all(
        "SELECT id, number, pending_until_s, EXISTS (SELECT 1 FROM pair_root WHERE contact = contact.id AND own = ? "
        "AND pair_root.number = contact.number AND era = ?) FROM contact "
        "WHERE state = 'pending' AND number IS NOT NULL AND pending_until_s > ?",
        (own, era, until_s),
    )
    return [Rootless(*row[:3]) for row in rows if not row[3]], len(rows)


def rootless_matched(tx: Tx, own: str, era: int) -> list[Rootless]:
    """The matched contacts that have no root in ``era``."""
    rows = tx.all(
        "SELECT id, number, 0 FROM contact WHERE state = 'matched' AND number IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM pair_root WHERE contact = contact.id AND own = ? AND pair_root.number = contact.number "
        "AND era = ?)",
        (own, era),
    )
    return [Rootless(*row) for row in rows]


def slot(tx: Tx, contact: int, own: str, number: str, era: int, epoch: int) -> bytes | None:
    row = tx.one(
        "SELECT state FROM pair_slot WHERE contact = ? AND own = ? AND number = ? AND era = ? AND epoch = ?",
        (contact, own, number, era, epoch),
    )
    return None if row is None else bytes(row[0])


def slots(tx: Tx, contact: int) -> list[bytes]:
    """The matching machines of all slots of a contact."""
    return [bytes(row[0]) for row in tx.all("SELECT state FROM pair_slot WHERE contact = ?", (contact,))]


def save_slot(tx: Tx, contact: int, own: str, number: str, era: int, epoch: int, state: bytes) -> None:
    tx.execute(
        "INSERT INTO pair_slot VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state",
        (contact, own, number, era, epoch, state),
    )


def prune(tx: Tx, before_era: int) -> None:
    """Forget roots and slots of eras that nobody reads any more."""
    tx.execute("DELETE FROM pair_root WHERE era < ?", (before_era,))
    tx.execute("DELETE FROM pair_slot WHERE era < ?", (before_era,))


def published(tx: Tx, loc: bytes) -> Published | None:
    row = tx.one("SELECT loc, data, seq, bits, record, republish_s FROM published WHERE loc = ?", (loc,))
    if row is None:
        return None
    record = bytes(row[4]) if row[4] is not None else None
    return Published(bytes(row[0]), bytes(row[1]), row[2], row[3], record, row[5])


def save_published(tx: Tx, contact: int | None, entry: Published) -> None:
    tx.execute(
        "INSERT INTO published VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET data = excluded.data, "
        "seq = excluded.seq, bits = excluded.bits, record = excluded.record, republish_s = excluded.republish_s",
        (entry.loc, contact, entry.data, entry.seq, entry.bits, entry.record, entry.republish_s),
    )


def next_renewal_s(tx: Tx, locs: Iterable[bytes]) -> int | None:
    """When the first of the own records in these slots has to be written anew, unix seconds.

    What is overdue right after a poll is no more published there: a Reach that is not given any longer.
    """
    found = [published(tx, loc) for loc in locs]
    due = [entry.republish_s for entry in found if entry is not None]
    return min((at_s for at_s in due if at_s > tx.now_s), default=None)


def forget_published(tx: Tx, loc: bytes) -> None:
    """Forget the own record of a slot: it is not renewed."""
    tx.execute("DELETE FROM published WHERE loc = ?", (loc,))


def forget_all_published(tx: Tx) -> None:
    """Every own record is written anew: cards show another device, and no storer took what a clock ahead has dated."""
    tx.execute("DELETE FROM published")


def prune_published(tx: Tx, before_s: int) -> None:
    """Forget own records that have long expired: their slots' epochs are over, so no seq can clash."""
    tx.execute("DELETE FROM published WHERE republish_s < ?", (before_s,))
