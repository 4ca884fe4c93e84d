"""Addresses: one form, one encoding, and nobody is told more than means something to it."""

from __future__ import annotations

from dataclasses import dataclass

import ifaddr
import pytest
from multiaddr import Multiaddr  # type: ignore[import-untyped]

from p2pchat.base.errors import DecodeError, UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net import addresses as addr

PEER = addr.peer_id_from_key(b"k" * 32)
RELAY = addr.peer_id_from_key(b"r" * 32)
RSA_LIKE = PeerId(b"\x12\x20" + b"h" * 32)


def parsed(text: str) -> Address:
    address, peer = addr.parse_address(text)
    assert peer is None
    return address


TEXTS = [
    "/ip4/192.0.2.1/tcp/4001",
    "/ip4/0.0.0.0/tcp/0",
    "/ip6/2001:db8::1/tcp/65535",
    "/ip6/::/tcp/1",
    "/dns4/example.org/tcp/4001",
    "/dns6/a-b.example.org/tcp/4001",
    "/ip4/192.0.2.1/tcp/443/ws",
    "/ip6/2001:db8::1/tcp/80/ws",
    "/dns4/example.org/tcp/443/ws",
    f"/ip6/2001:db8::1/tcp/443/ws/p2p/{addr.format_peer_id(RELAY)}/p2p-circuit",
    f"/ip4/192.0.2.1/tcp/4001/p2p/{addr.format_peer_id(RELAY)}/p2p-circuit",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_and_bytes_are_those_of_the_multiaddr_library(text: str) -> None:
    assert bytes(parsed(text)) == Multiaddr(text).to_bytes()
    assert addr.format_address(parsed(text)) == text == str(Multiaddr(text))
    assert addr.decode_address(parsed(text)) == parsed(text)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("peer", [PEER, RSA_LIKE])
def test_a_final_peer_id_is_split_off(text: str, peer: PeerId) -> None:
    whole = f"{text}/p2p/{addr.format_peer_id(peer)}"
    assert addr.parse_address(whole) == (parsed(text), peer)
    assert addr.format_address(parsed(text), peer) == whole
    assert addr.decode_address(Multiaddr(whole).to_bytes()) == parsed(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "example.org:4001",
        "ip4/198.51.100.9/tcp/4001",
        "/ip4/198.51.100.9",
        "/ip4/198.51.100.9/tcp",
        "/ip4/198.51.100.9/tcp/",
        "/ip4/198.51.100.9/tcp/65536",
        "/ip4/198.51.100.9/tcp/-1",
        "/ip4/198.51.100.9/tcp/4001/",
        "/ip4/198.51.100.9/tcp/04001",
        "/ip4/198.51.100.9/tcp/4001/wss",
        "/ip4/198.51.100.9/tcp/4001/tls/ws",
        "/ip4/198.51.100.9/tcp/4001/ws/",
        "/ip4/198.51.100.9/tcp/4001/ws/ws",
        "/ip4/198.51.100.9/ws/tcp/4001",
        f"/ip4/198.51.100.9/tcp/4001/p2p/{addr.format_peer_id(RELAY)}/ws/p2p-circuit",
        "/ip4/198.51.100.9/udp/4001/quic-v1",
        "/ip4/192.0.2.256/tcp/1",
        "/ip4/2001:db8::1/tcp/1",
        "/ip6/fe80::1%eth0/tcp/1",
        "/ip6/198.51.100.9/tcp/1",
        "/dns4/-x.org/tcp/1",
        "/dns4/a..b/tcp/1",
        "/dns4/täst.org/tcp/1",
        f"/dns4/{'a' * 64}.org/tcp/1",
        "/dnsaddr/example.org/tcp/1",
        "/ip4/198.51.100.9/tcp/1/p2p/notapeer",
        "/ip4/198.51.100.9/tcp/1/p2p/" + addr.format_peer_id(PEER)[:-1],
        "/ip4/198.51.100.9/tcp/1/p2p-circuit",
        "/p2p/" + addr.format_peer_id(PEER),
    ],
)
def test_a_bad_text_is_the_callers_error_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        addr.parse_address(text)
    if len(text) > 9:
        assert text not in caught.value.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x04",
        bytes.fromhex("04c0000201"),
        bytes.fromhex("04c000020106"),
        bytes.fromhex("04c0000201060f"),
        bytes.fromhex("04c0000201060fa1ff"),
        bytes.fromhex("04c00002010f0fa1"),
        bytes.fromhex("8400c0000201060fa1"),  # 4 in two bytes
        bytes.fromhex("04c000020186000fa1"),  # 6 in two bytes
        bytes.fromhex("ffffffffff"),
        bytes.fromhex("3603612f62060fa1"),  # "a/b"
        bytes.fromhex("36ff01616161"),
        bytes.fromhex("04c0000201060fa1a503022041"),
        bytes.fromhex("04c0000201060fa1a202"),  # a circuit through nobody
        bytes.fromhex("04c0000201060fa1dd"),
        bytes.fromhex("04c0000201060fa1dd8300"),  # 477 in three bytes
        bytes.fromhex("04c0000201060fa1dd03dd03"),
        bytes.fromhex("04c0000201060fa1de03"),  # wss
        bytes(parsed(TEXTS[0])) + b"\xa5\x03\x26" + bytes(PEER) + b"\x00",
    ],
)
def test_bytes_from_outside_have_the_form_or_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        addr.decode_address(data)


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x00\x00", b"\x00\x05abcd", b"\x12\x20short", b"\x00\x30" + b"x" * 48]
)
def test_a_peer_id_has_a_known_form(data: bytes) -> None:
    with pytest.raises(DecodeError):
        addr.decode_peer_id(data)
    with pytest.raises(UsageError):
        addr.parse_peer_id(addr.format_peer_id(PeerId(data)))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/ip4/127.0.0.1/tcp/1", "lan"),
        ("/ip4/192.168.1.1/tcp/1", "lan"),
        ("/ip4/169.254.1.1/tcp/1", "lan"),
        ("/ip6/fe80::1/tcp/1", "lan"),
        ("/ip6/fd00::1/tcp/1", "lan"),
        ("/ip6/::ffff:10.0.0.1/tcp/1", "lan"),
        ("/ip4/8.8.8.8/tcp/1", "direct"),
        ("/ip4/100.64.0.1/tcp/1", "direct"),  # carrier-grade NAT is nobody's LAN
        ("/ip6/2606:4700::1/tcp/1", "direct"),
        ("/dns4/example.org/tcp/1", "direct"),
        ("/ip4/8.8.8.8/tcp/443/ws", "direct"),
        (TEXTS[-2], "relayed"),
        (TEXTS[-1], "relayed"),
    ],
)
def test_paths(text: str, path: str) -> None:
    assert addr.classify(parsed(text)) == path


