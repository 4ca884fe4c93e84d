"""What is local, how networks are written, and what strangers are served."""

from __future__ import annotations

import pytest

from p2pchat.base.ids import PeerId
from p2pchat.core.access import FOR_STRANGERS, Access, is_local, parse_network
from p2pchat.net import autonat, circuits, dcutr, identify, kad, mailbox, ping, records
from p2pchat.services.link import MSG_PROTOCOL

PEER = PeerId(b"\x00\x24\x08\x01\x12\x20" + bytes(32))


def test_strangers_are_served_what_the_network_needs_and_nothing_that_leads_to_the_user() -> None:
    upkeep = {identify.IDENTIFY, ping.PING, kad.KAD, records.RECORDS, autonat.AUTONAT, circuits.HOP, circuits.STOP}
    assert upkeep == FOR_STRANGERS
    access = Access("contacts", friends={PEER})
    for protocol in (MSG_PROTOCOL, mailbox.MAILBOX, dcutr.DCUTR):
        assert not access.serves(PeerId(b"another"), "192.0.2.1", protocol)
        assert access.serves(PEER, "192.0.2.1", protocol)


@pytest.mark.parametrize("host", ["10.1.2.3", "172.31.0.1", "192.168.0.9", "169.254.3.4", "127.0.0.1"])
def test_private_link_local_and_loopback_addresses_are_local(host: str) -> None:
    assert is_local(host)
    assert is_local(f"::ffff:{host}")


@pytest.mark.parametrize("host", ["fe80::1%eth0", "fd12::1", "::1"])
def test_so_are_those_of_ipv6(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "100.64.0.1",
            "192.0.2.1",
            "8.8.8.8",
            "0.1.2.3",
            "224.0.0.251",
            "172.32.0.1",
            "2001:db8::1",
            "::",
            "ff02::fb",
        ),
        *("a.name", "localhost", "", "::ffff:100.64.0.1", "64:ff9b::a00:1", "2002:a00:1::1"),
    ],
)
def test_nothing_else_is(host: str) -> None:
    assert not is_local(host)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.1", "192.0.2.1/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_a_network_is_kept_in_its_shortest_form(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize("text", ["192.0.2.1/24", "192.0.2.0/33", "fe80::1%eth0", "1.2.3", "", "a/24", "::ffff:0:0/95"])
def test_what_is_no_network_or_has_bits_beyond_its_prefix(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  ipaddress has many sentences, of which none is shown
        parse_network(text)


def test_in_the_mode_lan_there_are_no_names_and_no_relays() -> None:
    access = Access("lan", peers={PEER: True})
    assert not access.resolves_names
    assert not access.relays
    assert not access.may_meet(PEER, None)
    assert access.may_meet(PEER, "203.0.113.1")  # the user has said so
    assert not access.is_told("203.0.113.1")
    assert access.is_told("192.168.1.2")


def test_whether_anybody_from_beyond_may_come_at_all() -> None:
    local, beyond = parse_network("192.168.0.0/16"), parse_network("203.0.113.0/24")
    assert Access("lan").is_all_local
    assert Access("lan", peers={PEER: False}, networks={local: True, beyond: False}).is_all_local
    assert not Access("lan", networks={beyond: True}).is_all_local
    assert not Access("lan", networks={parse_network("192.0.0.0/8"): True}).is_all_local
    assert not Access("lan", nodes={PEER: True}).is_all_local
    assert not Access("open").is_all_local
