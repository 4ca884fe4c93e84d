"""Who may come near: the most specific rule decides, whatever else there is and in whatever order it was made."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from p2pchat.base.ids import PeerId
from p2pchat.core.access import FOR_STRANGERS, Access, Ip, Mode, Network, is_local, parse_network

PEERS = [PeerId(bytes([n]) * 38) for n in range(4)]
FEW_IPS = st.sampled_from(
    (
        *("10.0.0.1", "10.0.1.1", "192.0.2.1", "192.0.2.200", "203.0.113.9", "100.64.0.1", "127.0.0.1", "169.254.1.1"),
        *("2001:db8::1", "2001:db8:0:1::1", "fe80::1", "fd00::1", "::1", "2620:fe::9"),
    )
)
IPS: st.SearchStrategy[Ip] = FEW_IPS.map(ipaddress.ip_address) | st.ip_addresses()


def around(ip: Ip) -> st.SearchStrategy[Network]:
    """Networks, most of which hold addresses of the few."""
    return st.integers(0, ip.max_prefixlen).map(lambda bits: ipaddress.ip_network((ip, bits), strict=False))


NETWORKS = IPS.flatmap(around).map(lambda network: parse_network(str(network)))  # as rules are kept
MODES: st.SearchStrategy[Mode] = st.sampled_from(["open", "contacts", "lan"])


@dataclass(frozen=True)
class World:
    """Rules of each kind; ``friends``: nodes of contacts."""

    mode: Mode
    relays: bool
    peers: Sequence[tuple[PeerId, bool]]
    nodes: Sequence[tuple[PeerId, bool]]
    networks: Sequence[tuple[Network, bool]]
    friends: frozenset[PeerId]

    def access(self) -> Access:
        return Access(
            self.mode,
            relays=self.relays,
            peers=dict(self.peers),
            nodes=dict(self.nodes),
            networks=dict(self.networks),
            friends=self.friends,
        )

    def said(self, peer: PeerId | None, ip: Ip | None) -> bool | None:
        """The same by going through all rules."""
        for rules in (self.peers, self.nodes):
            for each, allow in rules:
                if each == peer:
                    return allow
        mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        ip = mapped or ip
        fitting = [(network.prefixlen, allow) for network, allow in self.networks if ip is not None and ip in network]
        return max(fitting)[1] if fitting else None


RULE = TypeVar("RULE", PeerId, Network)


def rules(of: st.SearchStrategy[RULE]) -> st.SearchStrategy[list[tuple[RULE, bool]]]:
    return st.lists(st.tuples(of, st.booleans()), max_size=8, unique_by=lambda rule: rule[0])


WORLDS = st.builds(
    World,
    mode=MODES,
    relays=st.booleans(),
    peers=rules(st.sampled_from(PEERS)),
    nodes=rules(st.sampled_from(PEERS)),
    networks=rules(NETWORKS),
    friends=st.frozensets(st.sampled_from(PEERS)),
)


@given(WORLDS, st.sampled_from(PEERS), IPS)
def test_the_most_specific_rule_wins_and_then_the_mode(world: World, peer: PeerId, ip: Ip) -> None:
    said = world.said(peer, ip)
    expected = said if said is not None else world.mode != "lan" or is_local(str(ip))
    assert world.access().may_meet(peer, str(ip)) is expected
    assert world.access().may_dial(peer, str(ip)) is expected


@given(WORLDS, st.sampled_from(PEERS), IPS, st.randoms())
def test_the_order_of_the_rules_is_nothing(world: World, peer: PeerId, ip: Ip, random: Random) -> None:
    peers, nodes, networks = list(world.peers), list(world.nodes), list(world.networks)
    random.shuffle(peers)
    random.shuffle(nodes)
    random.shuffle(networks)
    one, other = world.access(), replace(world, peers=peers, nodes=nodes, networks=networks).access()
    for host in (None, str(ip)):
        assert one.may_meet(peer, host) == other.may_meet(peer, host)
        assert one.serves(peer, host, "/p2pchat/msg/1") == other.serves(peer, host, "/p2pchat/msg/1")
    assert one.may_come(str(ip)) == other.may_come(str(ip))


@given(WORLDS, st.sampled_from(PEERS), IPS)
def test_whoever_may_be_met_may_come_as_far_as_the_handshake(world: World, peer: PeerId, ip: Ip) -> None:
    access = world.access()
    assert access.may_come(str(ip)) or not access.may_meet(peer, str(ip))
    assert access.may_dial(None, str(ip)) == access.may_come(str(ip))


@given(WORLDS, st.sampled_from(PEERS))
def test_through_relays_no_network_counts(world: World, peer: PeerId) -> None:
    said = world.said(peer, None)
    expected = world.relays and world.mode != "lan" and said is not False
    assert world.access().may_meet(peer, None) is expected


@given(WORLDS, st.sampled_from(PEERS), st.none() | IPS)
def test_strangers_are_served_the_upkeep_of_the_network(world: World, peer: PeerId, ip: Ip | None) -> None:
    access, host = world.access(), None if ip is None else str(ip)
    is_served = world.mode != "contacts" or peer in world.friends or world.said(peer, ip) is True
    assert access.serves(peer, host, "/p2pchat/msg/1") is is_served
    assert all(access.serves(peer, host, protocol) for protocol in FOR_STRANGERS)


@given(WORLDS, st.sampled_from(PEERS), st.ip_addresses(v=4))
def test_an_ipv4_address_is_one_however_it_is_written(world: World, peer: PeerId, ip: ipaddress.IPv4Address) -> None:
    access = world.access()
    assert access.may_meet(peer, f"::ffff:{ip}") == access.may_meet(peer, str(ip))


@given(NETWORKS)
def test_a_network_has_one_form(network: Network) -> None:
    assert parse_network(str(parse_network(str(network)))) == parse_network(str(network))
