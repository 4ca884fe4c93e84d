"""Invites that this node has made, and what is known in their slots (PROTOCOL.md 3.5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from p2pchat.base.ids import RootKey
from p2pchat.store.db import Row, Tx

_SELECT: Final = "SELECT id, uid, secret, uses, used, ask, expires_s, closed FROM invite"


@dataclass(frozen=True, slots=True)
class InviteRow:
    """One invite. ``used``: for how many it has made a contact; ``ask``: each of them is asked about; ``closed``: it
    lets nobody in any more, though whom it let in may not be matched yet."""

    id: int
    uid: bytes = field(repr=False)
    secret: bytes = field(repr=False)
    uses: int
    used: int
    ask: bool
    expires_s: int
    closed: bool


def _row(row: Row) -> InviteRow:
    return InviteRow(row[0], bytes(row[1]), bytes(row[2]), row[3], row[4], bool(row[5]), row[6], bool(row[7]))


def add(tx: Tx, uid: bytes, secret: bytes, uses: int, ask: bool, expires_s: int) -> InviteRow:
    row_id = tx.insert(
        "INSERT INTO invite (uid, secret, uses, ask, expires_s) VALUES (?, ?, ?, ?, ?)",
        (uid, secret, uses, ask, expires_s),
    )
    return InviteRow(row_id, uid, secret, uses, 0, ask, expires_s, closed=False)


def get(tx: Tx, invite: int) -> InviteRow | None:
    row = tx.one(_SELECT + " WHERE id = ?", (invite,))
    return None if row is None else _row(row)


def everyone(tx: Tx) -> list[InviteRow]:
    """All of them, the oldest first."""
    return [_row(row) for row in tx.all(_SELECT + " ORDER BY id")]


def use(tx: Tx, invite: int) -> None:
    """One more was let in."""
    tx.execute("UPDATE invite SET used = used + 1 WHERE id = ?", (invite,))


def close(tx: Tx, invite: int) -> None:
    tx.execute("UPDATE invite SET closed = 1 WHERE id = ?", (invite,))


def overdue(tx: Tx) -> list[int]:
    """Those that have expired and are not closed."""
    return [row[0] for row in tx.all("SELECT id FROM invite WHERE expires_s <= ? AND NOT closed", (tx.now_s,))]


def forget(tx: Tx) -> None:
    """Those that are closed and let nobody in who is still to be matched."""
    tx.execute(
        "DELETE FROM invite WHERE closed AND expires_s <= ? AND id NOT IN "
        "(SELECT invite FROM contact WHERE invite IS NOT NULL AND "
        "(state = 'request' OR (state = 'pending' AND pending_until_s IS NOT NULL)))",
        (tx.now_s,),
    )


def refuse_everywhere(tx: Tx, root: RootKey) -> None:
    """No invite that is there now lets the holder of ``root`` in."""
    tx.execute("INSERT INTO invite_refused SELECT id, ? FROM invite WHERE true ON CONFLICT DO NOTHING", (bytes(root),))


def is_refused(tx: Tx, invite: int, root: RootKey) -> bool:
    return tx.one("SELECT 1 FROM invite_refused WHERE invite = ? AND root = ?", (invite, bytes(root))) is not None


def slot(tx: Tx, invite: int, era: int, epoch: int) -> bytes | None:
    row = tx.one("SELECT state FROM invite_slot WHERE invite = ? AND era = ? AND epoch = ?", (invite, era, epoch))
    return None if row is None else bytes(row[0])


def save_slot(tx: Tx, invite: int, era: int, epoch: int, state: bytes) -> None:
    tx.execute(
        "INSERT INTO invite_slot VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state",
        (invite, era, epoch, state),
    )
