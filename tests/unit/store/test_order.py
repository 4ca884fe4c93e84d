"""Where what came stands: by its number, whatever the order in which it comes; and what that may cost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from p2pchat.base.limits import GAPS_PER_CONTACT, PLACES_PER_GAP
from p2pchat.core.params import DAY_S, PRODUCTION
from p2pchat.core.receipt import Read
from p2pchat.core.words import Query
from p2pchat.store import contacts, messages, order, receipts, word_index, word_search
from p2pchat.store.db import Tx
from p2pchat.store.messages import Incoming, MessageRow
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import connect
from p2pchat.store.word_search import Search
from tests.unit.store.conversations import queue, receive, receive_unknown

NOW_MS = 1_800_000_000_000
BOB, CAROL = 1, 2
OLD, NEW = 1_000, 2_000
"""Devices."""


@pytest.fixture
def tx() -> Iterator[Tx]:
    """Of a database with two contacts."""
    connection = connect(None, bytes(32))
    migrate(connection)
    tx = Tx(connection, NOW_MS)
    for name in ("Bob", "Carol"):
        values = (name.encode().ljust(8), name)
        tx.execute("INSERT INTO contact (uid, name, state, trust) VALUES (?, ?, 'matched', 'claimed')", values)
    yield tx
    connection.close()


def wire_id(n: int, device_ms: int = OLD) -> bytes:
    return device_ms.to_bytes(8, "big") + n.to_bytes(8, "big")


def came(tx: Tx, *numbers: int, contact: int = BOB, device_ms: int = OLD) -> list[int]:
    """Texts with these numbers, one at a time; their row ids."""
    return [receive(tx, contact, n, wire_id(n, device_ms), f"text {n}", device_ms) for n in numbers]


def together(tx: Tx, *numbers: int, device_ms: int = OLD) -> list[int]:
    """The same in one envelope."""
    arrived = [Incoming(n, wire_id(n, device_ms), 1, f"text {n}", None, tx.now_ms) for n in numbers]
    return messages.receive(tx, BOB, device_ms, arrived)


def shown(tx: Tx, contact: int = BOB) -> list[MessageRow]:
    return messages.page_after(tx, contact, 0, 10_000)


def numbers(tx: Tx, contact: int = BOB) -> list[int]:
    return [row.n for row in shown(tx, contact)]


def missing(tx: Tx, contact: int = BOB) -> dict[int, int]:
    """What is told to be missing before each number."""
    return {row.n: row.missing for row in shown(tx, contact) if row.missing}


def found(tx: Tx, text: str) -> list[int]:
    """The numbers of Bob's messages that a search finds, the newest first."""
    rows: list[int] = []
    position: int | None = None
    while True:
        step = word_search.step(tx, Search(Query.of(text), BOB), position, 1000)
        rows += [row.n for row in step.rows]
        position = step.position
        if position is None:
            return rows


def gaps(tx: Tx) -> int:
    return len(tx.all("SELECT 1 FROM gap"))


# -- in its place ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
def test_a_late_one_stands_where_it_would_have_stood(tx: Tx, at_once: bool) -> None:
    take = together if at_once else came
    ids = take(tx, 1, 2, 6, 7, 4, 3)
    assert numbers(tx) == [1, 2, 3, 4, 6, 7]
    assert missing(tx) == {6: 1}
    assert [messages.get(tx, each).n for each in ids] == [1, 2, 6, 7, 4, 3]  # type: ignore[union-attr]
    take(tx, 5)
    assert numbers(tx) == [1, 2, 3, 4, 5, 6, 7]
    assert (missing(tx), gaps(tx)) == ({}, 0)


def test_what_is_missing_is_told_before_the_one_that_follows_and_falls(tx: Tx) -> None:
    came(tx, 1, 5)
    queue(tx, BOB, 1, bytes(16))
    assert missing(tx) == {5: 3}
    came(tx, 3)
    assert missing(tx) == {3: 1, 5: 1}
    came(tx, 4)
    assert missing(tx) == {3: 1}
    row = messages.get(tx, came(tx, 2)[0])
    assert row is not None
    assert row.missing == 0
    assert missing(tx) == {}
    assert [row.incoming for row in shown(tx)] == [True] * 5 + [False]


