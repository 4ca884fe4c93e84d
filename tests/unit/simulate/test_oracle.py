"""The oracle has something to say of each thing that must not be, and nothing of what may be."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest

from p2pchat.base.ids import ContactId, PeerId, RootKey
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.params import PRODUCTION
from p2pchat.core.storer import CheckedRecord, Held, Storer
from p2pchat.core.wire import TEXT
from p2pchat.store import contacts, mailbox, messages
from p2pchat.store.db import Database, Tx
from simulate.oracle import Device, Oracle, Row, name_of
from simulate.plan import DAY_S, HOUR_S

A, B = 0, 1


def database() -> Database:
    return Database.open(None, bytes(32), lambda: 1_800_000_000_000, threaded=False)


def two_people(*, texts: int = 2) -> Oracle:
    """Who has one device each; the first has sent so many texts to the second."""
    oracle = Oracle()
    for who in (A, B):
        oracle.devices[who] = [Device(who, database())]
    for number in range(texts):
        assert oracle.say(A, B, float(number)).startswith(f"{number} ")
    return oracle


def sent(number: int | None, state: str = "delivered") -> Row:
    return Row("p001", incoming=False, number=number, state=state)


def came(number: int | None, name: str = "p000") -> Row:
    return Row(name, incoming=True, number=number, state="received")


GOOD = ([sent(0), sent(1)], [came(0), came(1)])


@pytest.mark.parametrize(
    ("of_a", "of_b", "complaint"),
    [
        (*GOOD, None),
        ([sent(0, "sent"), sent(1, "queued")], [came(0)], None),
        ([], [came(None)], "p001 has a text of p000 that was not sent to it"),
        ([], [came(0, "p007")], "p001 has a text of p007 that was not sent to it"),
        ([came(0, "p001")], [], "p000 has a text of p001 that was not sent to it"),
        ([], [came(0), came(0)], "p001 has text 0 twice"),
        ([], [came(1), came(0)], "p001 has text 0 behind 1"),
        ([sent(None)], [], "p000 has sent what nobody typed"),
        ([sent(0)], [], "text 0 of p000 is delivered, and p001 does not have it"),
        ([sent(0, "read")], [], "text 0 of p000 is read, and p001 does not have it"),
        ([sent(0, "failed")], [], "text 0 of p000 to p001 failed"),
    ],
)
def test_at_every_moment(of_a: list[Row], of_b: list[Row], complaint: str | None) -> None:
    assert list(two_people().of_rows({A: [of_a], B: [of_b]})) == ([complaint] if complaint else [])


def test_a_text_that_was_refused_is_nowhere() -> None:
    oracle = two_people()
    oracle.refused()
    assert list(oracle.of_rows({A: [[]], B: [[came(1)]]})) == ["text 1 was refused, and p001 has it"]


@pytest.mark.parametrize(
    ("of_a", "of_b", "complaints"),
    [
        (*GOOD, []),
        ([sent(0), sent(1, "failed")], [came(0)], ["text 1 of p000 to p001 has not arrived"]),
        ([sent(0), sent(1, "sent")], [came(0), came(1)], ["text 1 of p000 is still sent"]),
    ],
)
def test_at_the_end(of_a: list[Row], of_b: list[Row], complaints: list[str]) -> None:
    assert list(two_people().missing({A: [of_a], B: [of_b]})) == complaints


def test_what_a_block_or_a_lost_device_takes_is_owed_by_nobody() -> None:
    nothing: dict[int, list[list[Row]]] = {A: [[]], B: [[]]}
    blocked = two_people()
    blocked.block(B, A, 2.0)
    blocked.say(A, B, 2.0)
    assert not list(blocked.missing(nothing))
    blocked.unblock(B, A, 3.0, leads=True)
    blocked.say(A, B, HOUR_S)
    assert not list(blocked.missing(nothing))
    blocked.say(A, B, 3 * HOUR_S)
    assert list(blocked.missing(nothing)) == ["text 4 of p000 to p001 has not arrived"]
    forgotten = two_people()
    forgotten.forgot(A, B, DAY_S)
    forgotten.say(B, A, DAY_S + 17 * HOUR_S)
    assert not list(forgotten.missing(nothing))
    forgotten.say(B, A, 2 * DAY_S)
    assert list(forgotten.missing(nothing)) == ["text 3 of p001 to p000 has not arrived"]
    lost = two_people()
    lost.lose(A, since_s=1.0, at_s=5.0)
    assert list(lost.missing(nothing)) == ["text 0 of p000 to p001 has not arrived"]


@pytest.mark.parametrize("is_lost_later", [False, True])
def test_an_unblocking_takes_hours_where_the_other_has_begun_anew(is_lost_later: bool) -> None:
    oracle = two_people(texts=0)
    oracle.block(B, A, 2.0)
    if is_lost_later:
        oracle.unblock(B, A, 6.0, leads=True)
        oracle.lose(A, since_s=7.0, at_s=7.0)
    else:
        oracle.unblock(B, A, 6.0, leads=False)
    oracle.say(A, B, 17 * HOUR_S)
    assert not list(oracle.missing({A: [[]], B: [[]]}))
    oracle.say(A, B, DAY_S)
    assert len(list(oracle.missing({A: [[]], B: [[]]}))) == 1


def test_who_is_blocked_by_both_owes_nothing_until_both_have_unblocked() -> None:
    oracle = two_people(texts=0)
    oracle.block(A, B, 0.0)
    oracle.block(B, A, 0.5)
    oracle.unblock(A, B, 1.0, leads=True)
    oracle.say(A, B, 9 * DAY_S)
    assert not list(oracle.missing({A: [[]], B: [[]]}))


async def test_what_was_deleted_with_its_sender_was_there() -> None:
    oracle = two_people()
    await friends_of(oracle, B, A, texts=("0 ",))
    await oracle.devices[B][0].database.run(lambda tx: oracle.remove(tx, B, A, 1, at_s=5.0))
    rows = {A: [[sent(0), sent(1, "sent")]], B: [list[Row]()]}
    assert list(oracle.of_rows(rows)) == []
    assert list(oracle.missing(rows)) == []
    oracle.add_again(B, A, 6.0)
    oracle.say(A, B, 17 * HOUR_S)
    assert list(oracle.missing(rows)) == []
    oracle.say(A, B, DAY_S)
    assert list(oracle.missing(rows)) == ["text 3 of p000 to p001 has not arrived"]
    assert list(oracle.of_rows({A: [[]], B: [[came(1), came(0)]]})) == []  # another conversation


async def test_whoever_begins_anew_is_owed_what_follows_once_that_is_accepted() -> None:
    oracle = two_people()
    await friends_of(oracle, A, B, root=b"old")
    oracle.devices[B][0].root = b"old"
    oracle.reinstall(B, [A], DAY_S)
    oracle.devices[B].append(Device(B, database(), root=b"new"))
    untold = ["p001 has begun anew, and p000 was not told"]
    oracle.say(A, B, 2 * DAY_S)
    assert await oracle.at_the_end([(A, B)], 3 * DAY_S) == []
    assert await oracle.at_the_end([(A, B)], 5 * DAY_S) == untold
    await friends_of(oracle, B, A, texts=("2 ",))
    assert await oracle.complaints(8 * DAY_S) == ["p001 has a text of p000, who has not accepted its new key"]
    oracle.keys.allow(A, "p001")
    await oracle.devices[A][0].database.run(lambda tx: tx.execute("UPDATE contact SET root = x'6E6577'"))
    assert await oracle.complaints(8 * DAY_S) == []
    oracle.say(A, B, 9 * DAY_S)
    assert "text 3 of p000 to p001 has not arrived" in await oracle.at_the_end([(A, B)], 9 * DAY_S)


async def friends_of(oracle: Oracle, who: int, other: int, root: bytes = b"", texts: tuple[str, ...] = ()) -> None:
    """The newest device of one has the other in its book, and texts of theirs."""

    def write(tx: Tx) -> None:
        row = contacts.add(tx, ContactId(bytes([other]) * 8), name_of(other), None, None)
        if root:
            contacts.set_root(tx, row.id, RootKey(root), 0)
        come = [messages.Incoming(n, bytes([n]) * 16, TEXT, text, None, 1) for n, text in enumerate(texts, 1)]
        messages.receive(tx, row.id, 1, come)

    await oracle.devices[who][-1].database.run(write)


async def test_a_message_key_that_serves_twice() -> None:
    oracle = two_people(texts=0)

    def twice(tx: Tx) -> None:
        for eid in (b"1", b"2"):
            tx.execute(
                "INSERT INTO received (contact, eid, ack, until_s) VALUES (NULL, ?, ?, 0)", (eid * 16, bytes(16))
            )

    await oracle.devices[B][0].database.run(twice)
    assert await oracle.complaints() == ["a message key of what came to p001 served twice"]


async def test_a_log_with_a_gap() -> None:
    oracle = two_people(texts=0)
    log = oracle.devices[A][0].database
    for number in range(0, 6, 2):
        await log.run(partial(Tx.emit, event=DomainEvent(EventKind.CONTACT_ADDED, number)))
    assert await oracle.complaints() == []
    await log.run(lambda tx: tx.execute("DELETE FROM event WHERE seq = 2"))
    assert await oracle.complaints() == ["the log of p000 has gaps"]


async def test_who_holds_more_than_they_offer() -> None:
    oracle = two_people(texts=0)
    device = oracle.devices[A][0]
    await device.offers(2_048)

    def come(tx: Tx, boxes: int = 2) -> None:
        held = mailbox.of_owner(tx, bytes(32)) or mailbox.make(tx, bytes(32))
        for _ in range(boxes):
            mailbox.deposit(tx, held.id, bytes(1_024), 2_000_000_000)

    await device.database.run(come)
    assert await oracle.complaints() == []
    await device.offers(0)
    assert await oracle.complaints() == []  # it goes in its time
    await device.database.run(lambda tx: mailbox.ack(tx, 1, [1]))
    assert await oracle.of_holders([A, B]) == []
    await device.database.run(partial(come, boxes=1))
    complaint = "p000 holds 2 boxes of 2048 bytes, and offers 0"
    assert await oracle.complaints() == await oracle.of_holders([A]) == [complaint]


async def test_a_mailbox_that_holds_more_than_one_may() -> None:
    oracle = two_people(texts=0)
    device = oracle.devices[A][0]
    await device.offers(1 << 30)

    def come(tx: Tx) -> None:
        held = mailbox.make(tx, bytes(32))
        for _ in range(3):
            mailbox.deposit(tx, held.id, bytes(1 << 19), 2_000_000_000)

    await device.database.run(come)
    assert await oracle.complaints() == [f"p000 holds a mailbox of {3 << 19} bytes"]


async def test_a_slot_that_holds_more_records_than_it_may() -> None:
    oracle = two_people(texts=0)
    for count, complaints in ((4, []), (5, ["p000 holds 5 records in one slot, 5 of one prefix"])):
        storer = Storer(PeerId(bytes(34)), dataclasses.replace(PRODUCTION, slot_entries_per_prefix=16), _never)
        for number in range(count):
            storer.restore(Held(bytes(32), b"", b"net", bytes([number]) * 32, 1, 9, 0), 0)
        oracle.devices[A][0].storer = partial(_same, storer)
        assert await oracle.complaints() == complaints


def _same(storer: Storer) -> Storer:
    return storer


def _never(_loc: bytes, _raw: bytes, _now_s: int) -> CheckedRecord:
    raise AssertionError("what is on disk is not checked again")


async def test_friends_who_do_not_know_each_other_in_the_end() -> None:
    oracle = two_people(texts=0)
    strangers = ["p001 is unknown to p000", "p000 is unknown to p001"]
    assert await oracle.at_the_end([(A, B)], 9 * DAY_S) == strangers
    oracle.block(A, B, 0.0)
    assert await oracle.at_the_end([(A, B)], 9 * DAY_S) == []
    oracle.unblock(A, B, DAY_S, leads=True)
    assert await oracle.at_the_end([(A, B)], DAY_S + HOUR_S) == []
    assert await oracle.at_the_end([(A, B)], 9 * DAY_S) == strangers


async def test_another_key_of_a_friend_is_noticed_where_the_user_has_not_chosen_it() -> None:
    oracle = two_people(texts=0)
    await friends_of(oracle, A, B, root=b"one")
    await friends_of(oracle, B, A, root=b"own")
    assert await oracle.complaints() == []
    trusts = "UPDATE contact SET root = ?"
    await oracle.devices[A][0].database.run(lambda tx: tx.execute(trusts, (b"two",)))
    assert await oracle.complaints() == ["p000 trusts another key of p001, and nobody said so"]
    oracle.keys.allow(A, "p001")
    await oracle.devices[A][0].database.run(lambda tx: tx.execute(trusts, (b"six",)))
    assert await oracle.complaints() == []
    await oracle.devices[A][0].database.run(lambda tx: tx.execute(trusts, (b"two",)))
    assert await oracle.complaints() == ["p000 trusts another key of p001, and nobody said so"]
