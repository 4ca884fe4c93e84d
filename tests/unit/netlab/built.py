"""Packets built from nothing, as an operating system would send them: the oracle of what rewriting has to yield."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from netlab.packets import ICMP, TCP, UDP


def packed(address: str) -> bytes:
    return ip_address(address).packed


def segment(protocol: int, source: str, source_port: int, destination: str, port: int, data: bytes = b"") -> bytes:
    """A TCP segment with SYN, or a UDP datagram, in IPv4 or IPv6."""
    if protocol == TCP:
        body = struct.pack("!HHIIBBHHH", source_port, port, 1, 0, 0x50, 2, 1000, 0, 0) + data
    else:
        body = struct.pack("!HHHH", source_port, port, 8 + len(data), 0) + data
    one, other = packed(source), packed(destination)
    pseudo = one + other + struct.pack("!II", len(body), protocol)
    value = _folded(pseudo + body)
    at = 16 if protocol == TCP else 6
    if protocol == UDP and value == 0:
        value = 0xFFFF
    return _in_ip(protocol, one, other, body[:at] + value.to_bytes(2, "big") + body[at + 2 :])


def echo(source: str, destination: str, identifier: int, *, reply: bool = False) -> bytes:
    """An IPv4 echo request or reply."""
    body = struct.pack("!BBHHH", 0 if reply else 8, 0, 0, identifier, 1) + b"data"
    body = body[:2] + _folded(body).to_bytes(2, "big") + body[4:]
    return _in_ip(ICMP, packed(source), packed(destination), body)


def _in_ip(protocol: int, source: bytes, destination: bytes, body: bytes) -> bytes:
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + source + destination + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0x4000, 64, protocol, 0) + source + destination
    return head[:10] + _folded(head).to_bytes(2, "big") + head[12:] + body


def _folded(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
