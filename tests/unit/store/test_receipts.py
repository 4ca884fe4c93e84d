"""What a receipt says, and what it makes read: nothing that was not sent to that contact, or came later."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from p2pchat.core.receipt import Read, encode_read
from p2pchat.core.wire import PROOF, READ
from p2pchat.store import contacts, messages, notices, receipts
from p2pchat.store.db import Tx
from p2pchat.store.migrate import migrate
from p2pchat.store.notices import NoticeRow
from p2pchat.store.sqlite import connect
from tests.unit.store.conversations import queue, receive, receive_unknown

NOW_MS = 1_800_000_000_000
BOB, CAROL = 1, 2


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


def wire_id(n: int, prefix: bytes = b"prefix 1") -> bytes:
    return prefix + n.to_bytes(8, "big")


def came(tx: Tx, *numbers: int, contact: int = BOB, prefix: bytes = b"prefix 1") -> None:
    for n in numbers:
        receive(tx, contact, n, wire_id(n, prefix))


def sent(tx: Tx, *numbers: int, contact: int = BOB) -> None:
    for n in numbers:
        queue(tx, contact, n, wire_id(n))
        messages.mark_sent(tx, contact, n, n)


def states(tx: Tx, contact: int = BOB) -> dict[int, str]:
    return {row.n: row.state for row in messages.page_after(tx, contact, 0, 1_000)}


def later(tx: Tx, ms: int) -> None:
    tx.now_ms += ms


# -- the reader ------------------------------------------------------------------------------------------------------


def test_everything_before_is_read_and_what_was_read_keeps_its_time(tx: Tx) -> None:
    came(tx, 1, 2, 3)
    came(tx, 1, contact=CAROL)
    queue(tx, BOB, 1, wire_id(1))
    came(tx, 4, 5)
    assert receipts.mark(tx, BOB, 2) == [(1, True), (2, True)]
    later(tx, 1000)
    assert receipts.mark(tx, BOB, 6) == [(3, True), (6, True)]
    assert receipts.mark(tx, BOB, 6) == receipts.mark(tx, BOB, 1) == []
    rows = messages.page_after(tx, BOB, 0, 100)
    assert [(row.state, row.read_ms) for row in rows] == [
        *[("read", NOW_MS)] * 2,
        ("read", NOW_MS + 1000),
        ("queued", None),
        ("read", NOW_MS + 1000),
        ("received", None),
    ]
    assert states(tx, CAROL) == {1: "received"}


def test_what_this_version_cannot_show_is_read_here_and_not_told(tx: Tx) -> None:
    assert receipts.newest(tx, BOB, 100) is None
    came(tx, 1)
    receive_unknown(tx, BOB, b"u" * 16)
    assert receipts.mark(tx, BOB, 2) == [(1, True), (2, False)]
    assert receipts.newest(tx, BOB, 2) == Read(wire_id(1), 1)


@pytest.mark.parametrize(
    ("numbers", "run"),
    [
        ((7,), 1),
        ((1, 2, 3, 4), 4),
        ((1, 2, 4, 5), 2),
        ((1, 2, 4, 3), 4),
        ((1, 2, 4, 3, 5), 5),
        ((3, 1, 2), 3),
        ((1, 2, 6, 4), 1),
        (tuple(range(1, 301)), 255),
    ],
    ids=["one", "all", "one is missing", "one came late", "another", "the first came late", "one is left", "many"],
)
def test_the_run_ends_where_numbers_do_not_follow_one_another(tx: Tx, numbers: tuple[int, ...], run: int) -> None:
    came(tx, *numbers)
    receive_unknown(tx, BOB, b"u" * 16)
    read = receipts.newest(tx, BOB, 1_000)
    assert read is not None
    assert read == Read(wire_id(max(numbers)), run)
    assert 20 <= len(encode_read(read)) <= 21


def test_numbers_that_a_restored_device_uses_again_are_no_run(tx: Tx) -> None:
    came(tx, 1, 2, 3, 4)
    came(tx, 3, 4, prefix=b"prefix 2")
    assert receipts.newest(tx, BOB, 1_000) == Read(wire_id(4, b"prefix 2"), 2)


# -- the sender ------------------------------------------------------------------------------------------------------


def test_what_was_acked_before_is_read_and_of_the_run_also_what_was_not(tx: Tx) -> None:
    sent(tx, 1, 2, 3, 4, 5)
    messages.mark_delivered(tx, BOB, 1, 2)
    later(tx, 1000)
    assert receipts.take(tx, BOB, Read(wire_id(5), 2)) == ([4, 5], [1, 2, 4, 5])
    assert states(tx) == {1: "read", 2: "read", 3: "sent", 4: "read", 5: "read"}
    rows = messages.page_after(tx, BOB, 0, 100)
    assert [(row.delivered_ms, row.read_ms) for row in rows] == [
        *[(NOW_MS, NOW_MS + 1000)] * 2,
        (None, None),
        *[(NOW_MS + 1000, NOW_MS + 1000)] * 2,
    ]
    assert messages.outbox_size(tx) == 1


def test_a_repeated_or_older_one_changes_nothing(tx: Tx) -> None:
    sent(tx, 1, 2, 3)
    messages.mark_delivered(tx, BOB, 1, 3)
    assert receipts.take(tx, BOB, Read(wire_id(2), 1)) == ([], [1, 2])
    assert receipts.take(tx, BOB, Read(wire_id(2), 1)) == receipts.take(tx, BOB, Read(wire_id(1), 1)) == ([], [])
    later(tx, 1000)
    assert receipts.take(tx, BOB, Read(wire_id(3), 255)) == ([], [3])
    assert [row.read_ms for row in messages.page_after(tx, BOB, 0, 100)] == [NOW_MS, NOW_MS, NOW_MS + 1000]


def test_one_that_arrives_later_than_those_after_it_is_not_read_until_something_behind_it_is(tx: Tx) -> None:
    sent(tx, 1, 2, 3)
    messages.mark_delivered(tx, BOB, 1, 1)
    messages.mark_delivered(tx, BOB, 3, 3)
    assert receipts.take(tx, BOB, Read(wire_id(3), 1)) == ([], [1, 3])
    later(tx, 1000)
    messages.mark_delivered(tx, BOB, 2, 2)
    assert receipts.take(tx, BOB, Read(wire_id(3), 1)) == ([], [])  # the same again, by another session
    sent(tx, 4)
    messages.mark_delivered(tx, BOB, 4, 4)
    assert receipts.take(tx, BOB, Read(wire_id(4), 1)) == ([], [2, 4])


def test_a_clock_that_was_set_back_hides_none_of_the_run(tx: Tx) -> None:
    sent(tx, 1, 2)
    messages.mark_delivered(tx, BOB, 1, 1)
    later(tx, -3_600_000)
    messages.mark_delivered(tx, BOB, 2, 2)
    assert receipts.take(tx, BOB, Read(wire_id(2), 2)) == ([], [1, 2])


def test_nothing_of_another_contact_and_nothing_that_never_left(tx: Tx) -> None:
    sent(tx, 1)
    messages.mark_delivered(tx, BOB, 1, 1)
    sent(tx, 5, contact=CAROL)
    queue(tx, BOB, 2, wire_id(2))
    came(tx, 9)
    for unknown in (wire_id(5), wire_id(2), wire_id(9), bytes(16)):
        assert receipts.take(tx, BOB, Read(unknown, 255)) == ([], [])
    assert states(tx) == {1: "delivered", 2: "queued", 9: "received"}
    sent(tx, 3)
    row = messages.highest(tx)
    assert receipts.take(tx, BOB, Read(wire_id(3), 255)) == ([row], [1, row])
    assert states(tx) == {1: "read", 2: "queued", 9: "received", 3: "read"}
    assert states(tx, CAROL) == {5: "sent"}


def test_what_has_ended_stays_so_and_tells_of_what_came_before_it(tx: Tx) -> None:
    sent(tx, 1)
    messages.mark_delivered(tx, BOB, 1, 1)
    sent(tx, 2)
    messages.expire(tx, NOW_MS + 1)
    assert receipts.take(tx, BOB, Read(wire_id(2), 1)) == ([], [1])
    assert states(tx) == {1: "read", 2: "expired"}


def test_what_somebody_else_got_is_not_read_by_the_one_who_was_chosen(tx: Tx) -> None:
    sent(tx, 1, 2, 3)
    messages.mark_delivered(tx, BOB, 1, 2)
    receipts.begin_anew(tx, BOB)
    assert receipts.take(tx, BOB, Read(wire_id(2), 255)) == ([], [])
    assert receipts.take(tx, BOB, Read(wire_id(3), 255)) == ([3], [3])
    assert states(tx) == {1: "delivered", 2: "delivered", 3: "read"}


def test_what_was_sent_to_the_one_who_stays_is_read_by_it_after_a_merge(tx: Tx) -> None:
    sent(tx, 1)
    messages.mark_delivered(tx, BOB, 1, 1)
    queue(tx, BOB, 2, wire_id(2))
    contacts.set_next_n(tx, BOB, 3)
    sent(tx, 11, 12, contact=CAROL)
    messages.mark_delivered(tx, CAROL, 11, 11)
    contacts.merge(tx, BOB, CAROL, "+821055556666")
    receipts.reorder(tx, BOB)
    assert states(tx) == {1: "delivered", 2: "queued", 0: "delivered", 3: "sent"}
    assert receipts.take(tx, BOB, Read(wire_id(11), 255)) == ([], [])
    assert receipts.take(tx, BOB, Read(wire_id(1), 1)) == ([], [1])
    messages.mark_sent(tx, BOB, 2, 2)
    assert receipts.take(tx, BOB, Read(wire_id(12), 2)) == ([2, 4], [2, 4])
    assert states(tx) == {1: "read", 2: "read", 0: "delivered", 3: "read"}


@pytest.mark.parametrize("how", ["merged", "chosen"])
def test_nobody_is_told_of_what_came_from_somebody_else(tx: Tx, how: str) -> None:
    """Whom the contact was taken for before has given those ids; to the contact itself they would mean nothing."""
    came(tx, 1, 2)
    came(tx, 3, contact=CAROL, prefix=b"prefix 2")
    if how == "merged":
        contacts.merge(tx, BOB, CAROL, "+821055556666")
        receipts.reorder(tx, BOB)
        assert receipts.newest(tx, BOB, 100) == Read(wire_id(2), 2)
    else:
        receipts.begin_anew(tx, BOB)
        assert receipts.newest(tx, BOB, 100) is None
    came(tx, 3)
    read = receipts.newest(tx, BOB, 100)
    assert read == Read(wire_id(3), 3 if how == "merged" else 1)


def test_what_comes_to_stand_before_what_was_read_can_be_read(tx: Tx) -> None:
    """Two contacts are made one, and messages of the other stand in between."""
    came(tx, 1)
    came(tx, 1, contact=CAROL, prefix=b"prefix 2")
    came(tx, 2)
    assert len(receipts.mark(tx, BOB, 3)) == 2
    tx.execute("UPDATE message SET contact = ? WHERE contact = ?", (BOB, CAROL))
    receipts.reorder(tx, BOB)
    assert receipts.mark(tx, BOB, 3) == [(2, True)]


def test_a_long_conversation_is_not_looked_through_again(tx: Tx) -> None:
    sent(tx, *range(1, 101))
    messages.mark_delivered(tx, BOB, 1, 100)
    came(tx, *range(1, 101), prefix=b"prefix 2")
    receipts.take(tx, BOB, Read(wire_id(100), 1))
    receipts.mark(tx, BOB, 200)
    assert tx.one("SELECT read_n, read_position FROM contact WHERE id = ?", (BOB,)) == (100, 200)


# -- for whom --------------------------------------------------------------------------------------------------------


def test_they_are_on_until_they_are_switched_off(tx: Tx) -> None:
    assert receipts.for_all(tx) is None
    assert receipts.are_on(tx, BOB)
    receipts.set_for_all(tx, on=False)
    assert not receipts.are_on(tx, BOB)
    receipts.set_for(tx, BOB, True)
    assert receipts.are_on(tx, BOB)
    assert not receipts.are_on(tx, CAROL)
    receipts.set_for_all(tx, on=True)
    receipts.set_for(tx, BOB, False)
    assert not receipts.are_on(tx, BOB)
    receipts.set_for(tx, BOB, None)
    assert receipts.are_on(tx, BOB)


def test_what_waits_for_whom_they_are_off_is_withdrawn_and_nothing_else(tx: Tx) -> None:
    def waiting() -> list[tuple[int, int]]:
        return [(contact, each.kind) for contact in (BOB, CAROL) for each in notices.unsealed(tx, contact, 0)]

    def wait() -> None:
        for contact in (BOB, CAROL):
            for kind in (READ, PROOF):
                notices.put(tx, contact, NoticeRow(kind, bytes((kind,)) * 16, b""), tx.now_s + 60)

    wait()
    receipts.set_for(tx, BOB, False)
    assert waiting() == [(BOB, PROOF), (CAROL, PROOF), (CAROL, READ)]
    wait()
    receipts.set_for(tx, BOB, True)
    receipts.set_for_all(tx, on=False)
    assert waiting() == [(BOB, PROOF), (BOB, READ), (CAROL, PROOF)]


def test_what_a_contact_never_acks_costs_no_look_at_all_the_others(tx: Tx) -> None:
    sent(tx, *range(1, 601))
    messages.mark_delivered(tx, BOB, 2, 600)
    assert len(receipts.take(tx, BOB, Read(wire_id(400), 1))[1]) == 399
    assert tx.one("SELECT read_n FROM contact WHERE id = ?", (BOB,)) == (400,)
    assert len(receipts.take(tx, BOB, Read(wire_id(600), 255))[1]) == 200
    assert states(tx)[1] == "sent"
