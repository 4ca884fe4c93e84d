"""The matching machine, rule by rule (PROTOCOL.md 3.3); interleavings and junk are in tests/property."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pchat.base.ids import RootKey
from p2pchat.core.crypto import KeyPair, ed25519_pair, x25519_pair
from p2pchat.core.discovery import encode_hello, encode_reach, make_card
from p2pchat.core.keys import create_identity
from p2pchat.core.matching import (
    PROGRESS_MAX,
    RECORDS_MAX,
    REFUSED_MAX,
    CandidateSeen,
    Claimed,
    Finding,
    Impersonation,
    PollSchedule,
    Reached,
    Walk,
    WalkKind,
    made_progress,
    may_reach,
    observe,
    walks,
)
from p2pchat.core.pair import CANDIDATES_MAX, HELLO_COUNTS_S, Candidate, claimants_of, waiting_in
from p2pchat.core.params import PRODUCTION
from p2pchat.core.record import work_bits
from p2pchat.core.slots import Slot, own_writer
from p2pchat.testing.entropy import SeededEntropy
from tests.property.matching_world import EPOCH, ERA, NOW, PARAMS, ROOT, Person, SlotStore, sealed

A, B, C = (RootKey(bytes((n,)) * 32) for n in range(3))
NOBODY: frozenset[RootKey] = frozenset()


@pytest.fixture
def alice() -> Person:
    return Person("alice", 0, SlotStore())


@pytest.fixture
def bob(alice: Person) -> Person:
    return Person("bob", 1, alice.store)


def writer(n: int) -> KeyPair:
    return ed25519_pair(n.to_bytes(32, "big"))


def eph(n: int) -> bytes:
    return x25519_pair(n.to_bytes(16, "big") + bytes(16)).public  # not at the ends: those bits are clamped


def hello(n: int, role: int = 1, bits: int = 4, seq: int = NOW, by: KeyPair | None = None) -> bytes:
    return sealed(Slot(ROOT, EPOCH), by or writer(n), encode_hello(role, eph(n)), seq, bits)


def of_kind(person: Person, kind: WalkKind, reach_for: frozenset[RootKey] = NOBODY, poll: int = 0) -> list[Walk]:
    return [walk for walk in walks(person.state, NOW, poll, reach_for, True, PARAMS) if walk.kind is kind]


def card_by(person: Person, walk: Walk, role: int = 1, seq: int = NOW) -> bytes:
    return sealed(walk.slot, own_writer(walk.slot, person.idsec), make_card(person.identity, walk.slot, role, seq), seq)


# --- what is walked


def test_at_first_only_hellos_are_walked(alice: Person) -> None:
    (walk,) = walks(alice.state, NOW, 0, NOBODY, True, PARAMS)
    assert (walk.kind, walk.slot, walk.publish, walk.their_eph) == (WalkKind.HELLO, Slot(ROOT, EPOCH), True, None)
    assert walk.writer == own_writer(walk.slot, alice.idsec)


def test_in_the_previous_epoch_hellos_are_read_but_not_published(alice: Person) -> None:
    (walk,) = walks(alice.state, NOW, 0, NOBODY, False, PARAMS)
    assert not walk.publish


def test_in_the_previous_epoch_my_hello_is_published_while_a_card_is_awaited_there(alice: Person) -> None:
    waiting = alice.state.with_candidate(Candidate(eph(1), 4, NOW))
    assert walks(waiting, NOW + HELLO_COUNTS_S - 1, 0, NOBODY, False, PARAMS)[0].publish
    assert not walks(waiting, NOW + HELLO_COUNTS_S, 0, NOBODY, False, PARAMS)[0].publish


def test_in_the_previous_epoch_my_hello_is_not_published_for_whom_a_card_is_known(alice: Person, bob: Person) -> None:
    answered = alice.state.with_candidate(Candidate(eph(1), 4, NOW, bob.identity.cert))
    assert not walks(answered, NOW, 0, NOBODY, False, PARAMS)[0].publish


@pytest.mark.parametrize(
    ("era", "epoch", "count"),
    [(ERA, EPOCH, 1), (ERA - 2, EPOCH, 0), (ERA + 2, EPOCH, 0), (ERA, EPOCH - 2, 0), (ERA, EPOCH + 2, 0)],
)
def test_slots_that_nobody_reads_any_more_are_not_walked(alice: Person, era: int, epoch: int, count: int) -> None:
    state = replace(alice.state, era=era, epoch=epoch)
    assert len(walks(state, NOW, 0, NOBODY, True, PARAMS)) == count


def test_cards_go_to_the_strongest_and_all_others_have_their_turn(alice: Person) -> None:
    strong = [hello(n, bits=8) for n in range(4)]
    weak = [hello(n, bits=4) for n in range(4, 15)]
    alice.see(alice.hello_walk(), [*weak, *strong])
    ranked = [c.eph for c in alice.state.candidates]
    seen: set[bytes | None] = set()
    for poll in range(3):
        cards = of_kind(alice, WalkKind.CARD, poll=poll)
        assert [walk.their_eph for walk in cards[:4]] == ranked[:4]
        assert len({walk.their_eph for walk in cards}) == 8
        assert all(walk.publish for walk in cards)
        seen.update(walk.their_eph for walk in cards)
    assert seen == set(ranked)


def test_a_reach_is_read_with_the_first_card_and_published_only_when_allowed(alice: Person, bob: Person) -> None:
    alice.see(alice.hello_walk(), [sealed(bob.state.slot, bob.state.own.writer, bob.data(bob.hello_walk(), NOW))])
    assert not of_kind(alice, WalkKind.REACH, frozenset({bob.root}))
    (walk,) = of_kind(alice, WalkKind.CARD)
    alice.see(walk, [card_by(bob, walk)])
    (waiting,) = of_kind(alice, WalkKind.REACH)
    (allowed,) = of_kind(alice, WalkKind.REACH, frozenset({bob.root}))
    assert (waiting.publish, allowed.publish) == (False, True)
    assert waiting.slot == allowed.slot != walk.slot


def test_whom_the_reach_is_for_is_walked_however_weak(alice: Person, bob: Person) -> None:
    bob.publish(bob.hello_walk())
    alice.read(alice.hello_walk())
    (walk,) = of_kind(alice, WalkKind.CARD)
    alice.see(walk, [card_by(bob, walk)])
    alice.see(alice.hello_walk(), [hello(n, bits=12) for n in range(20)])
    for poll in range(4):
        walked = walks(alice.state, NOW, poll, frozenset({bob.root}), True, PARAMS)
        mine = [w.kind for w in walked if w.their_eph == bob.state.own.eph.public]
        assert mine == [WalkKind.CARD, WalkKind.REACH]


# --- hellos


def test_a_candidate_is_seen_once_and_keeps_its_most_work(alice: Person) -> None:
    walk = alice.hello_walk()
    assert alice.see(walk, [hello(1, bits=4)]) == (CandidateSeen(eph(1)),)
    first = alice.state.candidates[0].work
    assert alice.see(walk, [hello(1, bits=12, by=writer(2))]) == ()
    assert alice.state.candidates[0].work >= 12 > first
    assert alice.see(walk, [hello(1, bits=4)]) == ()
    assert alice.state.candidates[0].work >= 12


def test_a_candidate_that_was_seen_by_a_clock_ahead_counts_from_now(alice: Person) -> None:
    ahead, walk = 30 * 3600, alice.hello_walk()
    alice.state = alice.state.with_candidate(Candidate(eph(1), 4, NOW + ahead))
    alice.see(walk, [hello(1)])
    assert waiting_in((alice.state,), NOW + HELLO_COUNTS_S - 1) == 1
    assert waiting_in((alice.state,), NOW + HELLO_COUNTS_S) == 0


def test_copies_of_my_own_hello_and_my_own_entry_are_ignored(alice: Person) -> None:
    mine = alice.state.own
    records = [
        sealed(alice.state.slot, mine.writer, encode_hello(0, mine.eph.public)),
        sealed(alice.state.slot, writer(1), encode_hello(0, mine.eph.public)),
        sealed(alice.state.slot, writer(2), encode_hello(1, mine.eph.public)),
    ]
    assert alice.see(alice.hello_walk(), records) == ()
    assert (alice.state.candidates, alice.state.refused) == ((), 0)


def test_a_stranger_in_my_role_is_an_impersonation_and_no_candidate(alice: Person) -> None:
    before = alice.state
    assert alice.see(alice.hello_walk(), [hello(1, role=0), hello(2, role=0)]) == (Impersonation(),)
    assert alice.state.candidates == ()
    assert not made_progress(before, alice.state)


def test_an_eph_of_low_order_is_refused(alice: Person) -> None:
    assert alice.see(alice.hello_walk(), [sealed(alice.state.slot, writer(1), encode_hello(1, bytes(32)))]) == ()
    assert (alice.state.candidates, alice.state.refused) == ((), 1)


def test_of_each_writer_the_highest_seq_counts(alice: Person) -> None:
    old = sealed(alice.state.slot, writer(1), encode_hello(1, eph(1)), NOW - 60)
    new = sealed(alice.state.slot, writer(1), encode_hello(1, eph(2)), NOW)
    assert alice.see(alice.hello_walk(), [new, old, new]) == (CandidateSeen(eph(2)),)


def test_hellos_of_another_epoch_are_refused_as_records_and_worthless_as_copies(alice: Person, bob: Person) -> None:
    earlier = Slot(ROOT, EPOCH - 1)
    theirs = encode_hello(1, eph(9))
    assert alice.see(alice.hello_walk(), [sealed(earlier, writer(1), theirs)]) == ()
    assert alice.state.refused == 1


def test_junk_is_counted_and_no_more(alice: Person) -> None:
    records = [b"", bytes(969), sealed(alice.state.slot, writer(9), b"junk"), hello(1)]
    assert alice.see(alice.hello_walk(), records) == (CandidateSeen(eph(1)),)
    assert alice.state.refused == 3


def test_a_candidate_too_weak_to_be_kept_is_no_news(alice: Person) -> None:
    alice.see(alice.hello_walk(), [hello(n, bits=8) for n in range(CANDIDATES_MAX)])
    before = alice.state
    weak = next(n for n in range(100, 200) if work_bits(hello(n)) < 8)
    assert alice.see(alice.hello_walk(), [hello(weak)]) == ()
    assert alice.state == before


def test_no_more_entries_are_looked_at_and_counted_than_the_bounds_say(alice: Person) -> None:
    junk = [n.to_bytes(4, "big") for n in range(RECORDS_MAX)]
    assert alice.see(alice.hello_walk(), [*junk, hello(1)]) == ()
    assert alice.state.refused == RECORDS_MAX
    full = replace(alice.state, refused=REFUSED_MAX)
    assert observe(full, alice.hello_walk(), junk, NOW, alice.root, PARAMS) == (full, ())


# --- cards


def card_walk(alice: Person, bob: Person) -> Walk:
    bob.publish(bob.hello_walk())
    alice.read(alice.hello_walk())
    (walk,) = of_kind(alice, WalkKind.CARD)
    return walk


def test_a_valid_card_makes_a_claimant_once(alice: Person, bob: Person) -> None:
    walk = card_walk(alice, bob)
    before = alice.state
    assert alice.see(walk, [card_by(bob, walk)]) == (Claimed(bob.identity.cert, bob.state.own.eph.public),)
    assert made_progress(before, alice.state)
    assert claimants_of([alice.state]) == {bob.root}
    before = alice.state
    assert alice.see(walk, [card_by(bob, walk, seq=NOW + 1)]) == ()
    assert alice.state == before


def test_cards_of_the_wrong_role_and_of_myself_are_refused(alice: Person, bob: Person) -> None:
    walk = card_walk(alice, bob)
    own = sealed(walk.slot, writer(1), make_card(alice.identity, walk.slot, 1, NOW))
    assert alice.see(walk, [card_by(bob, walk, role=0), own]) == ()
    assert (alice.state.claimants, alice.state.refused) == ((), 2)


def test_a_card_copied_from_another_slot_claims_nothing(alice: Person, bob: Person) -> None:
    """Mallory has Bob's card from the slot that the two share, and shows it to Alice as her own."""
    mallory = Person("mallory", 1, alice.store)
    (walk,) = [card_walk(alice, mallory)]
    elsewhere = Slot(b"\3" * 32, EPOCH)
    copied = sealed(walk.slot, own_writer(walk.slot, mallory.idsec), make_card(bob.identity, elsewhere, 1, NOW))
    assert alice.see(walk, [copied, card_by(bob, replace(walk, slot=elsewhere))]) == ()
    assert (alice.state.claimants, alice.state.refused) == ((), 2)


