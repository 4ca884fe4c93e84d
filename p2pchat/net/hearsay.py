"""Addresses that peers tell of other peers: which are believed, and to whom they are told again (PROTOCOL.md 3.7).

The rule, in both directions: **an address passes between two peers only if it reaches at least as far as the way
between them.** Over the internet only global addresses pass; over a private network also private ones; within a machine
also loopback. So nobody on the internet can send this node knocking at ports of its own machine or home network, and
nothing of these is told to the internet.

Of what is told, only ``ip4``/``ip6`` + TCP, with or without WebSocket, is believed: a name could lead anywhere once it
is resolved, and relayed addresses are reserved. Global means a unicast address that says itself where it leads.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from p2pchat.base.errors import DecodeError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.dht_wire import TOLD_ADDRESSES, ToldPeer
from p2pchat.net.addresses import Scope, decode_address, decode_peer_id, dialable, endpoint, scope_of

_UNICAST6: Final = ipaddress.IPv6Network("2000::/3")
_REFUSED: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "240.0.0.0/4",  # reserved, and the broadcast address
        "2002::/16",  # these three wrap an IPv4 address: 6to4,
        "2001::/32",  # Teredo
        "64:ff9b::/96",  # and NAT64
    )
)


def fit_to_dial(told: Iterable[bytes]) -> tuple[Address, ...]:
    """The addresses that are of a believed form, at most 8, whoever told them."""
    reaches = (_reach(bytes(data)) for data in told)
    return tuple(reach[0] for reach in reaches if reach is not None)[:TOLD_ADDRESSES]


def passing(host: str | None, told: Iterable[bytes]) -> tuple[Address, ...]:
    """The addresses, at most 8, that may pass to or from a peer.

    Args:
        host: IP literal at the far end of the connection to that peer; None when it is relayed, which counts as global.
        told: binary multiaddrs.
    """
    return _passing(_scope_between(host), told)


def _passing(least: Scope, told: Iterable[bytes]) -> tuple[Address, ...]:
    reaches = (_reach(bytes(data)) for data in told)
    return tuple(reach[0] for reach in reaches if reach is not None and reach[1] >= least)[:TOLD_ADDRESSES]


def told_peer(host: str | None, told: ToldPeer) -> tuple[PeerId, tuple[Address, ...]] | None:
    """A peer that one at ``host`` told of, with the addresses that may pass; None when its PeerID has no known form."""
    return _believed(_scope_between(host), told)


def telling(host: str | None, peer: PeerId, addresses: tuple[Address, ...]) -> ToldPeer | None:
    """What one at ``host`` is told of a peer that listens at ``addresses``; None where nothing may pass."""
    return _told(_scope_between(host), peer, addresses)


# The same few hundred peers stand in most replies; a walk over 20 storers reads 400 of them.
@lru_cache(maxsize=4_096)
def _believed(least: Scope, told: ToldPeer) -> tuple[PeerId, tuple[Address, ...]] | None:
    try:
        peer = decode_peer_id(told.peer_id)
    except DecodeError:
        return None  # of a kind that this node cannot dial: other implementations may know more
    return peer, _passing(least, told.addresses)


@lru_cache(maxsize=4_096)
def _told(least: Scope, peer: PeerId, addresses: tuple[Address, ...]) -> ToldPeer | None:
    passed = _passing(least, addresses)
    return ToldPeer(bytes(peer), tuple(map(bytes, passed))) if passed else None


def prefix_of(host: str | None, peer: PeerId) -> bytes:
    """The prefix of ``peer`` at ``host``. Source: PROTOCOL.md 3.2."""
    return network_of(host) or b"peer" + bytes(peer)


def prefix_of_putter(host: str | None, peer: PeerId) -> bytes:
    """The prefix under which a storer counts what ``peer`` at ``host`` puts.

    All who come through relays are one: a stranger there has as many PeerIDs as it likes. Source: PROTOCOL.md 3.2.
    """
    return b"relayed" if host is None else prefix_of(host, peer)


@lru_cache(maxsize=4_096)
def network_of(host: str | None) -> bytes | None:
    """The prefix that an IP literal shares with others of its owner; None where it counts singly: not global, relayed,
    or a name that a proxy has resolved.

    Source: PROTOCOL.md 3.2.
    """
    try:
        ip = None if host is None else _ip(host)
    except ValueError:
        return None
    if ip is None or not _is_global(ip):
        return None
    return b"ip4" + ip.packed[:3] if ip.version == 4 else b"ip6" + ip.packed[:6]


def network_to_dial(addresses: Iterable[Address]) -> bytes | None:
    """The prefix of the first address that has one: who may also be reached nearby does not count singly for that."""
    networks = map(_network_of_address, addresses)
    return next((network for network in networks if network is not None), None)


@lru_cache(maxsize=4_096)
def _network_of_address(address: Address) -> bytes | None:
    try:
        end = endpoint(address)
    except DecodeError:
        return None  # an invite or a link holds any bytes at all
    return network_of(end.host) if end.relay is None and end.kind in ("ip4", "ip6") else None


@lru_cache(maxsize=1_024)
def _scope_between(host: str | None) -> Scope:
    return Scope.GLOBAL if host is None else scope_of(host)


@lru_cache(maxsize=4_096)
def _reach(data: bytes) -> tuple[Address, Scope] | None:
    try:
        address = decode_address(data)
    except DecodeError:
        return None  # of a form that this node does not dial
    end = endpoint(address)
    if end.relay is not None or end.kind not in ("ip4", "ip6") or not dialable(address):
        return None
    scope, ip = scope_of(end.host), _ip(end.host)
    if any(ip in network for network in _REFUSED) or (scope is Scope.GLOBAL and not _is_global(ip)):
        return None
    return address, scope


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    ip = ipaddress.ip_address(host.partition("%")[0])
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


def _is_global(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return ip.is_global and not ip.is_multicast and (ip.version == 4 or ip in _UNICAST6)
