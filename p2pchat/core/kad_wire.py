"""The part of libp2p's kad-dht wire that is served on ``/p2pchat/kad/1.0.0`` (PROTOCOL.md 3.7).

Rules:

- A message is ``varint(length) ‖ protobuf``. Only FIND_NODE and PING exist here; every other type is refused.
- Fields that mean something to us are read strictly, the rest is skipped by its wire type, as protobuf demands; groups,
  truncated fields and varints of more than 10 bytes are refused.
- This is other implementations' wire: of too many peers or addresses, or too long ones, the surplus is dropped.

The protobuf, field numbers in brackets::

    Message = type [1] varint, key [2] bytes, closerPeers [8] repeated Peer
    Peer    = id [1] bytes, addrs [2] repeated bytes, connection [3] varint

Source: the libp2p kad-dht specification, section "RPC messages".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from p2pchat.base.errors import DecodeError
from p2pchat.core.dht_wire import ADDRESS_MAX_BYTES, PEER_ID_MAX_BYTES, TOLD_ADDRESSES, TOLD_PEERS, ToldPeer
from p2pchat.core.protobuf import fields, integer, octets, read_varint, tagged, varint

FIND_NODE: Final = 4
PING: Final = 5
KEY_MAX_BYTES: Final = 64
REQUEST_MAX_BYTES: Final = 4_096
REPLY_MAX_BYTES: Final = 65_536

_CONNECTED: Final = 1
_TYPE: Final = 1
_KEY: Final = 2
_CLOSER_PEERS: Final = 8
_PEER_ID: Final = 1
_PEER_ADDRESSES: Final = 2
_PEER_CONNECTION: Final = 3
_LENGTH_MAX_BYTES: Final = 3  # the varint of 65,536


@dataclass(frozen=True, slots=True)
class KadMessage:
    """``type`` is FIND_NODE or PING; ``key`` 1 to 64 bytes in a FIND_NODE request; ``peers`` at most 20."""

    type: int
    key: bytes = field(default=b"", repr=False)
    peers: tuple[ToldPeer, ...] = field(default=(), repr=False)


def encode_request(message: KadMessage) -> bytes:
    """The protobuf of a request."""
    return tagged(_TYPE, message.type) + (tagged(_KEY, message.key) if message.key else b"")


def encode_reply(message: KadMessage) -> bytes:
    """The protobuf of a reply; the peers are given as connected."""
    return tagged(_TYPE, message.type) + b"".join(tagged(_CLOSER_PEERS, _encode_peer(peer)) for peer in message.peers)


def decode_request(data: bytes) -> KadMessage:
    """A request to this node.

    Raises:
        DecodeError: malformed, of another type, or a FIND_NODE without a key of 1 to 64 bytes.
    """
    message = _decode(data)
    if message.type == FIND_NODE and not 1 <= len(message.key) <= KEY_MAX_BYTES:
        raise DecodeError("FIND_NODE lacks a key of 1 to 64 bytes")
    return message


def decode_reply(data: bytes) -> KadMessage:
    """An answer to this node.

    Raises:
        DecodeError: malformed or of another type.
    """
    return _decode(data)


def with_length(message: bytes) -> bytes:
    """The message as it stands on a stream."""
    return varint(len(message)) + message


class VarintReader:
    """Cuts a stream into messages, like :class:`p2pchat.core.framing.FrameReader` but with varint lengths.

    Args:
        max_bytes: the largest message, without its length.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what the stream delivered; call :meth:`next_frame` until it has no more before feeding again."""
        self._buffer += data

    def next_frame(self) -> bytes | None:
        """The next complete message, or None when more must be fed.

        Raises:
            DecodeError: a length of 0, beyond ``max_bytes``, or not in its shortest form.
        """
        head = bytes(self._buffer[:_LENGTH_MAX_BYTES])
        start = next((i + 1 for i, byte in enumerate(head) if byte < 0x80), None)
        if start is None:
            if len(head) == _LENGTH_MAX_BYTES:
                raise DecodeError("a message has a length that is refused")
            return None
        length, _ = read_varint(head, 0)
        if not 1 <= length <= self._max_bytes or varint(length) != head[:start]:
            raise DecodeError("a message has a length that is refused")
        if len(self._buffer) < start + length:
            return None
        message = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        return message


def _decode(data: bytes) -> KadMessage:
    kind, key, peers = 0, b"", list[ToldPeer]()
    for number, value in fields(data):
        if number == _TYPE:
            kind = integer(value)
        elif number == _KEY:
            key = octets(value)
        elif number == _CLOSER_PEERS and len(peers) < TOLD_PEERS:
            peers.append(_decode_peer(octets(value)))
    if kind not in (FIND_NODE, PING):
        raise DecodeError("a kad message of another type")
    return KadMessage(kind, key, tuple(peers))


# The same few hundred peers stand in most messages, so that reading and writing them anew would be most of the work.
@lru_cache(maxsize=1_024)
def _decode_peer(data: bytes) -> ToldPeer:
    peer_id, addresses = b"", list[bytes]()
    for number, value in fields(data):
        if number == _PEER_ID:
            peer_id = octets(value)
        elif number == _PEER_ADDRESSES:
            address = octets(value)
            if 1 <= len(address) <= ADDRESS_MAX_BYTES and len(addresses) < TOLD_ADDRESSES:
                addresses.append(address)
    if not 1 <= len(peer_id) <= PEER_ID_MAX_BYTES:
        raise DecodeError("a peer of a kad message has no PeerID")
    return ToldPeer(peer_id, tuple(addresses))


@lru_cache(maxsize=1_024)
def _encode_peer(peer: ToldPeer) -> bytes:
    addresses: Sequence[bytes] = peer.addresses
    return (
        tagged(_PEER_ID, peer.peer_id)
        + b"".join(tagged(_PEER_ADDRESSES, address) for address in addresses)
        + tagged(_PEER_CONNECTION, _CONNECTED)
    )