def test_pages_in_both_directions_agree(tx: Tx) -> None:
    came(tx, 1, 9, 4, 6, 10)
    pages = [row.n for row in messages.page(tx, BOB, None, 2)]
    pages += [row.n for row in messages.page(tx, BOB, shown(tx)[3].id, 10)]
    assert pages == [10, 9, 6, 4, 1]


def test_what_never_comes_disturbs_nothing(tx: Tx) -> None:
    came(tx, 1, 3)
    came(tx, *range(4, 500))
    assert missing(tx) == {3: 1}
    assert numbers(tx) == [1, *range(3, 500)]
    assert gaps(tx) == 1


def test_contacts_have_numbers_of_their_own(tx: Tx) -> None:
    came(tx, 1, 4)
    came(tx, 1, 2, 3, contact=CAROL)
    came(tx, 3, 2)
    assert (numbers(tx), numbers(tx, CAROL)) == ([1, 2, 3, 4], [1, 2, 3])
    assert missing(tx) == missing(tx, CAROL) == {}


def test_no_id_is_given_twice(tx: Tx) -> None:
    came(tx, 1, 5)
    kept = set(range(2, 5))
    for n in range(1, 20):
        assert queue(tx, CAROL, n, wire_id(n)) not in kept
        assert not kept.intersection(came(tx, n, contact=CAROL))
    assert set(came(tx, 2, 3, 4)) == kept


def test_a_repeat_is_nothing_wherever_it_stands_and_takes_no_id(tx: Tx) -> None:
    came(tx, 1, 2, 6, 4)
    highest = messages.highest(tx)
    for each in (1, 2, 4, 6):
        assert together(tx, each) == []
    assert together(tx, 6, 5, 6, 4, 5) == [5]
    assert messages.highest(tx) == highest
    assert numbers(tx) == [1, 2, 4, 5, 6]


def test_what_has_no_number_stands_where_it_arrives(tx: Tx) -> None:
    came(tx, 1, 3)
    unknown = receive_unknown(tx, BOB, b"u" * 16)
    came(tx, 4, 2)
    assert [row.id for row in shown(tx)][3] == unknown
    assert numbers(tx) == [1, 2, 3, 0, 4]
    assert missing(tx) == {}


# -- devices ---------------------------------------------------------------------------------------------------------


def test_the_numbers_of_a_newer_device_begin_anew(tx: Tx) -> None:
    came(tx, 1, 2, 3, 4, 5)
    came(tx, 4, 5, 6, device_ms=NEW)
    came(tx, 9, device_ms=NEW)
    assert numbers(tx) == [1, 2, 3, 4, 5, 4, 5, 6, 9]
    assert [row.missing for row in shown(tx)] == [0] * 8 + [2]


def test_what_an_older_device_sent_goes_to_its_gap_or_to_the_end(tx: Tx) -> None:
    came(tx, 1, 4)
    came(tx, 2, 3, device_ms=NEW)
    came(tx, 3, 9, 2)
    assert [(row.n, row.wire_id[:8] == wire_id(0)[:8]) for row in shown(tx)] == [
        *((n, True) for n in (1, 2, 3, 4)),
        *((n, False) for n in (2, 3)),
        (9, True),
    ]
    came(tx, 4, device_ms=NEW)  # the newest is still the newest
    assert missing(tx) == {}


def test_the_first_that_comes_of_a_device_need_not_be_the_first_of_it(tx: Tx) -> None:
    """Its numbers may go on from another's: nothing is said to be missing, and what comes late has its place."""
    came(tx, 4, 6)
    assert missing(tx) == {6: 1}
    came(tx, 2)
    assert numbers(tx) == [2, 4, 6]
    assert missing(tx) == {4: 1, 6: 1}
    came(tx, 3, 1, 5)
    assert numbers(tx) == [1, 2, 3, 4, 5, 6]
    assert gaps(tx) == 0


def test_another_who_is_chosen_has_nothing_to_do_with_the_numbers_so_far(tx: Tx) -> None:
    came(tx, 1, 2, 7)
    receipts.begin_anew(tx, BOB)
    order.begin_anew(tx, BOB)
    assert missing(tx) == {}
    came(tx, 1, 2, 3, device_ms=500)
    came(tx, 5, device_ms=500)
    assert numbers(tx) == [0, 0, 0, 1, 2, 3, 5]
    assert missing(tx) == {5: 1}