def test_a_newer_device_of_the_same_root_is_told_and_an_older_is_not(alice: Person, bob: Person) -> None:
    walk = card_walk(alice, bob)
    newer, oldest = (create_identity(SeededEntropy(1), (NOW + step) * 1000) for step in (-50, -90))
    assert newer.cert.root == oldest.cert.root

    def card(identity_ms: int, seq: int) -> bytes:
        identity = create_identity(SeededEntropy(1), identity_ms)
        return sealed(walk.slot, writer(1), make_card(identity, walk.slot, 1, NOW), seq)

    their_eph = bob.state.own.eph.public
    first = create_identity(SeededEntropy(1), (NOW - 70) * 1000)
    assert alice.see(walk, [card((NOW - 70) * 1000, NOW)]) == (Claimed(first.cert, their_eph),)
    assert alice.see(walk, [card((NOW - 50) * 1000, NOW + 1)]) == (Claimed(newer.cert, their_eph),)
    assert alice.see(walk, [card((NOW - 90) * 1000, NOW + 2)]) == ()
    assert alice.state.candidates[0].cert == newer.cert


def test_a_second_root_behind_one_eph_counts_as_a_claimant_but_gets_nothing(alice: Person, bob: Person) -> None:
    walk = card_walk(alice, bob)
    alice.see(walk, [card_by(bob, walk)])
    other = create_identity(SeededEntropy(77), (NOW - 10) * 1000)
    raw = sealed(walk.slot, writer(1), make_card(other, walk.slot, 1, NOW), NOW + 1)
    assert alice.see(walk, [raw]) == (Claimed(other.cert, bob.state.own.eph.public),)
    assert alice.see(walk, [raw]) == ()
    assert claimants_of([alice.state]) == {bob.root, other.cert.root}
    (reach,) = of_kind(alice, WalkKind.REACH, frozenset({other.cert.root}))
    assert not reach.publish


