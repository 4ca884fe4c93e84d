"""Matching under any interleaving, with strangers, and with anything at all in the slots (PROTOCOL.md 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.base.errors import DecodeError, HandshakeError, PeerError
from p2pchat.base.ids import RootKey
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.discovery import decode_hello, decode_reach, encode_hello, encode_reach, open_card
from p2pchat.core.matching import Impersonation, Walk, WalkKind, walks
from p2pchat.core.pair import CANDIDATES_MAX, CLAIMANTS_MAX, claimants_of
from tests.property.matching_world import NOW, PARAMS, Person, SlotStore, interleave, sealed

ORDERS = st.lists(st.integers(0, 11), max_size=60)


def order(drawn: list[int]) -> Iterator[int]:
    return chain(drawn, repeat(0))


def couple() -> tuple[Person, Person]:
    store = SlotStore()
    return Person("alice", 0, store), Person("bob", 1, store)


@settings(deadline=None, max_examples=60)
@given(st.lists(ORDERS, min_size=4, max_size=4))
def test_two_who_poll_alike_match_in_three_polls_each(orders: list[list[int]]) -> None:
    alice, bob = couple()
    for drawn in orders[:3]:
        interleave([alice.steps(NOW), bob.steps(NOW)], order(drawn))
    assert claimants_of([alice.state]) == {bob.root}
    assert claimants_of([bob.state]) == {alice.root}
    assert alice.reached() == {bob.root} or bob.reached() == {alice.root}  # either one can open the session
    interleave([alice.steps(NOW), bob.steps(NOW)], order(orders[3]))
    assert (alice.reached(), bob.reached()) == ({bob.root}, {alice.root})


@settings(deadline=None, max_examples=30)
@given(st.lists(st.booleans(), max_size=8))
def test_idle_polls_of_one_do_not_lead_astray(who: list[bool]) -> None:
    alice, bob = couple()
    for turn in who:
        (alice if turn else bob).poll()
    for person in (alice, bob, alice, bob, alice):
        person.poll()
    assert (alice.reached(), bob.reached()) == ({bob.root}, {alice.root})
    assert alice.state.refused == bob.state.refused == 0


@settings(deadline=None, max_examples=25)
@given(st.lists(ORDERS, min_size=4, max_size=4))
def test_who_knows_both_numbers_gets_no_reach_while_the_real_hello_is_there(orders: list[list[int]]) -> None:
    alice, bob = couple()
    impostors = [Person("mallory", 0, alice.store), Person("mallory", 1, alice.store)]
    people = [alice, bob, *impostors]
    for person in people:
        person.publish(person.hello_walk())
    for drawn in orders:
        interleave([person.steps(NOW) for person in people], order(drawn))
    assert claimants_of([alice.state]) == {bob.root, impostors[1].root}
    assert claimants_of([bob.state]) == {alice.root, impostors[0].root}
    assert not alice.reach_published_to
    assert not bob.reach_published_to
    alice.chosen, bob.chosen = bob.root, alice.root
    for person in (alice, bob, alice):
        person.poll()
    assert alice.reach_published_to == {bob.state.own.eph.public}
    assert bob.reach_published_to == {alice.state.own.eph.public}
    assert bob.root in alice.reached()
    assert alice.root in bob.reached()


def contents(person: Person) -> st.SearchStrategy[bytes]:
    eph = st.binary(min_size=32, max_size=32) | st.just(bytes(32)) | st.just(person.state.own.eph.public)
    hello = st.builds(encode_hello, st.integers(0, 1), eph)
    return st.binary(max_size=702) | hello | st.just(encode_reach(person.reach))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_whatever_stands_in_the_slots_nothing_is_raised_and_all_is_bounded(data: st.DataObject) -> None:
    alice, bob = couple()
    for person in (alice, bob, alice):
        person.poll()
    reach_for = alice.reach_for(NOW)
    walk: Walk = data.draw(st.sampled_from(walks(alice.state, NOW, 0, reach_for, True, PARAMS)))
    strangers = st.integers(0, 9).map(lambda n: ed25519_pair(bytes((n,)) * 32))
    record = st.builds(sealed, st.just(walk.slot), strangers, contents(alice), st.integers(NOW - 5, NOW + 5))
    junk = st.binary(max_size=1000)
    records = data.draw(st.lists(record | junk, max_size=8))
    claimed = alice.state.claimants
    found = alice.see(walk, records)
    assert len(alice.state.candidates) <= CANDIDATES_MAX
    assert len(alice.state.claimants) <= CLAIMANTS_MAX
    assert alice.state.claimants == claimed  # none of that is a card
    assert all(isinstance(finding, Impersonation) for finding in found) or walk.kind is not WalkKind.CARD


@settings(deadline=None)
@given(st.binary(max_size=800))
def test_contents_of_any_bytes_raise_only_declared_errors(data: bytes) -> None:
    alice, _ = couple()
    for decode in (decode_hello, decode_reach):
        try:
            decode(data)
        except DecodeError:
            continue
    try:
        open_card(alice.state.slot, data, 1, RootKey(bytes(32)), NOW)
    except (DecodeError, HandshakeError):
        return
    raise AssertionError("arbitrary bytes are a card")


@settings(deadline=None)
@given(st.integers(0, 700), st.integers(1, 255))
def test_a_card_with_any_byte_changed_is_refused(position: int, change: int) -> None:
    alice, bob = couple()
    for person in (alice, bob, alice):
        person.poll()
    walk = walks(alice.state, NOW, 0, frozenset(), True, PARAMS)[1]
    card = bytearray(bob.data(walk, NOW))
    card[position % len(card)] ^= change
    try:
        open_card(walk.slot, bytes(card), 1, alice.root, NOW)
    except PeerError:
        return
    raise AssertionError("a changed card was accepted")