def test_dial_order_is_lan_first_loopback_last_and_only_what_can_be_dialled() -> None:
    order = [
        "/ip4/192.168.1.1/tcp/1",
        "/ip4/8.8.8.8/tcp/1",
        "/dns4/example.org/tcp/1",
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/192.168.1.1/tcp/1/ws",
        "/ip4/8.8.8.8/tcp/1/ws",
        TEXTS[-1],
        TEXTS[-2],
    ]
    refused = [
        "/ip4/8.8.8.8/tcp/0",
        "/ip4/0.0.0.0/tcp/1",
        "/ip6/::/tcp/1",
        "/ip4/224.0.0.1/tcp/1",
        "/ip6/ff02::1/tcp/1",
        "/ip4/255.255.255.255/tcp/1",
    ]
    given = [order[7], order[3], order[5], order[4], order[6], order[1], *refused, order[0], order[2], order[1]]
    assert [addr.format_address(a) for a in addr.dial_order(map(parsed, given))] == order


def test_nobody_is_told_an_address_that_reaches_less_far_than_the_connection() -> None:
    loopback, private, public = (parsed(f"/ip4/{h}/tcp/1") for h in ("127.0.0.1", "10.0.0.1", "8.8.8.8"))
    name = parsed("/dns4/example.org/tcp/1")
    every = (loopback, private, public, name)
    assert addr.visible_to("127.0.0.1", every) == every
    assert addr.visible_to("192.168.7.7", every) == (private, public, name)
    assert addr.visible_to("::ffff:192.168.7.7", every) == (private, public, name)
    assert addr.visible_to("9.9.9.9", every) == (public, name)
    assert addr.visible_to("anything else", every) == (public, name)


