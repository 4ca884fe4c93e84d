"""Which addresses pass between two peers, and under which prefix a put is counted (PROTOCOL.md 3.2, 3.7)."""

from __future__ import annotations

import pytest

from p2pchat.base.ids import Address, PeerId
from p2pchat.core.dht_wire import ToldPeer
from p2pchat.net.addresses import Endpoint, encode_endpoint, from_socket, parse_address, peer_id_from_key
from p2pchat.net.hearsay import fit_to_dial, network_of, network_to_dial, passing, prefix_of, telling, told_peer

PEER = peer_id_from_key(b"k" * 32)
LOOPBACK = from_socket("127.0.0.1", 4001)
PRIVATE = [from_socket(host, 4001) for host in ("10.1.2.3", "192.168.0.9", "172.16.0.1", "169.254.7.7", "fd00::1")]
GLOBAL = [from_socket(host, 4001) for host in ("8.8.8.8", "2606:4700::1111")]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", [LOOPBACK, *PRIVATE, *GLOBAL]),
        ("::1", [LOOPBACK, *PRIVATE, *GLOBAL]),
        ("192.168.0.7", [*PRIVATE, *GLOBAL]),
        ("fe80::1", [*PRIVATE, *GLOBAL]),
        ("9.9.9.9", GLOBAL),
        ("2606:4700::1", GLOBAL),
        (None, GLOBAL),
    ],
)
def test_an_address_passes_only_if_it_reaches_as_far_as_the_way_between_the_two(
    host: str | None, expected: list[Address]
) -> None:
    assert list(passing(host, [LOOPBACK, *PRIVATE, *GLOBAL])) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"junk",
        LOOPBACK[:-1],
        from_socket("8.8.8.8", 0),
        from_socket("0.0.0.0", 4001),  # noqa: S104 - to see it refused
        from_socket("::", 4001),
        from_socket("224.0.0.1", 4001),
        from_socket("ff02::1", 4001),
        from_socket("255.255.255.255", 4001),
        from_socket("2002:0a01:0203::1", 4001),  # 6to4 of 10.1.2.3
        from_socket("2001:0:4136:e378:8000:63bf:3fff:fdd2", 4001),  # Teredo
        from_socket("64:ff9b::a01:203", 4001),  # NAT64 of 10.1.2.3
        encode_endpoint(Endpoint("dns4", "localhost", 4001)),
        encode_endpoint(Endpoint("ip4", "8.8.8.8", 4001, relay=PEER)),
        bytes.fromhex("0408080808 9102 0fa1 cc03"),  # UDP and QUIC
    ],
    ids=lambda data: bytes(data).hex(),
)
def test_what_is_malformed_names_no_host_or_could_lead_anywhere_is_never_believed(data: bytes) -> None:
    assert passing("127.0.0.1", [data]) == ()
    assert fit_to_dial([data]) == ()


def test_a_mapped_address_is_as_private_as_what_it_wraps() -> None:
    mapped = encode_endpoint(Endpoint("ip6", "::ffff:10.1.2.3", 4001))
    assert passing("8.8.8.8", [mapped]) == ()


def test_at_most_eight_addresses_pass() -> None:
    many = [from_socket(f"8.8.8.{i}", 4001) for i in range(20)]
    assert passing("9.9.9.9", many) == tuple(many[:8])
    assert fit_to_dial(many) == tuple(many[:8])


def test_a_final_peer_id_is_dropped_from_an_address() -> None:
    assert passing("9.9.9.9", [bytes(GLOBAL[0]) + b"\xa5\x03\x26" + bytes(PEER)]) == (GLOBAL[0],)


def test_a_told_peer_has_a_peer_id_of_a_known_form() -> None:
    assert told_peer("9.9.9.9", ToldPeer(bytes(PEER), (bytes(GLOBAL[0]), b"junk"))) == (PEER, (GLOBAL[0],))
    assert told_peer("9.9.9.9", ToldPeer(b"\x00\x24short", (bytes(GLOBAL[0]),))) is None


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("8.8.8.8", "8.8.8.9", True),
        ("8.8.8.8", "8.8.9.8", False),
        ("2606:4700:aaaa:1::1", "2606:4700:aaaa:2::1", True),
        ("2606:4700:aaaa::1", "2606:4700:bbbb::1", False),
        ("::ffff:8.8.8.8", "8.8.8.9", True),
        ("10.0.0.1", "10.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", False),
        ("169.254.1.1", "169.254.1.1", False),
        ("fe80::1", "fe80::1", False),
        ("fd00::1", "fd00::1", False),
        (None, None, False),
    ],
)
def test_a_prefix_is_a_24_or_a_48_of_global_addresses_and_else_the_peer_itself(
    a: str | None, b: str | None, same: bool
) -> None:
    other = PeerId(b"other")
    assert (prefix_of(a, PEER) == prefix_of(b, other)) is same
    assert prefix_of(a, PEER) == prefix_of(a, PEER)
    assert prefix_of(a, PEER) != b""


@pytest.mark.parametrize(
    ("texts", "network"),
    [
        ((), None),
        (("/ip4/8.8.8.8/tcp/1",), network_of("8.8.8.9")),
        (("/ip4/10.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/1", "/ip4/9.9.9.9/tcp/1"), network_of("8.8.8.9")),
        (("/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1"), None),
        (("/dns4/example.org/tcp/1",), None),
        (("/ip6/2a00:1:2::1/tcp/1",), network_of("2a00:1:2:3::4")),
    ],
)
def test_the_prefix_to_dial_is_that_of_the_first_global_address(texts: tuple[str, ...], network: bytes | None) -> None:
    assert network_to_dial(parse_address(text)[0] for text in texts) == network


def test_of_a_peer_nobody_is_told_where_no_address_may_pass() -> None:
    assert telling("9.9.9.9", PEER, (LOOPBACK, *PRIVATE)) is None
    assert telling("9.9.9.9", PEER, (LOOPBACK, *GLOBAL)) == ToldPeer(bytes(PEER), tuple(map(bytes, GLOBAL)))
    assert telling("127.0.0.1", PEER, (LOOPBACK,)) == ToldPeer(bytes(PEER), (bytes(LOOPBACK),))


def test_what_is_no_address_has_no_prefix_and_does_not_matter() -> None:
    """An invite, and so the cache of nodes that is made of them, holds any bytes at all."""
    assert network_to_dial([Address(b"junk"), GLOBAL[0]]) == b"ip4\x08\x08\x08"
    assert network_to_dial([Address(b"\x04")]) is None
