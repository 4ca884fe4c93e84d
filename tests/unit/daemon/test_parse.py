"""What a user names to start from, as the daemon takes it: before anything is opened."""

from __future__ import annotations

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
