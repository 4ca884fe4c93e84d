"""Links to a node that holds for anyone; byte for byte: tests/vectors/test_mailbox.py."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import InternalError, UsageError
from p2pchat.base.ids import Address, PeerId, RootKey
from p2pchat.core import codec
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.core.links import encode_link
from p2pchat.core.mailbox_link import Holder, decode_mailbox_link, encode_mailbox_link, fit_for_link
from p2pchat.core.verify import verify_link

PEER = PeerId(PEER_ID_PREFIX + bytes(32))


def holder(*addresses: bytes) -> Holder:
    return Holder(PEER, tuple(map(Address, addresses)))


def link(*fields: object) -> str:
    return encode_link(codec.encode(list(fields)))


@pytest.mark.parametrize("addresses", [(b"a",), (b"a", b"b", b"c", b"d"), (b"a" * 128,) * 3, (b"a", b"b" * 128)])
def test_what_was_written_is_read(addresses: tuple[bytes, ...]) -> None:
    assert decode_mailbox_link(encode_mailbox_link(holder(*addresses)), "link") == holder(*addresses)


def test_what_is_too_much_or_too_long_is_left_out() -> None:
    given = holder(b"", b"a", b"b" * 129, b"c" * 128, b"d", b"e", b"f")
    assert decode_mailbox_link(encode_mailbox_link(given), "link") == holder(b"a", b"c" * 128, b"d", b"e")


@pytest.mark.parametrize("addresses", [(), (b"",), (b"a" * 129, b"")])
def test_no_link_is_written_that_nobody_reads(addresses: tuple[bytes, ...]) -> None:
    assert fit_for_link(holder(*addresses).addresses) == []
    with pytest.raises(InternalError):
        encode_mailbox_link(holder(*addresses))


@pytest.mark.parametrize(("last", "kept"), [(77, 4), (78, 3)])
def test_512_bytes_are_filled(last: int, kept: int) -> None:
    given = holder(b"a" * 128, b"b" * 128, b"c" * 128, b"d" * last)
    written = codec.encode((3, bytes(PEER), list(map(bytes, given.addresses))))
    assert len(written) == 512 + (4 - kept)
    assert decode_mailbox_link(encode_mailbox_link(given), "link").addresses == given.addresses[:kept]


@pytest.mark.parametrize(
    "text",
    [
        link(3, bytes(PEER), []),
        link(3, bytes(PEER), [b"a"] * 5),
        link(3, bytes(PEER), [b"a" * 129]),
        link(4, bytes(PEER), [b"a"]),
        link(3, bytes(38), [b"a"]),
        link(3, bytes(PEER) + b"\0", [b"a"]),
        verify_link(RootKey(bytes(32)), None),
    ],
)
def test_another_link_is_refused_with_a_sentence_that_does_not_quote_it(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        decode_mailbox_link(text, "at")
    assert refused.value.error_name == "INVALID_PARAMS"
    assert refused.value.message == "at: is a link, but not one of a mailbox"
    assert refused.value.data == {"param": "at"}
    assert refused.value.__cause__ is None


def test_what_is_no_link_at_all_is_said_to_be_none() -> None:
    with pytest.raises(UsageError, match="at: is no link"):
        decode_mailbox_link("somebody", "at")
