"""Ways of packets through the topologies, without a kernel."""

from __future__ import annotations

from random import Random

import pytest

from netlab.fabric import Fabric
from netlab.packets import TCP, UDP, Flow, destination, flow_of, quoted, source
from netlab.topology import Options, build, moved
from tests.unit.netlab.built import packed, segment

ALICE, BOB, RELAY = "192.168.1.2", "192.168.2.2", "45.77.100.1"
ALICE_OUTSIDE, BOB_OUTSIDE = "45.77.1.1", "45.77.2.1"


def fabric(name: str, options: Options | None = None) -> Fabric:
    return Fabric(build(name, options), Random(1))


def carried(net: Fabric, sender: str, packet: bytes) -> list[tuple[str, bytes]]:
    """Who gets a packet, and how it looks there."""
    found: list[tuple[str, bytes]] = []
    parcel = net.depart(sender, packet, 0.0)
    if parcel is not None:
        net.arrive(parcel, 0.0, lambda host, arrived: found.append((host, arrived)))
    return found


def flows(found: list[tuple[str, bytes]]) -> list[tuple[str, Flow | None]]:
    return [(host, flow_of(packet)) for host, packet in found]


def test_the_carriers_customers_are_translated_twice() -> None:
    net = fabric("carrier")
    [(host, packet)] = carried(net, "alice", segment(TCP, ALICE, 4001, RELAY, 80))
    flow = flow_of(packet)
    assert flow is not None
    assert (host, flow.source) == ("relay", packed("45.77.50.1"))
    assert flow.source_port != 4001
    back = carried(net, "relay", segment(TCP, RELAY, 80, "45.77.50.1", flow.source_port))
    assert flows(back) == [("alice", Flow(TCP, packed(RELAY), 80, packed(ALICE), 4001))]


def test_who_opens_at_once_from_both_sides_gets_through() -> None:
    """Each translator has sent before the other's packet comes; the first of two packets would be refused otherwise."""
    net = fabric("two-nats")
    ours = net.depart("alice", segment(TCP, ALICE, 4001, BOB_OUTSIDE, 4001), 0.0)
    theirs = net.depart("bob", segment(TCP, BOB, 4001, ALICE_OUTSIDE, 4001), 0.0)
    found: list[str] = []
    for parcel in (ours, theirs):
        assert parcel is not None
        net.arrive(parcel, 0.1, lambda host, _: found.append(host))
    assert found == ["bob", "alice"]


def test_a_host_reaches_its_own_outside_address() -> None:
    net = fabric("two-nats", Options(hosts_at_home=2))
    carried(net, "alice", segment(UDP, ALICE, 4001, RELAY, 80))
    nat = net.nat_of("alice-home")
    assert nat is not None
    nat.open(UDP, packed(ALICE), 4001, 4001, 60.0, 0.0)
    found = flows(carried(net, "alice2", segment(UDP, "192.168.1.3", 5, ALICE_OUTSIDE, 4001)))
    assert found == [("alice", Flow(UDP, packed(ALICE_OUTSIDE), 5, packed(ALICE), 4001))]


@pytest.mark.parametrize(("to", "code"), [("45.9.9.9", 0), (BOB, 0), ("192.168.1.77", 1)])
def test_where_there_is_no_way_a_router_says_so(to: str, code: int) -> None:
    [(host, error)] = carried(fabric("two-nats"), "alice", segment(TCP, ALICE, 4001, to, 80))
    assert (host, error[20], error[21]) == ("alice", 3, code)
    assert flow_of(quoted(error) or b"") == Flow(TCP, packed(ALICE), 4001, packed(to), 80)


def test_what_a_firewall_refuses_vanishes() -> None:
    net = fabric("firewall")
    assert carried(net, "relay", segment(TCP, RELAY, 80, "45.77.1.2", 4001)) == []
    assert carried(net, "relay", segment(TCP, "2a0e:b107:64::1", 80, "2a0e:b107:1::2", 4001)) == []
    assert [gate.refused for gate in net.gates()["alice-home"]] == [2]
    assert [host for host, _ in carried(net, "relay", segment(TCP, RELAY, 80, "45.77.2.2", 4001))] == ["bob"]


@pytest.mark.parametrize("group", ["224.0.0.251", "255.255.255.255", "192.168.1.255", "ff02::fb"])
def test_a_segment_hears_what_is_for_all_and_nobody_else_does(group: str) -> None:
    net = fabric("dual", Options(hosts_at_home=3))
    sender = "fe80::102" if ":" in group else ALICE
    found = carried(net, "alice", segment(UDP, sender, 5353, group, 5353))
    assert sorted(host for host, _ in found) == ["alice-router", "alice2", "alice3"]
    assert {destination(packet) for _, packet in found} == {packed(group)}


def test_the_internet_floods_nothing() -> None:
    net = fabric("two-nats", Options(public=3))
    assert carried(net, "relay", segment(UDP, RELAY, 5353, "224.0.0.251", 5353)) == []
    assert [host for host, _ in carried(net, "relay", segment(UDP, RELAY, 5, "45.79.100.1", 5))] == ["relay3"]


def test_who_moves_is_found_at_the_new_address_alone() -> None:
    net = fabric("lan", Options(hosts=3))
    net.move(moved(net.topology, "alice", None, ()))
    [alice, *_] = net.topology.hosts
    assert alice.addresses == ("192.168.7.1/24",)
    assert [host for host, _ in carried(net, "bob", segment(UDP, "192.168.7.3", 5, "192.168.7.1", 5))] == ["alice"]
    [(host, error)] = carried(net, "bob", segment(UDP, "192.168.7.3", 5, "192.168.7.2", 5))
    assert (host, error[20]) == ("bob", 3)


def test_who_moves_to_another_home_goes_out_through_it() -> None:
    net = fabric("dual")
    net.move(moved(net.topology, "alice", "bob-home", ()))
    alice = next(host for host in net.topology.hosts if host.name == "alice")
    assert (alice.addresses, alice.gateways) == (
        ("192.168.2.3/24", "2a0e:b107:2::3/64"),
        ("192.168.2.1", "fe80::1"),
    )
    [(_, packet)] = carried(net, "alice", segment(UDP, "192.168.2.3", 5, RELAY, 5))
    assert source(packet) == packed(BOB_OUTSIDE)


def test_who_moves_to_the_internet_has_no_router() -> None:
    net = fabric("two-nats")
    net.move(moved(net.topology, "alice", "internet", ()))
    found = carried(net, "relay", segment(UDP, RELAY, 5, "45.77.101.1", 5))
    assert [host for host, _ in found] == ["alice"]


def test_nobody_moves_to_a_taken_address_or_to_nowhere() -> None:
    topology = build("two-nats")
    with pytest.raises(ValueError, match="taken"):
        moved(topology, "alice", "bob-home", ("192.168.2.2/24",))
    for name, segment_name in (("nobody", None), ("alice", "nowhere")):
        with pytest.raises(KeyError):
            moved(topology, name, segment_name, ())