@dataclass
class Entry:
    ip: str | tuple[str, int, int]
    network_prefix: int = 24


@dataclass
class Adapter:
    ips: list[Entry]
    name: str = "none of this machine's"
    index: int = 1


def plain_and_ws(host: str) -> tuple[str, str]:
    return f"/ip4/{host}/tcp/4001", f"/ip4/{host}/tcp/443/ws"


def test_of_many_addresses_one_of_each_sort_is_chosen_and_one_of_websocket() -> None:
    hosts = ("/ip4/8.8.8.8", "/ip6/2606:4700::7", "/ip4/192.168.1.7", "/ip6/fd00::7", "/ip4/127.0.0.1")
    known = addr.farthest_first(parsed(f"{host}/tcp/{rest}") for rest in ("443/ws", "4001") for host in hosts)

    def chosen(count: int) -> list[str]:
        return [addr.format_address(address) for address in addr.varied(known, count)]

    plain = [f"{host}/tcp/4001" for host in hosts]
    assert chosen(2) == plain[:2]
    assert chosen(3) == [*plain[:2], "/ip4/8.8.8.8/tcp/443/ws"]
    assert chosen(6) == [*plain[:2], "/ip4/8.8.8.8/tcp/443/ws", *plain[2:]]
    assert chosen(7) == [*plain[:2], "/ip4/8.8.8.8/tcp/443/ws", "/ip6/2606:4700::7/tcp/443/ws", *plain[2:]]
    assert chosen(20) == [addr.format_address(address) for address in known]


def test_all_interfaces_become_concrete_most_local_last(monkeypatch: pytest.MonkeyPatch) -> None:
    adapters = [
        Adapter([Entry("127.0.0.1"), Entry(("::1", 0, 0))]),
        Adapter([Entry("192.168.1.7"), Entry(("fe80::1", 0, 2)), Entry(("2606:4700::7", 0, 0))]),
        Adapter([Entry("8.8.8.8"), Entry(("fd00::7", 0, 0))]),
    ]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)
    four, six, one = parsed("/ip4/0.0.0.0/tcp/4001"), parsed("/ip6/::/tcp/4002"), parsed("/ip4/192.168.1.7/tcp/4001")

    def texts(*bound: Address) -> list[str]:
        return [addr.format_address(a) for a in addr.concrete(bound)]

    assert texts(four) == ["/ip4/8.8.8.8/tcp/4001", "/ip4/192.168.1.7/tcp/4001", "/ip4/127.0.0.1/tcp/4001"]
    assert texts(six) == ["/ip6/2606:4700::7/tcp/4002", "/ip6/fd00::7/tcp/4002", "/ip6/::1/tcp/4002"]
    assert texts(one, four) == ["/ip4/8.8.8.8/tcp/4001", "/ip4/192.168.1.7/tcp/4001", "/ip4/127.0.0.1/tcp/4001"]
    assert texts(one) == ["/ip4/192.168.1.7/tcp/4001"]
    ws = parsed("/ip4/0.0.0.0/tcp/443/ws")
    told = [text for host in ("8.8.8.8", "192.168.1.7", "127.0.0.1") for text in plain_and_ws(host)]
    assert texts(ws, four) == told  # of one reach the plain ones first
    assert texts(ws) == told[1::2]
    assert texts() == []


def test_no_repr_shows_an_address() -> None:
    address = parsed("/dns4/secret.example.org/tcp/4001")
    assert "secret" not in repr(address) + str(address) + repr(addr.endpoint(address))
