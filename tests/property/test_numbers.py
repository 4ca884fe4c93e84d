"""Whatever is typed, the answer is an E.164 number or one sentence that does not quote it (PROTOCOL.md 2)."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.base.errors import UsageError
from p2pchat.core.numbers import parse_number

DIGITS = st.text("0123456789", max_size=16)
TYPED = st.text(max_size=140) | st.builds(
    "".join, st.lists(DIGITS | st.sampled_from([*" +-()./xX;,#\0\u200b", "tel:"]))
)


@settings(deadline=None)
@given(TYPED, st.sampled_from([None, "KR", "MX", "AR", "BR", "US", "DE", "IT", "XX"]))
def test_a_number_or_one_sentence(text: str, region: str | None) -> None:
    message, number = "", None
    try:
        number = parse_number(text, region)
    except UsageError as error:
        message = error.message
    assert not [run for run in re.findall(r"\d{3,}", text) if run in message and run != "128"]
    if number is not None:
        assert re.fullmatch(r"\+[0-9]{7,15}", number.e164)
        assert parse_number(number.e164, None) == number