@pytest.mark.parametrize("count", [3, 1500])
def test_where_the_highest_number_is_not_known_they_go_on_from_those_that_are_there(tx: Tx, count: int) -> None:
    """A store of before there was an order, and one that was restored."""
    came(tx, *range(1, count + 1))
    order.begin_anew(tx, BOB)
    receive(tx, BOB, count - 1, bytes(16))  # a number that was used already
    came(tx, count + 1, count + 4, count + 2)
    assert numbers(tx)[-4:] == [count - 1, count + 1, count + 2, count + 4]
    assert missing(tx) == {count + 4: 1}


def test_messages_of_two_that_are_merged_keep_their_places(tx: Tx) -> None:
    came(tx, 1, 4)
    came(tx, 1, 3, contact=CAROL, device_ms=NEW)
    came(tx, 5)
    contacts.merge(tx, BOB, CAROL, "+821055556666")
    assert missing(tx) == {4: 2}
    came(tx, 3, 2, 6)
    assert numbers(tx) == [1, 2, 3, 4, 0, 0, 5, 6]
    assert gaps(tx) == 0


def test_nothing_is_left_of_a_contact_that_is_removed(tx: Tx) -> None:
    came(tx, 1, 4)
    receipts.mark(tx, BOB, messages.highest(tx))
    came(tx, 3)
    contacts.remove(tx, BOB)
    assert tx.all("SELECT * FROM gap") == tx.all("SELECT * FROM late") == []


# -- who leaves numbers out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [(1 << 63) - 1, (1 << 63) - 2, 1 << 60, PLACES_PER_GAP + 3])
def test_a_jump_costs_a_few_ids(tx: Tx, n: int) -> None:
    came(tx, 1, n)
    assert missing(tx) == {n: PLACES_PER_GAP}
    assert messages.highest(tx) == 2 + PLACES_PER_GAP
    came(tx, 2, n - 1)
    assert numbers(tx) == [1, n - 1, n, 2]  # too far below to have a place
    assert gaps(tx) == 1


def test_any_number_of_jumps_costs_no_more_than_a_bound(tx: Tx) -> None:
    sent = [1 + index * 5_000 for index in range(300)]
    came(tx, *sent)
    assert gaps(tx) == GAPS_PER_CONTACT
    assert messages.highest(tx) <= len(sent) + GAPS_PER_CONTACT * PLACES_PER_GAP
    assert numbers(tx) == sent
    late = sent[-1] - 1
    came(tx, late)
    assert numbers(tx) == [*sent, late]


def test_where_there_is_no_room_one_goes_that_can_not_be_filled_any_more(tx: Tx) -> None:
    came(tx, *range(1, 3 * GAPS_PER_CONTACT, 2))
    first = missing(tx)
    assert len(first) == GAPS_PER_CONTACT
    highest = max(numbers(tx))
    tx.now_ms += (PRODUCTION.message_life_s + 2 * DAY_S) * 1000
    came(tx, highest + 2, highest + 4)
    assert len(missing(tx)) == GAPS_PER_CONTACT
    assert sorted(first.keys() - missing(tx).keys()) == sorted(first)[:2]
    came(tx, highest + 3)
    assert numbers(tx)[-3:] == [highest + 2, highest + 3, highest + 4]


@pytest.mark.parametrize("n", [1, 5, (1 << 63) - 1])
def test_a_number_that_is_used_again_and_again_loses_nothing(tx: Tx, n: int) -> None:
    came(tx, 3)
    for index in range(50):
        receive(tx, BOB, n, b"same" + index.to_bytes(12, "big"))
    assert len(shown(tx)) == 51
    assert gaps(tx) <= 2


def test_numbers_that_go_down_lose_nothing_and_stand_in_their_order(tx: Tx) -> None:
    came(tx, *range(3_000, 0, -1))
    kept = list(range(3_000 - PLACES_PER_GAP, 3_001))
    assert numbers(tx) == kept + list(range(3_000 - PLACES_PER_GAP - 1, 0, -1))
    assert gaps(tx) == 0


