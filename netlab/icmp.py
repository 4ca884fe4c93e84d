"""What routers say of packets that they cannot forward. Source: RFC 792, RFC 4443."""

from __future__ import annotations

from typing import Final

from netlab.packets import ICMP, ICMPV6, checksum, destination, source, transport_of

_QUOTED_BYTES: Final = 28
"""Of IPv4: the header and 8 bytes, as the shortest that routers quote."""

_QUOTED6_BYTES: Final = 1232
"""Of IPv6: what fits into the smallest MTU."""

_HOPS: Final = 64


def unreachable(packet: bytes, router: bytes, *, on_link: bool) -> bytes | None:
    """The error that ``router`` (4 or 16 bytes, of the packet's family) sends back.

    Args:
        on_link: the network is known and the host is not there; otherwise there is no route.

    Returns:
        None where no error may be sent: about an ICMP message that is no echo, or a multicast.
    """
    protocol, at = transport_of(packet)
    to = destination(packet)
    if protocol in (ICMP, ICMPV6) and packet[at] not in (8, 128):
        return None
    if len(router) == 4:
        return None if to[0] >= 224 else _ipv4(packet, router, 1 if on_link else 0)
    return None if to[0] == 0xFF else _ipv6(packet, router, 3 if on_link else 0)


def _ipv4(packet: bytes, router: bytes, code: int) -> bytes:
    quote = packet[: max(_QUOTED_BYTES, (packet[0] & 15) * 4 + 8)]
    body = _with_checksum(bytes((3, code)) + bytes(6) + quote, b"")
    header = bytearray(b"\x45\xc0" + (20 + len(body)).to_bytes(2, "big") + bytes((0, 0, 0, 0, _HOPS, ICMP, 0, 0)))
    header += router + source(packet)
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + body


def _ipv6(packet: bytes, router: bytes, code: int) -> bytes:
    body = bytes((1, code)) + bytes(6) + packet[:_QUOTED6_BYTES]
    length, to = len(body).to_bytes(2, "big"), source(packet)
    pseudo = router + to + b"\0\0" + length + bytes((0, 0, 0, ICMPV6))
    return b"\x60\0\0\0" + length + bytes((ICMPV6, _HOPS)) + router + to + _with_checksum(body, pseudo)


def _with_checksum(body: bytes, pseudo: bytes) -> bytes:
    return body[:2] + checksum(pseudo + body).to_bytes(2, "big") + body[4:]
