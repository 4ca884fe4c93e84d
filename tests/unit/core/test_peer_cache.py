"""Who is kept to start from next time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from p2pchat.base import limits
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.params import DAY_S
from p2pchat.core.peer_cache import GIVEN_UP_AFTER, UNHEARD_S, CachedPeer, handed_over, in_order, kept, with_named
from p2pchat.net.addresses import parse_address
from p2pchat.net.hearsay import network_to_dial

NOW_S = 1_900_000_000
PLACES = limits.PEERS_CACHED


def peer(number: int, host: str = "", *, heard_s: int = NOW_S, tenure_s: int = 0, failures: int = 0) -> CachedPeer:
    host = host or f"{20 + number // 200}.{number % 200}.0.1"
    address = parse_address(f"/ip4/{host}/tcp/4001")[0]
    return CachedPeer(PeerId(number.to_bytes(34, "big")), (address,), heard_s, heard_s - tenure_s, 0, failures)


def names(peers: Sequence[CachedPeer]) -> set[PeerId]:
    return {each.peer for each in peers}


def keep(*peers: CachedPeer) -> set[PeerId]:
    return names(kept(peers, network_to_dial, NOW_S))


def test_all_are_kept_while_there_is_room() -> None:
    peers = [peer(number) for number in range(PLACES)]
    assert keep(*peers) == names(peers)
    assert len(keep(*peers, peer(PLACES))) == PLACES


def test_sybils_of_one_prefix_take_a_few_places_whatever_they_do() -> None:
    good = [peer(number, heard_s=NOW_S - DAY_S) for number in range(PLACES)]
    flood = [peer(1_000 + number, f"9.9.9.{number}", tenure_s=400 * DAY_S) for number in range(250)]
    found = keep(*good, *flood)
    assert len(found & names(flood)) == limits.CACHED_PER_PREFIX
    assert len(found) == PLACES


def test_new_ones_of_many_prefixes_push_out_no_more_than_a_quarter_of_the_proven() -> None:
    proven = [peer(number, heard_s=NOW_S - DAY_S, tenure_s=3 * DAY_S) for number in range(PLACES)]
    flood = [peer(1_000 + number) for number in range(5_000)]
    assert len(keep(*proven, *flood) & names(proven)) == PLACES - PLACES // 4


def test_who_fails_makes_room_first_and_is_given_up_after_some_days() -> None:
    failing = [peer(number, tenure_s=400 * DAY_S, failures=1) for number in range(PLACES)]
    answering = [peer(1_000 + number) for number in range(PLACES)]
    assert keep(*failing) == names(failing)
    assert keep(*failing, *answering) == names(answering)
    given_up = replace(failing[0], failures=GIVEN_UP_AFTER)
    assert keep(given_up) == set()


def test_a_failure_counts_once_a_day_and_an_answer_forgives_it() -> None:
    one = peer(1, heard_s=NOW_S - 9, tenure_s=5 * DAY_S).on_failure(NOW_S)
    assert (one.failures, one.failed_s) == (1, NOW_S)
    assert one.on_failure(NOW_S + DAY_S - 1) == one
    assert one.on_failure(NOW_S + DAY_S).failures == 2
    assert one.on_failure(NOW_S - DAY_S).failures == 2  # the clock was ahead
    heard = one.on_heard((Address(b"new"),), NOW_S + 7)
    assert heard == CachedPeer(one.peer, (Address(b"new"),), NOW_S + 7, one.since_s)


def test_time_switched_off_makes_nobody_older() -> None:
    rows = [peer(number, heard_s=NOW_S - 400 * DAY_S - number) for number in range(9)]
    assert keep(*rows) == names(rows)
    assert keep(*rows, peer(1_000)) == {peer(1_000).peer}
    assert keep(peer(1), peer(2, heard_s=NOW_S - UNHEARD_S + 1)) == names([peer(1), peer(2)])


def test_a_clock_that_was_ahead_is_forgiven() -> None:
    ahead = [
        replace(each, since_s=NOW_S) for each in (peer(number, heard_s=NOW_S + 900 * DAY_S) for number in range(9))
    ]
    found = kept([*ahead, peer(100)], network_to_dial, NOW_S)
    assert names(found) == names([*ahead, peer(100)])
    assert all(each.heard_s == NOW_S and each.tenure == 0 for each in found)


def test_those_that_count_singly_take_half_of_the_places_at_most() -> None:
    private = [peer(number, f"10.0.{number >> 8}.{number & 255}") for number in range(1, 400)]
    assert len(keep(*private)) == PLACES // 2


def test_who_has_no_address_leads_nowhere() -> None:
    assert keep(replace(peer(1), addresses=())) == set()


def test_asked_are_the_last_heard_and_the_longest_known_by_turns_and_who_failed_last() -> None:
    invited = peer(1, heard_s=NOW_S)
    old = peer(2, heard_s=NOW_S - DAY_S, tenure_s=100 * DAY_S)
    middle = peer(3, heard_s=NOW_S - DAY_S // 2, tenure_s=2 * DAY_S)
    failing = peer(4, heard_s=NOW_S, tenure_s=400 * DAY_S, failures=1)
    assert in_order([failing, middle, old, invited]) == [invited, old, middle, failing]


@pytest.mark.parametrize("number", [0, 1, PLACES])
def test_the_order_leaves_out_nobody(number: int) -> None:
    rows = [peer(each, tenure_s=each * DAY_S, failures=each % 3) for each in range(number)]
    assert names(in_order(rows)) == names(rows)
    assert len(in_order(rows)) == number


def test_handed_over_are_two_of_a_prefix_at_most_and_all_that_count_singly() -> None:
    near = [peer(number, f"8.8.8.{number}", heard_s=NOW_S, tenure_s=number * DAY_S) for number in range(1, 6)]
    far = peer(9, "9.9.9.9", heard_s=NOW_S - DAY_S)
    private = [peer(20 + number, f"10.0.0.{number + 1}", heard_s=NOW_S - 2 * DAY_S) for number in range(3)]
    chosen = handed_over([*near, far, *private], network_to_dial, 10)
    assert len(names(chosen) & names(near)) == 2
    assert names([far, *private]) <= names(chosen)
    assert chosen[0] in in_order(near)[:1]
    assert len(handed_over([*near, far, *private], network_to_dial, 3)) == 3
    assert handed_over([far], network_to_dial, 0) == []


def named(*peers: CachedPeer) -> list[tuple[PeerId, tuple[Address, ...]]]:
    return [(each.peer, each.addresses) for each in peers]


def test_who_is_named_pushes_out_nobody_now_or_later() -> None:
    known = [peer(number, heard_s=NOW_S - number * 3_600) for number in range(PLACES - 5)]
    flood = [peer(number, heard_s=0) for number in range(1_000, 1_100)]
    together = with_named(known, named(*flood), network_to_dial, NOW_S, PLACES)
    assert set(known) <= set(together)
    assert len(together) == PLACES
    fresh = [peer(number, heard_s=NOW_S) for number in range(2_000, 2_005)]
    later = kept([*together, *fresh], network_to_dial, NOW_S, PLACES)
    assert names(known + fresh) == names(later)


def test_who_is_named_and_known_stays_as_it_is() -> None:
    known = peer(1, "8.8.8.8", heard_s=NOW_S - DAY_S, tenure_s=5 * DAY_S)
    elsewhere = peer(1, "9.9.9.9")
    assert with_named([known], named(elsewhere, elsewhere), network_to_dial, NOW_S) == [known]


def test_of_those_that_are_named_a_few_of_a_prefix_find_room() -> None:
    crowd = [peer(number, f"8.8.8.{number}") for number in range(1, 20)]
    assert len(with_named([], named(*crowd), network_to_dial, NOW_S)) == limits.CACHED_PER_PREFIX
    assert {(each.heard_s, each.since_s) for each in with_named([], named(*crowd), network_to_dial, NOW_S)} == {
        (NOW_S, NOW_S)
    }
    singly = [peer(number, f"10.0.{number >> 8}.{number & 255}") for number in range(1, 400)]
    assert len(with_named([], named(*singly), network_to_dial, NOW_S, PLACES)) == PLACES // 2
