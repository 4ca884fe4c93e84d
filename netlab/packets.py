"""IP packets: what flow they belong to, and how their addresses and ports are rewritten.

Rules:

- A packet is bytes as a TUN device without packet information hands them over: IPv4 or IPv6, no link layer.
- Only TCP, UDP and echo have a flow. An echo's identifier stands where the asker's port would, the other port is 0.
- Fragments and IPv6 packets with extension headers have no flow: nothing translates or admits them.
- Checksums are adjusted by the difference of what was rewritten (RFC 1624), so that damage stays noticeable.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
ICMPV6: Final = 58

_IPV6_HEADER_BYTES: Final = 40
_FRAGMENT: Final = 0x3FFF
"""Of the third 16-bit word of an IPv4 header: more fragments, and the offset."""

_ECHO: Final = {ICMP: (8, 0), ICMPV6: (128, 129)}
"""The types of request and reply."""

_ERRORS: Final = {ICMP: frozenset((3, 4, 5, 11, 12)), ICMPV6: frozenset(range(128))}
_ICMP_HEADER_BYTES: Final = 8
_CHECKSUM_AT: Final = {TCP: 16, UDP: 6, ICMP: 2}
_ONES: Final = 0xFFFF


class Flow(NamedTuple):
    """Who talks to whom; addresses are 4 or 16 bytes."""

    protocol: int
    source: bytes
    source_port: int
    destination: bytes
    destination_port: int

    def reversed(self) -> Flow:
        """What an answer's flow is."""
        return Flow(self.protocol, self.destination, self.destination_port, self.source, self.source_port)


def destination(packet: bytes) -> bytes:
    """The 4 or 16 bytes of the address it goes to; empty for what is no IP packet."""
    version = packet[0] >> 4
    if version == 4:
        return packet[16:20]
    return packet[24:40] if version == 6 else b""


def source(packet: bytes) -> bytes:
    """The 4 or 16 bytes of the address it comes from."""
    return packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]


def transport_of(packet: bytes) -> tuple[int, int]:
    """(protocol, where its header begins); protocol -1 for a fragment."""
    if packet[0] >> 4 == 6:
        return packet[6], _IPV6_HEADER_BYTES
    if int.from_bytes(packet[6:8], "big") & _FRAGMENT:
        return -1, 0
    return packet[9], (packet[0] & 15) * 4


def flow_of(packet: bytes) -> Flow | None:
    """The flow of a packet, or of the beginning of one that an ICMP error quotes."""
    protocol, at = transport_of(packet)
    if len(packet) < at + 8:
        return None
    if protocol in (TCP, UDP):
        ports = int.from_bytes(packet[at : at + 4], "big")
        return Flow(protocol, source(packet), ports >> 16, destination(packet), ports & _ONES)
    if protocol in _ECHO:
        request, reply = _ECHO[protocol]
        identifier = int.from_bytes(packet[at + 4 : at + 6], "big")
        if packet[at] == request:
            return Flow(protocol, source(packet), identifier, destination(packet), 0)
        if packet[at] == reply:
            return Flow(protocol, source(packet), 0, destination(packet), identifier)
    return None


def quoted(packet: bytes) -> bytes | None:
    """The packet that an ICMP error is about; None for anything else."""
    protocol, at = transport_of(packet)
    if protocol not in _ERRORS or len(packet) < at + _ICMP_HEADER_BYTES + 20 or packet[at] not in _ERRORS[protocol]:
        return None
    inner = packet[at + _ICMP_HEADER_BYTES :]
    return inner if len(inner) >= transport_of(inner)[1] + 8 and inner[0] >> 4 == packet[0] >> 4 else None


def with_source(packet: bytes, address: bytes, port: int) -> bytes:
    """An IPv4 packet from elsewhere: 4 bytes of address, and the port or echo identifier."""
    return _rewritten(packet, 12, 0, address, port)


