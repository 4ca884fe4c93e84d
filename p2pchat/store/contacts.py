"""Contacts, and who claims to be them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from p2pchat.base.ids import ContactId, RootKey
from p2pchat.base.limits import CLAIMANTS_PER_CONTACT
from p2pchat.base.silent import Silent
from p2pchat.store import messages, presence, rules, word_index
from p2pchat.store.db import Row, Tx

_SELECT: Final = (
    "SELECT id, uid, name, number, state, trust, root, receipts, epoch_ms, highest_ms, next_n, claimants, "
    "last_seen_ms, pending_until_s, flight_after_s, matched_s, heard_ms, invite, invite_secret FROM contact"
)

SELF: Final = "self"
"""The state of the conversation with oneself (:mod:`p2pchat.store.notes`), which is nobody to be reached."""


class ContactRow(Silent, msgspec.Struct, frozen=True, gc=False):
    """A person in the address book. ``state`` and ``trust`` are the words of the control API.

    ``root``: whom Reach was given to, later who is matched. ``last_seen_ms``: when a node of theirs last said anything;
    ``heard_ms``: when anything last came that only they can have sent. ``invite``: the one of this node through which
    they came; ``invite_secret``: of the one of theirs that is looked for. ``pending_until_s``: until when the user
    wants it looked for; of one who is matched only until it is heard again. ``receipts``: whether read receipts are
    exchanged with it, where the user has said so for this one.
    """

    id: int
    uid: ContactId
    name: str
    number: str | None
    state: str
    trust: str
    root: RootKey | None
    receipts: bool | None
    epoch_ms: int
    highest_ms: int
    next_n: int
    claimants: int
    last_seen_ms: int | None
    pending_until_s: int | None
    flight_after_s: int
    matched_s: int | None
    heard_ms: int
    invite: int | None
    invite_secret: bytes | None

    @property
    def searching(self) -> bool:
        """Whether the node looks for this contact, who is not found yet."""
        by = self.number is not None or self.invite is not None or self.invite_secret is not None
        return self.state == "pending" and by and self.pending_until_s is not None


class Label(NamedTuple):
    """A contact's row and what it can be called: ``uid`` in hex, and the user's own word."""

    id: int
    uid: str
    name: str

    def __repr__(self) -> str:
        return f"Label({self.id})"


@dataclass(frozen=True, slots=True)
class Claimant:
    """Somebody who has shown a valid card for a contact's pair of numbers."""

    root: RootKey
    first_seen_ms: int


def _row(row: Row) -> ContactRow:
    row_id, uid, name, number, state, trust, root, receipts, *rest = row
    told = None if receipts is None else bool(receipts)
    return ContactRow(row_id, ContactId(uid), name, number, state, trust, root and RootKey(root), told, *rest)


def add(tx: Tx, uid: ContactId, name: str, number: str | None, pending_until_s: int | None) -> ContactRow:
    """A new contact, pending until the DHT has matched it; until None: nobody looks for it yet.

    Raises:
        StoreError: it could not be kept now.
    """
    tx.need_room()
    row_id = tx.insert(
        "INSERT INTO contact (uid, name, number, state, trust, pending_until_s) "
        "VALUES (?, ?, ?, 'pending', 'claimed', ?)",
        (bytes(uid), name, number, pending_until_s),
    )
    contact = get(tx, row_id)
    assert contact is not None  # noqa: S101  just inserted
    return contact


def get(tx: Tx, contact: int) -> ContactRow | None:
    row = tx.one(_SELECT + " WHERE id = ?", (contact,))
    return None if row is None else _row(row)


def everyone(tx: Tx, state: str | None = None) -> list[ContactRow]:
    """Every other person, or those in one state."""
    if state is None:
        return [_row(row) for row in tx.all(_SELECT + " WHERE state != ? ORDER BY id", (SELF,))]
    return [_row(row) for row in tx.all(_SELECT + " WHERE state = ? ORDER BY id", (state,))]


def names(tx: Tx) -> list[str]:
    """The names of all contacts but oneself."""
    return [row[0] for row in tx.all("SELECT name FROM contact WHERE state != ?", (SELF,))]


def labels(tx: Tx, name: str | None = None) -> list[Label]:
    """What every contact, or each of that very name, can be called besides its number."""
    select = "SELECT id, lower(hex(uid)), name FROM contact"
    if name is None:
        return [Label(*row) for row in tx.all(select + " ORDER BY id")]
    return [Label(*row) for row in tx.all(select + " WHERE name = ? ORDER BY id", (name,))]