def test_claimants_stay_when_stronger_candidates_push_theirs_out(alice: Person, bob: Person) -> None:
    walk = card_walk(alice, bob)
    alice.see(walk, [card_by(bob, walk)])
    alice.see(alice.hello_walk(), [hello(n, bits=15 if n == 0 else 12) for n in range(CANDIDATES_MAX)])
    assert alice.state.candidate(bob.state.own.eph.public) is None
    assert claimants_of([alice.state]) == {bob.root}
    assert alice.see(walk, [card_by(bob, walk)]) == ()  # the walk was under way


# --- reaches


def reach_walk(alice: Person, bob: Person) -> Walk:
    walk = card_walk(alice, bob)
    alice.see(walk, [card_by(bob, walk)])
    (reach,) = of_kind(alice, WalkKind.REACH)
    return reach


def reach_by(person: Person, walk: Walk, seq: int, last: int = 0) -> bytes:
    reach = replace(person.reach, ask=bytes((last,)) * 32)
    return sealed(walk.slot, own_writer(walk.slot, person.idsec), encode_reach(reach), seq)


def test_a_reach_is_told_when_it_is_new_and_when_it_changes(alice: Person, bob: Person) -> None:
    walk = reach_walk(alice, bob)
    told: list[tuple[Finding, ...]] = []
    for seq, last in ((NOW, 1), (NOW, 1), (NOW + 1, 1), (NOW + 2, 2), (NOW + 1, 3)):
        told.append(alice.see(walk, [reach_by(bob, walk, seq, last)]))
    first, second = (replace(bob.reach, ask=bytes((last,)) * 32) for last in (1, 2))
    assert told == [(Reached(bob.root, first),), (), (), (Reached(bob.root, second),), ()]


