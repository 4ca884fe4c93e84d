"""Writing what a backup holds into a new database, with a new device in it (PROTOCOL.md 1.2).

Rules:

- Device keys, node key, ask32, idsec, presences and sessions are made anew, and numbers that only rise go on above any
  that the lost device can have used.
- What was on its way is so again: whatever was sent and not acknowledged is sealed in the next session, under the same
  message id.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from p2pchat.base.errors import Corrupt
from p2pchat.base.ids import Address
from p2pchat.core.backup import Contact, Header, Invite, KnownPeer, Message, Owner, Receipts, Record, Settings
from p2pchat.core.crypto import Entropy
from p2pchat.core.keys import create_device, dump_identity
from p2pchat.core.structs import Form
from p2pchat.store import meetings, meta, receipts
from p2pchat.store.backup import KEPT, PRESENCES_AHEAD, PRESENCES_MAX
from p2pchat.store.db import Tx
from p2pchat.store.meetings import MeetingRow
from p2pchat.store.meta import encode_addresses
from p2pchat.store.sqlite import integrity_error


class Restoration:
    """Takes the records of one backup, in their order.

    Args:
        tx: of an empty, migrated database.
        entropy: for everything that is new.
    """

    def __init__(self, tx: Tx, entropy: Entropy) -> None:
        self._tx = tx
        self._entropy = entropy
        self._contacts: dict[bytes, int] = {}
        self._invites: dict[bytes, int] = {}

    def put(self, record: Record) -> None:
        """Write one record. The settings are no part of the database: they are passed over.

        Raises:
            Corrupt: it contradicts one before it.
        """
        try:
            match record:
                case Header() | Settings():
                    pass
                case Owner():
                    self._owner(record)
                case KnownPeer():
                    values = record.peer, _addresses(record.addresses), record.seen_s, record.seen_s
                    self._insert("known_peer", (*KEPT["known_peer"], "since_s"), values)
                case Invite():
                    self._invite(record)
                case Contact():
                    self._contact(record)
                case Message():
                    self._message(record)
                case Receipts():
                    self._receipts(record)
        except integrity_error:
            raise Corrupt("The backup is damaged: its records contradict each other.") from None

    def _owner(self, owner: Owner) -> None:
        entropy, tx = self._entropy, self._tx
        identity = create_device(owner.root_seed, entropy, max(tx.now_ms, owner.epoch_ms + 1))
        profile = meta.Profile(
            name=owner.name,
            number=owner.number,
            region=owner.region,
            identity=dump_identity(identity),
            node_seed=entropy.bytes(32),
            ask=entropy.bytes(32),
            store_id=entropy.bytes(8),  # rows are numbered anew: an id of before must not name another message
        )
        meta.save_profile(tx, profile)
        meta.save_before(tx, meta.Before(owner.epoch_ms, min(owner.presence_n + PRESENCES_AHEAD, PRESENCES_MAX)))

    def _invite(self, invite: Invite) -> None:
        values = _fields(invite)[: len(KEPT["invite"])]
        row_id = self._invites[invite.uid] = self._insert("invite", KEPT["invite"], values)
        for root in invite.refused:
            self._insert("invite_refused", ("invite", "root"), (row_id, root))

    def _contact(self, contact: Contact) -> None:
        *columns, _ = KEPT["contact"]  # the last has a record of its own
        values = _fields(contact)[: len(columns) - 1]
        invite = self._invites.get(contact.invite) if contact.invite is not None else None
        row_id = self._contacts[contact.uid] = self._insert("contact", columns, (*values, invite))
        for claimant in contact.claimed:
            self._of_contact("claimant", row_id, _fields(claimant))
        if contact.presence is not None:
            self._of_contact("contact_presence", row_id, _fields(contact.presence))
        for peer in contact.peers:
            rest = (peer.ask, peer.published, peer.proven, peer.seq)
            self._of_contact("contact_peer", row_id, (peer.peer, _addresses(peer.addresses), *rest))
        meetings.keep(self._tx, row_id, [MeetingRow(each.device_ms, each.ms, each.rdv) for each in contact.meetings])

    def _message(self, message: Message) -> None:
        self._insert("message", KEPT["message"], (self._contacts[message.contact], *_fields(message)[1:]))

    def _of_contact(self, table: str, contact: int, values: tuple[object, ...]) -> None:
        self._insert(table, ("contact", *KEPT[table]), (contact, *values))

    def _receipts(self, told: Receipts) -> None:
        if told.contact is None:
            receipts.set_for_all(self._tx, on=told.on)
        else:
            receipts.set_for(self._tx, self._contacts[told.contact], told.on)

    def _insert(self, table: str, columns: Sequence[str], values: tuple[object, ...]) -> int:
        places = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608  no word is from outside
        return self._tx.insert(sql, values)


def _fields(record: Form) -> tuple[object, ...]:
    """Values in the order of the struct's fields, which is that of the columns."""
    return msgspec.structs.astuple(record)


def _addresses(addresses: tuple[bytes, ...]) -> bytes:
    return encode_addresses(tuple(map(Address, addresses)))
