"""vCards as phones and programs write them; all numbers are made up."""

from __future__ import annotations

import pytest

from p2pchat.cli.addressbook.entry import FAX, NO_NUMBER, Entry, Refusal
from p2pchat.cli.addressbook.read import read_book
from p2pchat.cli.addressbook.vcard import CARD_BYTES, NOT_ENDED, TOO_LARGE

IOS = """BEGIN:VCARD
VERSION:3.0
PRODID:-//Apple Inc.//iPhone OS 17.0//EN
N:Kim;Minji;;;
FN:Minji Kim
item1.TEL;type=pref:+82 10-1234-5678
item1.X-ABLabel:_$!<Mobile>!$_
TEL;type=CELL;type=VOICE:010-2345-6789
item2.ADR;type=HOME:;;1 Sejong-daero;Seoul;;;
item2.X-ABADR:kr
PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQSkZJRgABAQAASABIAAD/
 TEL:+821099999999
 aW1hZ2U=
END:VCARD
"""

ANDROID = """BEGIN:VCARD
VERSION:2.1
N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=ED=99=8D;=EA=B8=B8=EB=8F=99;;;
FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=ED=99=8D=EA=B8=B8=\r
=EB=8F=99
TEL;CELL;PREF:01012345678
TEL;X-CUSTOM(CHARSET=UTF-8,ENCODING=QUOTED-PRINTABLE,=EC=84=B8=EC=BB=A8=EB=93=9C):010-2345-6789
END:VCARD
"""

NOKIA = """BEGIN:VCARD\r
VERSION:2.1\r
REV:20080101T120000Z\r
N;ENCODING=8BIT;CHARSET=UTF-8:Virtanen;Aino\r
TEL;PREF;CELL;VOICE:+358401234567\r
TEL;FAX:+358912345678\r
END:VCARD\r
"""

VERSION_4 = """BEGIN:VCARD
VERSION:4.0
FN:Gildong\\, Hong
TEL;VALUE=uri;PREF=1;TYPE="voice,cell":tel:+82-10-1234-5678
TEL;VALUE=uri:tel:010-2345-6789;phone-context=+82
TEL;VALUE=uri:tel:+82-2-312-3456;ext=102
END:VCARD
"""

OLD_KOREAN = b"".join(
    (
        b"BEGIN:VCARD\r\nVERSION:2.1\r\n",
        b"N;CHARSET=EUC-KR;ENCODING=QUOTED-PRINTABLE:=C8=AB=B1=E6=B5=BF\r\n",
        b"TEL;CELL:016-234-5678\r\nEND:VCARD\r\n",
        b"BEGIN:VCARD\r\nVERSION:2.1\r\n",
        b"FN;CHARSET=KS_C_5601-1987:",
        "똠방각하".encode("cp949"),
        b"\r\nTEL;CELL:010-234-5678\r\nEND:VCARD\r\n",
        b"BEGIN:VCARD\r\nVERSION:2.1\r\nN:",
        "김;철수".encode("cp949"),
        b"\r\nTEL;HOME:02-312-3456\r\nEND:VCARD\r\n",
    )
)

OUTLOOK = """BEGIN:VCARD
VERSION:2.1
N;LANGUAGE=de:M\u00fcller;J\u00f6rg
FN;LANGUAGE=de:J\u00f6rg M\u00fcller
ORG:Beispiel GmbH
TEL;WORK;VOICE:+49 (30) 123456
TEL;CELL;VOICE:+49 151 23456789
X-MS-OL-DEFAULT-POSTAL-ADDRESS:0
END:VCARD
"""


def read(data: str | bytes) -> list[tuple[int, str | None, str]]:
    """(line, name, number or reason) of everything in a book."""
    raw = data.encode() if isinstance(data, str) else data
    return [
        (found.line, found.name, found.number) if isinstance(found, Entry) else (found.line, None, found.reason)
        for found in read_book(raw)
    ]


@pytest.mark.parametrize(
    ("book", "expected"),
    [
        (IOS, [(6, "Minji Kim", "+82 10-1234-5678"), (8, "Minji Kim", "010-2345-6789")]),
        (ANDROID, [(6, "홍길동", "01012345678"), (7, "홍길동", "010-2345-6789")]),
        (NOKIA, [(5, "Aino Virtanen", "+358401234567"), (6, None, FAX)]),
        (
            VERSION_4,
            [
                (4, "Gildong, Hong", "+82-10-1234-5678"),
                (5, "Gildong, Hong", "+82 010-2345-6789"),
                (6, "Gildong, Hong", "tel:+82-2-312-3456;ext=102"),
            ],
        ),
        (
            OLD_KOREAN,
            [(4, "홍길동", "016-234-5678"), (9, "똠방각하", "010-234-5678"), (14, "김철수", "02-312-3456")],
        ),
        (OUTLOOK, [(6, "Jörg Müller", "+49 (30) 123456"), (7, "Jörg Müller", "+49 151 23456789")]),
        (OUTLOOK.encode("utf-16"), [(6, "Jörg Müller", "+49 (30) 123456"), (7, "Jörg Müller", "+49 151 23456789")]),
        (OUTLOOK.encode("utf-16-le"), [(6, "Jörg Müller", "+49 (30) 123456"), (7, "Jörg Müller", "+49 151 23456789")]),
        (OUTLOOK.encode("cp1252"), [(6, "Jörg Müller", "+49 (30) 123456"), (7, "Jörg Müller", "+49 151 23456789")]),
        (b"\xef\xbb\xbf" + NOKIA.encode(), [(5, "Aino Virtanen", "+358401234567"), (6, None, FAX)]),
        (NOKIA.replace("\r\n", "\r"), [(5, "Aino Virtanen", "+358401234567"), (6, None, FAX)]),
    ],
    ids=[
        *("ios", "android", "nokia", "version 4", "old korean", "outlook", "utf-16", "utf-16 without a mark", "cp1252"),
        *("utf-8 mark", "carriage returns"),
    ],
)
def test_what_programs_write(book: str | bytes, expected: list[tuple[int, str | None, str]]) -> None:
    assert read(book) == expected


