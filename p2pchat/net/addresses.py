"""Addresses: text and binary multiaddrs, what they mean, and where this machine can be reached.

Rules:

- The form is ``(ip4 | ip6 | dns4 | dns6) tcp [ws] [p2p RELAY p2p-circuit]``; in text a final ``/p2p/PEERID`` may
  follow, which is split off and never part of an :class:`Address`.
- Every byte string that comes from a peer passes :func:`decode_address`; one value has one encoding.
- An address is told only to a peer for whom it means something: a loopback address to this machine, a private one to
  private networks. What a stranger on the internet gets names no interface of the home network.
- Nothing here resolves a name or opens a socket, and no message holds an address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Final, Literal

import base58

from p2pchat.base.errors import DecodeError, UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.interfaces import own_addresses
from p2pchat.net.transport import Path

Kind = Literal["ip4", "ip6", "dns4", "dns6"]

# https://github.com/multiformats/multiaddr/blob/master/protocols.csv
_CODES: Final[dict[Kind, int]] = {"ip4": 4, "ip6": 41, "dns4": 54, "dns6": 55}
_KINDS: Final[dict[int, Kind]] = {code: kind for kind, code in _CODES.items()}
_TCP: Final = 6
_CIRCUIT: Final = 290
_P2P: Final = 421
_WS: Final = 477

_NAME: Final = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9_-]{1,63}(?:\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")
_ANY: Final = ("0.0.0.0", "::")  # noqa: S104  every interface
_REMEMBERED: Final = 1_024  # of what is asked of the same few addresses again and again
_ED25519_PREFIX: Final = bytes.fromhex("002408011220")  # identity multihash of a protobuf Ed25519 public key
_CARRIER: Final = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598: between a carrier's NAT and its customers'
_BAD_TEXT: Final = "This is not an address like /ip4/192.0.2.1/tcp/4001 or /dns4/example.org/tcp/4001/p2p/PEERID."


class Scope(IntEnum):
    """How far an address reaches; a wider one compares greater."""

    LOOPBACK = 0
    PRIVATE = 1
    GLOBAL = 2


_DIAL_RANKS: Final = {Scope.PRIVATE: 0, Scope.GLOBAL: 1, Scope.LOOPBACK: 2}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What an :class:`Address` says: ``host`` is an IP literal or a DNS name, ``relay`` the peer to go through; ``ws``:
    WebSocket is spoken there."""

    kind: Kind
    host: str = field(repr=False)
    port: int
    relay: PeerId | None = None
    ws: bool = False


def peer_id_from_key(public_key: bytes) -> PeerId:
    """The PeerID of a 32-byte Ed25519 node key. Source: the libp2p peer-ids specification."""
    return PeerId(_ED25519_PREFIX + public_key)


def decode_peer_id(data: bytes) -> PeerId:
    """Check the 34 to 42 bytes of a PeerID: an identity multihash, or SHA-256 as other implementations' RSA keys have.

    Raises:
        DecodeError: neither.
    """
    inline = len(data) <= 42 and data[:1] == b"\x00" and len(data) > 2 and data[1] == len(data) - 2
    if not inline and not (len(data) == 34 and data[:2] == b"\x12\x20"):
        raise DecodeError("A PeerID has an unknown form.")
    return PeerId(data)


def parse_peer_id(text: str) -> PeerId:
    """Read a PeerID in base58 (``12D3KooW…``).

    Raises:
        UsageError: it is none.
    """
    try:
        return decode_peer_id(base58.b58decode(text))
    except (ValueError, DecodeError):
        raise UsageError("This is not a PeerID like 12D3KooW….") from None


def format_peer_id(peer: PeerId) -> str:
    """The base58 text of a PeerID, for the user's eyes only."""
    return base58.b58encode(bytes(peer)).decode()


def parse_address(text: str) -> tuple[Address, PeerId | None]:
    """Read a text multiaddr; a final ``/p2p/PEERID`` is returned apart.

    Raises:
        UsageError: it is malformed or of a transport that this node does not speak.
    """
    parts = text.split("/")
    if len(parts) < 5 or parts[0] or parts[1] not in _CODES or parts[3] != "tcp":
        raise UsageError(_BAD_TEXT)
    kind: Kind = parts[1]
    if not re.fullmatch(r"0|[1-9][0-9]{0,4}", parts[4]) or int(parts[4]) > 65535:
        raise UsageError(_BAD_TEXT)
    relay, peer, rest = None, None, parts[5:]
    ws = rest[:1] == ["ws"]
    rest = rest[ws:]
    if len(rest) >= 3 and rest[0] == "p2p" and rest[2] == "p2p-circuit":
        relay, rest = parse_peer_id(rest[1]), rest[3:]
    if len(rest) == 2 and rest[0] == "p2p":
        peer, rest = parse_peer_id(rest[1]), []
    if rest:
        raise UsageError(_BAD_TEXT)
    try:
        return encode_endpoint(Endpoint(kind, parts[2], int(parts[4]), relay, ws)), peer
    except ValueError:
        raise UsageError(_BAD_TEXT) from None