def test_an_id_that_comes_again_with_the_next_number_is_nothing(tx: Tx) -> None:
    came(tx, 1)
    assert messages.receive(tx, BOB, OLD, [Incoming(2, wire_id(1), 1, "other", None, 1)]) == []
    came(tx, 3)
    assert [row.text for row in shown(tx)] == ["text 1", "text 3"]


def test_an_id_that_comes_again_is_not_told_either_when_another_comes_late(tx: Tx) -> None:
    came(tx, 1)
    sent = [(2, wire_id(1)), (4, wire_id(4)), (3, wire_id(3))]
    arrived = [Incoming(n, each, 1, f"text {n}", None, 1) for n, each in sent]
    assert messages.receive(tx, BOB, OLD, arrived) == [row.id for n in (4, 3) for row in shown(tx) if row.n == n]


def test_one_id_twice_in_an_envelope_is_one_message(tx: Tx) -> None:
    twice = [Incoming(n, wire_id(9), 1, f"as {n}", None, 1) for n in (1, 5, 3, 0)]
    assert len(messages.receive(tx, BOB, OLD, twice)) == 1
    assert [row.text for row in shown(tx)] == ["as 1"]


# -- receipts and search ---------------------------------------------------------------------------------------------


def test_what_comes_late_below_what_was_read_is_unread_and_can_be_read(tx: Tx) -> None:
    rows = came(tx, 1, 2, 6)
    receipts.mark(tx, BOB, rows[-1])
    late = came(tx, 4)[0]
    row = messages.get(tx, late)
    assert row is not None
    assert row.state == "received"
    assert receipts.newest(tx, BOB, late) == Read(wire_id(4), 1)
    assert receipts.mark(tx, BOB, rows[1]) == []
    assert receipts.mark(tx, BOB, late) == [(late, True)]
    assert receipts.mark(tx, BOB, rows[-1]) == []
    last = came(tx, 5, 7, 3)[1]
    assert [row_id for row_id, _ in receipts.mark(tx, BOB, last)] == [late - 1, late + 1, last]
    assert receipts.newest(tx, BOB, last) == Read(wire_id(7), 7)
    assert tx.all("SELECT * FROM late") == []


def test_a_receipt_of_before_does_not_say_that_a_late_one_was_read(tx: Tx) -> None:
    """Both ends: the one that reads, and the sender's store."""
    for n in range(1, 6):
        queue(tx, CAROL, n, wire_id(n))
    messages.mark_sent(tx, CAROL, 1, 5)
    for n in (1, 2, 5):
        messages.mark_delivered(tx, CAROL, n, n)
    tx.now_ms += 1000
    last = came(tx, 1, 2, 5)[-1]
    receipts.mark(tx, BOB, last)
    read = receipts.newest(tx, BOB, last)
    assert read is not None
    assert read == Read(wire_id(5), 1)
    receipts.take(tx, CAROL, read)
    tx.now_ms += 1000
    late = came(tx, 3)[0]
    messages.mark_delivered(tx, CAROL, 3, 3)
    receipts.take(tx, CAROL, read)
    states = {row.n: row.state for row in shown(tx, CAROL)}
    assert states == {1: "read", 2: "read", 3: "delivered", 4: "sent", 5: "read"}
    receipts.mark(tx, BOB, late)
    read = receipts.newest(tx, BOB, late)
    assert read is not None
    assert read == Read(wire_id(3), 3)
    receipts.take(tx, CAROL, read)
    assert {row.n: row.state for row in shown(tx, CAROL)}[3] == "read"


@pytest.mark.parametrize("indexed", [0, 1, 2])
def test_what_comes_late_is_found_where_it_stands_however_far_the_index_goes(tx: Tx, indexed: int) -> None:
    came(tx, *range(1, 40), *range(43, 150))
    for _ in range(indexed):
        assert word_index.add_batch(tx)
    late = together(tx, 42, 40)
    tx.execute("INSERT INTO word (word) VALUES ('integrity-check')")
    assert [found(tx, text) for text in ("40", "text 42", "text 41")] == [[40], [42], []]
    while word_index.add_batch(tx):
        pass
    assert found(tx, "text") == [*range(149, 41, -1), *range(40, 0, -1)]
    messages.forget(tx, late[0])
    tx.execute("INSERT INTO word (word) VALUES ('integrity-check')")
    assert found(tx, "42") == []
