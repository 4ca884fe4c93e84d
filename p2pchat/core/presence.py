"""Presence: the record in which a node says where it is reached, to all who were given its key (PROTOCOL.md 3.4).

- Its gate is its writer: who holds the seed alone can write there, and a storer sees a record like any other.
- It is sealed with a key for each week, k_{e+1} = H(k_e): whoever is given k_e reads what comes, nothing that was.
- The key travels inside sessions alone, as an item of an envelope: :class:`PresenceKey`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal

from msgspec import Meta

from p2pchat.base.errors import DecodeError, DecryptionError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core import codec
from p2pchat.core.crypto import KeyPair, blake2b, ed25519_pair
from p2pchat.core.discovery import ADDRESS_BYTES, PEER_ID_PREFIX, AddressBytes, Bytes38
from p2pchat.core.params import Params
from p2pchat.core.record import DATA_BYTES, RecordRefused, check_record, unseal
from p2pchat.core.structs import U32, Bytes32, Form

PRESENCE_ADDRESSES: Final = 3
PRESENCE_CIRCUITS: Final = 2
PRESENCE_MAILBOXES: Final = 2
_ITEM_BYTES: Final = 128

Count = Annotated[int, Meta(ge=1, le=0xFFFF_FFFF)]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One place where a box can be left: the holder's PeerID, an address of 1 to 128 bytes, and the 32-byte token that
    admits a deposit.

    Source: PROTOCOL.md 6.
    """

    peer_id: PeerId
    address: Address
    token: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Presence:
    """What a presence record says.

    Attributes:
        peer_id: 38 bytes.
        ask: 32 bytes, PROTOCOL.md 4.1.
        n: number of this presence of its device, from 1.
        addresses: at most 3, each 1 to 128 bytes; whether they are multiaddrs is for net to find out.
        mailbox_key: X25519, 32 bytes, for which boxes are sealed; None: no box is wanted.
        bundle_key: 32 bytes, which opens the bundles at its mailboxes; None: there are none.
        mailboxes: at most 2.
        circuits: at most 2, as addresses.
    """

    peer_id: PeerId
    ask: bytes = field(repr=False)
    n: int
    addresses: tuple[Address, ...]
    mailbox_key: bytes | None = field(default=None, repr=False)
    bundle_key: bytes | None = field(default=None, repr=False)
    mailboxes: tuple[Mailbox, ...] = ()
    circuits: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class PresenceKey:
    """What a contact holds, and what the item *presence* carries.

    Attributes:
        n: number of the presence of its device, from 1.
        gate: 32 bytes, the only writer.
        epoch: the week that ``key`` is of.
        key: 32 bytes, k of that week.
    """

    n: int
    gate: bytes = field(repr=False)
    epoch: int
    key: bytes = field(repr=False)

    @property
    def loc(self) -> bytes:
        """32 bytes, where its records stand; the same as long as the presence lasts."""
        return blake2b("dcd1/loc", self.gate, 32)

    def at(self, epoch: int, params: Params) -> PresenceKey:
        """The same presence in a later week, or this one.

        Raises:
            DecryptionError: in an earlier week, whose key is gone, or more than ``params.presence_steps`` ahead.
        """
        return replace(self, epoch=epoch, key=_step(self.key, epoch - self.epoch, params))


