"""What of the database a backup holds, and reading it, in pages, as its records (docs/BACKUP.md).

Every column of every table stands in one of the two lists below: a new one is forgotten by nobody, and nothing leaves
that was not meant to. Left out is what lets anybody read what was sent or write in this node's place (ratchets,
prekeys, idsec, seeds), and what a node makes anew; the index of words is, and has no columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import p2pchat
from p2pchat.core.backup import (
    Claimant,
    Contact,
    Header,
    Invite,
    KnownPeer,
    Meeting,
    Message,
    Owner,
    Presence,
    Reached,
    Receipts,
    Record,
    Settings,
)
from p2pchat.core.keys import load_identity
from p2pchat.core.params import PRODUCTION
from p2pchat.store import meetings, meta, presence, receipts, sessions
from p2pchat.store.db import Row, Tx
from p2pchat.store.meta import decode_addresses

PRESENCES_AHEAD: Final = 1 << 16
"""How many presences another device can have made that this database does not know of; beyond it contacts would keep
the last of them."""

PRESENCES_MAX: Final = (1 << 32) - 2

Columns = dict[str, tuple[str, ...]]

KEPT: Final[Columns] = {
    "contact": (
        *("uid", "name", "number", "state", "trust", "root", "epoch_ms", "highest_ms", "next_n", "claimants"),
        *("last_seen_ms", "pending_until_s", "matched_s", "heard_ms", "invite_secret", "invite", "receipts"),
    ),
    "claimant": ("root", "cert", "first_seen_ms"),
    "contact_presence": ("device_ms", "n", "gate", "epoch", "key", "seq"),
    "contact_peer": ("peer", "addresses", "ask", "published", "proven", "seq"),
    "meeting": ("device_ms", "ms", "rdv"),
    "message": (
        *("contact", "incoming", "n", "wire_id", "kind", "text", "body", "state", "reason"),
        *("created_ms", "sent_ms", "delivered_ms", "read_ms"),
    ),
    "invite": ("uid", "secret", "uses", "used", "ask", "expires_s", "closed"),
    "invite_refused": ("root",),
    "known_peer": ("peer", "addresses", "seen_s"),
    "presence_own": ("n",),
}
"""Columns that a backup holds. Of ``meta`` the profile's name, number, region, root seed and epoch_ms, what the
devices before this one had, and whether receipts are exchanged; of ``session.core`` the rdv of the newest two: see
:func:`read`."""

LEFT_OUT: Final[Columns] = {
    "contact": ("id", "flight_after_s", "acked_n", "cert", "read_position", "read_n", "order_ms", "order_n"),
    "claimant": ("contact",),
    "contact_presence": ("contact", "said_s", "mailbox_key", "bundle_key", "mailboxes"),
    "contact_peer": ("contact", "met"),
    "meeting": ("contact",),
    "message": ("id", "live", "held_ms"),
    "invite": ("id",),
    "invite_refused": ("invite",),
    "known_peer": ("since_s", "failed_s", "failures"),
    "presence_own": ("seed", "epoch", "key", "ask", "made_s", "ends_s"),
    "meta": ("key", "value"),
    "idsec": ("era", "secret"),
    "spk": ("made_s", "secret"),
    "prekey": ("id", "prekey_id", "requester", "secret", "expires_s", "reusable"),
    "session": ("id", "contact", "ad", "core", "skipped", "sealed_n", "used_s", "presence_n", "kept_s"),
    "session_hint": ("hint", "session"),
    "replay_tag": ("tag", "until_s"),
    "received": ("id", "eid", "ack", "until_s", "contact"),
    "envelope": ("id", "session", "contact", "eid", "ack", "n0", "n1", "bytes", "presence_n", "live"),
    "notice": ("contact", "kind", "wire_id", "body", "until_s", "envelope"),
    "proof": ("contact", "own", "vid", "key", "until_s", "tries", "heard", "closed"),
    "pair_root": ("contact", "own", "number", "era", "root"),
    "pair_slot": ("contact", "own", "number", "era", "epoch", "state"),
    "invite_slot": ("invite", "era", "epoch", "state"),
    "published": ("loc", "contact", "data", "seq", "bits", "record", "republish_s"),
    "held": ("id", "loc", "writer", "seq", "expiry", "work", "prefix", "record"),
    "mailbox": ("id", "owner", "next_n", "boxes", "bytes", "seen_s"),
    "mailbox_bundle": ("mailbox", "bundle"),
    "mailbox_token": ("hash", "mailbox"),
    "mailbox_total": ("id", "boxes", "bytes"),
    "deposit": ("id", "mailbox", "n", "arrived_s", "until_s", "bytes", "box"),
    "mailbox_past": ("day", "why", "boxes", "bytes"),
    "own_mailbox": (
        *("id", "peer", "addresses", "contact", "chosen", "seed", "token", "earlier_token", "earlier_until_s"),
        *("granted_s", "quota", "heard_s", "failed_s", "ends_s"),
    ),
    "blocked_peer": ("peer", "contact"),
    "mailbox_key": ("made_s", "secret"),
    "custody": ("envelope", "holder", "until_s", "receipt"),
    "gap": ("above", "contact", "device_ms", "n0", "n1", "told", "noted_s"),
    "late": ("message", "contact"),
    "event": ("seq", "ts_ms", "kind", "subject", "detail", "more"),
    "consumer": ("name", "seq", "types", "acked_ms", "made_ms"),
    "idempotency": ("key", "digest", "result", "at_s"),
    "rule": ("id", "contact", "peer", "network", "allow", "made_ms"),
}
"""Columns that no backup holds, and the ids by which rows of one database name each other."""

_LIVE: Final = "message.live = 1 AND message.state IN ('queued', 'sent')"
_AS_KEPT: Final = {
    "state": f"iif({_LIVE}, 'failed', message.state)",
    "reason": f"iif({_LIVE}, 'a backup was made before it was confirmed; it may have arrived', message.reason)",
}
"""What is on its way on a live stream alone has failed where the backup is restored: no other device sends it."""


def read(tx: Tx, settings: bytes) -> Iterator[Record]:
    """Every record, in order.

    Args:
        tx: of one transaction or snapshot, which stays open until the last record was taken.
        settings: the configuration file; empty where there is none.

    Concurrency: rows are fetched as they are asked for; a conversation of any length takes the same memory.
    """
    yield _header(tx)
    yield _owner(tx)
    if settings:
        yield Settings(settings)
    for row in _all(tx, "known_peer"):
        yield KnownPeer(row[0], _addresses(row[1]), row[2])
    for invite in tx.all("SELECT id FROM invite ORDER BY id"):
        yield _invite(tx, invite[0])
    for contact in tx.all("SELECT id FROM contact ORDER BY id"):
        yield _contact(tx, contact[0])
    yield from _messages(tx)
    yield from _receipts(tx)


def _header(tx: Tx) -> Header:
    def number(sql: str) -> int:
        row = tx.one(sql)
        assert row is not None  # noqa: S101  each of them always has one
        return int(row[0])

    counts = number("SELECT count(*) FROM contact"), number("SELECT count(*) FROM message")
    return Header(tx.now_ms, number("PRAGMA user_version"), f"p2pchat {p2pchat.__version__}", *counts)


def _owner(tx: Tx) -> Owner:
    profile, before = meta.load_profile(tx), meta.load_before(tx)
    identity, own = load_identity(profile.identity), presence.own(tx)
    accepted_ms = tx.now_ms + PRODUCTION.skew_s * 1000  # by a clock that is right
    seen = identity.cert.epoch_ms <= accepted_ms or sessions.any_confirmed(tx)
    epoch_ms = identity.cert.epoch_ms if seen else before.epoch_ms  # else of a clock that was ahead: nobody took it
    n = max(before.presence_n, own.n if own is not None else 0)
    replaced_ms = meta.load_replaced(tx)
    if replaced_ms is not None:  # what is restored from here is newer than that one, too
        epoch_ms, n = max(epoch_ms, replaced_ms), min(n + PRESENCES_AHEAD, PRESENCES_MAX)
    return Owner(profile.name, profile.number, profile.region, identity.root.secret, epoch_ms, n)


def _invite(tx: Tx, invite: int) -> Invite:
    ((uid, secret, uses, used, ask, expires_s, closed),) = _all(tx, "invite", "id", invite)
    refused = tuple(bytes(root) for (root,) in _all(tx, "invite_refused", "invite", invite))
    return Invite(uid, secret, uses, used, bool(ask), expires_s, bool(closed), refused)


def _contact(tx: Tx, contact: int) -> Contact:
    (row,) = _all(tx, "contact", "id", contact)
    *own, invite_id, _ = row  # the last has a record of its own
    invite = None if invite_id is None else tx.one("SELECT uid FROM invite WHERE id = ?", (invite_id,))
    held = [Presence(*each) for each in _all(tx, "contact_presence", "contact", contact)]
    further: Row = (
        invite[0] if invite is not None else None,
        tuple(Claimant(*each) for each in _all(tx, "claimant", "contact", contact)),
        held[0] if held else None,
        tuple(_reached(each) for each in _all(tx, "contact_peer", "contact", contact)),
        tuple(Meeting(each.device_ms, each.ms, each.rdv) for each in meetings.of_contact(tx, contact)),
    )
    return Contact(*own, *further)


def _reached(row: Row) -> Reached:
    peer, addresses, ask, published, proven, seq = row
    return Reached(peer, _addresses(addresses), ask, bool(published), bool(proven), seq)


def _messages(tx: Tx) -> Iterator[Message]:
    columns = ", ".join(_AS_KEPT.get(column, f"message.{column}") for column in KEPT["message"][1:])
    # in the order of the rows: a sort would be of the whole conversation
    sql = f"SELECT uid, {columns} FROM message CROSS JOIN contact ON contact.id = message.contact ORDER BY message.id"  # noqa: S608
    for contact, incoming, *rest in tx.execute(sql):
        yield Message(contact, bool(incoming), *rest)


def _receipts(tx: Tx) -> Iterator[Receipts]:
    on = receipts.for_all(tx)
    if on is not None:
        yield Receipts(None, on)
    for uid, own in tx.all("SELECT uid, receipts FROM contact WHERE receipts IS NOT NULL ORDER BY id"):
        yield Receipts(uid, bool(own))


def _all(tx: Tx, table: str, column: str | None = None, value: int = 0) -> list[Row]:
    """The kept columns of a table, of the rows that have ``value`` in ``column``."""
    select = f"SELECT {', '.join(KEPT[table])} FROM {table}"  # noqa: S608  no word of it is from outside
    return tx.all(select) if column is None else tx.all(f"{select} WHERE {column} = ?", (value,))


def _addresses(data: bytes) -> tuple[bytes, ...]:
    return tuple(map(bytes, decode_addresses(data)))
