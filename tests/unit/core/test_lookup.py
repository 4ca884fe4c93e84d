"""The walk machine, step by step."""

from __future__ import annotations

import hashlib

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
