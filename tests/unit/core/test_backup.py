"""The records of a backup: in their order, all of them, or none is believed."""

from __future__ import annotations

from collections.abc import Sequence

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.base.errors import Corrupt, InternalError
from p2pchat.core import backup
from p2pchat.core.backup import (
    BackupReader,
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
    Record,
    Settings,
    encode_record,
)
from p2pchat.core.backup_file import Cost, Sealer
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


WHOLE: list[Record] = [header(), OWNER, SETTINGS, KNOWN, INVITE, CONTACT, MESSAGE, UNKNOWN]


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
    long = Message(UID, False, 1, bytes(16), 1, "가" * 21_845, None, "queued", None, 1, None, None, None)
    records: list[Record] = [header(1, 9), OWNER, CONTACT, *[long] * 9]
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
        [header(0, 0), OWNER, CONTACT],
        [header(2, 0), OWNER, CONTACT, CONTACT],
        [header(1, 1), OWNER, CONTACT],
        [header(1, 1), OWNER, CONTACT, MESSAGE, UNKNOWN],
        [header(1, 1), OWNER, MESSAGE, CONTACT],
        [header(0, 1), OWNER, MESSAGE],
    ],
)
def test_what_contradicts_itself_is_refused(records: list[Record]) -> None:
    with pytest.raises(Corrupt):
        read(file_of(records) if records else sealed(b"\0"))


@pytest.mark.parametrize(
    "plain",
    [
        b"\0\0\0\0",
        b"\0\x10\0\x01",  # longer than a record may be
        b"\0\0\0\1\xc0",
        encode_record(header(0, 0))[:-1],
        encode_record(header(0, 0)) + encode_record(OWNER) + b"\0",
        encode_record(header(0, 0)) + b"\0\0\0\2\x91\x07",  # a kind that is none
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
