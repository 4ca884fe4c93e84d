"""Readers of the event log known by name, and what waits for them when the log is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from p2pchat.base.errors import DiskFull, UsageError
from p2pchat.base.limits import EVENT_CONSUMERS
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.services import consumers as verbs
from p2pchat.services import retention
from p2pchat.services.retention import EVENTS_KEPT_MS, NEGLECTED_MS, forget_some
from p2pchat.store import consumers, eventlog
from p2pchat.store.db import Tx
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import connect

KEY = bytes(32)
BEGAN_MS = 1_700_000_000_000
DAY_MS = 86_400_000


@pytest.fixture
def tx() -> Iterator[Tx]:
    connection = connect(None, KEY)
    migrate(connection)
    yield Tx(connection, BEGAN_MS)
    connection.close()


def tell(tx: Tx, count: int, kind: EventKind = EventKind.MESSAGE_RECEIVED) -> None:
    for _ in range(count):
        tx.emit(DomainEvent(kind, 1, contact=1))


def refused(tx: Tx, name: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        verbs.enter(tx, name, None, None)
    return caught.value


def bound(tx: Tx) -> int:
    """The oldest event after all slices."""
    while forget_some(tx):
        pass
    return eventlog.oldest(tx)


def test_who_is_new_begins_where_it_says_and_goes_on_where_it_was(tx: Tx) -> None:
    tell(tx, 5)
    assert verbs.enter(tx, "now", None, None) == 5
    assert verbs.enter(tx, "all", 0, None) == 0
    assert verbs.enter(tx, "all", 4, None) == 0, "where it begins is said once"
    verbs.acknowledge(tx, "all", 3)
    assert verbs.enter(tx, "all", 0, None) == 3
    assert [(row.name, row.seq) for row in consumers.everyone(tx)] == [("all", 3), ("now", 5)]


def test_an_ack_of_less_changes_and_writes_nothing(tx: Tx) -> None:
    tell(tx, 5)
    made = BEGAN_MS
    verbs.enter(tx, "bot", 0, None)
    tx.now_ms += 1
    assert verbs.acknowledge(tx, "bot", 0) == consumers.ConsumerRow("bot", 0, None, None, made)
    acked = verbs.acknowledge(tx, "bot", 3)
    assert acked == consumers.ConsumerRow("bot", 3, None, made + 1, made)
    tx.now_ms += 1
    written: list[str] = []
    tx._connection.set_trace_callback(written.append)
    assert verbs.acknowledge(tx, "bot", 3) == verbs.acknowledge(tx, "bot", 1) == acked
    tx._connection.set_trace_callback(None)
    assert written
    assert not [sql for sql in written if not sql.startswith("SELECT")]


def test_an_ack_writes_no_event(tx: Tx) -> None:
    tell(tx, 5)
    verbs.enter(tx, "bot", 0, None)
    tx.events.clear()
    verbs.acknowledge(tx, "bot", 5)
    verbs.forget(tx, "bot")
    assert tx.events == []
    assert eventlog.head(tx) == 5


@pytest.mark.parametrize(("name", "seq", "param"), [("bot", 6, "seq"), ("Bot", 5, "consumer")])
def test_an_ack_that_cannot_be_is_refused(tx: Tx, name: str, seq: int, param: str) -> None:
    tell(tx, 5)
    verbs.enter(tx, "bot", 0, None)
    with pytest.raises(UsageError) as caught:
        verbs.acknowledge(tx, name, seq)
    assert (caught.value.error_name, caught.value.data) == ("INVALID_PARAMS", {"param": param})


def test_who_is_forgotten_begins_anew(tx: Tx) -> None:
    tell(tx, 5)
    verbs.enter(tx, "bot", 2, None)
    assert verbs.forget(tx, "bot").seq == 2
    with pytest.raises(UsageError, match="consumer: nobody"):
        verbs.forget(tx, "bot")
    assert verbs.enter(tx, "bot", None, None) == 5


def test_there_is_room_for_so_many(tx: Tx) -> None:
    for number in range(EVENT_CONSUMERS):
        verbs.enter(tx, f"bot-{number}", None, None)
    error = refused(tx, "one-more")
    assert (error.error_name, error.data) == ("INVALID_PARAMS", {"param": "consumer"})
    verbs.enter(tx, "bot-0", None, None)
    verbs.forget(tx, "bot-1")
    verbs.enter(tx, "one-more", None, None)


def test_nobody_is_made_while_the_disk_is_full_and_who_is_there_reads_on(tx: Tx) -> None:
    verbs.enter(tx, "bot", 0, None)
    full = Tx(tx._connection, BEGAN_MS, DiskFull("The disk is full."))
    assert verbs.enter(full, "bot", None, None) == 0
    with pytest.raises(DiskFull):
        verbs.enter(full, "another", None, None)


def test_a_beginning_that_is_gone_or_not_there_yet_makes_nobody(tx: Tx) -> None:
    tell(tx, 5)
    eventlog.drop(tx, 0, 3, None, 9)
    for start in (0, 1, 6):
        with pytest.raises(UsageError) as caught:
            verbs.enter(tx, "bot", start, None)
        assert (caught.value.error_name, caught.value.data) == ("CURSOR_EXPIRED", {"oldest": 3})
    assert consumers.everyone(tx) == []
    assert verbs.enter(tx, "bot", 2, None) == 2


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_a_month_is_kept(tx: Tx) -> None:
    tell(tx, 5)
    tx.now_ms += EVENTS_KEPT_MS
    tell(tx, 2)
    assert bound(tx) == 1
    tx.now_ms += 1
    assert bound(tx) == 6


def test_so_many_are_kept_and_the_rest_goes_in_slices(tx: Tx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EVENTS_KEPT", 7)
    monkeypatch.setattr(retention, "_SLICE_ROWS", 10)
    tell(tx, 40)
    left: list[int] = []
    while forget_some(tx):
        left.append(eventlog.oldest(tx))
    assert left == [11, 21, 31, 34]


def test_what_an_active_consumer_has_not_done_with_is_kept_however_old(tx: Tx) -> None:
    tell(tx, 10)
    verbs.enter(tx, "slow", 0, None)
    verbs.enter(tx, "quick", 0, None)
    tx.now_ms += 2 * EVENTS_KEPT_MS
    verbs.acknowledge(tx, "quick", 9)
    verbs.acknowledge(tx, "slow", 4)
    assert bound(tx) == 5
    tx.now_ms += NEGLECTED_MS
    assert bound(tx) == 5, "a week is not over yet"
    verbs.acknowledge(tx, "slow", 6)
    tx.now_ms += 1
    assert bound(tx) == 7, "the one that is slow acknowledges, the other one does not any more"


def test_who_has_acknowledged_nothing_for_a_week_is_passed_and_told_so_until_it_says_where_to_go_on(tx: Tx) -> None:
    tell(tx, 10)
    verbs.enter(tx, "bot", 0, None)
    verbs.acknowledge(tx, "bot", 3)
    tx.now_ms += EVENTS_KEPT_MS + 1
    tell(tx, 1)
    assert bound(tx) == 11
    for _ in range(2):
        error = refused(tx, "bot")
        assert (error.error_name, error.data) == ("CURSOR_EXPIRED", {"oldest": 11})
    verbs.acknowledge(tx, "bot", 9)
    assert refused(tx, "bot").error_name == "CURSOR_EXPIRED"
    verbs.acknowledge(tx, "bot", 10)
    assert verbs.enter(tx, "bot", None, None) == 10


def test_who_was_made_within_a_week_holds_events_as_who_acknowledges(tx: Tx) -> None:
    tell(tx, 10)
    tx.now_ms += EVENTS_KEPT_MS + 1
    verbs.enter(tx, "bot", 2, None)
    assert bound(tx) == 3
    tx.now_ms += NEGLECTED_MS
    assert bound(tx) == 3
    tx.now_ms += 1
    assert bound(tx) == 11


def test_who_misses_nothing_that_it_reads_is_not_passed(tx: Tx) -> None:
    tell(tx, 1)
    tell(tx, 5, EventKind.CONTACT_ADDED)
    tell(tx, 1)
    tell(tx, 5, EventKind.CONTACT_ADDED)
    verbs.enter(tx, "messages", 1, ["message.received", "message.read"])
    verbs.enter(tx, "further", 7, ["message.*"])
    verbs.enter(tx, "everything", 1, ["*"])
    verbs.enter(tx, "unfiltered", 12, None)
    tx.now_ms += EVENTS_KEPT_MS + 1
    tell(tx, 1)
    assert bound(tx) == 13
    assert {row.name: row.seq for row in consumers.everyone(tx)} == {
        "messages": 6,  # seq 7 was a message
        "further": 12,
        "everything": 1,
        "unfiltered": 12,
    }
    assert refused(tx, "messages").data == {"oldest": 13}
    assert verbs.enter(tx, "further", None, ["message.*"]) == 12


def test_who_was_passed_once_is_told_so_also_when_more_goes_that_it_does_not_read(tx: Tx) -> None:
    tell(tx, 2)
    verbs.enter(tx, "bot", 0, ["message.*"])
    tx.now_ms += EVENTS_KEPT_MS + 1
    tell(tx, 2, EventKind.CONTACT_ADDED)
    assert bound(tx) == 3
    tx.now_ms += EVENTS_KEPT_MS + 1
    assert bound(tx) == 5
    assert refused(tx, "bot").data == {"oldest": 5}


def test_a_row_of_many_events_is_kept_for_who_has_done_with_some_of_them(tx: Tx) -> None:
    tx.emit(DomainEvent(EventKind.MESSAGE_QUEUED, 1, contact=1, more=9))
    verbs.enter(tx, "bot", 4, None)
    tx.now_ms += EVENTS_KEPT_MS + 1
    verbs.acknowledge(tx, "bot", 9)
    assert bound(tx) == 1
    verbs.acknowledge(tx, "bot", 10)
    assert bound(tx) == 11


def test_who_has_done_with_everything_is_never_neglected(tx: Tx) -> None:
    tell(tx, 5)
    verbs.enter(tx, "bot", 5, None)
    verbs.enter(tx, "messages", 5, ["message.*"])
    tx.now_ms += EVENTS_KEPT_MS
    tell(tx, 3, EventKind.CONTACT_ADDED)
    tell(tx, 1)
    tx.now_ms += NEGLECTED_MS
    assert bound(tx) == 6, "nothing of what waits is older than a week"
    tx.now_ms += 1
    assert bound(tx) == 6, "what is neglected is kept as long as for others"
    assert {row.name: row.seq for row in consumers.everyone(tx)} == {"bot": 5, "messages": 8}


def test_what_came_to_who_had_done_with_everything_waits_for_a_week(tx: Tx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EVENTS_KEPT", 2)
    monkeypatch.setattr(retention, "_SLICE_ROWS", 3)
    verbs.enter(tx, "bot", 0, ["message.received"])
    tell(tx, 10, EventKind.CONTACT_ADDED)
    tx.now_ms += 10 * NEGLECTED_MS
    tell(tx, 1)
    tell(tx, 10, EventKind.CONTACT_ADDED)
    tx.now_ms += NEGLECTED_MS
    assert bound(tx) == 11
    assert verbs.enter(tx, "bot", None, ["message.received"]) == 10
    tx.now_ms += 1
    assert bound(tx) == 20
    with pytest.raises(UsageError, match="gone"):
        verbs.enter(tx, "bot", None, ["message.received"])


def test_a_seq_stays_good_while_nothing_of_its_types_is_dropped(tx: Tx) -> None:
    tell(tx, 3)
    tell(tx, 20, EventKind.CONTACT_ADDED)
    tx.now_ms += EVENTS_KEPT_MS + 1
    tell(tx, 1)
    assert bound(tx) == 24
    assert verbs.after(tx, 3, ["message.*"]) == 3
    assert verbs.after(tx, 0, ["node.*", "contact.removed"]) == 0
    for since, types in ((3, None), (3, ["contact.*"]), (2, ["message.received"]), (3, ["*"])):
        with pytest.raises(UsageError, match="gone"):
            verbs.after(tx, since, types)


def test_of_what_was_dropped_before_types_were_noted_every_type_may_be_gone(tx: Tx) -> None:
    tell(tx, 5)
    tx.execute("DELETE FROM event WHERE seq < 4")  # as an earlier version did
    with pytest.raises(UsageError, match="gone"):
        verbs.after(tx, 2, ["contact.*"])
    tx.now_ms += EVENTS_KEPT_MS + 1
    tell(tx, 1)
    assert bound(tx) == 6
    assert verbs.after(tx, 3, ["contact.*"]) == 3
    with pytest.raises(UsageError, match="gone"):
        verbs.after(tx, 2, ["contact.*"])
