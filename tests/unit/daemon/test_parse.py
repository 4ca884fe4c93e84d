"""What a user names to start from, as the daemon takes it: before anything is opened."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.daemon.node import parse
from p2pchat.net.addresses import format_peer_id, parse_address, peer_id_from_key
from p2pchat.net.dnsaddr import DnsName
from p2pchat.services.config import Config

PEER = peer_id_from_key(bytes(32))
NODE = f"/ip4/192.0.2.1/tcp/4001/p2p/{format_peer_id(PEER)}"


def test_addresses_and_names_are_taken() -> None:
    settings = parse(Config(bootstrap=(NODE, "/dnsaddr/example.org"), public_entry=(f"/dnsaddr/a/p2p/{NODE[-52:]}",)))
    assert settings.bootstrap == ((PEER, (parse_address(NODE)[0],)), DnsName("example.org"))
    assert settings.reach.public_entry == (DnsName("a", PEER),)
    assert parse(Config()).reach.public_entry == (DnsName("bootstrap.libp2p.io"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/ip4/192.0.2.1/tcp/4001", "ends in /p2p/"),
        ("/dnsaddr/exa mple", "/dnsaddr/example.org"),
        ("/dnsaddr/example.org/p2p/12D3", "PeerID"),
        ("what.example.net", "not an address"),
    ],
)
@pytest.mark.parametrize("key", ["bootstrap", "public_entry"])
def test_what_is_neither_is_refused_in_a_sentence(text: str, said: str, key: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        parse(Config(bootstrap=(text,)) if key == "bootstrap" else Config(public_entry=(text,)))
    assert refused.value.data == {"param": key if key == "bootstrap" else "bootstrap.public_entry"}
    assert text not in refused.value.message


PROXY = "socks5://127.0.0.1:9050"


def test_behind_a_proxy_whatever_goes_around_it_is_off() -> None:
    """As delivered, and where the user has said otherwise; each of these sends something beside connections."""
    eager = Config(lan=True, relay_offer="on", public_dht=True, announce=True, mapping=True)
    for config in (Config(), eager):
        reach = parse(replace(config, proxy=PROXY)).reach
        assert (reach.lan, reach.mapping, reach.public_dht, reach.announce) == (False,) * 4
        assert (reach.relay_offer, reach.proxy) == ("off", True)
    assert parse(eager).reach.relay_offer == "on"
    assert (parse(eager).reach.proxy, parse(eager).proxy) == (False, None)


@pytest.mark.parametrize("text", ["/ip4/127.0.0.1/tcp/4001", "/ip4/127.3.2.1/tcp/0", "/ip6/::1/tcp/1"])
def test_behind_a_proxy_it_may_listen_on_loopback(text: str) -> None:
    assert parse(Config(proxy=PROXY, listen=(text,))).listen == (parse_address(text)[0],)
    assert parse(Config(proxy=PROXY)).listen == ()


@pytest.mark.parametrize(
    "text", ["/ip4/0.0.0.0/tcp/1", "/ip6/::/tcp/1", "/ip4/192.168.1.2/tcp/1", "/ip4/8.8.8.8/tcp/1"]
)
def test_behind_a_proxy_it_listens_nowhere_else(text: str) -> None:
    with pytest.raises(UsageError, match=r"127\.0\.0\.1") as refused:
        parse(Config(proxy=PROXY, listen=("/ip4/127.0.0.1/tcp/1", text)))
    assert refused.value.data == {"param": "listen"}
    assert text not in refused.value.message


def test_a_local_network_alone_and_a_proxy_exclude_each_other() -> None:
    with pytest.raises(UsageError, match=r"net\.mode is lan"):
        parse(Config(proxy=PROXY, mode="lan"))
