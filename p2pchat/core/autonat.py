"""The messages of AutoNAT: "can you reach me there?", and the answer.

Rules:

- Unknown fields are skipped; of addresses beyond :data:`ADDRESSES`, and of those that are empty or too long, none is
  kept.
- A text that comes with an answer is not read.

The protobuf, field numbers in brackets::

    Message      = type [1] varint, dial [2] Dial, dialResponse [3] DialResponse      type: 0 DIAL, 1 DIAL_RESPONSE
    Dial         = peer [1] PeerInfo
    PeerInfo     = id [1] bytes, addrs [2] repeated bytes
    DialResponse = status [1] varint, statusText [2] string, addr [3] bytes

Source: the libp2p AutoNAT specification, /libp2p/autonat/1.0.0; PROTOCOL.md 7.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from p2pchat.base.errors import DecodeError
from p2pchat.core.dht_wire import ADDRESS_MAX_BYTES
from p2pchat.core.protobuf import as_bytes, as_integer, fields, tagged

MESSAGE_MAX_BYTES: Final = 4_096
ADDRESSES: Final = 16

OK: Final = 0
DIAL_ERROR: Final = 100
DIAL_REFUSED: Final = 101
BAD_REQUEST: Final = 200

_DIAL: Final = 0
_DIAL_RESPONSE: Final = 1


@dataclass(frozen=True, slots=True)
class Dial:
    """``peer``: who wants to be reached, empty where it is not said; ``addresses``: at most 16, of any form."""

    peer: bytes = field(repr=False)
    addresses: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DialAnswer:
    """``status``: :data:`OK` or why not; ``address``: where it was reached, empty where it is not said."""

    status: int
    address: bytes = field(default=b"", repr=False)


def encode_dial(peer: bytes, addresses: Sequence[bytes]) -> bytes:
    """The question."""
    info = tagged(1, peer) + b"".join(tagged(2, address) for address in addresses)
    return tagged(1, _DIAL) + tagged(2, tagged(1, info))


def decode_dial(data: bytes) -> Dial:
    """The question of a peer.

    Raises:
        DecodeError: malformed, or it asks for nobody.
    """
    info = _part(_part(data, _DIAL, 2), None, 1)
    peer, addresses = b"", list[bytes]()
    for number, value in fields(info):
        if number == 1:
            peer = as_bytes(value)
        elif number == 2:
            address = as_bytes(value)
            if 1 <= len(address) <= ADDRESS_MAX_BYTES and len(addresses) < ADDRESSES:
                addresses.append(address)
    return Dial(peer, tuple(addresses))


def encode_answer(answer: DialAnswer) -> bytes:
    """The answer."""
    response = tagged(1, answer.status) + (tagged(3, answer.address) if answer.address else b"")
    return tagged(1, _DIAL_RESPONSE) + tagged(3, response)


def decode_answer(data: bytes) -> DialAnswer:
    """The answer of a peer.

    Raises:
        DecodeError: malformed, or without a status.
    """
    status: int | None = None
    address = b""
    for number, value in fields(_part(data, _DIAL_RESPONSE, 3)):
        if number == 1:
            status = as_integer(value)
        elif number == 3:
            address = as_bytes(value)
    if status is None:
        raise DecodeError("an answer of AutoNAT has no status")
    return DialAnswer(status, address if len(address) <= ADDRESS_MAX_BYTES else b"")


def _part(data: bytes, kind: int | None, wanted: int) -> bytes:
    """The message in field ``wanted``; where ``kind`` is given, the type in field 1 has to be that."""
    found, part = None, None
    for number, value in fields(data):
        if kind is not None and number == 1:
            found = as_integer(value)
        elif number == wanted:
            part = as_bytes(value)
    if found != kind or part is None:
        raise DecodeError("a message of AutoNAT of another kind")
    return part
