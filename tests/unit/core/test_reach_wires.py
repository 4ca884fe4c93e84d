"""AutoNAT, DCUtR and NAT-PMP, byte for byte, and what is refused of them."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import DecodeError
from p2pchat.core import autonat, holepunch, natpmp


def test_a_question_of_autonat() -> None:
    info = b"\x0a\x02id" + b"\x12\x02a1" + b"\x12\x02a2"
    wire = b"\x08\x00" + b"\x12" + bytes([len(info) + 2]) + b"\x0a" + bytes([len(info)]) + info
    assert autonat.encode_dial(b"id", [b"a1", b"a2"]) == wire
    assert autonat.decode_dial(wire) == autonat.Dial(b"id", (b"a1", b"a2"))


def test_an_answer_of_autonat() -> None:
    ok = autonat.DialAnswer(autonat.OK, b"a1")
    assert autonat.encode_answer(ok) == b"\x08\x01\x1a\x06\x08\x00\x1a\x02a1"
    assert autonat.decode_answer(autonat.encode_answer(ok)) == ok
    failed = b"\x08\x01\x1a\x08\x08\x64\x12\x04text"  # with a text, as others send
    assert autonat.decode_answer(failed) == autonat.DialAnswer(autonat.DIAL_ERROR)


def test_of_too_much_the_surplus_is_dropped() -> None:
    many = [bytes([number]) for number in range(1, 40)]
    assert autonat.decode_dial(autonat.encode_dial(b"", many)).addresses == tuple(many[:16])
    assert autonat.decode_dial(autonat.encode_dial(b"", [b"", bytes(129), b"a"])).addresses == (b"a",)
    assert autonat.decode_answer(autonat.encode_answer(autonat.DialAnswer(0, bytes(129)))).address == b""
    assert holepunch.decode(holepunch.encode(holepunch.CONNECT, many), holepunch.CONNECT) == tuple(many[:16])
    assert holepunch.decode(holepunch.encode(100, [b"", bytes(129), b"a"]), 100) == (b"a",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x00",  # nobody is asked for
        b"\x08\x01\x12\x02\x0a\x00",  # an answer's type
        b"\x12\x02\x0a\x00",  # no type
        b"\x08\x00\x12\x00",
        b"\x08\x00\x10\x00",  # a number in the place of a message
        b"\x08\x00\x12\x05\x0a\x00",  # cut off
        b"\x0b",
    ],
)
def test_what_is_no_question(data: bytes) -> None:
    with pytest.raises(DecodeError):
        autonat.decode_dial(data)


@pytest.mark.parametrize(
    "data", [b"", b"\x08\x01", b"\x08\x01\x1a\x00", b"\x08\x00\x1a\x02\x08\x00", b"\x1a\x02\x08\x00"]
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(DecodeError):
        autonat.decode_answer(data)


def test_the_messages_of_dcutr() -> None:
    assert holepunch.encode(holepunch.CONNECT, [b"a1"]) == b"\x08\x64\x12\x02a1"
    assert holepunch.encode(holepunch.SYNC) == b"\x08\xac\x02"
    assert holepunch.decode(b"\x08\xac\x02", holepunch.SYNC) == ()


@pytest.mark.parametrize("data", [b"", b"\x08\xac\x02", b"\x08\x01", b"\x12\x02a1", b"\x0a\x00", b"\x08\x64\x12\x09a"])
def test_what_is_no_connect(data: bytes) -> None:
    with pytest.raises(DecodeError):
        holepunch.decode(data, holepunch.CONNECT)


def test_what_a_router_is_asked() -> None:
    assert natpmp.ask_address() == b"\0\0"
    wire = b"\0\2\0\0" + (4001).to_bytes(2, "big") + (4002).to_bytes(2, "big") + (3600).to_bytes(4, "big")
    assert natpmp.ask_mapping(natpmp.Mapping(4001, 4002, 3600)) == wire


def test_what_a_router_answers() -> None:
    assert natpmp.read_address(b"\0\x80\0\0" + bytes(4) + bytes([12, 0, 0, 9])) == "12.0.0.9"
    answer = b"\0\x82\0\0" + bytes(4) + b"\x0f\xa1\x0f\xa2\0\0\x0e\x10"
    assert natpmp.read_mapping(answer, 4001) == natpmp.Mapping(4001, 4002, 3600)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\x82\0\0",
        b"\0\x82\0\2" + bytes(4) + b"\x0f\xa1\x0f\xa2\0\0\x0e\x10",  # not authorised
        b"\0\x80\0\0" + bytes(4) + b"\x0f\xa1\x0f\xa2\0\0\x0e\x10",
        b"\2\x82\0\0" + bytes(4) + b"\x0f\xa1\x0f\xa2\0\0\x0e\x10",  # PCP
        b"\0\x82\0\0" + bytes(4) + b"\x0f\xa2\x0f\xa2\0\0\x0e\x10",  # another port's
        b"\0\x82\0\0" + bytes(4) + b"\x0f\xa1\0\0\0\0\x0e\x10",  # to port 0
    ],
)
def test_what_is_no_mapping(data: bytes) -> None:
    with pytest.raises(DecodeError):
        natpmp.read_mapping(data, 4001)


def test_a_refusal_is_an_answer() -> None:
    assert natpmp.is_answer(b"\0\x82\0\2\0\0\0\0", 2)
    assert not natpmp.is_answer(b"\0\x82\0\2\0\0\0\0", 0)
    with pytest.raises(DecodeError):
        natpmp.read_address(b"\0\x80\0\3" + bytes(8))
