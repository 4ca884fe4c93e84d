"""Reading a backup: its bytes in, its records out, each authentic, of its form and in its place.

Rules:

- The kinds come in their order; Header and Owner once and first. What the header counts must be there.
- Whatever a restore could not write is refused here already, so that who only verifies hears of it too: what must be
  there once is there once, what is referred to came before, and a message's state fits its direction.
- Of everything that must differ 16 bytes are kept, and nothing is compared before the end: a million messages take
  18 MB. Only uids, which later records refer to, are kept themselves.

Source: docs/BACKUP.md, "The records".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from p2pchat.base.errors import Corrupt, DecodeError
from p2pchat.core.backup import (
    LENGTH_BYTES,
    RECORD_BYTES,
    Contact,
    Header,
    Invite,
    KnownPeer,
    Message,
    Owner,
    Receipts,
    Record,
    Settings,
)
from p2pchat.core.backup_file import Opener
from p2pchat.core.codec import Decoder
from p2pchat.core.crypto import blake2b_plain

DAMAGED: Final = "The backup is damaged: its records contradict each other."

_ORDER: Final = (Header, Owner, Settings, KnownPeer, Invite, Contact, Message, Receipts)
_ONCE: Final = (Header, Owner, Settings)
_INCOMING: Final = ("received", "read", "deleted")
_records: Decoder[Record] = Decoder(cast("type[Record]", Record), RECORD_BYTES)


class BackupReader:
    """A backup's bytes in, in pieces of any size; its records out.

    Args:
        passphrase: its UTF-8 bytes.
    """

    def __init__(self, passphrase: bytes) -> None:
        self._opener = Opener(passphrase)
        self._waiting = bytearray()
        self._check = _Check()

    def feed(self, data: bytes) -> list[Record]:
        """The records that ``data`` completes.

        Raises:
            Corrupt, StoreError, WrongPassphrase, InternalError: as :meth:`p2pchat.core.backup_file.Opener.feed`.
        """
        self._waiting += self._opener.feed(data)
        found: list[Record] = []
        at = 0
        while len(self._waiting) >= at + LENGTH_BYTES:
            size = int.from_bytes(self._waiting[at : at + LENGTH_BYTES], "big")
            if size > RECORD_BYTES:
                raise Corrupt(DAMAGED)
            if len(self._waiting) < at + LENGTH_BYTES + size:
                break
            at += LENGTH_BYTES
            found.append(_decode(bytes(self._waiting[at : at + size])))
            self._check.take(found[-1])
            at += size
        del self._waiting[:at]
        return found

    def finish(self) -> Header:
        """The file is at its end; what it said at its beginning.

        Raises:
            Corrupt: the backup is not, or not everything is in it that it counts, or something is twice.
        """
        self._opener.finish()
        if self._waiting:
            raise Corrupt(DAMAGED)
        return self._check.end()


def _decode(data: bytes) -> Record:
    try:
        return _records.decode(data)
    except DecodeError:
        raise Corrupt(DAMAGED) from None


class _Check:
    """What the records owe each other."""

    def __init__(self) -> None:
        self._header: Header | None = None
        self._at = -1
        self._invites: set[bytes] = set()
        self._contacts: set[bytes] = set()
        self._messages = 0
        self._distinct = Distinct()

    def take(self, record: Record) -> None:
        at = _ORDER.index(type(record))
        _require(at >= self._at and not (at == self._at and isinstance(record, _ONCE)))
        _require(at <= self._at + 1 or self._at >= 1)
        self._at = at
        match record:
            case Header():
                self._header = record
            case Owner() | Settings():
                pass
            case KnownPeer():
                self._distinct.add(b"peer", record.peer)
            case Invite():
                self._take_invite(record)
            case Contact():
                self._take_contact(record)
            case Message():
                self._take_message(record)
            case Receipts():
                _require(record.contact is None or record.contact in self._contacts)
                self._distinct.add(b"receipts", record.contact or b"")

    def _take_invite(self, invite: Invite) -> None:
        _require(invite.uid not in self._invites)
        _require_different(invite.refused)
        self._invites.add(invite.uid)

    def _take_contact(self, contact: Contact) -> None:
        _require(contact.uid not in self._contacts)
        _require(contact.invite is None or contact.invite in self._invites)
        self._contacts.add(contact.uid)
        if contact.state == "self":
            self._distinct.add(b"self", b"")  # one conversation with oneself
        if contact.number is not None:
            self._distinct.add(b"number", contact.number.encode())
        if contact.root is not None:
            self._distinct.add(b"root", contact.root)
        _require_different([claimant.root for claimant in contact.claimed])
        _require_different([reached.peer for reached in contact.peers])
        _require_different([meeting.rdv for meeting in contact.meetings])

    def _take_message(self, message: Message) -> None:
        _require(message.contact in self._contacts)
        _require(message.state in _INCOMING if message.incoming else message.state != "received")
        self._distinct.add(b"in" if message.incoming else b"out", message.contact + message.wire_id)
        self._messages += 1

    def end(self) -> Header:
        header = self._header
        _require(header is not None and self._at >= 1)
        assert header is not None  # noqa: S101  required just now
        _require((header.contacts, header.messages) == (len(self._contacts), self._messages))
        _require(self._distinct.hold())
        return header


class Distinct:
    """Whether any of very many byte strings came twice, in 16 bytes for each."""

    def __init__(self) -> None:
        self._digests: Final = tuple(bytearray() for _ in range(256))

    def add(self, kind: bytes, value: bytes) -> None:
        """One more; those of another ``kind``, at most 255 bytes, are others."""
        digest = blake2b_plain(bytes((len(kind),)) + kind + value, 16)
        self._digests[digest[0]].extend(digest)

    def hold(self) -> bool:
        """Whether all of them differ."""
        return all(len(set(_cut(digests))) * 16 == len(digests) for digests in self._digests)


def _cut(digests: bytearray) -> list[bytes]:
    return [bytes(digests[at : at + 16]) for at in range(0, len(digests), 16)]


def _require_different(values: Sequence[bytes]) -> None:
    _require(len(set(values)) == len(values))


def _require(holds: bool) -> None:
    if not holds:
        raise Corrupt(DAMAGED)
