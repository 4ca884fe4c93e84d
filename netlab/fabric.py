"""Where a packet goes: through segments and boxes to hosts, or back as an error. No clock, no device.

A way has two halves, between which lies the line with its delay: a sender's own routers translate at once, everybody
else's when the packet comes. Otherwise two hosts that open a connection to each other at once never could.

Rules:

- In a segment: to the host, the box or the routed prefix that has the address; else through the segment's gateway,
  if the address is not the segment's own; else an ICMP error goes back.
- Multicast and broadcast go to every other host of the segment and no further; on the internet to nobody.
- What a box refuses vanishes. Hop counts are left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface
from random import Random
from typing import Final, NamedTuple, Protocol

from netlab.firewall import Firewall
from netlab.icmp import unreachable
from netlab.nat import Lifetimes, Nat
from netlab.packets import destination
from netlab.topology import INTERNET, Box, Host, Topology

_MOST_HOPS: Final = 8
_BROADCAST: Final = b"\xff\xff\xff\xff"
_CORE: Final = {4: IPv4Address("45.77.0.1").packed, 16: IPv6Address("2a0e:b107::1").packed}
"""Who speaks for the internet where it has no route."""


class Gate(Protocol):
    """What a box does to packets of a family; None: nothing goes on."""

    refused: int

    def outbound(self, packet: bytes, now: float) -> bytes | None: ...

    def inbound(self, packet: bytes, now: float) -> bytes | None: ...

    def forget_all(self) -> None: ...


class _Open:
    """A router."""

    refused = 0

    def outbound(self, packet: bytes, now: float) -> bytes | None:  # noqa: ARG002
        return packet

    def inbound(self, packet: bytes, now: float) -> bytes | None:  # noqa: ARG002
        return packet

    def forget_all(self) -> None:
        """Nothing to forget."""


@dataclass(slots=True)
class _Place:
    """A segment at work; addresses are packed."""

    name: str
    prefixes: tuple[IPv4Network | IPv6Network, ...]
    hosts: dict[bytes, str] = field(default_factory=dict[bytes, str])
    broadcasts: set[bytes] = field(default_factory=lambda: {_BROADCAST})
    boxes: dict[bytes, _Door] = field(default_factory=dict[bytes, "_Door"])
    routes: list[tuple[int, int, int, _Door]] = field(default_factory=list[tuple[int, int, int, "_Door"]])
    routers: dict[int, bytes] = field(default_factory=dict[int, bytes])
    gateway: _Door | None = None

    def has(self, address: bytes) -> bool:
        """Whether an address is of this network, so that no router would know better."""
        if len(address) == 16 and address[:2] == b"\xfe\x80":
            return True
        value, bits = int.from_bytes(address, "big"), len(address) * 8
        return any(
            prefix.max_prefixlen == bits and value & int(prefix.netmask) == int(prefix.network_address)
            for prefix in self.prefixes
        )


@dataclass(slots=True)
class _Door:
    """A box at work."""

    box: Box
    inside: _Place
    outside: _Place
    gates: dict[int, Gate]
    """By the length of an address, 4 or 16."""


class Parcel(NamedTuple):
    """A packet between its sender's routers and the rest of the way; ``is_at_home``: it never left its segment."""

    sender: str
    place: _Place
    packet: bytes
    is_at_home: bool