def count_states(tx: Tx) -> dict[str, int]:
    """How many contacts are in each state that any is in."""
    return dict(tx.all("SELECT state, count(*) FROM contact GROUP BY state"))


def any_matched(tx: Tx) -> bool:
    return tx.one("SELECT 1 FROM contact WHERE state = 'matched' LIMIT 1") is not None


def by_number(tx: Tx, number: str) -> ContactRow | None:
    row = tx.one(_SELECT + " WHERE number = ?", (number,))
    return None if row is None else _row(row)


def of_invite(tx: Tx, invite: int) -> list[ContactRow]:
    """Who came through an invite of this node."""
    return [_row(row) for row in tx.all(_SELECT + " WHERE invite = ? ORDER BY id", (invite,))]


def count_requests(tx: Tx, invite: int) -> int:
    """How many of them wait for an answer."""
    row = tx.one("SELECT count(*) FROM contact WHERE invite = ? AND state = 'request'", (invite,))
    return int(row[0]) if row else 0


def by_root(tx: Tx, root: RootKey) -> ContactRow | None:
    row = tx.one(_SELECT + " WHERE root = ?", (bytes(root),))
    return None if row is None else _row(row)


def set_name(tx: Tx, contact: int, name: str) -> None:
    tx.execute("UPDATE contact SET name = ? WHERE id = ?", (name, contact))


def set_root(tx: Tx, contact: int, root: RootKey, epoch_ms: int) -> None:
    """Settle whom this contact's Reach is given to and its flights are accepted from."""
    tx.execute("UPDATE contact SET root = ?, epoch_ms = ?, cert = NULL WHERE id = ?", (bytes(root), epoch_ms, contact))


def set_matched(tx: Tx, contact: int) -> None:
    tx.execute(
        "UPDATE contact SET state = 'matched', matched_s = ?, pending_until_s = NULL WHERE id = ?", (tx.now_s, contact)
    )


def block(tx: Tx, contact: int) -> None:
    """Forget what leads to ``contact`` and what was looked for; who it is stays known, and which nodes were theirs.

    So does the key of the presence that they gave, which nothing reads meanwhile: it alone leads to them again, since
    they are not told of an unblocking, and look for nobody for days.
    """
    tx.execute(
        "INSERT OR IGNORE INTO blocked_peer SELECT peer, contact FROM contact_peer WHERE contact = ?", (contact,)
    )
    for table in (
        "session",
        "contact_peer",
        "meeting",
        "pair_root",
        "pair_slot",
        "published",
        "notice",
        "proof",
    ):
        tx.execute(f"DELETE FROM {table} WHERE contact = ?", (contact,))  # noqa: S608  no word of it is from outside
    _forget_received(tx, contact)
    presence.forget_mailboxes(tx, contact)
    tx.execute(
        "UPDATE contact SET state = 'blocked', pending_until_s = NULL, flight_after_s = 0, matched_s = NULL, "
        "heard_ms = 0, acked_n = 0 WHERE id = ?",
        (contact,),
    )


def set_invite(tx: Tx, contact: int, invite: int) -> None:
    """It came through that invite of this node."""
    tx.execute("UPDATE contact SET invite = ? WHERE id = ?", (invite, contact))


def set_invite_secret(tx: Tx, contact: int, secret: bytes) -> None:
    """It is looked for in the slots of an invite of its own (32 bytes)."""
    tx.execute("UPDATE contact SET invite_secret = ? WHERE id = ?", (secret, contact))


def set_request(tx: Tx, contact: int) -> None:
    """Whoever it is asks to become a contact."""
    tx.execute("UPDATE contact SET state = 'request', pending_until_s = NULL WHERE id = ?", (contact,))


def set_pending(tx: Tx, contact: int, until_s: int) -> None:
    """It is looked for until then."""
    tx.execute("UPDATE contact SET state = 'pending', pending_until_s = ? WHERE id = ?", (until_s, contact))


def set_trust(tx: Tx, contact: int, trust: str) -> None:
    tx.execute("UPDATE contact SET trust = ? WHERE id = ?", (trust, contact))


