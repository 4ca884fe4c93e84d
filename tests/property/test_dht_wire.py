"""Both DHT wires under arbitrary bytes, round trips and changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2pchat.base.errors import DecodeError
from p2pchat.core import kad_wire
from p2pchat.core.codec import encode
from p2pchat.core.dht_wire import ANSWER, REQUEST, Push, Reply, Request, ToldPeer
from p2pchat.core.kad_wire import FIND_NODE, KadMessage, VarintReader

locs = st.binary(min_size=32, max_size=32)
records = st.binary(min_size=969, max_size=969)
u16, u32 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
told_peers = st.builds(
    ToldPeer,
    st.binary(min_size=1, max_size=64),
    st.lists(st.binary(min_size=1, max_size=128), max_size=8).map(tuple),
)
many_told = st.lists(told_peers, max_size=20).map(tuple)
requests = st.builds(Request, u32, locs, st.none() | records | st.binary(max_size=50), st.booleans(), u16)
replies = st.builds(Reply, u32, st.none() | st.booleans(), u16, st.lists(records, max_size=16).map(tuple), many_told)


@given(requests)
def test_a_request_comes_back_as_it_was(request: Request) -> None:
    assert REQUEST.decode(encode(request)) == request


@given(replies | st.builds(Push, locs, records))
def test_an_answer_comes_back_as_it_was(answer: Reply | Push) -> None:
    assert ANSWER.decode(encode(answer)) == answer


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_canonical(data: bytes) -> None:
    for decoder in (REQUEST, ANSWER):
        try:
            value = decoder.decode(data)
        except DecodeError:
            continue
        assert encode(value) == data


@given(requests, st.data())
def test_a_request_with_a_byte_changed_is_another_or_none(request: Request, data: st.DataObject) -> None:
    wire = bytearray(encode(request))
    wire[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = REQUEST.decode(bytes(wire))
    except DecodeError:
        return
    assert changed != request


@given(many_told)
def test_a_kad_reply_comes_back_as_it_was(peers: tuple[ToldPeer, ...]) -> None:
    reply = KadMessage(FIND_NODE, peers=peers)
    assert kad_wire.decode_reply(kad_wire.encode_reply(reply)) == reply


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: b"\x08\x04\x12\x01k" + tail))
def test_any_bytes_are_a_kad_message_or_refused(data: bytes) -> None:
    for decode in (kad_wire.decode_request, kad_wire.decode_reply):
        try:
            message = decode(data)
        except DecodeError:
            continue
        assert len(message.peers) <= 20
        assert all(len(peer.addresses) <= 8 for peer in message.peers)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.data())
def test_messages_survive_being_cut_anywhere(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(kad_wire.with_length, messages))
    reader, found = VarintReader(300), list[bytes]()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        reader.feed(stream[:size])
        stream = stream[size:]
        while (message := reader.next_frame()) is not None:
            found.append(message)
    assert found == messages


@given(
    st.binary(max_size=64) | st.lists(st.binary(max_size=40)).map(lambda ms: b"".join(map(kad_wire.with_length, ms)))
)
def test_any_stream_is_messages_in_their_shortest_form_or_refused(data: bytes) -> None:
    reader, found = VarintReader(32), b""
    reader.feed(data)
    try:
        while (message := reader.next_frame()) is not None:
            found += kad_wire.with_length(message)
    except DecodeError:
        pass  # what came before the refusal is checked below
    assert data.startswith(found)
