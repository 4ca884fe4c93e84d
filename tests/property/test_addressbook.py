"""Whatever bytes a file has, it is read to its end: entries and refusals, never an exception."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.api.text import is_safe
from p2pchat.cli.addressbook.entry import NAME_CHARS, NUMBER_CHARS, Entry
from p2pchat.cli.addressbook.read import read_book

PIECES = st.sampled_from(
    [
        *(b"BEGIN:VCARD\r\n", b"END:VCARD\r\n", b"begin:vcard\n", b"AGENT:\n", b"VERSION:2.1\n", b"FN:", b"N:", b"TEL"),
        *(b";TYPE=CELL", b";CHARSET=", b"EUC-KR", b"utf-7", b";ENCODING=QUOTED-PRINTABLE", b":", b";", b"=", b"=C8=AB"),
        *(b"=\r\n", b"\r\n ", b"\n", b"\r", b"item1.", b"tel:+8210", b"\\,", b"\\n", b'"', b",", b"\t", b" ::: "),
        *(b"Name,Phone 1 - Value\n", b"First Name;Mobile Phone\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\xc8\xab"),
        *("홍길동".encode(), "\u202e".encode(), b"\x1b[2J"),
    ]
)
FILES = st.binary(max_size=300) | st.lists(PIECES | st.binary(max_size=8), max_size=60).map(b"".join)
CARDS = st.lists(PIECES, max_size=40).map(lambda pieces: b"BEGIN:VCARD\n" + b"".join(pieces) + b"\nEND:VCARD\n")


@settings(deadline=None, max_examples=400)
@given(FILES | CARDS)
def test_entries_and_refusals(data: bytes) -> None:
    lines = data.count(b"\n") + data.count(b"\r") + 1
    for found in read_book(data):
        assert 1 <= found.line <= lines + 1
        if isinstance(found, Entry):
            assert 0 < len(found.number) <= NUMBER_CHARS
            assert is_safe(found.number)
            assert found.name is None or (is_safe(found.name) and 0 < len(found.name.strip()) <= NAME_CHARS)


@settings(deadline=None)
@given(FILES)
def test_a_good_card_at_the_end_is_found(data: bytes) -> None:
    good = b"\nBEGIN:VCARD\nFN:Last\nTEL:+821012345678\nEND:VCARD\n"
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")) and data.count(b"\0") < 3:
        last = list(read_book(data + good))[-1]
        assert isinstance(last, Entry) or b"AGENT" in data.upper()