def with_destination(packet: bytes, address: bytes, port: int) -> bytes:
    """An IPv4 packet to elsewhere: 4 bytes of address, and the port or echo identifier."""
    return _rewritten(packet, 16, 2, address, port)


def with_quoted(packet: bytes, inner: bytes) -> bytes:
    """An IPv4 ICMP error that quotes ``inner``, of the same length as what it quoted."""
    at = (packet[0] & 15) * 4
    head = bytearray(packet[: at + _ICMP_HEADER_BYTES])
    head[at + 2 : at + 4] = b"\0\0"
    head[at + 2 : at + 4] = checksum(bytes(head[at:]) + inner).to_bytes(2, "big")
    return bytes(head) + inner


def with_address(packet: bytes, at: int, address: bytes) -> bytes:
    """An IPv4 packet with one address, at byte 12 or 16, replaced, and nothing behind the header."""
    changed = bytearray(packet)
    _adjust(changed, 10, _difference(packet[at : at + 4], address))
    changed[at : at + 4] = address
    return bytes(changed)


def checksum(data: bytes) -> int:
    """The Internet checksum of ``data``, padded to 16 bits. Source: RFC 1071."""
    value = int.from_bytes(data if len(data) % 2 == 0 else data + b"\0", "big")
    if value == 0:
        return _ONES
    return _ONES - (value % _ONES or _ONES)


def _rewritten(packet: bytes, address_at: int, port_offset: int, address: bytes, port: int) -> bytes:
    protocol, at = transport_of(packet)
    changed = bytearray(packet)
    addresses = _difference(packet[address_at : address_at + 4], address)
    _adjust(changed, 10, addresses)
    changed[address_at : address_at + 4] = address
    port_at = at + (4 if protocol == ICMP else port_offset)
    new_port = port.to_bytes(2, "big")
    ports = _difference(packet[port_at : port_at + 2], new_port)
    changed[port_at : port_at + 2] = new_port
    check_at = at + _CHECKSUM_AT[protocol]
    if check_at + 2 > len(packet):
        return bytes(changed)  # quoted by an ICMP error, without its checksum
    is_udp = protocol == UDP
    if is_udp and packet[check_at : check_at + 2] == b"\0\0":
        return bytes(changed)  # sent without one
    _adjust(changed, check_at, ports if protocol == ICMP else addresses + ports)
    if is_udp and not any(changed[check_at : check_at + 2]):
        changed[check_at : check_at + 2] = b"\xff\xff"
    return bytes(changed)


def _difference(old: bytes, new: bytes) -> int:
    return (int.from_bytes(new, "big") - int.from_bytes(old, "big")) % _ONES


def _adjust(packet: bytearray, at: int, difference: int) -> None:
    total = (~int.from_bytes(packet[at : at + 2], "big") & _ONES) + difference
    packet[at : at + 2] = (_ONES - (total % _ONES or _ONES)).to_bytes(2, "big")


_PCAP_RAW: Final = 101
"""The link layer is none: https://www.tcpdump.org/linktypes.html."""

_PCAP_BYTES: Final = 65_535
_RECORD: Final = struct.Struct("<IIII")
PCAP_HEAD: Final = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _PCAP_BYTES, _PCAP_RAW)


def pcap_record(packet: bytes, at_unix_s: float) -> bytes:
    """A packet as it stands in a file behind :data:`PCAP_HEAD`."""
    return _RECORD.pack(int(at_unix_s), int(at_unix_s % 1 * 1e6), len(packet), len(packet)) + packet


def read_pcap(data: bytes) -> list[bytes]:
    """The packets of such a file; one that is still being written is left out."""
    packets: list[bytes] = []
    rest = data[len(PCAP_HEAD) :]
    while len(rest) >= _RECORD.size:
        length = _RECORD.unpack_from(rest)[2]
        packet, rest = rest[_RECORD.size : _RECORD.size + length], rest[_RECORD.size + length :]
        if len(packet) == length:
            packets.append(packet)
    return packets
