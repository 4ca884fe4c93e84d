"""The records of a backup: in their order, all of them, or none is believed."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from p2pchat import store
from p2pchat.api import objects
from p2pchat.base.errors import Corrupt, InternalError
from p2pchat.core import backup
from p2pchat.core.backup import (
    Claimant,
    Contact,
    Header,
    Invite,
    KnownPeer,
    Meeting,
    Message,
    Owner,
    Presence,
    Reached,
    Receipts,
    Record,
    Settings,
    encode_record,
)
from p2pchat.core.backup_file import Cost, Sealer
from p2pchat.core.backup_reader import BackupReader, Distinct
from p2pchat.testing.entropy import SeededEntropy

CHEAP = Cost(1, 8192)
ROOT, UID, PEER = bytes(range(32)), b"contact1", bytes.fromhex("002408011220") + bytes(32)

OWNER = Owner("Alice", "+821012345678", "KR", ROOT, 1_800_000_000_000, 3)
SETTINGS = Settings(b"log_level = 'info'\n")
KNOWN = KnownPeer(PEER, (b"\x04\x7f\x00\x00\x01\x06\x0f\xa1",), 7)
INVITE = Invite(b"invite 1", ROOT, 5, 1, True, 1_900_000_000, False, (ROOT,))
CONTACT = Contact(
    *(UID, "밥", None, "matched", "in_person", ROOT, 5, 6, 7, 1, None, None, 8, 9, None, b"invite 1"),
    (Claimant(ROOT, b"cert", 3),),
    Presence(1, 2, ROOT, 3, ROOT, 4),
    (Reached(PEER, (), None, True, False, 9),),
    (Meeting(1, 2, ROOT),),
)
MESSAGE = Message(UID, True, 1, bytes(16), 1, "안녕\0", None, "received", None, 1, None, 2, None)
UNKNOWN = Message(UID, True, 0, bytes(15) + b"1", 77, None, b"\xff", "received", None, 1, None, 2, None)


def header(contacts: int = 1, messages: int = 2) -> Header:
    return Header(1_800_000_000_000, 5, "p2pchat 0", contacts, messages)


WHOLE: list[Record] = [
    header(),
    OWNER,
    SETTINGS,
    KNOWN,
    INVITE,
    CONTACT,
    MESSAGE,
    UNKNOWN,
    Receipts(None, False),
    Receipts(UID, True),
]


def sealed(plain: bytes) -> bytes:
    sealer = Sealer(b"x", SeededEntropy(1), CHEAP)
    return sealer.head + sealer.feed(plain) + sealer.finish()


def file_of(records: Sequence[Record]) -> bytes:
    return sealed(b"".join(map(encode_record, records)))


def read(data: bytes, step: int = 1 << 16) -> list[Record]:
    reader = BackupReader(b"x")
    found = [record for at in range(0, len(data), step) for record in reader.feed(data[at : at + step])]
    assert reader.finish() == found[0]
    return found


@pytest.mark.parametrize("step", [1, 17, 1 << 16])
def test_records_come_out_as_they_went_in(step: int) -> None:
    assert read(file_of(WHOLE), step) == WHOLE
    assert read(file_of([header(0, 0), OWNER]), step) == [header(0, 0), OWNER]


def test_records_cross_the_ends_of_chunks() -> None:
    long = [
        Message(UID, False, n, bytes((n,)) * 16, 1, "가" * 21_845, None, "queued", None, 1, None, None, None)
        for n in range(9)
    ]
    records: list[Record] = [header(1, 9), OWNER, INVITE, CONTACT, *long]
    assert read(file_of(records)) == records


@given(st.lists(st.binary(min_size=0, max_size=200), min_size=9, max_size=9), st.text(max_size=50))
@settings(max_examples=50, deadline=None)
def test_an_independent_reader_finds_the_fields_in_the_documented_order(raw: list[bytes], text: str) -> None:
    message = Message(UID, True, 1, bytes(16), 1, text, raw[0], "received", None, 1, None, 2, None)
    data = encode_record(message)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert msgpack.unpackb(data[4:]) == [
        *(6, UID, True, 1, bytes(16), 1, text, raw[0], "received", None, 1, None, 2, None)
    ]


@pytest.mark.parametrize(
    "records",
    [
        [],
        [header(0, 0)],
        [OWNER],
        [OWNER, header(0, 0)],
        [header(0, 0), header(0, 0), OWNER],
        [header(0, 0), OWNER, OWNER],
        [header(0, 0), SETTINGS],
        [header(0, 0), OWNER, SETTINGS, SETTINGS],
        [header(0, 0), OWNER, KNOWN, SETTINGS],
        [header(1, 0), OWNER],
        [header(0, 0), OWNER, INVITE, CONTACT],
        [header(2, 0), OWNER, INVITE, CONTACT, CONTACT],
        [header(1, 1), OWNER, INVITE, CONTACT],
        [header(1, 1), OWNER, INVITE, CONTACT, MESSAGE, UNKNOWN],
        [header(1, 1), OWNER, INVITE, MESSAGE, CONTACT],
        [header(0, 1), OWNER, MESSAGE],
        [header(0, 0), OWNER, Receipts(UID, True)],
        [header(1, 0), OWNER, CONTACT, Receipts(UID, True), Receipts(UID, False)],
        [header(0, 0), OWNER, Receipts(None, True), Receipts(None, True)],
        [header(1, 0), OWNER, Receipts(None, True), CONTACT],
    ],
)
def test_what_contradicts_itself_is_refused(records: list[Record]) -> None:
    with pytest.raises(Corrupt):
        read(file_of(records) if records else sealed(b"\0"))


OTHER = replace(CONTACT, uid=b"contact2", root=bytes(32), number="+821012345678")
REFERRED: list[Record] = [header(2, 2), OWNER, SETTINGS, KNOWN, INVITE, CONTACT, OTHER, MESSAGE, UNKNOWN]


@pytest.mark.parametrize(
    "changed",
    [
        [KNOWN, KNOWN],
        [INVITE, INVITE],
        [replace(INVITE, refused=(ROOT, ROOT))],
        [replace(OTHER, root=CONTACT.root)],
        [replace(CONTACT, number=OTHER.number)],
        [replace(CONTACT, invite=b"invite 2")],
        [replace(CONTACT, claimed=CONTACT.claimed * 2)],
        [replace(CONTACT, peers=CONTACT.peers * 2)],
        [replace(CONTACT, meetings=CONTACT.meetings * 2)],
        [replace(MESSAGE, wire_id=UNKNOWN.wire_id)],
        [replace(MESSAGE, state="sent")],
        [replace(MESSAGE, state="cancelled")],
        [replace(MESSAGE, incoming=False)],
        [replace(CONTACT, state="friend")],
        [replace(CONTACT, state="self"), replace(CONTACT, uid=b"contact3", root=None, number=None, state="self")],
        [replace(CONTACT, trust="")],
        [replace(UNKNOWN, state="RECEIVED")],
    ],
)
def test_what_a_restore_could_not_write_is_refused(changed: list[Record]) -> None:
    """In the place of the record that it is made of; the rest stays in order, and is accepted without it."""
    assert read(file_of(REFERRED)) == REFERRED
    kind = type(changed[0])
    of_kind = [record for record in REFERRED if type(record) is kind]
    fits = [getattr(changed[0], "uid", None) == getattr(record, "uid", None) for record in of_kind]
    at = REFERRED.index(of_kind[fits.index(True)])
    with pytest.raises(Corrupt):
        read(file_of([*REFERRED[:at], *changed, *REFERRED[at + 1 :]]))


def test_the_same_message_id_in_two_conversations_or_two_directions_is_another() -> None:
    records: list[Record] = [
        *REFERRED[:-2],
        MESSAGE,
        replace(MESSAGE, contact=OTHER.uid),
    ]
    assert read(file_of(records)) == records
    both: list[Record] = [*REFERRED[:-2], MESSAGE, replace(MESSAGE, incoming=False, state="sent")]
    assert read(file_of(both)) == both


def test_the_words_are_those_of_the_control_api() -> None:
    assert get_args(backup.ContactState) == (*get_args(objects.ContactState), "self")  # shown as matched
    assert get_args(backup.Trust) == get_args(objects.Trust)
    assert get_args(backup.MessageState) == (*get_args(objects.MessageState), "deleted")  # nobody is shown those


def test_every_word_that_the_store_writes_is_known() -> None:
    """Whoever adds a state adds it here, and says in docs/BACKUP.md what a restored node does with it."""
    source = "".join(path.read_text("utf-8") for path in Path(store.__path__[0]).glob("*.py"))
    phrases = re.findall(r"state (?:=|!=|IN) \(?((?:'[a-z_]+'(?:, )?)+)", source)
    words = {word for phrase in phrases for word in re.findall("[a-z_]+", phrase)}
    assert {"queued", "cancelled", "deleted", "blocked", "request"} <= words
    assert words <= {*get_args(backup.MessageState), *get_args(backup.ContactState)}


def test_what_must_differ_takes_16_bytes_each() -> None:
    distinct, count = Distinct(), 200_000
    tracemalloc.start()
    try:
        for n in range(count):
            distinct.add(b"in", n.to_bytes(24, "big"))
        assert distinct.hold()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 * count
    distinct.add(b"out", bytes(24))
    assert distinct.hold()
    distinct.add(b"in", (count // 2).to_bytes(24, "big"))
    assert not distinct.hold()


@pytest.mark.parametrize(
    "plain",
    [
        b"\0\0\0\0",
        b"\0\x10\0\x01",  # longer than a record may be
        b"\0\0\0\1\xc0",
        encode_record(header(0, 0))[:-1],
        encode_record(header(0, 0)) + encode_record(OWNER) + b"\0",
        encode_record(header(0, 0)) + b"\0\0\0\2\x91\x08",  # a kind that is none
        b"\0\0\0\4\x93\0\1\5",  # a header that is too short
    ],
)
def test_what_is_no_record_is_refused(plain: bytes) -> None:
    with pytest.raises(Corrupt):
        read(sealed(plain))


def test_a_form_that_is_not_the_shortest_is_refused() -> None:
    body = encode_record(header(0, 0))[4:]
    longer = body.replace(b"\x05", b"\xcc\x05", 1)
    with pytest.raises(Corrupt):
        read(sealed(len(longer).to_bytes(4, "big") + longer + encode_record(OWNER)))


def test_a_record_beyond_its_bound_is_not_written() -> None:
    with pytest.raises(InternalError):
        encode_record(Settings(bytes(backup.RECORD_BYTES)))


def test_no_record_shows_what_it_holds() -> None:
    for record in WHOLE:
        assert repr(record) == f"{type(record).__name__}(…)"
