"""What is known of a peer: what it speaks, its rests, deadlines and addresses."""

from __future__ import annotations

import pytest

from p2pchat.base.ids import Address, PeerId
from p2pchat.core.params import PRODUCTION
from p2pchat.core.peers import PeerBook, PeerFacts, Speaks, first_of_prefixes

A, B, C = Address(b"a"), Address(b"b"), Address(b"c")


def facts() -> PeerFacts:
    return PeerFacts(PeerId(b"peer"), 0)


def test_a_failure_makes_it_rest_for_5_s_doubling_to_10_min_and_an_answer_ends_that() -> None:
    peer, now, rests = facts(), 100.0, []
    for _ in range(9):
        peer.on_failure(now, PRODUCTION)
        rests.append(peer.retry_at - now)
        assert peer.is_resting(peer.retry_at - 0.001)
        now = peer.retry_at
        assert not peer.is_resting(now)
    assert rests == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert peer.is_suspect
    peer.on_answer(0.01)
    assert not peer.is_suspect
    peer.on_failure(now, PRODUCTION)
    assert peer.retry_at == now + 5


def test_several_attempts_that_fail_together_count_once() -> None:
    peer = facts()
    for late in (0.0, 0.1, 2.0):
        peer.on_failure(100.0 + late, PRODUCTION)
    assert peer.retry_at == 105.0


@pytest.mark.parametrize(
    ("round_trips", "deadline_s"),
    [([], 0.5), ([0.001], 0.1), ([0.1], 0.3), ([0.05] * 50, 0.1), ([3.0], 1.0)],
)
def test_the_soft_deadline_follows_the_round_trips_within_its_bounds(
    round_trips: list[float], deadline_s: float
) -> None:
    peer = facts()
    for rtt_s in round_trips:
        peer.on_answer(rtt_s)
    assert peer.soft_deadline_s(PRODUCTION) == pytest.approx(deadline_s)


@pytest.mark.parametrize(
    ("round_trips", "usual_s", "deadline_s"),
    [
        ([0.01] * 50, 0.01, 0.1),
        ([0.3, 0.02, 0.02, 0.02, 0.02], 0.01, 0.1),  # of a loaded start nothing is left
        ([0.15], 0.001, 0.3),  # quick others hold nobody to less than twice its own
        ([0.15], 0.1, 0.4),
        ([0.15], 1.0, 0.45),  # and slow ones to no more than its own bound
        ([], 0.001, 0.5),
    ],
)
def test_the_soft_deadline_is_bounded_by_what_others_take(
    round_trips: list[float], usual_s: float, deadline_s: float
) -> None:
    peer = facts()
    for rtt_s in round_trips:
        peer.on_answer(rtt_s)
    assert peer.soft_deadline_s(PRODUCTION, usual_s) == pytest.approx(deadline_s)


def test_who_is_late_holds_up_nobody_a_second_time_until_it_answers() -> None:
    peer = facts()
    peer.on_answer(0.1)
    peer.on_late()
    assert peer.soft_deadline_s(PRODUCTION) == 0
    peer.on_answer(0.1)
    assert peer.soft_deadline_s(PRODUCTION) > 0


def test_a_suspect_holds_up_nobody() -> None:
    peer = facts()
    peer.on_answer(0.1)
    peer.on_failure(0.0, PRODUCTION)
    assert peer.soft_deadline_s(PRODUCTION) == 0


@pytest.mark.parametrize("doubtful", [Speaks.KAD, Speaks.NEITHER])
def test_that_a_peer_is_no_storer_is_believed_for_10_min(doubtful: Speaks) -> None:
    peer = facts()
    peer.on_speaks(doubtful, 0.0, PRODUCTION)
    assert peer.speaks(599.9) is doubtful
    assert peer.speaks(600.0) is Speaks.UNKNOWN


def test_that_a_peer_is_a_storer_is_not_forgotten() -> None:
    peer = facts()
    peer.on_speaks(Speaks.RECORDS, 0.0, PRODUCTION)
    assert peer.speaks(1e9) is Speaks.RECORDS