class Fabric:
    """A topology at work.

    Args:
        random: for the ports of translators.
    """

    def __init__(self, topology: Topology, random: Random, lifetimes: Lifetimes | None = None) -> None:
        self.topology = topology
        self._lifetimes = lifetimes or Lifetimes()
        self._places = {each.name: _Place(each.name, each.prefixes) for each in topology.segments}
        self._of: dict[str, _Place] = {}
        for place in self._places.values():
            place.broadcasts |= {each.broadcast_address.packed for each in place.prefixes if each.version == 4}
        self._doors = {box.name: self._door(box, random) for box in topology.boxes}
        for host in topology.hosts:
            self._join(host)

    def depart(self, sender: str, packet: bytes, now: float) -> Parcel | None:
        """Take a packet of ``sender`` out through its own routers, as far as these know no better than the next."""
        place = self._of[sender]
        for _ in range(_MOST_HOPS):
            to = destination(packet)
            gateway = place.gateway
            if gateway is None or len(to) not in gateway.gates or self._is_for_all(place, to) or place.has(to):
                break
            if self._door_to(place, to) is not None:
                break  # the address of another router in this segment
            passed = gateway.gates[len(to)].outbound(packet, now)
            if passed is None:
                return None
            place, packet = gateway.outside, passed
        return Parcel(sender, place, packet, place is self._of[sender])

    def arrive(self, parcel: Parcel, now: float, deliver: Callable[[str, bytes], object]) -> None:
        """Have ``deliver`` called with (host, packet) for everyone whom a packet reaches, its sender's errors too."""
        place, packet = parcel.place, parcel.packet
        for _ in range(_MOST_HOPS):
            to = destination(packet)
            if (host := place.hosts.get(to)) is not None:
                deliver(host, packet)
                return
            if self._is_for_all(place, to):
                if parcel.is_at_home:
                    self._flood(place, parcel.sender, packet, deliver)
                return
            onward = self._onward(place, to, packet, now)
            if onward is None:
                return
            place, packet = onward

    def nat_of(self, box: str) -> Nat | None:
        """The IPv4 translator of a box, if it translates."""
        gate = self._doors[box].gates[4]
        return gate if isinstance(gate, Nat) else None

    def gates(self) -> dict[str, list[Gate]]:
        """All that admit or refuse, by box."""
        return {name: list(dict.fromkeys(door.gates.values())) for name, door in self._doors.items()}

    def home_box(self, host: str) -> str | None:
        """The box through which a host goes out."""
        gateway = self._of[host].gateway
        return None if gateway is None else gateway.box.name

    def move(self, host: Host) -> None:
        """Put a host elsewhere; ``host`` is as it shall be."""
        place = self._of[host.name]
        place.hosts = {address: name for address, name in place.hosts.items() if name != host.name}
        others = tuple(host if each.name == host.name else each for each in self.topology.hosts)
        self.topology = replace(self.topology, hosts=others)
        self._join(host)

    def _door(self, box: Box, random: Random) -> _Door:
        inside, outside = self._places[box.inside], self._places[box.outside]
        plain: Gate = Firewall(self._lifetimes) if box.firewall else _Open()
        door = _Door(box, inside, outside, {4: plain, 16: plain})
        if box.address is not None:
            door.gates[4] = Nat(box.address.packed, box.nat, self._lifetimes, random)
            outside.boxes[box.address.packed] = door
        for prefix in inside.prefixes:
            if prefix.version == 6 or box.address is None:
                route = (prefix.max_prefixlen // 8, int(prefix.netmask), int(prefix.network_address), door)
                outside.routes.append(route)
        inside.gateway = door
        return door

    def _join(self, host: Host) -> None:
        place = self._of[host.name] = self._places[host.segment]
        for address in (*host.addresses, *link_local(host)):
            ip = ip_interface(address).ip
            place.hosts[ip.packed] = host.name
            if host.is_router and not ip.is_link_local:
                place.routers[len(ip.packed)] = ip.packed

    def _flood(self, place: _Place, sender: str, packet: bytes, deliver: Callable[[str, bytes], object]) -> None:
        if place.name != INTERNET:
            for host in dict.fromkeys(place.hosts.values()):
                if host != sender:
                    deliver(host, packet)

    @staticmethod
    def _is_for_all(place: _Place, to: bytes) -> bool:
        """Multicast, broadcast, or no IP at all."""
        return not to or to[0] == 0xFF or (len(to) == 4 and 224 <= to[0] < 240) or to in place.broadcasts

    def _onward(self, place: _Place, to: bytes, packet: bytes, now: float) -> tuple[_Place, bytes] | None:
        """(segment, packet) of the next hop; an error goes back through the segment in which it arose."""
        door = self._door_to(place, to)
        if door is not None:
            admitted = door.gates[len(to)].inbound(packet, now)
            return None if admitted is None else (door.inside, admitted)
        is_on_link = place.has(to)
        if place.gateway is not None and not is_on_link:  # an error about what came from outside
            passed = place.gateway.gates[len(to)].outbound(packet, now)
            return None if passed is None else (place.gateway.outside, passed)
        router = place.routers.get(len(to)) or _CORE[len(to)]
        error = unreachable(packet, router, on_link=is_on_link)
        return None if error is None else (place, error)

    def _door_to(self, place: _Place, to: bytes) -> _Door | None:
        return place.boxes.get(to) or self._routed(place, to)

    def _routed(self, place: _Place, to: bytes) -> _Door | None:
        value = int.from_bytes(to, "big")
        for length, mask, network, door in place.routes:
            if length == len(to) and value & mask == network:
                return door
        return None


def link_local(host: Host) -> tuple[str, ...]:
    """The link-local IPv6 address of a host, where its network has one: with the last 16 bits of its first address.

    A flat LAN has IPv6 by link-local addresses alone, as machines have them without any router.
    """
    if host.segment == INTERNET:
        return ()
    last = int.from_bytes(ip_interface(host.addresses[0]).ip.packed[-2:], "big")
    return (f"fe80::{1 if host.is_router else last:x}/64",)