def choose(tx: Tx, contact: int, root: RootKey, pending_until_s: int) -> None:
    """Make ``root`` the contact in place of whoever was: nothing that was agreed with another holds any more."""
    for table in ("session", "contact_peer", "contact_presence", "meeting", "notice", "proof"):
        tx.execute(f"DELETE FROM {table} WHERE contact = ?", (contact,))  # noqa: S608  no word of it is from outside
    _forget_received(tx, contact)
    tx.execute(
        "UPDATE contact SET root = ?, epoch_ms = 0, cert = NULL, state = 'pending', trust = 'claimed', "
        "pending_until_s = ?, flight_after_s = 0, matched_s = NULL, heard_ms = 0, acked_n = 0 WHERE id = ?",
        (bytes(root), pending_until_s, contact),
    )


def raise_highest_ms(tx: Tx, contact: int, ms: int) -> None:
    """Note the ms of a first flight, which may not go back (PROTOCOL.md 4.2)."""
    tx.execute("UPDATE contact SET highest_ms = max(highest_ms, ?) WHERE id = ?", (ms, contact))


def set_device(tx: Tx, contact: int, epoch_ms: int, cert: bytes) -> None:
    """Note the newest device of ``contact``; one that is older than the one known changes nothing (PROTOCOL.md 1.1)."""
    tx.execute(
        "UPDATE contact SET epoch_ms = ?1, cert = ?2 WHERE id = ?3 AND epoch_ms <= ?1", (epoch_ms, cert, contact)
    )


def newer_cert(tx: Tx, contact: int, device_ms: int) -> bytes | None:
    """The certificate of the newest device of a matched ``contact``, for who still uses the one of ``device_ms``.

    None where that is the newest one, or no certificate is kept: a backup holds none.
    """
    row = tx.one(
        "SELECT cert FROM contact WHERE id = ? AND state = 'matched' AND epoch_ms > ? AND cert IS NOT NULL",
        (contact, device_ms),
    )
    return None if row is None else bytes(row[0])


def forget_flights(tx: Tx) -> None:
    """Of a device with another epoch_ms the ms of flights is compared with none of before (PROTOCOL.md 4.6)."""
    tx.execute("UPDATE contact SET highest_ms = 0, flight_after_s = 0")


def set_flight_after(tx: Tx, contact: int, at_s: int) -> None:
    """No new session with this contact before ``at_s``."""
    tx.execute("UPDATE contact SET flight_after_s = ? WHERE id = ?", (at_s, contact))


def take_n(tx: Tx, contact: int) -> int:
    """The next message number of the conversation."""
    row = tx.one("UPDATE contact SET next_n = next_n + 1 WHERE id = ? RETURNING next_n - 1", (contact,))
    assert row is not None  # noqa: S101  the caller holds the contact in this transaction
    return int(row[0])


def set_next_n(tx: Tx, contact: int, next_n: int) -> None:
    """Every message number of the conversation below ``next_n`` is taken."""
    tx.execute("UPDATE contact SET next_n = ? WHERE id = ?", (next_n, contact))


def seen(tx: Tx, contact: int, at_ms: int) -> None:
    """A node of the contact said something at ``at_ms``; what a clock that was ahead has noted is forgotten."""
    tx.execute(
        "UPDATE contact SET last_seen_ms = ?1 WHERE id = ?2 AND coalesce(last_seen_ms, 0) NOT BETWEEN ?1 AND ?3",
        (at_ms, contact, tx.now_ms),
    )


def heard(tx: Tx, contact: int, *, there: bool = True) -> None:
    """Something came now that only the contact can have sent: a sealed envelope, or an ack that proves itself.

    Args:
        there: it came from the contact, and not out of a box, where it may have lain for long.
    """
    tx.execute(
        "UPDATE contact SET last_seen_ms = iif(?3, ?1, last_seen_ms), heard_ms = ?1, "
        "pending_until_s = CASE state WHEN 'matched' THEN NULL ELSE pending_until_s END WHERE id = ?2",
        (tx.now_ms, contact, there),
    )


def overdue(tx: Tx) -> list[int]:
    """Pending contacts that were looked for long enough."""
    rows = tx.all(
        "SELECT id FROM contact WHERE state = 'pending' AND pending_until_s IS NOT NULL AND pending_until_s <= ?",
        (tx.now_s,),
    )
    return [row[0] for row in rows]


