"""Circuit relay v2's messages, against the library's schema of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.relay.circuit_v2.pb import circuit_pb2 as pb

from p2pchat.base.errors import DecodeError
from p2pchat.core import circuit_wire as wire
from p2pchat.core.circuit_wire import HopStatus, Limit, Reservation

PEER = bytes.fromhex("002408011220") + bytes(range(32))
ADDRESS = bytes.fromhex("04c0000201060fa1")
LIMIT = Limit(3_600, 16_777_216)

peers = st.binary(min_size=1, max_size=64)
limits = st.builds(Limit, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
reservations = st.builds(
    Reservation,
    st.integers(0, 2**64 - 1),
    st.lists(st.binary(min_size=1, max_size=128), max_size=8).map(tuple),
)
answers = st.builds(HopStatus, st.integers(0, 2**31 - 1), st.none() | reservations, st.none() | limits)


def test_what_is_asked_is_as_the_schema_has_it() -> None:
    assert wire.encode_reserve() == pb.HopMessage(type=pb.HopMessage.RESERVE).SerializeToString() == b"\x08\x00"
    said = pb.HopMessage.FromString(wire.encode_hop_connect(PEER))
    assert (said.type, said.peer.id) == (pb.HopMessage.CONNECT, PEER)
    stop = pb.StopMessage.FromString(wire.encode_stop_connect(PEER, LIMIT))
    assert (stop.type, stop.peer.id) == (pb.StopMessage.CONNECT, PEER)
    assert (stop.limit.duration, stop.limit.data) == (LIMIT.duration_s, LIMIT.data_bytes)
    answered = pb.StopMessage.FromString(wire.encode_stop_status(wire.OK))
    assert (answered.type, answered.status) == (pb.StopMessage.STATUS, 100)


@given(answers)
def test_what_a_relay_answers_is_as_the_schema_has_it(answer: HopStatus) -> None:
    data = wire.encode_hop_status(answer)
    assert wire.decode_hop_status(data) == answer
    said = pb.HopMessage.FromString(data)
    assert (said.type, said.HasField("reservation")) == (pb.HopMessage.STATUS, answer.reservation is not None)
    if answer.reservation is not None:
        assert said.reservation.expire == answer.reservation.expire_s
        assert tuple(said.reservation.addrs) == answer.reservation.addresses
    if answer.limit is not None:
        assert (said.limit.duration, said.limit.data) == (answer.limit.duration_s, answer.limit.data_bytes)


@given(peers, limits)
def test_what_is_asked_comes_back(peer: bytes, limit: Limit) -> None:
    assert wire.decode_hop_request(wire.encode_reserve()) is None
    assert wire.decode_hop_request(wire.encode_hop_connect(peer)) == peer
    assert wire.decode_stop_connect(wire.encode_stop_connect(peer, limit)) == peer
    assert wire.decode_stop_status(wire.encode_stop_status(203)) == 203


def test_vouchers_and_unknown_fields_are_skipped() -> None:
    said = pb.HopMessage(type=pb.HopMessage.STATUS, status=pb.OK)
    said.reservation.expire = 7
    said.reservation.voucher = b"x" * 300
    said.reservation.addrs.append(ADDRESS)
    data = said.SerializeToString() + bytes.fromhex("9a0602abcd" + "a006ff01")
    assert wire.decode_hop_status(data) == HopStatus(100, Reservation(7, (ADDRESS,)))


def test_too_many_addresses_and_those_that_cannot_be_any_are_left_out() -> None:
    said = pb.HopMessage(type=pb.HopMessage.STATUS, status=pb.OK)
    said.reservation.addrs.extend([b"", b"x" * 129, *[ADDRESS] * 20])
    reservation = wire.decode_hop_status(said.SerializeToString()).reservation
    assert reservation == Reservation(0, (ADDRESS,) * wire.RELAY_ADDRESSES)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x01",  # CONNECT to nobody
        b"\x08\x02\x28\x64",  # an answer
        b"\x08\x03",
        b"\x08\x01\x12\x00",
        b"\x08\x01\x12\x43\x0a\x41" + b"x" * 65,
        b"\x08\x01\x10\x01",  # the peer is a number
        b"\x0a\x01x",  # the type is bytes
        b"\x08\x01\x12\x05\x0a\x09abc",
        b"\xff" * 12,
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        wire.decode_hop_request(data)


@pytest.mark.parametrize("data", [b"", b"\x08\x00", b"\x08\x01\x28\x64", b"\x08\x02\x1a\x01", b"\x08\x02\x28"])
def test_what_is_no_answer_of_a_relay_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        wire.decode_hop_status(data)


@pytest.mark.parametrize("data", [b"", b"\x08\x00", b"\x08\x01\x20\x64", b"\x08\x00\x12\x02\x0a\x00"])
def test_what_names_nobody_who_connects_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        wire.decode_stop_connect(data)


@pytest.mark.parametrize("data", [b"", b"\x08\x00", b"\x20\x64"])
def test_what_is_no_answer_of_a_node_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        wire.decode_stop_status(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    for decode in (wire.decode_hop_request, wire.decode_hop_status, wire.decode_stop_connect, wire.decode_stop_status):
        try:
            decode(data)
        except DecodeError:
            continue
