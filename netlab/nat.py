"""Translators: IPv4 NAT with its mappings.

Rules:

- ``preserving``: one mapping for each inside address and port, whatever it talks to (endpoint-independent mapping);
  the outside port is the inside one where it is free, else the next that is.
- ``random``: one mapping for each inside address, port and remote address, port (address-and-port-dependent, called
  symmetric); the outside port is any free one.
- Both let in only what was talked to (address-and-port-dependent filtering); the rest vanishes without an answer, as
  an answer would end a simultaneous opening of TCP.
- What a host has had opened lets everybody in until its lifetime ends.
- A mapping ends by time alone: FIN and RST change nothing.

Source: RFC 4787, RFC 5382, RFC 5508.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal, NamedTuple

from netlab.packets import (
    TCP,
    UDP,
    Flow,
    flow_of,
    quoted,
    with_address,
    with_destination,
    with_quoted,
    with_source,
)

Kind = Literal["preserving", "random"]

_LOWEST_PORT: Final = 1024
_PORTS: Final = 65536 - _LOWEST_PORT
_SWEEP_S: Final = 30.0


class Lifetimes(NamedTuple):
    """For how many seconds a mapping or an admitted flow stays without a packet."""

    udp_s: float = 120.0
    tcp_opening_s: float = 240.0
    tcp_s: float = 7440.0
    icmp_s: float = 60.0

    def of(self, protocol: int, *, is_answered: bool) -> float:
        if protocol == TCP:
            return self.tcp_s if is_answered else self.tcp_opening_s
        return self.udp_s if protocol == UDP else self.icmp_s


@dataclass(slots=True)
class Mapping:
    """An outside port and whom it stands for. ``until_s``: of one that was asked for; None: made by traffic."""

    protocol: int
    inside: bytes
    inside_port: int
    outside_port: int
    used_s: float
    until_s: float | None = None
    is_answered: bool = False
    remotes: set[tuple[bytes, int]] = field(default_factory=set[tuple[bytes, int]])


class Nat:
    """One translator.

    Args:
        outside: its own address, 4 bytes.
        random: for ports.
    """

    def __init__(self, outside: bytes, kind: Kind, lifetimes: Lifetimes, random: Random) -> None:
        self.outside = outside
        self.kind: Final = kind
        self.refused = 0
        self._lifetimes = lifetimes
        self._random = random
        self._by_inside: dict[tuple[object, ...], Mapping] = {}
        self._by_port: dict[tuple[int, int], Mapping] = {}
        self._opened: dict[tuple[int, bytes, int], Mapping] = {}
        self._swept_s = 0.0

    def outbound(self, packet: bytes, now: float) -> bytes | None:
        """A packet from inside as it goes out; None if it does not."""
        flow = flow_of(packet)
        if flow is None:
            return self._error_outbound(packet, now)
        self._sweep(now)
        mapping = self._mapping_of(flow, now)
        if mapping is None:
            mapping = self._new(flow, now)
        mapping.used_s = now
        mapping.remotes.add((flow.destination, flow.destination_port))
        return with_source(packet, self.outside, mapping.outside_port)

    def inbound(self, packet: bytes, now: float) -> bytes | None:
        """A packet from outside as it goes in; None if it does not."""
        flow = flow_of(packet)
        if flow is None:
            return self._error_inbound(packet, now)
        mapping = self._live((flow.protocol, flow.destination_port), now)
        remote = (flow.source, flow.source_port)
        if mapping is None or (mapping.until_s is None and remote not in mapping.remotes):
            self.refused += 1
            return None
        mapping.used_s, mapping.is_answered = now, True
        mapping.remotes.add(remote)
        return with_destination(packet, mapping.inside, mapping.inside_port)

    def open(self, protocol: int, inside: bytes, inside_port: int, wanted: int, lifetime_s: float, now: float) -> int:
        """Let everybody in to ``inside_port`` of ``inside``; the outside port, ``wanted`` if it is free."""
        key = (protocol, inside, inside_port)
        mapping = self._opened.get(key)
        if mapping is None:
            mapping = self._mapping_of(Flow(protocol, inside, inside_port, b"", 0), now)
        if mapping is None:
            port = self._free(protocol, wanted or inside_port)
            mapping = Mapping(protocol, inside, inside_port, port, now)
            self._by_port[protocol, port] = mapping
        self._opened[key] = mapping
        mapping.until_s = now + lifetime_s
        return mapping.outside_port

    def close(self, protocol: int, inside: bytes, inside_port: int) -> None:
        """Forget what was opened, if it was."""
        mapping = self._opened.get((protocol, inside, inside_port))
        if mapping is not None:
            self._forget(mapping)

    def opened(self, protocol: int, outside_port: int, now: float) -> Mapping | None:
        """What was asked for on this outside port."""
        mapping = self._live((protocol, outside_port), now)
        return mapping if mapping is not None and mapping.until_s is not None else None

    def mappings(self, now: float) -> list[Mapping]:
        """Those in force."""
        return [mapping for mapping in self._by_port.values() if not self._has_ended(mapping, now)]

    def forget_all(self) -> None:
        """As after a restart of the box: all mappings are gone."""
        for table in (self._by_inside, self._by_port, self._opened):
            table.clear()

    def _mapping_of(self, flow: Flow, now: float) -> Mapping | None:
        opened = self._opened.get(flow[:3])
        if opened is not None and not self._ended(opened, now):
            remote = (flow.destination, flow.destination_port)
            if self.kind == "preserving" or remote in opened.remotes:
                return opened
        mapping = self._by_inside.get(self._key(flow))
        return None if mapping is None or self._ended(mapping, now) else mapping

    def _key(self, flow: Flow) -> tuple[object, ...]:
        return flow[:3] if self.kind == "preserving" else flow

    def _new(self, flow: Flow, now: float) -> Mapping:
        port = self._free(flow.protocol, flow.source_port if self.kind == "preserving" else None)
        mapping = Mapping(flow.protocol, flow.source, flow.source_port, port, now)
        self._by_inside[self._key(flow)] = mapping
        self._by_port[flow.protocol, port] = mapping
        return mapping

    def _free(self, protocol: int, wanted: int | None) -> int:
        port = wanted or _LOWEST_PORT + self._random.randrange(_PORTS)
        while (protocol, port) in self._by_port:
            port = _LOWEST_PORT + (port - _LOWEST_PORT + 1) % _PORTS
        return port

    def _live(self, key: tuple[int, int], now: float) -> Mapping | None:
        mapping = self._by_port.get(key)
        return None if mapping is None or self._ended(mapping, now) else mapping

    def _ended(self, mapping: Mapping, now: float) -> bool:
        if self._has_ended(mapping, now):
            self._forget(mapping)
            return True
        return False

    def _has_ended(self, mapping: Mapping, now: float) -> bool:
        if mapping.until_s is not None:
            return now >= mapping.until_s
        return now >= mapping.used_s + self._lifetimes.of(mapping.protocol, is_answered=mapping.is_answered)

    def _forget(self, mapping: Mapping) -> None:
        self._by_port.pop((mapping.protocol, mapping.outside_port), None)
        self._opened.pop((mapping.protocol, mapping.inside, mapping.inside_port), None)
        for key in [key for key, each in self._by_inside.items() if each is mapping]:
            del self._by_inside[key]

    def _sweep(self, now: float) -> None:
        if now >= self._swept_s + _SWEEP_S:
            self._swept_s = now
            for mapping in [each for each in self._by_port.values() if self._has_ended(each, now)]:
                self._forget(mapping)

    def _error_inbound(self, packet: bytes, now: float) -> bytes | None:
        """An ICMP error quotes what went out: it goes to whoever sent that, and quotes what they sent."""
        inner = quoted(packet)
        flow = None if inner is None else flow_of(inner)
        mapping = None if flow is None else self._live((flow.protocol, flow.source_port), now)
        if inner is None or flow is None or mapping is None or flow.source != self.outside:
            return None
        if (flow.destination, flow.destination_port) not in mapping.remotes:
            return None
        before = with_source(inner, mapping.inside, mapping.inside_port)
        return with_quoted(with_address(packet, 16, mapping.inside), before)

    def _error_outbound(self, packet: bytes, now: float) -> bytes | None:
        """An ICMP error of a host about what it was sent."""
        inner = quoted(packet)
        flow = None if inner is None else flow_of(inner)
        mapping = None if flow is None else self._mapping_of(flow.reversed(), now)
        if inner is None or mapping is None:
            return None
        before = with_destination(inner, self.outside, mapping.outside_port)
        return with_quoted(with_address(packet, 12, self.outside), before)