def test_my_own_reach_is_not_theirs(alice: Person, bob: Person) -> None:
    walk = reach_walk(alice, bob)
    assert alice.see(walk, [sealed(walk.slot, walk.writer, encode_reach(alice.reach))]) == ()


def test_a_reach_says_nothing_while_there_is_no_card(alice: Person, bob: Person) -> None:
    walk = replace(card_walk(alice, bob), kind=WalkKind.REACH)
    before = alice.state
    assert alice.see(walk, [reach_by(bob, walk, NOW)]) == ()
    assert alice.state == before


# --- who gets my reach


@pytest.mark.parametrize(
    ("claimants", "chosen", "answered", "failed", "known", "waiting", "expected"),
    [
        ({A}, None, 10, 0, 20, 0, {A}),
        ({A}, None, 9, 0, 20, 0, set()),
        ({A}, None, 9, 11, 20, 0, {A}),
        ({A}, None, 8, 11, 20, 0, set()),
        ({A}, None, 1, 0, 1, 0, {A}),
        ({A}, None, 0, 1, 1, 0, set()),
        ({A}, None, 0, 0, 0, 0, set()),
        ({A}, None, 10, 0, 20, 1, set()),
        ({A, B}, None, 20, 0, 20, 0, set()),
        (set(), None, 20, 0, 20, 0, set()),
        ({A, B}, A, 0, 0, 20, 3, {A}),
        ({A, B}, C, 20, 0, 20, 0, set()),
        ({B}, A, 20, 0, 20, 0, set()),
    ],
)
def test_may_reach(
    claimants: set[RootKey],
    chosen: RootKey | None,
    answered: int,
    failed: int,
    known: int,
    waiting: int,
    expected: set[RootKey],
) -> None:
    allowed = may_reach(frozenset(claimants), chosen, answered, failed, known, PRODUCTION, waiting=waiting)
    assert allowed == expected


