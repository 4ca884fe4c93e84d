"""What a pair's slot remembers: bounded, ranked by work, stored without idsec (PROTOCOL.md 3.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pchat.base.errors import Corrupt
from p2pchat.base.ids import RootKey
from p2pchat.core import codec
from p2pchat.core.pair import (
    CANDIDATES_MAX,
    CLAIMANTS_MAX,
    HELLO_COUNTS_S,
    Candidate,
    PairState,
    claimants_of,
    dump_pair,
    load_pair,
    waiting_in,
)
from tests.property.matching_world import EPOCH, ERA, NOW, ROOT, Person, SlotStore

IDSEC = b"\7" * 32


def fresh() -> PairState:
    return PairState(0, ROOT, ERA, EPOCH, IDSEC)


def candidate(n: int, work: int) -> Candidate:
    return Candidate(n.to_bytes(32, "big"), work, NOW + n)


def met() -> PairState:
    """Alice's state when she has Bob's reach."""
    store = SlotStore()
    alice, bob = Person("alice", 0, store), Person("bob", 1, store)
    for person in (alice, bob, alice, bob, alice):
        person.poll()
    assert alice.reached()
    return alice.state


def test_only_the_strongest_candidates_are_kept_in_order_of_work() -> None:
    state = fresh()
    for n in range(CANDIDATES_MAX + 10):
        state = state.with_candidate(candidate(n, 4 + n % 20))
    assert len(state.candidates) == CANDIDATES_MAX
    works = [c.work for c in state.candidates]
    assert works == sorted(works, reverse=True)
    assert state.with_candidate(candidate(500, 1)) == state
    assert state.with_candidate(candidate(501, 99)).candidates[0].work == 99


def test_of_equal_work_the_first_seen_stays() -> None:
    state = fresh()
    for n in range(CANDIDATES_MAX + 1):
        state = state.with_candidate(candidate(n, 4))
    assert state.candidate((0).to_bytes(32, "big")) is not None
    assert state.candidate(CANDIDATES_MAX.to_bytes(32, "big")) is None


def test_a_candidate_replaces_its_earlier_self() -> None:
    state = fresh().with_candidate(candidate(1, 4)).with_candidate(candidate(1, 9))
    assert state.candidates == (candidate(1, 9),)


def test_claimants_are_distinct_bounded_and_never_taken_back() -> None:
    state = fresh()
    for n in range(CLAIMANTS_MAX + 5):
        for _ in range(2):
            state = state.with_claimant(RootKey(bytes((n,)) * 32))
    assert state.claimants == tuple(RootKey(bytes((n,)) * 32) for n in range(CLAIMANTS_MAX))


def test_claimants_of_a_contact_are_counted_over_its_slots() -> None:
    one, two = RootKey(bytes(32)), RootKey(b"\1" * 32)
    states = [fresh().with_claimant(one), fresh().with_claimant(one).with_claimant(two), fresh()]
    assert claimants_of(states) == {one, two}
    assert claimants_of([]) == frozenset()


def test_a_hello_without_a_card_waits_for_a_day() -> None:
    state = fresh().with_candidate(candidate(0, 4))
    assert waiting_in([state, state], NOW + HELLO_COUNTS_S - 1) == 2
    assert waiting_in([state], NOW + HELLO_COUNTS_S) == 0
    assert waiting_in([met()], NOW) == 0


def test_stored_and_loaded_it_is_the_same_and_idsec_is_not_in_it() -> None:
    state = met()
    raw = dump_pair(state)
    assert load_pair(raw, state.idsec) == state
    assert load_pair(raw, state.idsec).own == state.own
    for secret in (state.idsec, state.own.eph.secret, state.own.writer.secret):
        assert secret not in raw


def test_a_stored_cert_is_loaded_whatever_the_clock_says_now() -> None:
    state = met()
    first = state.candidates[0]
    assert first.cert is not None
    assert load_pair(dump_pair(state), state.idsec).candidates[0].cert == first.cert


@pytest.mark.parametrize("part", ["empty", "truncated", "signature"])
def test_what_was_not_stored_so_is_the_disks_fault(part: str) -> None:
    raw = dump_pair(met())
    first = met().candidates[0]
    assert first.cert is not None
    broken = first.cert.raw[:-1] + bytes((first.cert.raw[-1] ^ 1,))
    damaged = {"empty": b"", "truncated": raw[:-1], "signature": raw.replace(first.cert.raw, broken)}
    with pytest.raises(Corrupt):
        load_pair(damaged[part], IDSEC)


def test_reprs_show_no_secret() -> None:
    state = replace(met(), candidates=())
    assert repr(state) == (
        f"PairState(role=0, era={ERA}, epoch={EPOCH}, candidates=(), claimants={state.claimants!r}, "
        f"progress={state.progress}, refused=0, by_invite=False)"
    )
    shown = repr(met().candidates[0])
    assert codec.encode(shown).count(b"\\x") == 0