def test_what_was_concluded_otherwise_than_the_peer_said_is_to_be_asked_about() -> None:
    peer = facts()
    peer.on_speaks(Speaks.RECORDS, 0.0, PRODUCTION)
    assert not peer.has_said
    peer.on_speaks(Speaks.RECORDS, 0.0, PRODUCTION, said=True)
    peer.on_speaks(Speaks.RECORDS, 1.0, PRODUCTION)
    assert peer.has_said
    peer.on_speaks(Speaks.KAD, 2.0, PRODUCTION)
    assert not peer.has_said


def test_hearsay_fills_only_what_is_empty_or_has_failed() -> None:
    peer = facts()
    peer.on_addresses([A], own=False)
    peer.on_addresses([B], own=False)
    assert peer.addresses == (A,)
    peer.on_failure(0.0, PRODUCTION)
    peer.on_addresses([B], own=False)
    assert peer.addresses == (B,)
    peer.on_addresses([C], own=False)
    assert peer.addresses == (B,)


def test_what_a_peer_says_of_itself_replaces_all_unless_it_says_nothing() -> None:
    peer = facts()
    peer.on_addresses([A], own=False)
    peer.on_addresses([C, B, C], own=True)
    assert peer.addresses == (C, B)
    peer.on_addresses([], own=True)
    assert peer.addresses == (C, B)


def test_at_most_eight_addresses_are_kept() -> None:
    peer = facts()
    peer.on_addresses([Address(bytes([i])) for i in range(20)], own=True)
    assert len(peer.addresses) == 8


def test_the_book_forgets_the_longest_untouched_that_is_in_no_table() -> None:
    book = PeerBook(max_peers=3)
    old, kept, third = (book.of(PeerId(name)) for name in (b"old", b"kept", b"third"))
    old.in_table = True
    book.of(kept.peer)
    book.of(PeerId(b"fourth"))
    assert book.get(third.peer) is None
    assert book.get(old.peer) is old
    assert book.get(kept.peer) is kept
    assert len(book) == 3


def test_a_book_full_of_table_peers_takes_no_newcomer_for_long() -> None:
    book = PeerBook(max_peers=2)
    for name in (b"a", b"b"):
        book.of(PeerId(name)).in_table = True
    book.of(PeerId(b"c"))
    book.of(PeerId(b"d"))
    assert book.get(PeerId(b"c")) is None
    assert len(book) == 3


def test_no_repr_shows_an_address_or_a_whole_id() -> None:
    peer = PeerFacts(PeerId(b"\xaa" * 38), 0xBBBB)
    peer.on_addresses([Address(b"\xcc" * 8)], own=True)
    assert "aaaa…" in repr(peer)
    assert not any(secret in repr(peer) for secret in ("aaaaaa", "cccccc", str(0xBBBB)))


def test_the_prefix_is_that_of_the_addresses_until_it_has_answered_from_one() -> None:
    peer = PeerFacts(PeerId(b"p"), 0)
    assert peer.prefix is None
    peer.on_addresses([A], own=False, prefix=b"a")
    peer.on_addresses([B], own=False, prefix=b"b")  # not taken: it has one
    assert peer.prefix == b"a"
    peer.on_addresses([B], own=True, prefix=b"b")
    assert peer.prefix == b"b"
    peer.on_prefix(b"shown")
    peer.on_addresses([C], own=True, prefix=b"c")
    assert peer.prefix == b"shown"
    peer.on_prefix(None)
    assert peer.prefix is None


def test_the_first_of_each_prefix_are_taken_in_their_order() -> None:
    prefixes = [b"p", None, b"p", b"q", b"p", None, b"q", b"q"]
    peers = [PeerFacts(PeerId(bytes([index])), 0) for index in range(len(prefixes))]
    for peer, prefix in zip(peers, prefixes, strict=True):
        peer.on_prefix(prefix)
    assert [peers.index(peer) for peer in first_of_prefixes(peers, 2)] == [0, 1, 2, 3, 5, 6]
