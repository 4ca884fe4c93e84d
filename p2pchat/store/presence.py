"""Presences: the own ones, and the keys that contacts have given (PROTOCOL.md 3.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from p2pchat.base.ids import Address, PeerId
from p2pchat.core import codec
from p2pchat.core.presence import Mailbox, OwnPresence, Presence, PresenceKey
from p2pchat.core.stored import load
from p2pchat.core.structs import Bytes32, Form
from p2pchat.store import meta
from p2pchat.store.db import Row, Tx

_MAILBOXES_BYTES: Final = 1_024

_SELECT_OWN: Final = "SELECT n, seed, epoch, key, ask, made_s FROM presence_own"


@dataclass(frozen=True, slots=True)
class HeldPresence:
    """What a contact gave. ``device_ms``: epoch_ms of the device it came from; ``seq``: of the newest record read."""

    device_ms: int
    seq: int
    key: PresenceKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class MailboxesOf:
    """Where boxes for a contact can be left, as its presence tells.

    Attributes:
        said_s: seq of the record that told of it, unix seconds.
        key: X25519, 32 bytes, that boxes are sealed for.
        bundle_key: 32 bytes; None: there are no bundles.
        mailboxes: one or two.
    """

    said_s: int
    key: bytes = field(repr=False)
    bundle_key: bytes | None = field(repr=False)
    mailboxes: tuple[Mailbox, ...]


class _Stored(Form, frozen=True):
    peer_id: bytes
    address: bytes
    token: Bytes32


_stored = codec.Decoder(tuple[_Stored, ...], _MAILBOXES_BYTES)


def own(tx: Tx) -> OwnPresence | None:
    """The newest own presence, if one was made."""
    row = tx.one(_SELECT_OWN + " ORDER BY n DESC LIMIT 1")
    return None if row is None else _own(tx, row)


def all_own(tx: Tx) -> list[OwnPresence]:
    """The own presences that are still published, the newest first."""
    return [_own(tx, row) for row in tx.all(_SELECT_OWN + " ORDER BY n DESC")]


def _own(tx: Tx, row: Row) -> OwnPresence:
    ask = bytes(row[4]) if row[4] is not None else meta.load_profile(tx).ask  # made before each had one of its own
    return OwnPresence(row[0], bytes(row[1]), row[2], bytes(row[3]), ask, row[5])


def add_own(tx: Tx, presence: OwnPresence) -> None:
    """Make ``presence`` the newest."""
    values = (presence.n, presence.seed, presence.epoch, presence.key, presence.ask, presence.made_s)
    tx.execute("INSERT INTO presence_own (n, seed, epoch, key, ask, made_s) VALUES (?, ?, ?, ?, ?, ?)", values)


def step_own(tx: Tx, presence: OwnPresence) -> None:
    """Keep the key of ``presence`` as it is now: those of weeks that it no longer has are gone."""
    tx.execute("UPDATE presence_own SET epoch = ?, key = ? WHERE n = ?", (presence.epoch, presence.key, presence.n))


def end_own(tx: Tx, before_n: int, at_s: int) -> None:
    """The presences below that number end at unix second ``at_s``, unless they end earlier."""
    tx.execute("UPDATE presence_own SET ends_s = ?1 WHERE n < ?2 AND coalesce(ends_s, ?1) >= ?1", (at_s, before_n))


def ended_own(tx: Tx) -> list[OwnPresence]:
    """Those whose end has come."""
    return [_own(tx, row) for row in tx.all(_SELECT_OWN + " WHERE ends_s <= ?", (tx.now_s,))]


def forget_own(tx: Tx, n: int) -> None:
    tx.execute("DELETE FROM presence_own WHERE n = ?", (n,))


def held(tx: Tx, contact: int) -> HeldPresence | None:
    """The presence that ``contact`` has given; none of one who is blocked, whom nobody looks for."""
    row = tx.one(
        "SELECT device_ms, seq, n, gate, epoch, key FROM contact_presence JOIN contact ON contact.id = contact "
        "WHERE contact = ? AND state != 'blocked'",
        (contact,),
    )
    return None if row is None else _held(row)


def _held(row: Row) -> HeldPresence:
    return HeldPresence(row[0], row[1], PresenceKey(row[2], bytes(row[3]), row[4], bytes(row[5])))


def hold(tx: Tx, contact: int, presence: HeldPresence) -> None:
    """Keep what ``contact`` gave, or the same one with a later key, in place of what was there. Another device has
    other mailboxes, or none."""
    key = presence.key
    before = tx.one("SELECT device_ms FROM contact_presence WHERE contact = ?", (contact,))
    if before is not None and before[0] != presence.device_ms:
        forget_mailboxes(tx, contact)
    tx.execute(
        "INSERT INTO contact_presence (contact, device_ms, n, gate, epoch, key, seq) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (contact) DO UPDATE SET device_ms = excluded.device_ms, n = excluded.n, gate = excluded.gate, "
        "epoch = excluded.epoch, key = excluded.key, seq = excluded.seq",
        (contact, presence.device_ms, key.n, key.gate, key.epoch, key.key, presence.seq),
    )


def note_mailboxes(tx: Tx, contact: int, said_s: int, said: Presence) -> None:
    """Where boxes for ``contact`` can be left, as the record of ``said_s`` tells."""
    places = [(bytes(each.peer_id), bytes(each.address), each.token) for each in said.mailboxes]
    tx.execute(
        "UPDATE contact_presence SET said_s = ?, mailbox_key = ?, bundle_key = ?, mailboxes = ? WHERE contact = ?",
        (said_s, said.mailbox_key, said.bundle_key, codec.encode(places), contact),
    )


def forget_mailboxes(tx: Tx, contact: int) -> None:
    """Until the record is read again, nothing is known of where ``contact`` is; its key is kept."""
    tx.execute(
        "UPDATE contact_presence SET said_s = 0, mailbox_key = NULL, bundle_key = NULL, mailboxes = NULL "
        "WHERE contact = ?",
        (contact,),
    )


def told_of_mailboxes(tx: Tx, contact: int, seq: int) -> bool:
    """Whether it is known what the record of ``seq``, or a later one, says of mailboxes; no backup holds that."""
    return tx.one("SELECT 1 FROM contact_presence WHERE contact = ? AND said_s >= ?", (contact, seq)) is not None


def mailboxes_of(tx: Tx, contact: int) -> MailboxesOf | None:
    """Where boxes for ``contact`` can be left; None: nowhere, as far as is known, or by a device that was replaced: the
    one that it has now cannot open them."""
    row = tx.one(
        "SELECT said_s, mailbox_key, bundle_key, mailboxes FROM contact_presence JOIN contact ON contact.id = contact "
        "WHERE contact = ? AND device_ms >= epoch_ms",
        (contact,),
    )
    if row is None or row[1] is None or row[3] is None:
        return None
    places = load(_stored, bytes(row[3]))
    mailboxes = tuple(Mailbox(PeerId(each.peer_id), Address(each.address), each.token) for each in places)
    bundle_key = bytes(row[2]) if row[2] is not None else None
    return MailboxesOf(row[0], bytes(row[1]), bundle_key, mailboxes) if mailboxes else None


def acknowledged(tx: Tx, contact: int, n: int) -> None:
    """``contact`` has the own presence of number ``n``, and needs none before it."""
    tx.execute("UPDATE contact SET acked_n = max(acked_n, ?) WHERE id = ?", (n, contact))


def without(tx: Tx, n: int) -> list[int]:
    """The matched contacts that have not acknowledged the own presence of number ``n``."""
    return [row[0] for row in tx.all("SELECT id FROM contact WHERE state = 'matched' AND acked_n < ?", (n,))]
