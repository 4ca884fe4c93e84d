"""The kad-dht wire, byte for byte."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import DecodeError
from p2pchat.core.dht_wire import ToldPeer
from p2pchat.core.kad_wire import (
    FIND_NODE,
    PING,
    KadMessage,
    VarintReader,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    with_length,
)

TYPE_4 = b"\x08\x04"
KEY = b"\x12\x03key"


def test_find_node_is_its_type_and_its_key() -> None:
    request = KadMessage(FIND_NODE, b"key")
    assert encode_request(request) == TYPE_4 + KEY
    assert decode_request(TYPE_4 + KEY) == request


def test_ping_is_its_type_alone_both_ways() -> None:
    assert encode_request(KadMessage(PING)) == encode_reply(KadMessage(PING)) == b"\x08\x05"
    assert decode_request(b"\x08\x05") == decode_reply(b"\x08\x05") == KadMessage(PING)


def test_a_reply_names_peers_with_addresses_as_connected() -> None:
    reply = KadMessage(FIND_NODE, peers=(ToldPeer(b"id", (b"a1", b"a2")), ToldPeer(b"x", ())))
    first = b"\x0a\x02id" + b"\x12\x02a1" + b"\x12\x02a2" + b"\x18\x01"
    second = b"\x0a\x01x" + b"\x18\x01"
    wire = TYPE_4 + b"\x42" + bytes([len(first)]) + first + b"\x42" + bytes([len(second)]) + second
    assert encode_reply(reply) == wire
    assert decode_reply(wire) == reply


def test_other_fields_of_other_implementations_are_skipped() -> None:
    extra = b"\x50\x0a" + b"\x5a\x03rec" + b"\x4a\x00" + b"\x79" + bytes(8) + b"\x7d" + bytes(4)
    assert decode_request(extra + TYPE_4 + extra + KEY) == KadMessage(FIND_NODE, b"key")


def test_the_surplus_of_a_chatty_reply_is_dropped() -> None:
    chatty = (
        b"\x0a\x01p"
        + b"".join(b"\x12\x01" + bytes([i]) for i in range(12))
        + b"\x12\x00"
        + b"\x12\x81\x01"
        + b"a" * 129
    )
    wire = TYPE_4 + (b"\x42" + bytes([len(chatty) & 127 | 128, len(chatty) >> 7]) + chatty) * 25
    peers = decode_reply(wire).peers
    assert len(peers) == 20
    assert peers[0].addresses == tuple(bytes([i]) for i in range(8))


@pytest.mark.parametrize(
    "data",
    [
        b"",  # the default type: PUT_VALUE
        *(b"\x08" + bytes([kind]) + KEY for kind in (0, 1, 2, 3, 6)),
        TYPE_4,  # no key
        TYPE_4 + b"\x12\x00",
        TYPE_4 + b"\x12\x41" + b"k" * 65,
        TYPE_4 + b"\x12\x05key",  # ends too early
        TYPE_4 + b"\x10\x03",  # a number where the key belongs
        b"\x0a\x01\x04" + KEY,  # bytes where the type belongs
        TYPE_4 + KEY + b"\x80",  # half a tag
        TYPE_4 + KEY + b"\x53\x54",  # a group
        TYPE_4 + KEY + b"\x02\x00",  # field 0
        TYPE_4 + KEY + b"\x51" + bytes(7),
        b"\x08" + b"\x84" + b"\x80" * 9 + b"\x00" + KEY,  # a varint of 11 bytes
        b"\x08" + b"\x84" + b"\x80" * 8 + b"\x02" + KEY,  # 2^64 + 4
    ],
)
def test_a_malformed_request_or_one_of_another_type_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_request(data)


@pytest.mark.parametrize("peer", [b"", b"\x0a\x00", b"\x12\x02a1", b"\x0a\x41" + b"p" * 65, b"\x08\x01"])
def test_a_reply_with_a_peer_without_an_id_is_refused(peer: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_reply(TYPE_4 + b"\x42" + bytes([len(peer)]) + peer)


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 1000])
def test_messages_are_cut_from_a_stream_in_whatever_pieces(piece_bytes: int) -> None:
    messages = [b"a", b"b" * 127, b"c" * 128, b"d" * 4096]
    stream = b"".join(map(with_length, messages))
    reader, found = VarintReader(4096), []
    for start in range(0, len(stream), piece_bytes):
        reader.feed(stream[start : start + piece_bytes])
        while (message := reader.next_frame()) is not None:
            found.append(message)
    assert found == messages


@pytest.mark.parametrize("head", [b"\x00", b"\x81\x20", b"\x81\x00a", b"\x80\x80\x80", b"\xff\xff\xff\xff"])
def test_a_length_of_zero_too_long_or_not_in_shortest_form_is_refused(head: bytes) -> None:
    reader = VarintReader(4096)
    reader.feed(head)
    with pytest.raises(DecodeError):
        reader.next_frame()
