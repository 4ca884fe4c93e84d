"""The messages of circuit relay v2: what a node, its relay and whoever looks for it say (PROTOCOL.md 7.2).

Rules:

- Unknown fields are skipped; of addresses beyond :data:`RELAY_ADDRESSES`, and of those that are empty or too long, none
  is kept. Vouchers are neither made nor looked at: nobody asks for one.
- A status that is not :data:`OK` is a refusal, whatever it says.

The protobuf, field numbers in brackets::

    HopMessage  = type [1] varint, peer [2] Peer, reservation [3] Reservation, limit [4] Limit, status [5] varint
    StopMessage = type [1] varint, peer [2] Peer, limit [3] Limit, status [4] varint
    Peer        = id [1] bytes
    Reservation = expire [1] varint, addrs [2] repeated bytes
    Limit       = duration [1] varint, data [2] varint

type of a HopMessage: 0 RESERVE, 1 CONNECT, 2 STATUS; of a StopMessage: 0 CONNECT, 1 STATUS.

Source: the libp2p circuit relay v2 specification.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from p2pchat.base.errors import DecodeError
from p2pchat.core.dht_wire import ADDRESS_MAX_BYTES, PEER_ID_MAX_BYTES
from p2pchat.core.protobuf import as_bytes, as_integer, fields, tagged

MESSAGE_MAX_BYTES: Final = 4_096
RELAY_ADDRESSES: Final = 8

OK: Final = 100
RESERVATION_REFUSED: Final = 200
RESOURCE_LIMIT_EXCEEDED: Final = 201
PERMISSION_DENIED: Final = 202
CONNECTION_FAILED: Final = 203
NO_RESERVATION: Final = 204
MALFORMED_MESSAGE: Final = 400

_HOP_RESERVE, _HOP_CONNECT, _HOP_STATUS = 0, 1, 2
_STOP_CONNECT, _STOP_STATUS = 0, 1
_HOP_LIMIT, _HOP_STATUS_FIELD = 4, 5
_STOP_LIMIT, _STOP_STATUS_FIELD = 3, 4


@dataclass(frozen=True, slots=True)
class Limit:
    """What a circuit may take: ``duration_s`` seconds, ``data_bytes`` in each direction; 0: as much as it likes."""

    duration_s: int
    data_bytes: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a relay has granted: until unix second ``expire_s``, reached at ``addresses``, any bytes of 1 to 128."""

    expire_s: int
    addresses: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class HopStatus:
    """A relay's answer."""

    status: int
    reservation: Reservation | None = None
    limit: Limit | None = None


def encode_reserve() -> bytes:
    """A node asks a relay to be reached through it."""
    return tagged(1, _HOP_RESERVE)


def encode_hop_connect(peer: bytes) -> bytes:
    """A node asks a relay for a circuit to ``peer``."""
    return tagged(1, _HOP_CONNECT) + _peer(peer)


def encode_hop_status(answer: HopStatus) -> bytes:
    """The relay's answer to either."""
    data = tagged(1, _HOP_STATUS)
    if answer.reservation is not None:
        inner = tagged(1, answer.reservation.expire_s)
        data += tagged(3, inner + b"".join(tagged(2, address) for address in answer.reservation.addresses))
    return data + _limit(_HOP_LIMIT, answer.limit) + tagged(_HOP_STATUS_FIELD, answer.status)


def encode_stop_connect(peer: bytes, limit: Limit) -> bytes:
    """The relay tells a node that ``peer`` wants a circuit to it."""
    return tagged(1, _STOP_CONNECT) + _peer(peer) + _limit(_STOP_LIMIT, limit)


def encode_stop_status(status: int) -> bytes:
    """The node's answer."""
    return tagged(1, _STOP_STATUS) + tagged(_STOP_STATUS_FIELD, status)


def decode_hop_request(data: bytes) -> bytes | None:
    """To whom a circuit is asked for: 1 to 64 bytes; None: a reservation is.

    Raises:
        DecodeError: malformed, or neither.
    """
    kind, peer, _, _, _ = _decode(data, _HOP_LIMIT, _HOP_STATUS_FIELD)
    if kind == _HOP_RESERVE:
        return None
    if kind != _HOP_CONNECT or peer is None:
        raise DecodeError("a relay is asked for neither a reservation nor a circuit")
    return peer


def decode_hop_status(data: bytes) -> HopStatus:
    """A relay's answer.

    Raises:
        DecodeError: malformed, or no answer.
    """
    kind, _, reservation, limit, status = _decode(data, _HOP_LIMIT, _HOP_STATUS_FIELD)
    if kind != _HOP_STATUS:
        raise DecodeError("a relay did not answer")
    return HopStatus(status, reservation, limit)


def decode_stop_connect(data: bytes) -> bytes:
    """Who wants a circuit, as the relay says: 1 to 64 bytes.

    Raises:
        DecodeError: malformed, or something else.
    """
    kind, peer, _, _, _ = _decode(data, _STOP_LIMIT, _STOP_STATUS_FIELD)
    if kind != _STOP_CONNECT or peer is None:
        raise DecodeError("a relay did not say who wants a circuit")
    return peer


def decode_stop_status(data: bytes) -> int:
    """A node's answer.

    Raises:
        DecodeError: malformed, or no answer.
    """
    kind, _, _, _, status = _decode(data, _STOP_LIMIT, _STOP_STATUS_FIELD)
    if kind != _STOP_STATUS:
        raise DecodeError("a node did not answer its relay")
    return status


def _peer(peer: bytes) -> bytes:
    return tagged(2, tagged(1, peer))


def _limit(number: int, limit: Limit | None) -> bytes:
    if limit is None:
        return b""
    return tagged(number, tagged(1, limit.duration_s) + tagged(2, limit.data_bytes))


def _decode(
    data: bytes, limit_field: int, status_field: int
) -> tuple[int | None, bytes | None, Reservation | None, Limit | None, int]:
    """(type, peer, reservation, limit, status); field 3 of a HopMessage is the reservation."""
    kind, peer, reservation, limit, status = None, None, None, None, 0
    for number, value in fields(data):
        if number == 1:
            kind = as_integer(value)
        elif number == 2:
            peer = _decode_peer(as_bytes(value))
        elif number == limit_field:
            limit = _decode_limit(as_bytes(value))
        elif number == status_field:
            status = as_integer(value)
        elif number == 3:
            reservation = _decode_reservation(as_bytes(value))
    return kind, peer, reservation, limit, status


def _decode_peer(data: bytes) -> bytes:
    peer = b""
    for number, value in fields(data):
        if number == 1:
            peer = as_bytes(value)
    if not 1 <= len(peer) <= PEER_ID_MAX_BYTES:
        raise DecodeError("a peer of a relay's message has no PeerID")
    return peer


def _decode_reservation(data: bytes) -> Reservation:
    expire_s, addresses = 0, list[bytes]()
    for number, value in fields(data):
        if number == 1:
            expire_s = as_integer(value)
        elif number == 2:
            address = as_bytes(value)
            if 1 <= len(address) <= ADDRESS_MAX_BYTES and len(addresses) < RELAY_ADDRESSES:
                addresses.append(address)
    return Reservation(expire_s, tuple(addresses))


def _decode_limit(data: bytes) -> Limit:
    duration_s, data_bytes = 0, 0
    for number, value in fields(data):
        if number == 1:
            duration_s = as_integer(value)
        elif number == 2:
            data_bytes = as_integer(value)
    return Limit(duration_s, data_bytes)