def test_two_cards_stop_the_reach_also_without_waiting(alice: Person, bob: Person) -> None:
    mallory = Person("mallory", 1, alice.store)
    alice.wait_for_cards = False
    for person in (alice, bob, mallory, alice, bob, mallory, alice):
        person.poll()
    assert claimants_of([alice.state]) == {bob.root, mallory.root}
    assert not alice.reach_published_to


# --- progress and the schedule


def test_progress_is_bounded_in_one_slot(alice: Person) -> None:
    state = replace(alice.state, progress=PROGRESS_MAX - 1)
    once, _ = observe(state, alice.hello_walk(), [hello(1)], NOW, alice.root, PARAMS)
    twice, found = observe(once, alice.hello_walk(), [hello(2)], NOW, alice.root, PARAMS)
    assert found == (CandidateSeen(eph(2)),)
    assert (made_progress(state, once), made_progress(once, twice)) == (True, False)


def test_the_schedule_begins_close_and_ends_daily_with_jitter() -> None:
    schedule = PollSchedule(PRODUCTION)
    now, times = 0.0, []
    for count in range(7):
        now = schedule.next_poll_s(count, now, 0.5)
        times.append(now)
    assert times == [0, 5, 20, 60, 300, 1800, 7200]
    daily = [schedule.next_poll_s(count, 0.0, jitter) for count, jitter in ((7, 0.0), (8, 0.5), (99, 1.0))]
    assert daily == pytest.approx([77_760, 86_400, 95_040])


def test_reprs_show_no_secret(alice: Person, bob: Person) -> None:
    walk = reach_walk(alice, bob)
    found = alice.see(walk, [reach_by(bob, walk, NOW)])
    shown = repr((alice.state, walk, found, alice.findings))
    secrets = (
        alice.idsec,
        alice.state.own.eph.secret,
        walk.writer.secret,
        walk.slot.root,
        ROOT,
        bob.root,
        bob.reach.ask,
    )
    assert not [secret for secret in secrets if repr(bytes(secret))[2:-1] in shown or secret.hex() in shown]
