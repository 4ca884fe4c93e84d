"""Any bytes and any text are an address or refused in the one declared way."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from p2pchat.base.errors import DecodeError, UsageError
from p2pchat.base.ids import PeerId
from p2pchat.net import addresses as addr

PEERS = st.binary(min_size=32, max_size=32).map(addr.peer_id_from_key)
HOSTS = st.one_of(
    st.tuples(st.just("ip4"), st.integers(0, 2**32 - 1).map(lambda n: str(ipaddress.IPv4Address(n)))),
    st.tuples(st.just("ip6"), st.integers(0, 2**128 - 1).map(lambda n: str(ipaddress.IPv6Address(n)))),
    st.tuples(
        st.sampled_from(["dns4", "dns6"]),
        st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,10}){0,3}", fullmatch=True),
    ),
)
ENDPOINTS = st.builds(
    lambda host, port, relay, ws: addr.Endpoint(host[0], host[1], port, relay, ws),
    HOSTS,
    st.integers(0, 65535),
    st.none() | PEERS,
    st.booleans(),
)


@given(st.binary(max_size=120))
def test_any_bytes(data: bytes) -> None:
    try:
        address = addr.decode_address(data)
    except DecodeError:
        return
    assert data.startswith(address)
    assert addr.decode_address(address) == address


@given(
    st.text(max_size=80)
    | st.from_regex(r"/(ip4|ip6|dns4)/[^/]{0,20}/tcp/[0-9]{0,6}(/ws)?(/p2p/[^/]*)?", fullmatch=True)
)
def test_any_text(text: str) -> None:
    try:
        address, peer = addr.parse_address(text)
    except UsageError:
        return
    again, same = addr.parse_address(addr.format_address(address, peer))
    assert (again, same) == (address, peer)


@given(ENDPOINTS, st.none() | PEERS)
def test_round_trip(end: addr.Endpoint, peer: PeerId | None) -> None:
    address = addr.encode_endpoint(end)
    assert addr.endpoint(address) == end
    assert addr.decode_address(address) == address
    assert addr.parse_address(addr.format_address(address, peer)) == (address, peer)


@given(ENDPOINTS, st.integers(0, 400), st.integers(0, 255))
def test_another_encoding_of_the_same_is_refused(end: addr.Endpoint, place: int, value: int) -> None:
    data = bytearray(addr.encode_endpoint(end))
    data[place % len(data)] = value
    try:
        address = addr.decode_address(bytes(data))
    except DecodeError:
        return
    assert bytes(data).startswith(address)
    assert (addr.endpoint(address) == end) == (address == addr.encode_endpoint(end))
