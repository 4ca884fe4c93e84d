"""The messages of DCUtR, by which two peers agree to dial each other at the same moment.

Rules:

- Unknown fields are skipped; of addresses beyond :data:`ADDRESSES`, and of those that are empty or too long, none is
  kept.

The protobuf, field numbers in brackets::

    HolePunch = type [1] varint, ObsAddrs [2] repeated bytes          type: 100 CONNECT, 300 SYNC

Source: the libp2p DCUtR specification, /libp2p/dcutr; PROTOCOL.md 7.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from p2pchat.base.errors import DecodeError
from p2pchat.core.dht_wire import ADDRESS_MAX_BYTES
from p2pchat.core.protobuf import as_bytes, as_integer, fields, tagged

MESSAGE_MAX_BYTES: Final = 4_096
ADDRESSES: Final = 16
CONNECT: Final = 100
SYNC: Final = 300


def encode(kind: int, addresses: Sequence[bytes] = ()) -> bytes:
    """A message of ``kind`` :data:`CONNECT` or :data:`SYNC`."""
    return tagged(1, kind) + b"".join(tagged(2, address) for address in addresses)


def decode(data: bytes, kind: int) -> tuple[bytes, ...]:
    """The addresses in a peer's message, of any form.

    Raises:
        DecodeError: malformed, or of another kind.
    """
    found, addresses = None, list[bytes]()
    for number, value in fields(data):
        if number == 1:
            found = as_integer(value)
        elif number == 2:
            address = as_bytes(value)
            if 1 <= len(address) <= ADDRESS_MAX_BYTES and len(addresses) < ADDRESSES:
                addresses.append(address)
    if found != kind:
        raise DecodeError("a message of DCUtR of another kind")
    return tuple(addresses)