def redate(tx: Tx, before_s: int, until_s: int) -> None:
    """Look until ``until_s`` for those whose search seems to have ended before ``before_s``."""
    tx.execute(
        "UPDATE contact SET pending_until_s = ? WHERE state = 'pending' AND pending_until_s < ?", (until_s, before_s)
    )


def set_pending_until(tx: Tx, contact: int, until_s: int | None) -> None:
    """Look for ``contact`` until then; None ends the search until the user renews it."""
    tx.execute("UPDATE contact SET pending_until_s = ? WHERE id = ?", (until_s, contact))


def merge(tx: Tx, contact: int, other: int, number: str) -> None:
    """Give ``contact`` the ``number`` of ``other``, what was learnt by it and what waits for it; ``other`` is deleted.

    What waits is numbered anew, in its order: the numbers of a conversation are one row. What has ended is out of that
    row, as number 0: it went to somebody else, and no receipt that comes is about it.
    """
    for table in ("pair_root", "pair_slot", "published"):
        tx.execute(f"UPDATE {table} SET contact = ? WHERE contact = ?", (contact, other))  # noqa: S608  as above
    tx.execute(
        "INSERT INTO claimant SELECT ?, root, cert, first_seen_ms FROM claimant WHERE contact = ? "
        "ON CONFLICT DO UPDATE SET cert = excluded.cert",
        (contact, other),
    )
    moved = messages.ids(tx, other)
    word_index.forget(tx, moved)
    outgoing = "SELECT id, state IN ('queued', 'sent') FROM message WHERE contact = ? AND NOT incoming ORDER BY id"
    for message, waits in tx.all(outgoing, (other,)):
        n = take_n(tx, contact) if waits else 0
        tx.execute("UPDATE message SET contact = ?, n = ? WHERE id = ?", (contact, n, message))
    # what came was of somebody else, whom no receipt goes to; an id that both have used is shown once
    tx.execute("UPDATE OR IGNORE message SET contact = ?, n = 0 WHERE contact = ?", (contact, other))
    _forget_received(tx, other)
    rules.hand_over(tx, contact, other)
    tx.execute("DELETE FROM contact WHERE id = ?", (other,))
    word_index.put_back(tx, moved)
    tx.execute(
        "UPDATE contact SET number = ?2, claimants = (SELECT count(*) FROM claimant WHERE contact = ?1) WHERE id = ?1",
        (contact, number),
    )


def remove(tx: Tx, contact: int) -> None:
    """Delete the contact with its messages, sessions and slots."""
    word_index.forget(tx, messages.ids(tx, contact))
    _forget_received(tx, contact)
    tx.execute("DELETE FROM contact WHERE id = ?", (contact,))


def _forget_received(tx: Tx, contact: int) -> None:
    """Whoever still has an envelope that was acked must not recognise this node by the same ack: it is another now."""
    tx.execute("DELETE FROM received WHERE contact = ? OR contact IS NULL", (contact,))


def add_claimant(tx: Tx, contact: int, root: RootKey, cert: bytes) -> bool:
    """Remember whose valid card was seen; True if that root is new. A newer cert of a known root replaces."""
    known = tx.one("SELECT cert FROM claimant WHERE contact = ? AND root = ?", (contact, bytes(root)))
    if known is not None and bytes(known[0]) == cert:
        return False
    if known is None and len(claimants(tx, contact)) >= CLAIMANTS_PER_CONTACT:
        return False  # that there are several is all that matters, and it is known
    tx.execute(
        "INSERT INTO claimant VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET cert = excluded.cert",
        (contact, bytes(root), cert, tx.now_ms),
    )
    tx.execute(
        "UPDATE contact SET claimants = (SELECT count(*) FROM claimant WHERE contact = ?) WHERE id = ?",
        (contact, contact),
    )
    return known is None


def expect_claimant(tx: Tx, contact: int, root: RootKey) -> None:
    """Count ``root`` among those who claim to be the contact, before its card is seen and beyond any bound."""
    tx.execute("INSERT INTO claimant VALUES (?, ?, x'', ?) ON CONFLICT DO NOTHING", (contact, bytes(root), tx.now_ms))


def claimants(tx: Tx, contact: int) -> list[Claimant]:
    """Everyone who has shown a valid card, the first one first."""
    rows = tx.all("SELECT root, first_seen_ms FROM claimant WHERE contact = ? ORDER BY first_seen_ms, root", (contact,))
    return [Claimant(RootKey(root), first_seen_ms) for root, first_seen_ms in rows]