def format_address(address: Address, peer: PeerId | None = None) -> str:
    """The text form, with ``/p2p/PEERID`` at its end where ``peer`` is given. For the user's eyes, not for logs."""
    end = endpoint(address)
    text = f"/{end.kind}/{end.host}/tcp/{end.port}{'/ws' if end.ws else ''}"
    if end.relay is not None:
        text += f"/p2p/{format_peer_id(end.relay)}/p2p-circuit"
    return text if peer is None else f"{text}/p2p/{format_peer_id(peer)}"


def encode_endpoint(end: Endpoint) -> Address:
    """The binary form.

    Raises:
        ValueError: the host is not of its kind.
    """
    if end.kind == "ip4":
        host = ipaddress.IPv4Address(end.host).packed
    elif end.kind == "ip6":
        if "%" in end.host:
            raise ValueError("a zone means nothing to another machine")
        host = ipaddress.IPv6Address(end.host).packed
    else:
        if not _NAME.fullmatch(end.host):
            raise ValueError("not a DNS name")
        host = _varint(len(end.host)) + end.host.encode("ascii")
    data = _varint(_CODES[end.kind]) + host + _varint(_TCP) + end.port.to_bytes(2, "big")
    if end.ws:
        data += _varint(_WS)
    if end.relay is not None:
        data += _varint(_P2P) + _varint(len(end.relay)) + bytes(end.relay) + _varint(_CIRCUIT)
    return Address(data)


def from_socket(host: str, port: int, *, ws: bool = False) -> Address:
    """The address of a socket name; an IPv4-mapped IPv6 host counts as IPv4. ``ws``: WebSocket is spoken there.

    Raises:
        ValueError: ``host`` is no IP literal.
    """
    ip = _ip(host)
    return encode_endpoint(Endpoint("ip4" if ip.version == 4 else "ip6", str(ip), port, ws=ws))


def decode_address(data: bytes) -> Address:
    """Check bytes from outside; a trailing ``/p2p/PEERID`` is dropped.

    Raises:
        DecodeError: not of the form above, or not the shortest encoding of it.
    """
    end, rest = _read_endpoint(data)
    address = encode_endpoint(end)
    if rest:
        _read_peer_at_end(rest)
    if not data.startswith(address):
        raise DecodeError("An address is not in its shortest form.")
    return address


@lru_cache(_REMEMBERED)
def endpoint(address: Address) -> Endpoint:
    """What an address says.

    Raises:
        DecodeError: its bytes never passed :func:`decode_address` or :func:`parse_address`.
    """
    end, rest = _read_endpoint(address)
    if rest:
        raise DecodeError("An address goes on after its end.")
    return end


@lru_cache(_REMEMBERED)
def scope_of(host: str) -> Scope:
    """How far an IP literal reaches; a DNS name counts as global."""
    try:
        ip = _ip(host)
    except ValueError:
        return Scope.GLOBAL
    if ip.is_loopback:
        return Scope.LOOPBACK
    return Scope.PRIVATE if ip.is_private or ip.is_link_local or _is_carrier(ip) else Scope.GLOBAL


