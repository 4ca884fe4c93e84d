"""Flows, rewriting and checksums. Every rewritten packet is held against one that was built for the new address."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.icmp import unreachable
from netlab.packets import ICMP, TCP, UDP, Flow, checksum, flow_of, quoted, with_destination, with_quoted, with_source
from tests.unit.netlab.built import echo, packed, segment

PORTS = st.integers(1, 65535)
ADDRESSES = st.integers(1, 2**32 - 1).map(lambda value: str(ip_address(value)))


@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize(("one", "other"), [("192.168.1.2", "45.77.100.1"), ("2a0e:b107:1::2", "2a0e:b107:64::1")])
def test_a_flow_is_read(protocol: int, one: str, other: str) -> None:
    packet = segment(protocol, one, 4001, other, 80, b"abc")
    assert flow_of(packet) == Flow(protocol, packed(one), 4001, packed(other), 80)


def test_an_echo_and_its_reply_are_each_others_flow() -> None:
    request, reply = echo("192.168.1.2", "45.77.100.1", 77), echo("45.77.100.1", "192.168.1.2", 77, reply=True)
    flow, back = flow_of(request), flow_of(reply)
    assert flow is not None
    assert flow.reversed() == back
    assert (flow.source_port, flow.destination_port) == (77, 0)


def test_fragments_and_stubs_have_no_flow() -> None:
    packet = bytearray(segment(UDP, "192.168.1.2", 1, "45.77.100.1", 2, b"abcd"))
    assert flow_of(bytes(packet[:27])) is None
    packet[6] = 0x20
    assert flow_of(bytes(packet)) is None
    packet[6:8] = b"\0\x01"
    assert flow_of(bytes(packet)) is None


@given(ADDRESSES, PORTS, ADDRESSES, PORTS, st.binary(max_size=40), st.sampled_from([TCP, UDP]))
def test_a_rewritten_packet_is_as_if_sent_so(
    address: str, port: int, new: str, new_port: int, data: bytes, protocol: int
) -> None:
    other = "45.77.100.1"
    out = with_source(segment(protocol, address, port, other, 80, data), packed(new), new_port)
    assert out == segment(protocol, new, new_port, other, 80, data)
    back = with_destination(segment(protocol, other, 80, address, port, data), packed(new), new_port)
    assert back == segment(protocol, other, 80, new, new_port, data)


@given(ADDRESSES, PORTS, ADDRESSES, PORTS)
def test_a_rewritten_echo_is_as_if_sent_so(address: str, identifier: int, new: str, new_identifier: int) -> None:
    out = with_source(echo(address, "45.77.100.1", identifier), packed(new), new_identifier)
    assert out == echo(new, "45.77.100.1", new_identifier)


def test_a_datagram_without_checksum_stays_so() -> None:
    packet = bytearray(segment(UDP, "192.168.1.2", 5, "45.77.100.1", 6, b"abc"))
    packet[26:28] = b"\0\0"
    assert with_source(bytes(packet), packed("45.77.1.1"), 9)[26:28] == b"\0\0"


def test_damage_stays_noticeable() -> None:
    packet = bytearray(segment(TCP, "192.168.1.2", 5, "45.77.100.1", 6, b"abc"))
    packet[-1] ^= 1
    assert with_source(bytes(packet), packed("45.77.1.1"), 9) != segment(
        TCP, "45.77.1.1", 9, "45.77.100.1", 6, bytes(packet[-3:])
    )


@given(st.binary(min_size=1, max_size=60))
def test_the_checksum_is_that_of_rfc_1071(data: bytes) -> None:
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert checksum(data) == ~total & 0xFFFF


def test_an_error_quotes_what_it_is_about() -> None:
    packet = segment(TCP, "192.168.1.2", 5, "45.9.9.9", 6, b"x" * 100)
    error = unreachable(packet, packed("45.77.0.1"), on_link=False)
    assert error is not None
    assert (error[20], error[21], error[12:16], error[16:20]) == (3, 0, packed("45.77.0.1"), packed("192.168.1.2"))
    assert quoted(error) == packet[:28]
    assert checksum(error[:20]) == checksum(error[20:]) == 0
    changed = with_quoted(error, with_source(packet[:28], packed("10.0.0.1"), 7))
    assert checksum(changed[20:]) == 0
    assert flow_of(quoted(changed) or b"") == Flow(TCP, packed("10.0.0.1"), 7, packed("45.9.9.9"), 6)


def test_an_ipv6_error_has_a_checksum_over_its_addresses() -> None:
    packet = segment(UDP, "2a0e:b107:1::2", 5, "2a0e:1::9", 6, b"x")
    error = unreachable(packet, packed("2a0e:b107::1"), on_link=True)
    assert error is not None
    assert (error[40], error[41], error[8:24], error[24:40]) == (1, 3, packed("2a0e:b107::1"), packed("2a0e:b107:1::2"))
    pseudo = error[8:40] + struct.pack("!II", len(error) - 40, 58)
    assert checksum(pseudo + error[40:]) == 0
    assert quoted(error) == packet


def test_no_error_is_about_an_error_or_a_multicast() -> None:
    error = unreachable(segment(UDP, "192.168.1.2", 5, "45.9.9.9", 6), packed("45.77.0.1"), on_link=False)
    assert error is not None
    assert unreachable(error, packed("45.77.0.1"), on_link=False) is None
    assert unreachable(segment(UDP, "192.168.1.2", 5, "224.0.0.251", 6), packed("45.77.0.1"), on_link=False) is None
    assert unreachable(segment(UDP, "fe80::2", 5, "ff02::fb", 6), packed("fe80::1"), on_link=False) is None
    asked = unreachable(echo("192.168.1.2", "45.9.9.9", 3), packed("45.77.0.1"), on_link=False)
    assert asked is not None
    assert flow_of(quoted(asked) or b"") == Flow(ICMP, packed("192.168.1.2"), 3, packed("45.9.9.9"), 0)
