"""CSV exports of Google and Outlook, old and new; all numbers are made up."""

from __future__ import annotations

import pytest

from p2pchat.cli.addressbook.entry import ENTRIES, NO_NUMBER, Entry, Refusal
from p2pchat.cli.addressbook.read import read_book
from p2pchat.cli.addressbook.table import BROKEN, NO_HEADINGS

GOOGLE_OLD = '''Name,Given Name,Additional Name,Family Name,Notes,Group Membership,E-mail 1 - Type,E-mail 1 - Value,\
Phone 1 - Type,Phone 1 - Value,Phone 2 - Type,Phone 2 - Value,Organization 1 - Name
Minji Kim,Minji,,Kim,"two
lines, one ""note""",* myContacts,* ,minji@example.com,Mobile,+82 10-1234-5678 ::: 010-2345-6789,Home,02-312-3456,
홍길동,길동,,홍,,* myContacts,,,Mobile,010-3456-7890,,,
,,,,,,,,Work,+4930123456,,,Beispiel GmbH
Mail Only,Mail,,Only,,,* ,mail@example.com,,,,,
'''

GOOGLE_NEW = """\
First Name,Middle Name,Last Name,Phonetic First Name,Organization Name,Labels,Phone 1 - Label,Phone 1 - Value
Minji,,Kim,,,* myContacts,Mobile,+82 10-1234-5678
길동,,홍,,,* myContacts,,010-2345-6789
"""

OUTLOOK = """Title,First Name,Middle Name,Last Name,Suffix,Company,Business Fax,Business Phone,Business Phone 2,\
Home Phone,Mobile Phone,Pager,Primary Phone,E-mail Address
,Aino,,Virtanen,,Esimerkki Oy,+358 9 1,+358 9 2,,,+358 40 1234567,,,aino@example.com
"""

OUTLOOK_KOREAN = """호칭,이름,중간 이름,성,회사,근무처 팩스,근무처 전화,집 전화,휴대폰,전자 메일 주소
,길동,,홍,보기 회사,02-1,,02-312-3456,010-1234-5678,gildong@example.com
"""

BY_HAND = "이름;휴대폰 번호\n김철수;010-1234-5678\n"


def read(data: str | bytes) -> list[tuple[int, str | None, str]]:
    """(line, name, number or reason) of everything in a book."""
    raw = data.encode() if isinstance(data, str) else data
    return [
        (found.line, found.name, found.number) if isinstance(found, Entry) else (found.line, None, found.reason)
        for found in read_book(raw)
    ]


AINO = [(2, "Aino Virtanen", "+358 9 2"), (2, "Aino Virtanen", "+358 40 1234567")]


@pytest.mark.parametrize(
    ("book", "expected"),
    [
        (
            GOOGLE_OLD,
            [
                (2, "Minji Kim", "+82 10-1234-5678"),
                (2, "Minji Kim", "010-2345-6789"),
                (2, "Minji Kim", "02-312-3456"),
                (4, "홍길동", "010-3456-7890"),
                (5, "Beispiel GmbH", "+4930123456"),
                (6, None, NO_NUMBER),
            ],
        ),
        (GOOGLE_NEW, [(2, "Minji Kim", "+82 10-1234-5678"), (3, "홍길동", "010-2345-6789")]),
        (OUTLOOK, AINO),
        (OUTLOOK.replace(",", ";"), AINO),
        (OUTLOOK.replace(",", "\t").encode("utf-16"), AINO),
        (OUTLOOK.replace("\n", "\r\n").encode("utf-8-sig"), AINO),
        (OUTLOOK.replace("\n", "\r"), AINO),
        (OUTLOOK_KOREAN, [(2, "홍길동", "02-312-3456"), (2, "홍길동", "010-1234-5678")]),
        (OUTLOOK_KOREAN.encode("cp949"), [(2, "홍길동", "02-312-3456"), (2, "홍길동", "010-1234-5678")]),
        (BY_HAND, [(2, "김철수", "010-1234-5678")]),
    ],
    ids=[
        *("google, old", "google, new", "outlook", "semicolons", "tabs and utf-16", "utf-8 mark", "carriage returns"),
        *("outlook, korean", "outlook, korean, cp949", "by hand"),
    ],
)
def test_what_programs_write(book: str | bytes, expected: list[tuple[int, str | None, str]]) -> None:
    assert read(book) == expected


def test_one_quote_too_many_does_not_eat_the_rest() -> None:
    book = 'Name,Phone\nA,1\nB",2\n"C,3\nD,4\n"E"x,5\nF,6\n'
    assert read(book) == [
        (2, "A", "1"),
        (3, 'B"', "2"),
        (4, None, BROKEN),
        (5, "D", "4"),
        (6, None, BROKEN),
        (7, "F", "6"),
    ]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("A", (2, None, NO_NUMBER)),
        ("A,1,2,3,4", (2, "A", "1")),
        ("x" * 20_000 + ",1", (2, None, BROKEN)),
        ("A\0B,1\0", (2, "A B", "1?")),
        ('"A\nB",1', (2, "A B", "1")),
    ],
)
def test_a_strange_row(row: str, found: tuple[int, str | None, str]) -> None:
    assert read(f"Name,Phone\n{row}\n\n,,\n")[0] == found
    assert read(f"Name,Phone\n{row}\n\nZ,9\n")[-1][1:] == ("Z", "9")


@pytest.mark.parametrize("book", ["", "\n\n", "Name,E-mail\nA,a@example.com\n", "hello", "\0" * 100, '"', "%PDF-1.7\n"])
def test_what_is_no_book_is_one_refusal(book: str) -> None:
    assert read(book) == [(1, None, NO_HEADINGS)]


def test_a_file_has_an_end() -> None:
    found = list(read_book(b"Phone\n" + b"1\n" * (ENTRIES + 5)))
    assert len(found) == ENTRIES + 1
    last = found[-1]
    assert isinstance(last, Refusal)
    assert last.line == ENTRIES + 2


def test_a_quote_in_every_line_is_read_in_time() -> None:
    assert read("Phone\n" + 'a,"b\n' * 30_000)[-1][0] == ENTRIES + 2
