"""What stands in the records of matching, and where: hello, card, reach (PROTOCOL.md 3.3).

==========  =======================================  ==========================================================
contents    slot, all with the epoch e of R          who can read it
==========  =======================================  ==========================================================
*hello*     R                                        whoever knows both numbers
*card*      Q = :func:`reply_root` of R and two eph  the holders of the two eph, and nobody later
*reach*     :func:`reach_root` of Q                  the same; published only once their card was believed
==========  =======================================  ==========================================================

The machine that walks through the three is :mod:`p2pchat.core.matching`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from msgspec import Meta

from p2pchat.base.errors import DecodeError, HandshakeError
from p2pchat.base.ids import Address, PeerId, RootKey
from p2pchat.core import codec
from p2pchat.core.crypto import KeyPair, blake2b, sign, verify, x25519
from p2pchat.core.keys import Cert, Identity, open_cert
from p2pchat.core.params import PRODUCTION
from p2pchat.core.record import DATA_BYTES
from p2pchat.core.slots import Slot
from p2pchat.core.structs import U64, Bytes32, Bytes64, Form

REACH_ADDRESSES: Final = 8
ADDRESS_BYTES: Final = 128
PEER_ID_PREFIX: Final = bytes.fromhex("002408011220")  # PROTOCOL.md 1: the multihash of an Ed25519 key
_CARD_PREFIX: Final = b"dcd1/card\0"

Role = Literal[0, 1]
Bytes38 = Annotated[bytes, Meta(min_length=38, max_length=38)]
Part = Annotated[bytes, Meta(max_length=DATA_BYTES)]
AddressBytes = Annotated[bytes, Meta(min_length=1, max_length=ADDRESS_BYTES)]


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a node is reached, and the key to ask it for a bundle.

    Attributes:
        peer_id: 38 bytes.
        addresses: at most 8, each 1 to 128 bytes; whether they are multiaddrs is for net to find out.
        ask: 32 bytes, PROTOCOL.md 4.1.
    """

    peer_id: PeerId
    addresses: tuple[Address, ...]
    ask: bytes = field(repr=False)


class _Hello(Form, frozen=True):
    kind: Literal[1]
    role: Role
    eph: Bytes32


class _Card(Form, frozen=True):
    m: Part
    cert: Part
    sig: Bytes64


class _CardBody(Form, frozen=True):
    kind: Literal[2]
    role: Role
    ts: U64


class _Reach(Form, frozen=True):
    kind: Literal[3]
    peer_id: Bytes38
    addresses: Annotated[tuple[AddressBytes, ...], Meta(max_length=REACH_ADDRESSES)]
    ask: Bytes32


_hellos = codec.Decoder(_Hello, DATA_BYTES)
_cards = codec.Decoder(_Card, DATA_BYTES)
_card_bodies = codec.Decoder(_CardBody, DATA_BYTES)
_reaches = codec.Decoder(_Reach, DATA_BYTES)


def encode_hello(role: int, eph_public: bytes) -> bytes:
    """The data of a hello: my role, 0 or 1, and my eph in this slot (32 bytes). Source: PROTOCOL.md 3.3."""
    return codec.encode((1, role, eph_public))


def decode_hello(data: bytes) -> tuple[int, bytes]:
    """Role and eph of a hello.

    Raises:
        DecodeError: not of its form.

    Source: PROTOCOL.md 3.3.
    """
    hello = _hellos.decode(data)
    return hello.role, hello.eph


def reply_root(pair_root: bytes, epoch: int, own_eph: KeyPair, their_eph: bytes) -> bytes:
    """Q, the 32-byte root of the slot in which two candidates exchange cards; both sides compute the same.

    Raises:
        HandshakeError: ``their_eph`` (32 bytes) is of low order.

    Source: PROTOCOL.md 3.3.
    """
    lower, higher = sorted((own_eph.public, their_eph))
    shared = x25519(own_eph.secret, their_eph)
    return blake2b("dcd1/reply", pair_root + epoch.to_bytes(4, "big") + lower + higher, 32, shared)


def reach_root(reply_root: bytes) -> bytes:
    """The 32-byte root of the slot in which the same two exchange reaches. Source: PROTOCOL.md 3.3."""
    return blake2b("dcd1/reach", b"", 32, reply_root)


def make_card(identity: Identity, slot: Slot, role: int, ts: int) -> bytes:
    """The data of my card for ``slot``, that of (Q, e).

    Args:
        identity: whose card it is.
        slot: the only place where it is valid.
        role: mine, 0 or 1.
        ts: unix seconds.

    Source: PROTOCOL.md 3.3.
    """
    m = codec.encode((2, role, ts))
    return codec.encode((m, identity.cert.raw, sign(identity.device, _CARD_PREFIX + slot.loc + m)))


def open_card(slot: Slot, data: bytes, their_role: int, own_root: RootKey, now_s: int) -> Cert:
    """The certificate of whoever wrote this card for ``slot``.

    Whether its epoch_ms is lower than one seen before is for the caller, who knows.

    Raises:
        DecodeError: not of its form.
        HandshakeError: a wrong role, a time in the future, a bad cert or signature, or my own root.

    Source: PROTOCOL.md 3.3.
    """
    card = _cards.decode(data)
    body = _card_bodies.decode(card.m)
    if body.role != their_role:
        raise HandshakeError("a card has the wrong role")
    if body.ts > now_s + PRODUCTION.skew_s:
        raise HandshakeError("a card is of the future")
    cert = open_cert(card.cert, now_s * 1000)
    if not verify(cert.device, _CARD_PREFIX + slot.loc + card.m, card.sig):
        raise HandshakeError("a card is not signed for its slot")
    if cert.root == own_root:
        raise HandshakeError("a card shows my own root")
    return cert


def encode_reach(reach: Reach) -> bytes:
    """The data of a reach, at most 702 bytes: addresses that do not fit are dropped, from the end.

    Source: PROTOCOL.md 3.3.
    """
    fitting = [bytes(address) for address in reach.addresses if 0 < len(address) <= ADDRESS_BYTES][:REACH_ADDRESSES]
    while len(data := codec.encode((3, bytes(reach.peer_id), fitting, reach.ask))) > DATA_BYTES:
        fitting.pop()
    return data


def decode_reach(data: bytes) -> Reach:
    """The reach in ``data``.

    Raises:
        DecodeError: not of its form, or the PeerID is not that of an Ed25519 key.

    Source: PROTOCOL.md 3.3.
    """
    reach = _reaches.decode(data)
    if not reach.peer_id.startswith(PEER_ID_PREFIX):
        raise DecodeError("a PeerID is not that of an Ed25519 key")
    return Reach(PeerId(reach.peer_id), tuple(map(Address, reach.addresses)), reach.ask)
