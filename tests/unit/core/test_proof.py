"""The code of an SMS: one SMS in every encoding, every code comes back, and nothing is shown that is secret."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.base.errors import DecodeError, UsageError
from p2pchat.core.proof import (
    CODE_BYTES,
    ProofAsk,
    ProofItem,
    SmsCode,
    decode_ask,
    decode_proof,
    decode_result,
    encode_proof,
    parse_code,
)

CODES = st.binary(min_size=CODE_BYTES, max_size=CODE_BYTES).map(SmsCode)
NOT_GSM_7 = set("[]\\^`{|}~")
"""The printable ASCII that GSM 03.38 has no septet for: each takes two, of the 160 of one SMS."""


@given(CODES)
def test_the_text_is_one_sms_in_every_encoding(code: SmsCode) -> None:
    text = code.sms()
    assert code.shown() in text
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 70  # UCS-2: 140 bytes
    assert not set(text) & NOT_GSM_7


@given(CODES)
def test_every_code_is_typed_back(code: SmsCode) -> None:
    assert parse_code(code.shown()) == parse_code(code.shown().lower().replace("-", " - ")) == code
    assert not set(code.shown()) & set("01OI")


@given(st.text(max_size=24))
def test_whatever_is_taken_is_a_code(text: str) -> None:
    try:
        code = parse_code(text)
    except UsageError as refused:
        assert refused.error_name == "INVALID_PARAMS"  # noqa: PT017  most texts are none
        return
    assert len(code.secret) == CODE_BYTES


@pytest.mark.parametrize("sign", ["0", "1", "O", "I", "o", "i", "\u0131", "\uff21"])
def test_no_sign_is_read_as_another(sign: str) -> None:
    parse_code("ABCD-EFGH-JKLM-NPQR")
    with pytest.raises(UsageError, match="code: has 16"):
        parse_code(f"{sign}BCD-EFGH-JKLM-NPQR")


@pytest.mark.parametrize("decode", [decode_ask, decode_proof, decode_result])
@given(data=st.binary(max_size=80))
def test_a_body_of_any_bytes_is_an_item_or_refused(decode: Callable[[bytes], ProofItem], data: bytes) -> None:
    try:
        item = decode(data)
    except DecodeError:
        return
    assert encode_proof(item) == data


def test_nothing_shows_the_code() -> None:
    code = parse_code("AAAA-BBBB-CCCC-DDDD")
    assert repr(code) == "SmsCode()"
    assert repr(ProofAsk(bytes(16))) == "ProofAsk(…)"
