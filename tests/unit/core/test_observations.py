"""Votes about where a node is seen."""

from __future__ import annotations

from p2pchat.core.observations import CANDIDATES, VOTE_S, VOTERS, Observations
from p2pchat.net.addresses import from_socket

A, B, SIX = from_socket("12.0.0.1", 1), from_socket("12.0.0.2", 1), from_socket("2a00::1", 1)


def test_what_most_see_comes_first_and_the_latest_word_of_each_counts() -> None:
    votes = Observations()
    for prefix in (b"1", b"2"):
        votes.note(prefix, "ip4", A, 0.0)
    votes.note(b"3", "ip4", B, 0.0)
    assert votes.candidates(1.0) == (A, B)
    votes.note(b"2", "ip4", B, 2.0)
    assert votes.candidates(3.0) == (B, A)
    votes.note(b"2", "ip6", SIX, 3.0)
    assert set(votes.candidates(3.0)) == {A, B, SIX}


def test_a_vote_is_forgotten_after_an_hour() -> None:
    votes = Observations()
    votes.note(b"1", "ip4", A, 0.0)
    votes.note(b"2", "ip4", B, 10.0)
    assert votes.candidates(VOTE_S) == (B,)
    assert votes.candidates(VOTE_S + 10.0) == ()


def test_neither_voters_nor_candidates_grow_without_bound() -> None:
    votes = Observations()
    for number in range(10 * VOTERS):
        votes.note(number.to_bytes(4, "big"), "ip4", from_socket("12.0.0.1", number + 1), 0.0)
    assert len(votes._votes) == VOTERS
    assert len(votes.candidates(1.0)) == CANDIDATES
    votes.clear()
    assert votes.candidates(1.0) == ()
