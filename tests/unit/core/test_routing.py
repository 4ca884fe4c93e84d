"""The routing table: who gets in, who keeps his place, who is asked and told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice

import pytest

from p2pchat.base.ids import Address, PeerId
from p2pchat.core.lookup import position
from p2pchat.core.params import PRODUCTION
from p2pchat.core.peers import PeerFacts, Speaks
from p2pchat.core.routing import RoutingTable

PARAMS = replace(PRODUCTION, k=3)
OWN = PeerId(b"own")
NOW = 1_000.0


def shared_bits(name: bytes) -> int:
    return 256 - (position(name) ^ position(OWN)).bit_length()


def names_in(bucket: int) -> Iterator[bytes]:
    return (name for name in (b"%d" % i for i in count()) if shared_bits(name) == bucket)


def peers_in(bucket: int, number: int, speaks: Speaks = Speaks.RECORDS) -> list[PeerFacts]:
    found = [PeerFacts(PeerId(name), position(name)) for name in islice(names_in(bucket), number)]
    for facts in found:
        facts.on_addresses([Address(b"somewhere")], own=True)
        facts.on_speaks(speaks, NOW, PARAMS)
    return found


def table(*peers: PeerFacts) -> RoutingTable:
    made = RoutingTable(OWN, PARAMS)
    for facts in peers:
        made.add(facts, NOW)
    return made


def everyone(made: RoutingTable) -> list[PeerFacts]:
    return made.closest(position(OWN), 1000, NOW)


def test_who_has_no_address_rests_serves_neither_or_is_this_node_stays_out() -> None:
    nowhere = PeerFacts(PeerId(b"nowhere"), position(b"nowhere"))
    resting, neither, *_ = peers_in(0, 2)
    resting.on_failure(NOW, PARAMS)
    neither.on_speaks(Speaks.NEITHER, NOW, PARAMS)
    own = PeerFacts(OWN, position(OWN))
    own.on_addresses([Address(b"here")], own=True)
    assert everyone(table(nowhere, resting, neither, own)) == []


@pytest.mark.parametrize("target", [b"t%d" % i for i in range(40)])
def test_the_closest_are_those_of_a_full_sort(target: bytes) -> None:
    peers = [facts for bucket in range(5) for facts in peers_in(bucket, 5)]
    made = table(*peers)
    by_distance = sorted(peers, key=lambda facts: facts.position ^ position(target))
    for number in (1, 4, 9, 25, 100):
        assert made.closest(position(target), number, NOW) == by_distance[:number]


def test_resting_peers_are_not_among_the_closest_until_their_rest_is_over() -> None:
    (facts,) = peers_in(1, 1)
    made = table(facts)
    facts.on_failure(NOW, PARAMS)
    assert made.closest(0, 1, NOW + 4.9) == []
    assert made.closest(0, 1, NOW + 5) == [facts]


def test_only_storers_are_told_where_only_storers_are_wanted() -> None:
    storer, router, unknown = peers_in(0, 3)
    router.on_speaks(Speaks.KAD, NOW, PARAMS)
    unknown.on_speaks(Speaks.UNKNOWN, NOW, PARAMS)
    made = table(storer, router, unknown)
    assert made.closest(0, 3, NOW, storers_only=True) == [storer]
    assert len(made.closest(0, 3, NOW)) == 3


def test_an_old_peer_keeps_its_place_and_a_newcomer_waits_as_a_spare_until_it_fails() -> None:
    *old, spare, newest = peers_in(0, 5)
    made = table(*old, spare, newest)
    old[1].on_failure(NOW, PARAMS)
    made.on_failure(old[1], NOW)
    assert not old[1].in_table
    assert all(facts.in_table for facts in (old[0], old[2], spare, newest))


def test_a_peer_that_fails_without_a_spare_stays_so_that_losing_our_network_empties_no_table() -> None:
    peers = peers_in(0, 3)
    made = table(*peers)
    for facts in peers:
        facts.on_failure(NOW, PARAMS)
        made.on_failure(facts, NOW)
    assert made.closest(0, 9, NOW) == []
    assert len(made.closest(0, 9, NOW + 5)) == 3


def test_a_resting_peer_gives_way_to_a_newcomer_and_becomes_a_spare() -> None:
    *old, newcomer = peers_in(0, 4)
    made = table(*old)
    for facts in old:
        facts.on_failure(NOW, PARAMS)
        made.on_failure(facts, NOW)
    made.add(newcomer, NOW)
    made.on_failure(newcomer, NOW)
    assert newcomer.in_table  # it has a place of its own: a spare that fails is forgotten
    for facts in old:
        made.on_failure(facts, NOW)
    assert [facts.in_table for facts in old] == [False, True, True]


def test_a_storer_displaces_a_peer_that_is_none_but_not_the_other_way_round() -> None:
    routers = peers_in(0, 3, Speaks.KAD)
    made = table(*routers)
    storers = peers_in(0, 9)[3:]
    for facts in storers[:3]:
        made.add(facts, NOW)
    late_router = peers_in(0, 10, Speaks.KAD)[9]
    made.add(late_router, NOW)
    for facts in [*routers, late_router]:
        facts.on_failure(NOW, PARAMS)
        made.on_failure(facts, NOW)
        assert not facts.in_table  # all of them were spares
    assert all(facts.in_table for facts in storers[:3])


def test_who_turns_out_to_serve_neither_protocol_leaves() -> None:
    (facts,) = peers_in(0, 1)
    made = table(facts)
    facts.on_speaks(Speaks.NEITHER, NOW, PARAMS)
    made.on_failure(facts, NOW)
    assert not facts.in_table
    assert list(made) == []


def test_a_bucket_and_its_spares_are_bounded() -> None:
    peers = peers_in(0, 20)
    made = table(*peers)
    assert len(list(made)) == 2 * PARAMS.k
    assert sum(facts.in_table for facts in peers) == 2 * PARAMS.k


@pytest.mark.parametrize("target", [b"t%d" % i for i in range(20)])
def test_the_storers_closer_than_this_node_are_counted_up_to_the_bound(target: bytes) -> None:
    peers = [facts for bucket in range(6) for facts in peers_in(bucket, 6)]
    peers[0].on_speaks(Speaks.KAD, NOW, PARAMS)
    peers[1].on_failure(NOW, PARAMS)
    made = table(*peers)
    at = position(target)
    closer = [f for f in peers[2:] if f.position ^ at < position(OWN) ^ at]
    assert made.closer_storers(at, NOW, at_most=100) == len(closer)
    assert made.closer_storers(at, NOW, at_most=2) == min(2, len(closer))


def test_buckets_down_to_the_deepest_are_stale_until_a_walk_touches_them() -> None:
    made = table(*peers_in(2, 1))
    assert made.stale(NOW, 3600) == [0, 1, 2]
    made.touch(position(next(names_in(1))), NOW)
    assert made.stale(NOW + 3599, 3600) == [0, 2]
    assert made.stale(NOW + 3600, 3600) == [0, 1, 2]


def test_a_refresh_key_lies_in_its_bucket_and_follows_from_the_seed() -> None:
    made = table()
    for bucket in range(6):
        key = made.refresh_key(bucket, b"seed")
        assert key is not None
        assert shared_bits(key) == bucket
        assert made.refresh_key(bucket, b"seed") == key
        assert made.refresh_key(bucket, b"other") != key
    assert made.refresh_key(100, b"seed") is None


# --- prefixes ------------------------------------------------------------------------------------------------------


def of_prefix(peers: list[PeerFacts], prefix: bytes | None) -> list[PeerFacts]:
    for facts in peers:
        facts.on_prefix(prefix)
    return peers


def by_distance(peers: list[PeerFacts], target: int) -> list[PeerFacts]:
    return sorted(peers, key=lambda facts: facts.position ^ target)


@pytest.mark.parametrize("target", [b"t%d" % i for i in range(20)])
def test_of_one_prefix_two_are_among_the_closest_unless_too_few_are_left(target: bytes) -> None:
    at = position(target)
    peers = [facts for bucket in range(4) for facts in peers_in(bucket, 3)]
    alike, others = of_prefix(peers[::2], b"p"), peers[1::2]
    made = table(*peers)
    wanted = by_distance([*by_distance(alike, at)[:2], *others], at)
    for number in range(1, len(wanted) + 1):
        assert made.closest(at, number, NOW) == wanted[:number]
    assert made.closest(at, 100, NOW) == by_distance(peers, at)
    assert len(made.closest(at, len(wanted) + 2, NOW)) == len(wanted) + 2


@pytest.mark.parametrize("target", [b"t%d" % i for i in range(20)])
def test_of_one_prefix_two_count_as_closer_than_this_node(target: bytes) -> None:
    at = position(target)
    peers = [facts for bucket in range(4) for facts in peers_in(bucket, 6)]
    alike, others = of_prefix(peers[::2], b"p"), peers[1::2]
    made = table(*peers)
    closer = [f for f in others if f.position ^ at < position(OWN) ^ at]
    closer_alike = [f for f in alike if f.position ^ at < position(OWN) ^ at]
    assert made.closer_storers(at, NOW, at_most=100) == len(closer) + min(2, len(closer_alike))
    assert made.distance(at) == position(OWN) ^ at


def test_a_full_bucket_gives_up_the_newest_beyond_the_room_of_its_prefix_for_another_one() -> None:
    *crowd, other, another = peers_in(0, 5)
    of_prefix(crowd, b"p")
    made = table(*crowd, other, another)
    bucket = made._buckets[0]
    assert list(bucket.peers) == [crowd[0].peer, crowd[1].peer, other.peer]
    assert list(bucket.spares) == [crowd[2].peer, another.peer]


def test_a_newcomer_of_a_prefix_without_room_displaces_nobody() -> None:
    old, (newcomer,) = peers_in(0, 4)[:3], peers_in(0, 4)[3:]
    of_prefix([*old[:2], newcomer], b"p")
    made = table(*old, newcomer)
    assert list(made._buckets[0].peers) == [facts.peer for facts in old]


def test_many_of_one_prefix_do_not_push_others_out_of_the_spares() -> None:
    peers = peers_in(0, 20)
    old, crowd, lonely = peers[:3], of_prefix(peers[3:19], b"p"), peers[19]
    made = table(*old, lonely, *crowd)
    assert list(made._buckets[0].spares) == [lonely.peer, crowd[0].peer, crowd[1].peer]
    assert sum(facts.in_table for facts in peers) == 2 * PARAMS.k
