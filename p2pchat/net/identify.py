"""Identify: what two connected nodes say of themselves. Source: the libp2p identify specification, /ipfs/id/1.0.0.

Rules:

- It says no more than it must: the node key (which the handshake has shown), the protocols, the addresses that mean
  something to the asking peer, its own address as seen from here, and "p2pchat" as the agent, without a version.
- libp2p's own names its version and Python's environment, tells every stranger all interface addresses, asks each new
  peer by itself in a system task, and stores what any peer says for two hours. It is not used.
- What a peer says is bounded and checked; an address that cannot be one is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf.message import DecodeError as ProtobufError
from libp2p.identity.identify.pb.identify_pb2 import Identify

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError, NetError
from p2pchat.base.ids import Address
from p2pchat.net import addresses as addr
from p2pchat.net.multistream import encode_varint, read_exactly, read_varint
from p2pchat.net.transport import Stream

IDENTIFY: Final = "/ipfs/id/1.0.0"
AGENT: Final = "p2pchat"
_RELAYED: Final = "relayed"  # no IP literal, so its scope is global
_VERSION: Final = "ipfs/0.1.0"  # what every libp2p node says


def describe(
    *, public_key: bytes, protocols: Iterable[str], addresses: Iterable[Address], remote: tuple[str, int] | None
) -> bytes:
    """The message that answers a peer at ``remote``, with its length before it.

    Args:
        public_key: the node key as libp2p's protobuf.
        protocols: what this node serves.
        addresses: where it can be reached; reduced to those that mean something at ``remote``.
        remote: IP literal and port of the peer; None when it is relayed.
    """
    message = Identify(
        protocol_version=_VERSION,
        agent_version=AGENT,
        public_key=public_key,
        protocols=sorted(protocols),
        listen_addrs=[bytes(a) for a in addr.visible_to(_host(remote), addresses)],
    )
    if remote is not None:
        message.observed_addr = bytes(addr.from_socket(*remote))
    body = message.SerializeToString()
    return encode_varint(len(body)) + body


async def ask(stream: Stream, remote: tuple[str, int] | None) -> tuple[tuple[Address, ...], frozenset[str]]:
    """Read what the peer at ``remote`` says on a stream opened with :data:`IDENTIFY`.

    Addresses that reach less far than the connection does are dropped: who is met on the internet cannot point this
    node at its own network.

    Raises:
        NetError: the stream ended, or what came is no such message.
    """
    message = await _read(stream)
    said = list(_addresses(message.listen_addrs[: limits.ADDRESSES_PER_PEER * 4]))
    usable = addr.visible_to(_host(remote), filter(addr.dialable, dict.fromkeys(said)))
    protocols = [p for p in message.protocols[: limits.PROTOCOLS_PER_PEER] if len(p) <= limits.PROTOCOL_ID_CHARS]
    return usable[: limits.ADDRESSES_PER_PEER], frozenset(protocols)


async def ask_seen(stream: Stream) -> Address | None:
    """Read where the peer says that it sees this node's end of the connection; None: it does not, or in no known form.

    Raises:
        NetError: the stream ended, or what came is no such message.
    """
    message = await _read(stream)
    return next(iter(filter(addr.dialable, _addresses([message.observed_addr]))), None)


async def _read(stream: Stream) -> Identify:
    try:
        return Identify.FromString(await read_exactly(stream, await read_varint(stream, limits.IDENTIFY_BYTES)))
    except (DecodeError, ProtobufError):
        raise NetError("The peer did not say what it serves.") from None


def _host(remote: tuple[str, int] | None) -> str:
    return _RELAYED if remote is None else remote[0]


def _addresses(raw: Iterable[bytes]) -> Iterable[Address]:
    for data in raw:
        try:
            yield addr.decode_address(data)
        except DecodeError:
            continue  # of a transport that this node does not dial: other implementations list theirs too