def _is_carrier(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return ip.version == 4 and ip in _CARRIER


def is_global(address: Address) -> bool:
    """Whether an address reaches everywhere by itself, without a relay."""
    end = endpoint(address)
    return end.relay is None and scope_of(end.host) is Scope.GLOBAL


def is_name(host: str) -> bool:
    """Whether ``host`` has the form of a DNS name."""
    return _NAME.fullmatch(host) is not None


def classify(address: Address) -> Path:
    """The path that a connection to or from ``address`` takes."""
    end = endpoint(address)
    if end.relay is not None:
        return "relayed"
    if scope_of(end.host) is Scope.GLOBAL or (end.kind == "ip4" and _is_carrier(_ip(end.host))):
        return "direct"
    return "lan"


def dialable(address: Address) -> bool:
    """Whether the address names one host and port: not malformed, unspecified, multicast, broadcast or port 0."""
    try:
        end = endpoint(address)
    except DecodeError:
        return False  # a reach or presence holds any bytes at all
    if end.port == 0:
        return False
    if end.kind in ("dns4", "dns6"):
        return True
    ip = _ip(end.host)
    return not (ip.is_unspecified or ip.is_multicast or (ip.version == 4 and ip.is_reserved))


def dial_order(addresses: Iterable[Address]) -> list[Address]:
    """Each dialable address once: LAN first, the wide net, loopback (usually a peer's is not ours), WebSocket ones,
    which cost more and are of use where nothing else gets through, relays last."""
    return sorted(filter(dialable, dict.fromkeys(addresses)), key=_dial_rank)


@lru_cache(_REMEMBERED)
def _dial_rank(address: Address) -> tuple[bool, bool, int]:
    end = endpoint(address)
    return end.relay is not None, end.ws, _DIAL_RANKS[scope_of(end.host)]


def varied(addresses: Iterable[Address], count: int) -> tuple[Address, ...]:
    """``count`` addresses at most, in their order, of every kind and reach the first before any second; the WebSocket
    ones are one kind more, whatever their reach."""
    known = tuple(addresses)
    first = {_sort(endpoint(address)): address for address in reversed(known)}
    chosen = sorted(known, key=lambda address: address not in first.values())[:count]
    return tuple(address for address in known if address in chosen)


def _sort(end: Endpoint) -> tuple[Kind, Scope] | Literal["ws"]:
    return "ws" if end.ws else (end.kind, scope_of(end.host))


def visible_to(host: str, addresses: Iterable[Address]) -> tuple[Address, ...]:
    """The addresses that mean something to a peer at ``host``: they reach at least as far as the way between us."""
    least = scope_of(host)
    return tuple(a for a in addresses if scope_of(endpoint(a).host) >= least)


def concrete(bound: Sequence[Address]) -> tuple[Address, ...]:
    """Where this machine can be reached on the sockets ``bound``: 0.0.0.0 and :: become the interfaces' addresses.

    IPv6 link-local addresses are left out: without a zone, which differs per machine, nobody can dial them.
    """
    found: dict[Address, None] = {}
    hosts: dict[Kind, list[str]] | None = None
    for address in bound:
        end = endpoint(address)
        if end.host in _ANY:
            hosts = hosts or _interface_hosts()  # a millisecond and more: once for both families
            found.update(dict.fromkeys(from_socket(host, end.port, ws=end.ws) for host in hosts[end.kind]))
        else:
            found[address] = None
    return farthest_first(found)


def farthest_first(addresses: Iterable[Address]) -> tuple[Address, ...]:
    """Each once, global ones first, loopback last; of one reach WebSocket ones last, among equals in their order."""

    def order(address: Address) -> tuple[int, bool]:
        end = endpoint(address)
        return -scope_of(end.host), end.ws

    return tuple(sorted(dict.fromkeys(addresses), key=order))


def _interface_hosts() -> dict[Kind, list[str]]:
    ips = [own.ip for own in own_addresses()]
    return {
        "ip4": [str(ip.ip) for ip in ips if ip.version == 4],
        "ip6": [str(ip.ip) for ip in ips if ip.version == 6 and not ip.is_link_local],
    }


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    ip = ipaddress.ip_address(host.partition("%")[0])
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


def _read_endpoint(data: bytes) -> tuple[Endpoint, bytes]:
    code, rest = _read_varint(data)
    kind = _KINDS.get(code)
    if kind is None:
        raise DecodeError("An address is of an unknown kind.")
    if kind == "ip4":
        raw, rest = _take(rest, 4)
        host = str(ipaddress.IPv4Address(raw))
    elif kind == "ip6":
        raw, rest = _take(rest, 16)
        host = str(ipaddress.IPv6Address(raw))
    else:
        length, rest = _read_varint(rest)
        raw, rest = _take(rest, length)
        host = raw.decode("ascii", "replace")
        if not _NAME.fullmatch(host):
            raise DecodeError("An address holds something else than a DNS name.")
    code, rest = _read_varint(rest)
    if code != _TCP:
        raise DecodeError("An address is of an unknown transport.")
    raw, rest = _take(rest, 2)
    ws = rest[:2] == _varint(_WS)
    relay, rest = _read_relay(rest[2 * ws :])
    return Endpoint(kind, host, int.from_bytes(raw, "big"), relay, ws), rest


def _read_relay(data: bytes) -> tuple[PeerId | None, bytes]:
    """A relay's ``p2p`` is one that ``p2p-circuit`` follows; any other ``p2p`` is left in the rest."""
    if not data:
        return None, data
    relay, rest = _read_peer(data)
    if not rest:
        return None, data
    code, rest = _read_varint(rest)
    if code != _CIRCUIT:
        raise DecodeError("An address goes on after its PeerID.")
    return relay, rest


def _read_peer_at_end(data: bytes) -> None:
    _, rest = _read_peer(data)
    if rest:
        raise DecodeError("An address goes on after its PeerID.")


def _read_peer(data: bytes) -> tuple[PeerId, bytes]:
    code, rest = _read_varint(data)
    if code != _P2P:
        raise DecodeError("An address goes on after its port.")
    length, rest = _read_varint(rest)
    raw, rest = _take(rest, length)
    return decode_peer_id(raw), rest


def _take(data: bytes, count: int) -> tuple[bytes, bytes]:
    if len(data) < count:
        raise DecodeError("An address ends too early.")
    return bytes(data[:count]), bytes(data[count:])


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def _read_varint(data: bytes) -> tuple[int, bytes]:
    value = 0
    for index, byte in enumerate(data[:3]):
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            return value, bytes(data[index + 1 :])
    raise DecodeError("An address ends too early.")
