"""Mailboxes on disk: what is found, what is counted, what is deleted, and how little is read for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from p2pchat.base.ids import PeerId
from p2pchat.core.params import DAY_S
from p2pchat.store import mailbox
from p2pchat.store.db import Tx
from p2pchat.store.mailbox import PART_BYTES, Gone, Listed, Past
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import Connection, connect

NOW_S = 1_800_000_000
ALICE, BOB = b"A" * 32, b"B" * 32
PEER, NEXT = PeerId(b"\x00\x24\x08\x01\x12\x20" + bytes(32)), PeerId(b"\x00\x24\x08\x01\x12\x20" + b"\x01" * 32)


@pytest.fixture
def connection() -> Iterator[Connection]:
    connection = connect(None, bytes(32))
    migrate(connection)
    yield connection
    connection.close()


@pytest.fixture
def tx(connection: Connection) -> Tx:
    return Tx(connection, NOW_S * 1000)


def later(tx: Tx, seconds: int) -> Tx:
    return Tx(tx._connection, tx.now_ms + seconds * 1000)


def made(tx: Tx, owner: bytes = ALICE, *tokens: bytes) -> int:
    found = mailbox.make(tx, owner)
    mailbox.renew(tx, found.id, tokens or (owner[::-1],), b"bundle")
    return found.id


def keep(tx: Tx, of: int, *sizes: int, ttl_s: int = 60) -> list[int]:
    return [mailbox.deposit(tx, of, bytes(size), tx.now_s + ttl_s) for size in sizes]


def numbers(tx: Tx, of: int) -> list[int]:
    return [each.n for each in mailbox.listing(tx, of, 0, 1_024)]


def test_a_token_admits_to_one_mailbox_until_another_takes_its_place(tx: Tx) -> None:
    alice, bob = made(tx, ALICE, b"a" * 32, b"b" * 32, b"a" * 32), made(tx, BOB, b"c" * 32)
    found = [mailbox.of_token(tx, token * 32) for token in (b"a", b"b", b"c", b"d")]
    assert [each.id if each else None for each in found] == [alice, alice, bob, None]
    assert mailbox.are_free(tx, [b"a" * 32, b"d" * 32], ALICE)
    assert not mailbox.are_free(tx, [b"d" * 32, b"a" * 32], BOB)
    mailbox.renew(tx, alice, [b"b" * 32, b"d" * 32], b"")
    assert mailbox.of_token(tx, b"a" * 32) is None
    assert (mailbox.bundle(tx, alice), mailbox.bundle(tx, bob), mailbox.bundle(tx, 99)) == (b"", b"bundle", b"")
    owner = mailbox.of_owner(tx, BOB)
    assert owner is not None
    assert (owner.id, owner.owner, owner.size) == (bob, BOB, 0)
    assert mailbox.of_owner(tx, bytes(32)) is None
    assert mailbox.count(tx) == 2


def test_numbers_rise_and_bytes_are_counted(tx: Tx) -> None:
    alice, bob = made(tx), made(tx, BOB)
    assert keep(tx, alice, 1_024, 2_048) == [1, 2]
    assert keep(tx, bob, 4_096) == [1]
    assert mailbox.listing(tx, alice, 0, 9) == [Listed(1, 1_024, NOW_S + 60), Listed(2, 2_048, NOW_S + 60)]
    assert mailbox.listing(tx, alice, 1, 9) == [Listed(2, 2_048, NOW_S + 60)]
    assert mailbox.listing(tx, alice, 0, 1) == [Listed(1, 1_024, NOW_S + 60)]
    assert mailbox.listing(tx, alice, 1 << 63, 9) == []
    assert mailbox.total(tx) == (3, 7_168)
    gone, left = mailbox.ack(tx, alice, [2, 2, 5, 1 << 63])
    assert (gone, list(left)) == ([Gone(alice, 2, 2_048)], [])
    assert mailbox.total(tx) == (2, 5_120)
    assert keep(tx, alice, 1_024) == [3]
    stock = mailbox.stock(tx)
    assert [(each.owner, each.boxes, each.size, each.oldest_s, each.until_s, each.seen_s) for each in stock] == [
        (ALICE, 2, 2_048, NOW_S, NOW_S + 60, NOW_S),
        (BOB, 1, 4_096, NOW_S, NOW_S + 60, NOW_S),
    ]


def test_what_has_expired_is_nowhere_and_is_deleted_once(tx: Tx) -> None:
    alice = made(tx)
    keep(tx, alice, 1_024, ttl_s=10)
    keep(tx, alice, 2_048, ttl_s=20)
    assert mailbox.next_expiry(tx) == NOW_S + 10
    then = later(tx, 10)
    assert numbers(then, alice) == [2]
    assert mailbox.fetch(then, alice, [1, 2], 1 << 20, 0) == [(2, bytes(2_048))]
    assert mailbox.ack(then, alice, [1])[0] == []
    assert mailbox.expire(then) == [Gone(alice, 1, 1_024)]
    assert mailbox.expire(then) == []
    assert mailbox.next_expiry(tx) == NOW_S + 20
    assert mailbox.past(tx) == [Past(NOW_S // DAY_S, "expired", 1, 1_024)]


def test_fetch_gives_the_first_and_what_fits_in_the_order_asked(tx: Tx) -> None:
    alice = made(tx)
    keep(tx, alice, 1_024, 2_048, 1_024)

    def fetched(asked: list[int], limit: int) -> list[int]:
        return [n for n, _ in mailbox.fetch(tx, alice, asked, limit, 10)]

    assert fetched([3, 1, 2], 2_068) == [3, 1]
    assert fetched([3, 1, 2], 2_067) == [3]
    assert fetched([2], 1) == [2]
    assert fetched([9, 2, 1], 1) == [2]
    assert fetched([1, 1], 1 << 20) == [1]  # what stands twice counts once
    assert fetched([9], 1 << 20) == []


def test_what_goes_goes_in_parts(tx: Tx) -> None:
    alice, half = made(tx), PART_BYTES // 2
    keep(tx, alice, half, half, half, 1_024)
    gone, left = mailbox.ack(tx, alice, [1, 2, 3, 4])
    assert ([each.n for each in gone], list(left)) == ([1, 2], [3, 4])
    gone, left = mailbox.ack(tx, alice, left)
    assert ([each.n for each in gone], list(left)) == ([3, 4], [])
    keep(tx, alice, PART_BYTES + 1, 1_024, half)
    assert [each.n for each in mailbox.end(tx, alice)] == [5]
    assert mailbox.of_owner(tx, ALICE) is not None
    assert mailbox.of_token(tx, ALICE[::-1]) is None
    assert [each.n for each in mailbox.end(tx, alice)] == [6, 7]
    assert mailbox.of_owner(tx, ALICE) is None
    assert mailbox.total(tx) == (0, 0)
    assert [(each.why, each.boxes) for each in mailbox.past(tx)] == [("ended", 3), ("fetched", 4)]


def test_who_was_seen_is_noted_to_the_hour(tx: Tx) -> None:
    alice = made(tx)

    def seen_after(seconds: int) -> int:
        then = later(tx, seconds)
        mailbox.seen(then, alice)
        return mailbox.stock(then)[0].seen_s - NOW_S

    assert [seen_after(seconds) for seconds in (5, 3_600, 3_601, 3_700, -50)] == [0, 0, 3_601, 3_601, -50]
    assert mailbox.unseen(tx, NOW_S - 50) is None
    assert mailbox.unseen(tx, NOW_S - 49) == alice


def test_a_clock_that_was_ahead_is_forgiven(tx: Tx) -> None:
    ahead = later(tx, 90 * DAY_S)
    alice = made(ahead)
    keep(ahead, alice, 1_024, 1_024, ttl_s=DAY_S)
    mailbox.ack(ahead, alice, [1])
    keep(tx, alice, 1_024, ttl_s=5)
    mailbox.redate(tx, 14 * DAY_S)
    assert [each.until_s for each in mailbox.listing(tx, alice, 0, 9)] == [NOW_S + 14 * DAY_S, NOW_S + 5]
    (stock,) = mailbox.stock(tx)
    assert (stock.oldest_s, stock.seen_s) == (NOW_S, NOW_S)
    assert mailbox.past(tx) == []


def test_what_was_deleted_is_told_for_a_month(tx: Tx) -> None:
    alice = made(tx)
    keep(tx, alice, 1_024)
    mailbox.ack(tx, alice, [1])
    for days, there in ((30, 1), (31, 0)):
        mailbox.redate(later(tx, days * DAY_S), DAY_S)
        assert len(mailbox.past(tx)) == there


def test_under_another_node_key_all_of_it_ends(tx: Tx) -> None:
    assert mailbox.is_anew(tx, PEER)
    keep(tx, made(tx), PART_BYTES, PART_BYTES)
    keep(tx, made(tx, BOB), 1_024)
    assert mailbox.is_anew(tx, PEER)
    rounds = 0
    while not mailbox.is_anew(tx, NEXT):
        rounds += 1
    assert rounds == 3
    assert (mailbox.count(tx), mailbox.total(tx)) == (0, (0, 0))
    made(tx)
    assert mailbox.is_anew(tx, NEXT)
    assert mailbox.count(tx) == 1


QUESTIONS: dict[str, Callable[[Tx], object]] = {
    "owner": lambda tx: mailbox.of_owner(tx, ALICE),
    "token": lambda tx: mailbox.of_token(tx, ALICE),
    "total": mailbox.total,
    "renew": lambda tx: mailbox.renew(tx, 1, [bytes(32)], b""),
    "bundle": lambda tx: mailbox.bundle(tx, 1),
    "seen": lambda tx: mailbox.seen(later(tx, 9_999), 1),
    "deposit": lambda tx: mailbox.deposit(tx, 1, bytes(1_024), NOW_S + 9),
    "listing": lambda tx: mailbox.listing(tx, 1, 0, 1_024),
    "fetch": lambda tx: mailbox.fetch(tx, 1, [1, 2], 1 << 20, 9),
    "ack": lambda tx: mailbox.ack(tx, 1, [1, 2]),
    "expire": lambda tx: mailbox.expire(later(tx, DAY_S)),
    "redate": lambda tx: mailbox.redate(tx, DAY_S),
    "next_expiry": mailbox.next_expiry,
    "stock": mailbox.stock,
    "end": lambda tx: mailbox.end(tx, 1),
}
OF_FEW_ROWS = ("mailbox", "mailbox_total", "mailbox_past")


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_scans_boxes_or_tokens(connection: Connection, tx: Tx, question: str) -> None:
    keep(tx, made(tx), 1_024, 1_024)
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    QUESTIONS[question](tx)
    connection.set_trace_callback(None)
    plans = [
        row[3]
        for sql in asked
        if sql.startswith(("SELECT", "UPDATE", "DELETE"))
        for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")
    ]
    scanned = {plan.split()[1] for plan in plans if plan.startswith("SCAN")}
    covered = {plan.split()[1] for plan in plans if "SCAN" in plan and "COVERING INDEX deposit_until" in plan}
    assert asked
    assert scanned - covered <= set(OF_FEW_ROWS)
    if question in ("listing", "stock"):
        assert any("USING COVERING INDEX deposit_listed" in plan for plan in plans)