def card(*lines: str) -> str:
    return "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", *lines, "END:VCARD", ""])


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (["FN:", "N:Hong;Gildong;;;"], "Gildong Hong"),
        (["N:홍;길동;;;"], "홍길동"),
        (["N:Hong"], "Hong"),
        (["N:;;;;", "NICKNAME:Gil"], "Gil"),
        (["N:;;;;", "ORG:Hong\\, Park & Co;Sales"], "Hong, Park & Co Sales"),
        (["FN:One", "FN:Two"], "One"),
        ([], None),
        (["FN:  Gil\\n dong\x07 \u202eHong "], "Gil dong Hong"),
        (["FN:a\0b"], "a b"),
        (["FN:\x1b[2J\u2066"], "[2J"),
        (["FN:\u202e\x01"], None),
        (["FN:" + "x" * 300], "x" * 100),
        (["FN:Gildong", "  Hong"], "Gildong Hong"),
        (["fn;charset=utf-8;encoding=quoted-printable:Gil=20dong"], "Gil dong"),
        (["FN;QUOTED-PRINTABLE:Gil=20dong"], "Gil dong"),
        (["FN;ENCODING=QUOTED-PRINTABLE;CHARSET=unicode_escape:Gil=5Cu0041"], "Gilu0041"),
        (["FN;ENCODING=QUOTED-PRINTABLE;CHARSET=no-such:=C8=AB=B1=E6"], "홍길"),
        (["FN;ENCODING=QUOTED-PRINTABLE,BASE64:Gil=20dong"], "Gil dong"),
        (["FN;ENCODING=QUOTED-PRINTABLE:Gil=ZZ=F"], "Gil=ZZ=F"),
    ],
)
def test_the_name(lines: list[str], name: str | None) -> None:
    assert read(card(*lines, "TEL:+821012345678")) == [(len(lines) + 3, name, "+821012345678")]


def test_a_fold_may_stand_inside_a_letter() -> None:
    letters = "홍길동".encode()
    data = b"BEGIN:VCARD\r\nFN:" + letters[:4] + b"\r\n " + letters[4:] + b"\r\nTEL:1\r\nEND:VCARD\r\n"
    assert read(data) == [(4, "홍길동", "1")]


def test_a_broken_card_costs_no_other() -> None:
    cut = "BEGIN:VCARD\r\nFN:Cut\r\nTEL:+8210\r\n"
    junk = card('FN;;;="x:Junk', 'TEL;"=":+821012345678', "\0\0\0;:;:\xff", "TEL")
    found = read(card("TEL:1") + cut + card("FN:B", "TEL:2") + junk + card("TEL:3") + cut)
    assert found == [
        (3, None, "1"),
        (5, None, NOT_ENDED),
        (11, "B", "2"),
        (16, "Junk", "+821012345678"),
        (22, None, "3"),
        (24, None, NOT_ENDED),
    ]


def test_a_card_within_a_card_is_not_its_own() -> None:
    agent = ["AGENT:", "BEGIN:VCARD", "FN:Agent", "TEL:2", "END:VCARD"]
    assert read(card("FN:Boss", *agent, "TEL:1")) == [(9, "Boss", "1")]


def test_every_card_is_accounted_for() -> None:
    assert read(card("FN:Mail Only", "EMAIL:mail@example.com") + card("TEL:  ")) == [
        (1, None, NO_NUMBER),
        (8, None, NO_NUMBER),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["TEL:1"] * 200,
        ["FN:" + "x" * CARD_BYTES, "TEL:1"],
        ["FN:x", *[" x"] * 200, "TEL:1"],
        ["TEL:" + "1" * (1 << 20)],
    ],
)
def test_a_card_of_no_person_is_refused(lines: list[str]) -> None:
    assert read(card(*lines) + card("TEL:2"))[0] == (1, None, TOO_LARGE)


def test_lines_on_which_vobject_would_take_exponential_time_are_read_at_once() -> None:
    hostile = ["TEL;a" + "=b" * 500, "TEL;a" + "=b" * 500 + '":1', "TEL;a" + ",=" * 500 + ":1", 'N;x="' + 'a";' * 400]
    for each in hostile:
        assert read(card(each, "TEL:2"))[-1] == (4, None, "2")


def test_a_picture_of_any_size_is_no_matter() -> None:
    picture = ["PHOTO;ENCODING=b:" + "A" * 1_000_000, *[" " + "A" * 74] * 5000]
    assert read(card(*picture, "TEL:1")) == [(5004, None, "1")]


def test_a_refusal_holds_no_number() -> None:
    book = card("TEL;FAX:+821012345678") + card("TEL:" + "7" * 200)
    for found in read_book(book.encode()):
        assert isinstance(found, Refusal)
        assert "1012345678" not in f"{found!r}"
        assert "777" not in f"{found!r}"
