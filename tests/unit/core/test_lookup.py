"""The walk machine, step by step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from p2pchat.base.errors import InternalError
from p2pchat.base.ids import PeerId
from p2pchat.core.lookup import Lookup, position

TARGET = position(b"target")


def peers(count: int) -> list[PeerId]:
    """Peers, the closest to TARGET first."""
    return sorted((PeerId(b"peer %d" % i) for i in range(count)), key=lambda peer: position(peer) ^ TARGET)


def walk(known: list[PeerId], *, k: int = 3, alpha: int = 2, max_asked: int = 100) -> Lookup:
    lookup = Lookup(TARGET, k=k, alpha=alpha, max_asked=max_asked)
    for peer in reversed(known):
        lookup.learn(peer)
    return lookup


def test_a_position_is_sha256_as_a_big_endian_number() -> None:
    assert position(b"x") == int(hashlib.sha256(b"x").hexdigest(), 16)


def test_without_peers_it_is_done_at_once() -> None:
    lookup = walk([])
    assert lookup.next() == []
    assert lookup.done
    assert lookup.answered() == []


def test_the_closest_are_asked_first_and_at_most_alpha_at_a_time() -> None:
    known = peers(5)
    lookup = walk(known)
    assert lookup.next() == known[:2]
    assert lookup.next() == []
    lookup.on_reply(known[1])
    assert lookup.next() == [known[2]]


def test_no_more_are_asked_than_could_be_among_the_k() -> None:
    known = peers(10)
    lookup = walk(known, k=3, alpha=10)
    assert lookup.next() == known[:3]
    lookup.on_fail(known[0])
    assert lookup.next() == [known[3]]


def test_it_is_done_when_the_k_closest_have_answered() -> None:
    known = peers(5)
    lookup = walk(known, k=2)
    lookup.next()
    lookup.on_reply(known[0])
    assert not lookup.done
    lookup.on_reply(known[1])
    assert lookup.done
    assert lookup.answered() == known[:2]


def test_a_closer_peer_that_a_reply_tells_of_is_asked_before_it_is_done() -> None:
    known = peers(4)
    lookup = walk(known[1:], k=2)
    lookup.next()
    lookup.on_reply(known[1])
    lookup.learn(known[0])
    lookup.on_reply(known[2])
    assert not lookup.done
    assert lookup.next() == [known[0]]
    lookup.on_reply(known[0])
    assert lookup.done
    assert lookup.answered() == known[:2]


def test_a_slow_peer_frees_its_place_and_does_not_hold_up_the_end() -> None:
    known = peers(5)
    lookup = walk(known, k=2, alpha=2)
    lookup.next()
    lookup.on_slow(known[0])
    assert lookup.next() == [known[2]]
    lookup.on_reply(known[1])
    lookup.on_reply(known[2])
    assert lookup.done
    assert lookup.answered() == known[1:3]


def test_the_late_answer_of_a_slow_peer_counts() -> None:
    known = peers(3)
    lookup = walk(known, k=2, alpha=3)
    lookup.next()
    lookup.on_slow(known[0])
    lookup.on_reply(known[0])
    assert lookup.answered() == [known[0]]


def test_with_fewer_than_k_answers_it_waits_for_the_slow_until_they_fail() -> None:
    known = peers(2)
    lookup = walk(known, k=3)
    lookup.next()
    lookup.on_reply(known[1])
    lookup.on_slow(known[0])
    assert not lookup.done
    lookup.on_fail(known[0])
    assert lookup.done
    assert lookup.has_failed(known[0])
    assert not lookup.has_failed(known[1])


def test_a_failed_peer_stays_failed_whatever_comes_later() -> None:
    known = peers(1)
    lookup = walk(known)
    lookup.next()
    lookup.on_fail(known[0])
    lookup.on_reply(known[0])
    lookup.on_slow(known[0])
    lookup.learn(known[0])
    assert lookup.answered() == []
    assert lookup.next() == []


def test_what_fails_after_its_answer_has_answered() -> None:
    known = peers(1)
    lookup = walk(known)
    lookup.next()
    lookup.on_reply(known[0])
    lookup.on_fail(known[0])
    assert lookup.answered() == known


def test_peers_that_are_no_storers_are_asked_on_the_way_but_are_not_among_the_k() -> None:
    known = peers(4)
    lookup = Lookup(TARGET, k=2, alpha=4, max_asked=100)
    lookup.learn(known[0], counts=False)
    for peer in known[1:]:
        lookup.learn(peer)
    assert lookup.next() == known[:3]
    lookup.on_reply(known[1])
    lookup.on_reply(known[2])
    assert not lookup.done
    lookup.on_reply(known[0], counts=False)
    assert lookup.done
    assert lookup.answered() == known[1:3]


def test_a_peer_that_turns_out_to_be_no_storer_makes_room_for_another() -> None:
    known = peers(3)
    lookup = walk(known, k=2, alpha=3)
    assert lookup.next() == known[:2]
    lookup.on_reply(known[0], counts=False)
    assert lookup.next() == [known[2]]


def test_no_more_than_the_bound_are_asked_and_then_it_ends() -> None:
    known = peers(10)
    lookup = walk(known, k=5, alpha=2, max_asked=3)
    asked = []
    while batch := lookup.next():
        for peer in batch:
            asked.append(peer)
            lookup.on_fail(peer)
    assert asked == known[:3]
    assert lookup.done


def test_who_was_not_asked_cannot_answer() -> None:
    known = peers(1)
    lookup = walk(known)
    with pytest.raises(InternalError):
        lookup.on_reply(known[0])
    with pytest.raises(InternalError):
        lookup.on_fail(PeerId(b"stranger"))
    with pytest.raises(InternalError):
        lookup.learn(PeerId(b"another"), teller=known[0])


# --- prefixes ------------------------------------------------------------------------------------------------------


def prefixed(
    prefixes: list[bytes | None], *, k: int, alpha: int = 20, max_asked: int = 100
) -> tuple[Lookup, list[PeerId]]:
    """A walk that knows one peer a prefix, the closest first."""
    known = peers(len(prefixes))
    lookup = Lookup(TARGET, k=k, alpha=alpha, max_asked=max_asked)
    for peer, prefix in zip(known, prefixes, strict=True):
        lookup.learn(peer, prefix=prefix)
    return lookup, known


A, B, C = b"a", b"b", b"c"


@pytest.mark.parametrize(
    ("prefixes", "k", "asked"),
    [
        ([A, A, B, B], 4, [0, 1, 2, 3]),
        ([A, A, A, B, B], 4, [0, 1, 3, 4]),
        ([A, A, A, A, A, A, None, None, None], 4, [0, 1, 6, 7]),
        ([None] * 6, 4, [0, 1, 2, 3]),  # who counts singly is nobody's neighbour
        ([A, B, A, B, A, B, C], 5, [0, 1, 2, 3, 6]),
    ],
)
def test_a_third_of_one_prefix_is_passed_over(prefixes: list[bytes | None], k: int, asked: list[int]) -> None:
    lookup, known = prefixed(prefixes, k=k)
    assert lookup.next() == [known[index] for index in asked]


def test_who_was_passed_over_is_asked_when_nobody_else_is_left_to_reach_k_and_is_not_counted() -> None:
    lookup, known = prefixed([A, A, A, A, B, A], k=4)
    asked = lookup.next()
    assert asked == [known[0], known[1], known[4], known[2]]
    for peer, prefix in zip(asked, (A, A, B, A), strict=True):
        assert not lookup.done
        lookup.on_reply(peer, prefix=prefix)
    assert lookup.done
    assert lookup.answered() == [known[0], known[1], known[4]]


@pytest.mark.parametrize("leave", [Lookup.on_fail, Lookup.on_slow])
def test_who_fails_or_is_slow_takes_up_no_room_of_its_prefix(leave: Callable[[Lookup, PeerId], None]) -> None:
    lookup, known = prefixed([A, A, A, B, B], k=3)
    assert lookup.next() == [known[0], known[1], known[3]]
    leave(lookup, known[0])
    assert lookup.next() == [known[2]]


def test_the_prefix_from_which_a_peer_answered_is_what_counts() -> None:
    lookup, known = prefixed([A, B, C, None, None], k=3)
    assert lookup.next() == known[:3]
    for peer in known[:3]:
        lookup.on_reply(peer, prefix=A)
    assert not lookup.done
    assert lookup.next() == [known[3]]
    lookup.on_reply(known[3])
    assert lookup.answered() == [known[0], known[1], known[3]]


def test_peers_that_are_no_storers_take_no_room_of_storers() -> None:
    lookup = Lookup(TARGET, k=2, alpha=9, max_asked=100)
    known = peers(6)
    for peer in known[:4]:
        lookup.learn(peer, prefix=A, counts=False)
    for peer in known[4:]:
        lookup.learn(peer, prefix=A)
    assert lookup.next() == [known[0], known[1], known[4], known[5]]


# --- two paths -----------------------------------------------------------------------------------------------------


def test_the_first_are_dealt_to_two_paths_and_what_is_told_belongs_to_the_path_of_its_teller() -> None:
    """One teller knows closer peers than all others, and cannot end the walk with them."""
    near, (liar, honest, *others) = peers(20)[:4], peers(20)[10:]
    lookup = Lookup(TARGET, k=4, alpha=2, max_asked=100)
    for peer in (liar, honest, *others):
        lookup.learn(peer)
    assert lookup.next() == [liar, honest]
    for peer in near:
        lookup.learn(peer, teller=liar)
    lookup.on_reply(liar)
    asked = [liar, honest]
    while batch := lookup.next():
        asked += batch
        for peer in batch:
            lookup.on_reply(peer)
    assert not lookup.done  # honest is of the other path, which has to bring two answers
    lookup.on_fail(honest)
    while batch := lookup.next():
        asked += batch
        for peer in batch:
            lookup.on_reply(peer)
    assert lookup.done
    assert asked == [liar, honest, *near, others[1], others[3]]
    assert lookup.answered() == near


def test_a_peer_of_which_both_paths_tell_belongs_to_the_first() -> None:
    near, (first, second) = peers(10)[:2], peers(10)[8:]
    lookup = Lookup(TARGET, k=2, alpha=2, max_asked=100)
    lookup.learn(first)
    lookup.learn(second)
    assert lookup.next() == [first, second]
    for teller in (first, second):
        for peer in near:
            lookup.learn(peer, teller=teller)
        lookup.on_reply(teller)
    assert lookup.next() == near
    for peer in near:
        lookup.on_reply(peer)
    assert lookup.done  # second's path has its one answer, from second itself


def test_a_path_without_peers_holds_up_nobody() -> None:
    known = peers(5)
    lookup = Lookup(TARGET, k=4, alpha=9, max_asked=100)
    lookup.learn(known[4])
    lookup.next()
    for peer in known[:4]:
        lookup.learn(peer, teller=known[4])
    lookup.on_reply(known[4])
    for peer in lookup.next():
        lookup.on_reply(peer)
    assert lookup.done
    assert lookup.answered() == known[:4]


# --- the region ----------------------------------------------------------------------------------------------------


def crowded(region: int, *, k: int = 3, max_asked: int = 100) -> tuple[Lookup, list[PeerId]]:
    known = peers(20)
    lookup = Lookup(TARGET, k=k, alpha=20, max_asked=max_asked, region=region)
    for peer in known:
        lookup.learn(peer)
    return lookup, known


def distance(peer: PeerId) -> int:
    return position(peer) ^ TARGET


def test_where_the_k_closest_are_much_nearer_than_k_storers_are_to_be_expected_all_of_the_region_is_asked() -> None:
    region = distance(peers(20)[11])
    lookup, known = crowded(region)
    assert distance(known[2]) < region // 2
    assert lookup.next() == known[:11]
    for peer in known[:10]:
        lookup.on_reply(peer)
        assert not lookup.done
    lookup.on_reply(known[10])
    assert lookup.done
    assert lookup.is_crowded
    assert lookup.answered() == known[:11]


@pytest.mark.parametrize("region", [0, 1, 2 * distance(peers(20)[2])])
def test_where_they_are_not_the_k_closest_are_enough(region: int) -> None:
    lookup, known = crowded(region)
    assert lookup.next() == known[:3]
    for peer in known[:3]:
        lookup.on_reply(peer)
    assert lookup.done
    assert not lookup.is_crowded
    assert lookup.answered() == known[:3]


def test_the_bound_of_all_holds_in_a_crowded_region_too() -> None:
    lookup, known = crowded(1 << 256, max_asked=7)
    assert lookup.next() == known[:7]
    for peer in known[:7]:
        lookup.on_reply(peer)
    assert lookup.done
    assert lookup.next() == []


def test_the_prefix_rule_holds_in_a_crowded_region_too() -> None:
    known = peers(20)
    lookup = Lookup(TARGET, k=3, alpha=20, max_asked=100, region=1 << 256)
    prefixes = [None] * 10 + [A] * 10
    for peer, prefix in zip(known, prefixes, strict=True):
        lookup.learn(peer, prefix=prefix)
    assert lookup.next() == known[:12]
