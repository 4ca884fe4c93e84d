"""Links: one text for every payload, and nothing else is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.base.errors import InternalError, UsageError
from p2pchat.core.links import PAYLOAD_BYTES, decode_link, encode_link, is_link

PAYLOADS = st.binary(min_size=1, max_size=PAYLOAD_BYTES)
LINK = "p2pchat:nbswy3dp"  # "hello"


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as refused:
        decode_link(text, "scanned")
    assert refused.value.error_name == "INVALID_PARAMS"
    assert refused.value.data == {"param": "scanned"}
    assert refused.value.message.startswith("scanned: ")
    return refused.value.message


@given(PAYLOADS)
def test_a_payload_comes_back(payload: bytes) -> None:
    link = encode_link(payload)
    assert is_link(link)
    assert link == link.lower()
    assert "=" not in link
    assert decode_link(link) == decode_link(link.upper()) == payload


@given(st.text(max_size=60) | st.text("abcdefghijklmnopqrstuvwxyz234567=018 ", max_size=60).map("p2pchat:".__add__))
def test_whatever_decodes_is_what_would_be_written(text: str) -> None:
    try:
        payload = decode_link(text)
    except UsageError:
        return
    assert encode_link(payload) == "".join(text.split()).strip("<>").lower()


@pytest.mark.parametrize(
    "text",
    [
        LINK,
        LINK.upper(),
        f"<{LINK}>",
        f"  {LINK}\n",
        "p2pchat:nbs\n  wy3\r\n\tdp",
        "< P2PCHAT: nbsw y3dp >",
        "P2pChat:NbSwY3Dp",
    ],
)
def test_what_a_mail_or_a_scanner_makes_of_it_is_read(text: str) -> None:
    assert is_link(text)
    assert decode_link(text) == b"hello"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no link"),
        ("+821012345678", "no link"),
        ("p2pchatnbswy3dp", "no link"),
        ("https:nbswy3dp", "no link"),
        (f"<{LINK}", "no link"),
        ("p2pchat:", "cut off"),
        ("p2pchat:n", "cut off"),
        ("p2pchat:nbs", "cut off"),
        ("p2pchat:nbswy3", "cut off"),
        ("p2pchat:nb", "cut off"),  # a bit set that no byte has
        ("p2pchat:nbswy3dp========", "cut off"),
        ("p2pchat:nbswy3d0", "cut off"),
        ("p2pchat:nbswy3d1", "cut off"),
        ("p2pchat:nbswy3d8", "cut off"),
        (f"{LINK}>", "cut off"),
        ("p2pchat:nbswy3d\u212a", "no link"),  # its lower case is k
        ("p2pchat:nb\u017fwy3dp", "no link"),  # its upper case is S
        ("p2pchat:" + "a" * 5_000, "no link"),
    ],
)
def test_what_is_none_is_refused_and_not_quoted(text: str, why: str) -> None:
    message = refusal(text)
    assert why in message
    assert "nbswy" not in message


def test_the_bounds() -> None:
    assert decode_link(encode_link(bytes(512))) == bytes(512)
    assert "too long" in refusal("p2pchat:" + "a" * 824)  # 515 bytes
    for payload in (b"", bytes(513)):
        with pytest.raises(InternalError):
            encode_link(payload)


def test_what_begins_like_one_is_meant_as_one() -> None:
    assert is_link("p2pchat:broken!")
    assert not is_link("Bob")
    assert not is_link("")
