"""The part of libp2p's kad-dht wire that is spoken as a client of the public DHT of IPFS (PROTOCOL.md 7.6).

Rules:

- Three requests: FIND_NODE, GET_PROVIDERS, and ADD_PROVIDER, which has no answer. Nothing is served.
- What means something here is read strictly, the rest is skipped as protobuf demands. A peer without a PeerID is left
  out; of too many peers or addresses, or too long ones, the surplus is dropped.
- Of a reply that is longer than is read, what stands in the part that was read counts: many providers, or one liar who
  repeats, must not hide what others say.

The protobuf, field numbers in brackets::

    Message = type [1] varint, key [2] bytes, closerPeers [8] repeated Peer, providerPeers [9] repeated Peer
    Peer    = id [1] bytes, addrs [2] repeated bytes, connection [3] varint

Source: the libp2p kad-dht specification, section "RPC messages".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from p2pchat.base.errors import DecodeError
from p2pchat.core.dht_wire import ADDRESS_MAX_BYTES, PEER_ID_MAX_BYTES, ToldPeer
from p2pchat.core.protobuf import as_bytes, as_integer, fields, tagged

PUBLIC_KAD: Final = "/ipfs/kad/1.0.0"

ADD_PROVIDER: Final = 2
GET_PROVIDERS: Final = 3
FIND_NODE: Final = 4

_SHA256: Final = b"\x12\x20"  # the multihash's code and its length
MEETING_KEY: Final = _SHA256 + hashlib.sha256(b"p2pchat meeting point, version 1").digest()
"""34 bytes: the multihash of the network-wide CID under which nodes are found. Source: PROTOCOL.md 7.6."""

CLOSER_PEERS: Final = 20
PROVIDERS: Final = 256
ADDRESSES: Final = 32

_TYPE: Final = 1
_KEY: Final = 2
_CLOSER_PEERS: Final = 8
_PROVIDER_PEERS: Final = 9
_PEER_ID: Final = 1
_PEER_ADDRESSES: Final = 2
_PEER_CONNECTION: Final = 3
_CONNECTED: Final = 1


@dataclass(frozen=True, slots=True)
class PublicReply:
    """``closer``: at most 20 peers; ``providers``: at most 256; of each at most 32 addresses that fit 128 bytes."""

    type: int
    closer: tuple[ToldPeer, ...] = field(default=(), repr=False)
    providers: tuple[ToldPeer, ...] = field(default=(), repr=False)


def encode_request(kind: int, key: bytes) -> bytes:
    """The protobuf of FIND_NODE or GET_PROVIDERS."""
    return tagged(_TYPE, kind) + tagged(_KEY, key)


def encode_add_provider(key: bytes, provider: bytes, addresses: Sequence[bytes]) -> bytes:
    """The protobuf by which the sender, whose PeerID is ``provider``, says that it provides ``key``."""
    peer = tagged(_PEER_ID, provider) + b"".join(tagged(_PEER_ADDRESSES, address) for address in addresses)
    peer += tagged(_PEER_CONNECTION, _CONNECTED)
    return encode_request(ADD_PROVIDER, key) + tagged(_PROVIDER_PEERS, peer)


def decode_reply(data: bytes, *, is_whole: bool = True) -> PublicReply:
    """An answer to a request.

    Args:
        data: the protobuf, or as much of its beginning as was read.
        is_whole: whether it is all.

    Raises:
        DecodeError: malformed.
    """
    kind, closer, providers = 0, list[ToldPeer](), list[ToldPeer]()
    at_end = False
    try:
        for number, value in fields(data):
            at_end = False
            if number == _TYPE:
                kind = as_integer(value)
            elif number == _CLOSER_PEERS and len(closer) < CLOSER_PEERS:
                _add(closer, as_bytes(value))
            elif number == _PROVIDER_PEERS and len(providers) < PROVIDERS:
                _add(providers, as_bytes(value))
            at_end = True
    except DecodeError:
        if is_whole or not at_end:
            raise
    return PublicReply(kind, tuple(closer), tuple(providers))


def _add(peers: list[ToldPeer], data: bytes) -> None:
    peer_id, addresses = b"", list[bytes]()
    for number, value in fields(data):
        if number == _PEER_ID:
            peer_id = as_bytes(value)
        elif number == _PEER_ADDRESSES:
            address = as_bytes(value)
            if 1 <= len(address) <= ADDRESS_MAX_BYTES and len(addresses) < ADDRESSES:
                addresses.append(address)
    if 1 <= len(peer_id) <= PEER_ID_MAX_BYTES:
        peers.append(ToldPeer(peer_id, tuple(addresses)))