@dataclass(frozen=True, slots=True)
class PresenceSlot:
    """A place to seal a presence record for: loc, and the key of one week."""

    gate: KeyPair = field(repr=False)
    loc: bytes = field(repr=False)
    kenc: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnPresence:
    """The own side: the seed that writes, and the key of the earliest week that is still to be given or sealed with.

    Attributes:
        n: number, from 1.
        seed: 32 bytes, pseed.
        epoch: the week that ``key`` is of.
        key: 32 bytes.
        ask: 32 bytes, which its records tell (PROTOCOL.md 4.1).
        made_s: unix seconds.
    """

    n: int
    seed: bytes = field(repr=False)
    epoch: int
    key: bytes = field(repr=False)
    ask: bytes = field(repr=False)
    made_s: int

    @property
    def loc(self) -> bytes:
        """32 bytes, where its records stand; the same as long as the presence lasts."""
        return blake2b("dcd1/loc", self.gate().public, 32)

    def gate(self) -> KeyPair:
        """The Ed25519 pair that is gate and writer."""
        return ed25519_pair(self.seed)

    def bundle_key(self) -> bytes:
        """32 bytes, which open the bundles at mailboxes: another with every presence. Source: PROTOCOL.md 6.7."""
        return blake2b("p2pchat/1 bkey", b"", 32, self.seed)

    def given(self, epoch: int, params: Params) -> PresenceKey:
        """What a contact is given that shall read from week ``epoch`` on; Raises: DecryptionError, as ``at``."""
        return PresenceKey(self.n, self.gate().public, self.epoch, self.key).at(epoch, params)

    def slot(self, seq: int, params: Params) -> PresenceSlot:
        """Where a record of ``seq`` (unix seconds) is sealed for; Raises: DecryptionError, as ``PresenceKey.at``."""
        given = self.given(presence_epoch(seq, params), params)
        return PresenceSlot(self.gate(), given.loc, given.key)

    def forget_before(self, epoch: int, params: Params) -> OwnPresence:
        """The presence without the keys of the weeks before ``epoch``."""
        return self if epoch <= self.epoch else replace(self, epoch=epoch, key=self.given(epoch, params).key)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A presence record that was read: its ``seq`` (unix seconds), what it says, and the key to read on with."""

    seq: int
    presence: Presence
    key: PresenceKey


def presence_epoch(t: int, params: Params) -> int:
    """The week of unix second ``t``: no offset, since nothing of a presence comes from numbers. PROTOCOL.md 3.4."""
    return t // params.epoch_s


def open_presence(held: PresenceKey, raw: bytes, now_s: int, params: Params) -> Sighting:
    """The presence in a record of ``held.loc``.

    Raises:
        RecordRefused: no storer may keep it, or it is another writer's.
        DecryptionError: of a week whose key is gone, or not sealed with this key.
        DecodeError: not of its form.

    Source: PROTOCOL.md 3.4.
    """
    record = check_record(held.loc, raw, now_s, params)
    if record.writer != held.gate:
        raise RecordRefused("writer")
    key = held.at(presence_epoch(record.seq, params), params)
    return Sighting(record.seq, decode_presence(unseal(record, held.loc, key.key)), key)


class _Mailbox(Form, frozen=True):
    peer_id: Bytes38
    address: AddressBytes
    token: Bytes32


class _Presence(Form, frozen=True):
    kind: Literal[4]
    peer_id: Bytes38
    mailbox_key: Bytes32 | None
    bundle_key: Bytes32 | None
    ask: Bytes32
    n: Count
    addresses: Annotated[tuple[AddressBytes, ...], Meta(max_length=PRESENCE_ADDRESSES)]
    circuits: Annotated[tuple[AddressBytes, ...], Meta(max_length=PRESENCE_CIRCUITS)]
    mailboxes: Annotated[tuple[_Mailbox, ...], Meta(max_length=PRESENCE_MAILBOXES)]


class _Key(Form, frozen=True):
    n: Count
    gate: Bytes32
    epoch: U32
    key: Bytes32


_presences = codec.Decoder(_Presence, DATA_BYTES)
_keys = codec.Decoder(_Key, _ITEM_BYTES)


def encode_presence(presence: Presence) -> bytes:
    """The data of a presence record, at most 702 bytes: what is too much or too long is left out from the end,
    mailboxes first, then circuits, then addresses.

    Source: PROTOCOL.md 3.4.
    """
    addresses = [bytes(address) for address in presence.addresses if 0 < len(address) <= ADDRESS_BYTES]
    circuits = [bytes(circuit) for circuit in presence.circuits if 0 < len(circuit) <= ADDRESS_BYTES]
    del addresses[PRESENCE_ADDRESSES:], circuits[PRESENCE_CIRCUITS:]
    mailboxes = [
        (bytes(mailbox.peer_id), bytes(mailbox.address), mailbox.token)
        for mailbox in presence.mailboxes[:PRESENCE_MAILBOXES]
        if 0 < len(mailbox.address) <= ADDRESS_BYTES
    ]
    head = (4, bytes(presence.peer_id), presence.mailbox_key, presence.bundle_key, presence.ask, presence.n)
    while len(data := codec.encode((*head, addresses, circuits, mailboxes))) > DATA_BYTES:
        (mailboxes or circuits or addresses).pop()
    return data


def decode_presence(data: bytes) -> Presence:
    """The presence in ``data``.

    Raises:
        DecodeError: not of its form, or a PeerID is not that of an Ed25519 key.

    Source: PROTOCOL.md 3.4.
    """
    said = _presences.decode(data)
    if not all(peer.startswith(PEER_ID_PREFIX) for peer in (said.peer_id, *(each.peer_id for each in said.mailboxes))):
        raise DecodeError("a PeerID is not that of an Ed25519 key")
    mailboxes = tuple(Mailbox(PeerId(each.peer_id), Address(each.address), each.token) for each in said.mailboxes)
    return Presence(
        peer_id=PeerId(said.peer_id),
        ask=said.ask,
        n=said.n,
        addresses=tuple(map(Address, said.addresses)),
        mailbox_key=said.mailbox_key,
        bundle_key=said.bundle_key,
        mailboxes=mailboxes,
        circuits=tuple(map(Address, said.circuits)),
    )


def encode_presence_key(key: PresenceKey) -> bytes:
    """The body of an item *presence*. Source: PROTOCOL.md 4.5."""
    return codec.encode((key.n, key.gate, key.epoch, key.key))


def decode_presence_key(body: bytes) -> PresenceKey:
    """The key in the body of an item *presence*.

    Raises:
        DecodeError: not of its form.

    Source: PROTOCOL.md 4.5.
    """
    key = _keys.decode(body)
    return PresenceKey(key.n, key.gate, key.epoch, key.key)


def _step(key: bytes, steps: int, params: Params) -> bytes:
    if not 0 <= steps <= params.presence_steps:
        raise DecryptionError("a presence of a week whose key is not there")
    for _ in range(steps):
        key = blake2b("dcd1/prat", b"", 32, key)
    return key
