"""Every spelling of a number ends in the same string, and no message or repr shows it (PROTOCOL.md 2)."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.core.numbers import MAX_INPUT_CHARS, Number, parse_number, region_of

KOREAN = "+821012345678"
MEXICAN = "+525512345678"
ARGENTINE = "+5491123456789"
BRAZILIAN = "+5511912345678"
US = "+12015550123"
GERMAN = "+4915123456789"


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("010-1234-5678", "KR", KOREAN),
        ("+82 10-1234-5678", None, KOREAN),
        ("+82 010-1234-5678", None, KOREAN),
        ("+82 (0)10 1234 5678", None, KOREAN),
        ("(+82) 10.1234.5678", None, KOREAN),
        ("0082 10 1234 5678", "DE", KOREAN),
        ("tel:+82-10-1234-5678", None, KOREAN),
        ("TEL:010-1234-5678", "KR", KOREAN),
        ("  +821012345678\n", None, KOREAN),
        ("\uff0b\uff18\uff12\uff11\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18", None, KOREAN),
        ("\uff10\uff11\uff10\uff0d\uff11\uff12\uff13\uff14\uff0d\uff15\uff16\uff17\uff18", "KR", KOREAN),
        ("\u0660\u0661\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668", "KR", KOREAN),
        ("+\u06f8\u06f2\u06f1\u06f0\u06f1\u06f2\u06f3\u06f4\u06f5\u06f6\u06f7\u06f8", None, KOREAN),
        ("+82\u200b10\u200c1234\u200d5678\ufeff", None, KOREAN),
        ("\u202a+82 10\u00a01234\u00ad5678\u202c", None, KOREAN),
        ("010\u20131234\u22125678", "KR", KOREAN),
        ("010\u30fc1234\u30fc5678", "KR", KOREAN),
        ("+52 55 1234 5678", None, MEXICAN),
        ("+52 1 55 1234 5678", None, MEXICAN),
        ("+5215512345678", "KR", MEXICAN),
        ("1 55 1234 5678", "MX", MEXICAN),
        ("55 1234 5678", "MX", MEXICAN),
        ("+54 9 11 2345 6789", None, ARGENTINE),
        ("+54 11 2345 6789", None, ARGENTINE),
        ("+54 11 15 2345 6789", None, ARGENTINE),
        ("011 15-2345-6789", "AR", ARGENTINE),
        ("11 2345-6789", "AR", ARGENTINE),
        ("(11) 91234-5678", "BR", BRAZILIAN),
        ("0 15 11 91234-5678", "BR", BRAZILIAN),
        ("+55 11 91234 5678", None, BRAZILIAN),
        ("(201) 555-0123", "US", US),
        ("+1 201 555 0123", None, US),
        ("01512/3456789", "DE", GERMAN),
        ("+49 1512 3456789", "US", GERMAN),
        ("+39 312 345 6789", None, "+393123456789"),
    ],
)
def test_spelling(text: str, region: str | None, expected: str) -> None:
    number = parse_number(text, region)
    assert number.e164 == expected
    assert parse_number(number.e164, None) == number


@pytest.mark.parametrize(
    ("text", "region", "part"),
    [
        ("", "KR", "digits"),
        ("   ", "KR", "digits"),
        ("010-1234-5678", None, "region"),
        ("010-1234-5678", "XX", "country code"),
        ("010-1234-5678", "kr", "country code"),
        ("01012345678x12", "KR", "extension"),
        ("010-1234-5678 ext. 12", "KR", "extension"),
        ("tel:+82-10-1234-5678;ext=12", None, "extension"),
        ("+82-10-1234-5678#12", None, "extension"),
        ("+1 800 FLOWERS", None, "letters"),
        ("+8210\x0012345678", None, "digits"),
        ("+8210\U0001f4de12345678", None, "digits"),
        ("+1 201 555 012", None, "not a valid"),
        ("+82 10-1234-56789", None, "not a valid"),
        ("+82 2 312 3456", None, "not a mobile"),
        ("+49 30 123456", None, "not a mobile"),
        ("+1 800 555 0199", None, "not a mobile"),
        ("+52 1 55 1234 567", None, "not a valid"),
        ("+52 1", None, "not a"),
        ("+54 800 123 4567", None, "not a mobile"),
        ("+999 123 456 789", None, "not a phone number"),
        ("+82 10 +1234 5678", None, "not a"),
        ("+", None, "not a phone number"),
        ("1", "KR", "not a phone number"),
        ("1" * 128, "KR", "not a phone number"),
        ("1" * 129, "KR", "128"),
        ("+82" + "\u200b" * 1_000_000 + "1012345678", None, "128"),
        ("\ufdfa" * 128, "KR", "letters"),  # one character, eighteen after NFKC
    ],
)
def test_refusal_says_what_is_wrong_in_one_sentence_without_the_number(
    text: str, region: str | None, part: str
) -> None:
    with pytest.raises(UsageError) as refused:
        parse_number(text, region)
    assert refused.value.error_name == "INVALID_PARAMS"
    message = refused.value.message
    assert part in message
    assert message.endswith(".")
    assert message.count(". ") <= 1  # that of "( ) . /"
    assert not any(char.isdigit() for char in message.replace(str(MAX_INPUT_CHARS), ""))
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_number_hides_itself_wherever_it_is_shown() -> None:
    number = parse_number(KOREAN, None)
    shown = [repr(number), str(number), f"{number}", f"{number:>30}", "%s" % number, repr([number]), f"{number!r}"]  # noqa: UP031
    assert not [text for text in shown if "1234" in text]


def test_a_number_is_the_string_of_its_e164_form() -> None:
    number = parse_number(KOREAN, None)
    assert number == KOREAN
    assert number.encode() == KOREAN.encode()
    assert {KOREAN: 1}[number] == 1
    assert type(number.e164) is str


@pytest.mark.parametrize(
    ("number", "region"), [(KOREAN, "KR"), (MEXICAN, "MX"), (US, "US"), (GERMAN, "DE"), ("+999123", None), ("", None)]
)
def test_region(number: str, region: str | None) -> None:
    assert region_of(Number(number)) == region
