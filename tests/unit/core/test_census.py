"""How dense the network is taken to be."""

from __future__ import annotations

import pytest

from p2pchat.base.ids import PeerId
from p2pchat.core.census import Census, key_between
from p2pchat.core.lookup import position

K = 4
PEERS = [PeerId(b"peer %d" % i) for i in range(10)]


def farthest(target: int, peers: list[PeerId]) -> int:
    return max(position(peer) ^ target for peer in peers)


def test_with_fewer_than_k_neighbours_nothing_is_expected() -> None:
    census = Census(K)
    census.note(7, PEERS[:K], K)
    assert census.region([1, 2, 3]) == 0
    assert census.region([]) == 0


@pytest.mark.parametrize(
    ("neighbours", "region"),
    [
        ([1, 2, 3, 40], 40),
        ([1, 2, 3, 40, 50, 60, 70], 40),  # fewer than 2 k
        ([1, 2, 3, 40, 50, 60, 70, 78], 40),
        ([1, 1, 1, 1, 50, 60, 70, 90], 45),  # a crowd around this node is no dense network
    ],
)
def test_before_the_first_walk_the_own_neighbourhood_is_all_there_is(neighbours: list[int], region: int) -> None:
    assert Census(K).region(neighbours) == region


def test_the_median_of_the_walks_is_taken_and_no_lonely_one_decides() -> None:
    census = Census(K)
    seen = []
    for target in (11, 12, 13, 14):
        census.note(target, PEERS[:K], K)
        seen.append(farthest(target, PEERS[:K]))
    for neighbourhood in (1, 1 << 256):
        region = census.region([0, 0, 0, neighbourhood])
        assert region == sorted([*seen, neighbourhood])[2]
        assert region in seen


def test_only_the_last_six_walks_count() -> None:
    census = Census(1)
    peer = PEERS[:1]
    for distance in (1 << 250, 1 << 249, *range(1, 7)):
        census.note(position(peer[0]) ^ distance, peer, 1)
    assert census.region([1]) == 3


def test_where_some_that_answered_are_no_storers_k_storers_lie_farther_off() -> None:
    census = Census(K)
    for _ in range(3):
        census.note(5, PEERS[:K], 2)
    assert census.region([0, 0, 0, 1]) == 2 * farthest(5, PEERS[:K])


@pytest.mark.parametrize(("answered", "storers"), [(K - 1, K - 1), (0, 0), (K, 0)])
def test_a_walk_that_too_few_answered_says_nothing(answered: int, storers: int) -> None:
    census = Census(K)
    for _ in range(3):
        census.note(5, PEERS[:answered], storers)
    assert census.region([1, 2, 3, 4]) == 4


@pytest.mark.parametrize("bits", range(12))
def test_a_key_lies_between_the_distances_and_follows_from_the_seed(bits: int) -> None:
    target = position(b"target")
    least = 1 << (255 - bits)
    key = key_between(target, least, 2 * least, b"seed")
    assert key is not None
    assert least <= position(key) ^ target < 2 * least
    assert key_between(target, least, 2 * least, b"seed") == key
    assert key_between(target, least, 2 * least, b"other") != key


def test_a_key_that_is_too_rare_is_given_up() -> None:
    assert key_between(0, 0, 1 << 200, b"seed") is None
