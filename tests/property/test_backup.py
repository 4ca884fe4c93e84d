"""What a restore would refuse, verifying refuses; what verifying accepts can be restored."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from p2pchat.base.errors import Corrupt, DecodeError
from p2pchat.core.backup import (
    LENGTH_BYTES,
    RECORD_BYTES,
    Claimant,
    Contact,
    Header,
    Invite,
    KnownPeer,
    Meeting,
    Message,
    MessageState,
    Owner,
    Presence,
    Reached,
    Receipts,
    Record,
    Settings,
)
from p2pchat.core.backup_file import Cost, Sealer
from p2pchat.core.codec import Decoder, encode
from p2pchat.services.backup_source import Source
from p2pchat.store.db import Tx
from p2pchat.store.migrate import migrate
from p2pchat.store.restore import Restoration
from p2pchat.store.sqlite import Connection, connect
from p2pchat.testing.entropy import SeededEntropy

_records: Decoder[Record] = Decoder(cast("type[Record]", Record), RECORD_BYTES)
PEERS = [bytes.fromhex("002408011220") + bytes((n,)) * 32 for n in range(2)]
ROOTS = [bytes((n,)) * 32 for n in range(4)]
UIDS = [b"contact1", b"contact2"]


def contact(n: int, number: str | None, invite: bytes | None) -> Contact:
    return Contact(
        *(UIDS[n], "name", number, "matched", "in_person", ROOTS[n], 5, 6, 7, 1, None, None, 8, 9, None, invite),
        (Claimant(ROOTS[n], b"cert", 3), Claimant(ROOTS[3], b"", 4)),
        Presence(1, 2, ROOTS[n], 3, ROOTS[n], 4),
        (Reached(PEERS[0], (b"\x04",), None, True, False, 9), Reached(PEERS[1], (), ROOTS[0], False, True, 1)),
        (Meeting(1, 2, ROOTS[0]), Meeting(1, 3, ROOTS[1])),
    )


def message(n: int, uid: bytes, *, incoming: bool) -> Message:
    state: MessageState = "received" if incoming else "sent"
    return Message(uid, incoming, n, bytes((n,)) * 16, 1, "text", None, state, None, 1, None, None, None)


BODY: list[Record] = [
    Owner("Alice", "+821012345678", "KR", ROOTS[2], 1_800_000_000_000, 3),
    Settings(b"log_level = 'info'\n"),
    KnownPeer(PEERS[0], (b"\x04",), 7),
    KnownPeer(PEERS[1], (), 7),
    Invite(b"invite 1", ROOTS[0], 5, 1, True, 1_900_000_000, False, (ROOTS[0], ROOTS[1])),
    Invite(b"invite 2", ROOTS[0], 5, 1, True, 1_900_000_000, False, ()),
    contact(0, "+821011112222", b"invite 1"),
    contact(1, "+821033334444", None),
    message(1, UIDS[0], incoming=True),
    message(2, UIDS[0], incoming=False),
    message(1, UIDS[1], incoming=True),
    message(3, UIDS[1], incoming=True),
    Receipts(None, False),
    Receipts(UIDS[0], True),
    Receipts(UIDS[1], False),
]
STRANGE: list[Any] = [
    *(
        None,
        0,
        1,
        -1,
        1 << 63,
        (1 << 63) - 1,
        1 << 32,
        True,
        False,
        "",
        "matched",
        "friend",
        "received",
        "sent",
        "read",
    ),
    *("number_verified", b"", b"\xff", bytes(8), bytes(16), bytes(32), (), [ROOTS[0]], [ROOTS[0], ROOTS[0]]),
    *(b"log_level = 1", b"unknown = 1", b"listen = ['x']", b"bootstrap = [1]", b"[", b"\0", b"a = " + b"9" * 5000),
]


@st.composite
def mutated(draw: st.DrawFn) -> list[list[Any]]:
    """The records as arrays, changed in one or two places; the header counts what is there, mostly."""
    found = [[_tag(record), *astuple(record)] for record in BODY]
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(found) - 1))
        kind = draw(st.sampled_from(("twice", "gone", "moved", "doubled", "field", "field", "field", "field", "field")))
        if kind == "twice":
            found.insert(draw(st.integers(at, len(found))), list(found[at]))
        elif kind == "gone":
            del found[at]
            assume(found)
        elif kind == "moved":
            found.insert(draw(st.integers(0, len(found) - 1)), found.pop(at))
        elif kind == "doubled":
            record, field = draw(
                st.sampled_from(
                    [(row, n) for row in found for n, each in enumerate(row) if each and type(each) is tuple]
                )
            )
            record[field] *= 2
        else:
            _change(draw, found, at)
    counts = [sum(record[0] == tag for record in found) for tag in (5, 6)]
    if draw(st.integers(0, 9)) == 0:
        counts[draw(st.integers(0, 1))] += 1
    return [[0, 1_800_000_000_000, 5, "p2pchat", *counts], *found]


def _change(draw: st.DrawFn, found: list[list[Any]], at: int) -> None:
    """Put another value into a field: that of the same field elsewhere, one of the same type, or a strange one."""
    field = draw(st.integers(1, len(found[at]) - 1))
    own = found[at][field]
    others = [record[field] for record in found if record[0] == found[at][0]]
    alike = [value for value in STRANGE if type(value) is type(own)]
    found[at][field] = draw(st.sampled_from([*others, *alike, *alike, *STRANGE]))


def _tag(record: Record) -> int:
    return (Header, Owner, Settings, KnownPeer, Invite, Contact, Message, Receipts).index(type(record))


def framed(records: list[list[Any]]) -> bytes:
    bodies = [encode(record) for record in records]
    return b"".join(len(body).to_bytes(LENGTH_BYTES, "big") + body for body in bodies)


def source_of(plain: bytes) -> Source:
    sealer = Sealer(b"x", SeededEntropy(1), Cost(1, 8192))
    return Source(io.BytesIO(sealer.head + sealer.feed(plain) + sealer.finish()))


def verifies(plain: bytes) -> bool:
    try:
        source_of(plain).check(b"x")
    except Corrupt:
        return False
    return True


@contextmanager
def undone(connection: Connection) -> Iterator[Tx]:
    connection.execute("BEGIN")
    try:
        yield Tx(connection, 1_800_000_000_000)
    finally:
        connection.execute("ROLLBACK")


def restores(connection: Connection, plain: bytes) -> bool:
    """Whether a restore writes it, every record and what refers to it, whatever it raises."""
    with undone(connection) as tx:
        restoration = Restoration(tx, SeededEntropy(2))
        try:
            for record in source_of(plain).records(b"x"):
                restoration.put(record)
        except Corrupt:
            return False
        assert tx.all("PRAGMA foreign_key_check") == []
    return True


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    connection = connect(None, bytes(32))
    migrate(connection)
    yield connection
    connection.close()


@given(mutated())
@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_verifies_can_be_restored_and_nothing_else(connection: Connection, records: list[list[Any]]) -> None:
    plain = framed(records)
    whole = verifies(plain)
    event(f"whole: {whole}")
    assert restores(connection, plain) is whole


@given(mutated())
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_verifying_is_no_laxer_than_the_database(connection: Connection, records: list[list[Any]]) -> None:
    """Without the checks that both share: what the schema itself refuses."""
    try:
        decoded = [_records.decode(encode(record)) for record in records]
    except DecodeError:
        assert not verifies(framed(records))
        return
    with undone(connection) as tx:
        restoration = Restoration(tx, SeededEntropy(2))
        try:
            for record in decoded:
                restoration.put(record)
        except (Corrupt, KeyError):
            event("the schema refuses it")
            assert not verifies(framed(records))


def test_unchanged_they_are_whole(connection: Connection) -> None:
    plain = framed([[0, 1, 5, "p2pchat", 2, 4], *([_tag(record), *astuple(record)] for record in BODY)])
    assert verifies(plain)
    assert restores(connection, plain)
