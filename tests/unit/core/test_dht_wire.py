"""Frames of /p2pchat/records/1, byte for byte, with msgpack as the independent oracle."""

from __future__ import annotations

from typing import cast

import msgpack
import pytest

from p2pchat.base.errors import DecodeError
from p2pchat.core.codec import encode
from p2pchat.core.dht_wire import ANSWER, REQUEST, REQUEST_MAX_BYTES, Push, Reply, Request, ToldPeer

LOC = bytes(range(32))
RECORD = b"r" * 969
PEER = b"\x00\x24\x08\x01\x12\x20" + b"k" * 32
ADDRESS = bytes.fromhex("047f00000106 0fa1")


def packed(value: object) -> bytes:
    return cast(bytes, msgpack.packb(value))


@pytest.mark.parametrize(
    ("request_", "array"),
    [
        (Request(0, LOC, None, True, 0), [0, 0, LOC, None, True, 0]),
        (Request(2**32 - 1, LOC, RECORD, False, 65_535), [0, 2**32 - 1, LOC, RECORD, False, 65_535]),
    ],
)
def test_a_request_is_this_array(request_: Request, array: list[object]) -> None:
    assert encode(request_) == packed(array)
    assert REQUEST.decode(packed(array)) == request_


@pytest.mark.parametrize(
    ("answer", "array"),
    [
        (Reply(7, None, 0, (), ()), [1, 7, None, 0, [], []]),
        (
            Reply(7, True, 3600, (RECORD,), (ToldPeer(PEER, (ADDRESS,)), ToldPeer(PEER, ()))),
            [1, 7, True, 3600, [RECORD], [[PEER, [ADDRESS]], [PEER, []]]],
        ),
        (Push(LOC, RECORD), [2, LOC, RECORD]),
    ],
)
def test_an_answer_is_this_array(answer: Reply | Push, array: list[object]) -> None:
    assert encode(answer) == packed(array)
    assert ANSWER.decode(packed(array)) == answer


def test_what_is_put_may_have_any_length_since_the_storer_refuses_it() -> None:
    assert REQUEST.decode(packed([0, 1, LOC, b"short", True, 0])).put == b"short"


@pytest.mark.parametrize(
    "array",
    [
        [],
        [0, 1, LOC, None, True],
        [0, 1, LOC, None, True, 0, 0],
        [1, 1, LOC, None, True, 0],
        [0, -1, LOC, None, True, 0],
        [0, 2**32, LOC, None, True, 0],
        [0, 1, LOC[:31], None, True, 0],
        [0, 1, LOC + b"x", None, True, 0],
        [0, 1, "l" * 32, None, True, 0],
        [0, 1, LOC, True, True, 0],
        [0, 1, LOC, None, None, 0],
        [0, 1, LOC, None, 1, 0],
        [0, 1, LOC, None, True, 65_536],
        [0, 1, LOC, None, True, -1],
        [0, 1, LOC, bytes(REQUEST_MAX_BYTES), True, 0],
        {0: 1},
    ],
)
def test_a_malformed_request_is_refused(array: object) -> None:
    with pytest.raises(DecodeError):
        REQUEST.decode(packed(array))


@pytest.mark.parametrize(
    "array",
    [
        [0, 7, LOC, None, True, 0],
        [3, LOC, RECORD],
        [1, 7, None, 0, [], [], []],
        [1, 7, 1, 0, [], []],
        [1, 7, None, 0, [RECORD[1:]], []],
        [1, 7, None, 0, [RECORD] * 17, []],
        [1, 7, None, 0, [], [[PEER, []]] * 21],
        [1, 7, None, 0, [], [[PEER, [ADDRESS] * 9]]],
        [1, 7, None, 0, [], [[PEER, [b"a" * 129]]]],
        [1, 7, None, 0, [], [[PEER, [b""]]]],
        [1, 7, None, 0, [], [[b"", []]]],
        [1, 7, None, 0, [], [[b"p" * 65, []]]],
        [1, 7, None, 0, [], [[PEER]]],
        [2, LOC, RECORD + b"x"],
        [2, LOC[1:], RECORD],
    ],
)
def test_a_malformed_answer_is_refused(array: object) -> None:
    with pytest.raises(DecodeError):
        ANSWER.decode(packed(array))


def test_what_is_not_canonical_is_refused() -> None:
    canonical = packed([0, 1, LOC, None, True, 0])
    longer_integer = canonical.replace(b"\x96\x00\x01", b"\x96\x00\xcc\x01")
    assert msgpack.unpackb(longer_integer) == msgpack.unpackb(canonical)
    for data in (longer_integer, canonical + b"\x00", canonical[:-1]):
        with pytest.raises(DecodeError):
            REQUEST.decode(data)


def test_the_largest_reply_fits_its_bound() -> None:
    peers = tuple(ToldPeer(b"p" * 64, (b"a" * 128,) * 8) for _ in range(20))
    largest = Reply(2**32 - 1, True, 65_535, (RECORD,) * 16, peers)
    assert ANSWER.decode(encode(largest)) == largest
