"""Phone numbers: what a person types becomes the one E.164 string that both ends hash (PROTOCOL.md 2).

Two people match only if both nodes write a number alike, so every spelling of it has to end in the same string:

1. At most 128 characters are looked at. NFKC; formatting (zero-width, direction) characters go; every decimal digit of
   any script becomes ASCII, every dash ``-``; a leading ``tel:`` goes.
2. What is left may hold digits, spaces, ``+ ( ) . / -`` only. That refuses letters and thereby extensions.
3. libphonenumber parses it, with the owner's region where it does not start with ``+``.
4. ``+521…`` that is not valid is tried without the 1; an Argentine number without the 9 is tried with it first.
5. The result must be valid, and a mobile number as far as its country's plan can tell.

No message or repr ever holds the number, or a part of it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import phonenumbers

from p2pchat.base.errors import UsageError

MAX_INPUT_CHARS: Final = 128
_MEXICO: Final = 52
_ARGENTINA: Final = 54
_ALLOWED: Final = re.compile(r"[0-9+ ()./-]+")
_E164: Final = re.compile(r"\+[0-9]{7,15}")
_DASHES: Final = frozenset("\u2212\u30fc")  # minus, Japanese long-vowel mark: dashes here, but not of class Pd


class Number(str):
    """A phone number in E.164 form, ``+`` and 7 to 15 digits, whose repr, str and format hide it.

    As a ``str`` it compares, hashes, encodes and binds to the database as the number itself.

    Source: PROTOCOL.md 2.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Number(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    @property
    def e164(self) -> str:
        """The number as a plain string: for the owner's eyes and the database only."""
        return str.__str__(self)


def parse_number(text: str, region: str | None) -> Number:
    """The number that ``text`` means.

    Args:
        text: as typed or pasted.
        region: the owner's region for numbers without ``+``, two upper-case letters such as ``KR``; None: not known.

    Raises:
        UsageError: INVALID_PARAMS, with one sentence that says what is wrong and never holds the number.

    Source: PROTOCOL.md 2.
    """
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise UsageError("The region must be a known two-letter country code in capitals, such as KR.")
    cleaned = _clean(text)
    if region is None and not cleaned.lstrip(" (").startswith("+"):
        raise UsageError("A phone number without + needs a region, such as KR (init --region KR).")
    try:
        parsed = phonenumbers.parse(cleaned, region)
    except phonenumbers.NumberParseException:
        # The cause is left out on purpose: it is the library's to word, and a traceback may quote what was typed.
        raise UsageError("This is not a phone number.") from None
    return _checked(_respelled(parsed))


def region_of(number: Number) -> str | None:
    """The region of a number, two letters, or None where its prefix belongs to no single one."""
    try:
        parsed = phonenumbers.parse(number.e164)
    except phonenumbers.NumberParseException:  # only for a Number that parse_number did not make
        return None
    return phonenumbers.region_code_for_number(parsed)


def _clean(text: str) -> str:
    if len(text) > MAX_INPUT_CHARS:
        raise UsageError(f"A phone number may not have more than {MAX_INPUT_CHARS} characters.")
    cleaned = "".join(map(_plain, unicodedata.normalize("NFKC", text))).strip()
    if cleaned[:4].lower() == "tel:":
        cleaned = cleaned[4:]
    if not _ALLOWED.fullmatch(cleaned):
        raise UsageError("A phone number has digits, spaces, + ( ) . / and - only: no letters and no extension.")
    return cleaned


def _plain(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Cf":
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(char))
    return "-" if category == "Pd" or char in _DASHES else char


def _respelled(parsed: phonenumbers.PhoneNumber) -> phonenumbers.PhoneNumber:
    """``parsed``, or the spelling of it that both ends agree on."""
    national = str(parsed.national_number)
    if parsed.country_code == _MEXICO and national.startswith("1") and not phonenumbers.is_valid_number(parsed):
        return phonenumbers.PhoneNumber(country_code=_MEXICO, national_number=int(national[1:] or "0"))
    if parsed.country_code == _ARGENTINA and not national.startswith("9"):
        mobile = phonenumbers.PhoneNumber(country_code=_ARGENTINA, national_number=int("9" + national))
        if _is_mobile(mobile):
            return mobile
    return parsed


def _is_mobile(number: phonenumbers.PhoneNumber) -> bool:
    kinds = phonenumbers.PhoneNumberType
    return phonenumbers.number_type(number) in (kinds.MOBILE, kinds.FIXED_LINE_OR_MOBILE)


def _checked(parsed: phonenumbers.PhoneNumber) -> Number:
    if parsed.extension or not phonenumbers.is_valid_number(parsed):
        raise UsageError("This is not a valid phone number.")
    if not _is_mobile(parsed):
        raise UsageError("This is not a mobile phone number.")
    text = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    if not _E164.fullmatch(text):
        raise UsageError("This is not a valid phone number.")
    return Number(text)
