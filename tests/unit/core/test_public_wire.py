"""The wire of the public DHT, against vectors written by hand and bytes of any kind."""

from __future__ import annotations

import base64
import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.base.errors import DecodeError
from p2pchat.core import public_wire as wire
from p2pchat.core.dht_wire import ToldPeer
from p2pchat.core.protobuf import tagged

KEY_HEX = "1220" + hashlib.sha256(b"p2pchat meeting point, version 1").hexdigest()


def peer(number: int, *addresses: bytes) -> ToldPeer:
    return ToldPeer(b"\x12\x20" + bytes([number]) * 32, addresses or (b"\x04\x7f\x00\x00\x01\x06\x0f\xa1",))


def encoded(each: ToldPeer) -> bytes:
    return tagged(1, each.peer_id) + b"".join(tagged(2, address) for address in each.addresses)


def reply(kind: int = wire.GET_PROVIDERS, *fields: tuple[int, ToldPeer]) -> bytes:
    return tagged(1, kind) + b"".join(tagged(number, encoded(each)) for number, each in fields)


def test_the_key_is_the_vector_of_the_protocol() -> None:
    assert wire.MEETING_KEY.hex() == KEY_HEX
    cid = "b" + base64.b32encode(b"\x01\x55" + wire.MEETING_KEY).decode().lower().rstrip("=")
    assert (wire.MEETING_KEY.hex(), cid) == VECTOR


def test_requests_are_the_bytes_of_the_protocol() -> None:
    assert wire.encode_request(wire.GET_PROVIDERS, wire.MEETING_KEY).hex() == "08031222" + KEY_HEX
    assert wire.encode_request(wire.FIND_NODE, b"k").hex() == "080412016b"
    said = wire.encode_add_provider(b"k", b"me", [b"at", b"or"])
    assert said.hex() == "080212016b" + "4a0e" + "0a026d65" + "12026174" + "12026f72" + "1801"


def test_a_reply_is_read_and_what_means_nothing_is_skipped() -> None:
    data = tagged(10, 1) + reply(3, (8, peer(1)), (9, peer(2)), (8, peer(3))) + tagged(3, b"record")
    found = wire.decode_reply(data)
    assert (found.type, found.closer, found.providers) == (3, (peer(1), peer(3)), (peer(2),))


def test_the_surplus_is_dropped() -> None:
    closer = [(8, peer(number)) for number in range(30)]
    providers = [(9, ToldPeer(b"\x12\x20" + number.to_bytes(32, "big"), ())) for number in range(300)]
    found = wire.decode_reply(reply(3, *closer, *providers))
    assert (len(found.closer), len(found.providers)) == (wire.CLOSER_PEERS, wire.PROVIDERS)
    many = peer(1, *(bytes([number]) for number in range(40)), bytes(200))
    assert len(wire.decode_reply(reply(3, (8, many))).closer[0].addresses) == wire.ADDRESSES
    long = ToldPeer(b"\0" * 65, ())
    assert wire.decode_reply(reply(3, (8, long), (8, ToldPeer(b"", ())))).closer == ()


@pytest.mark.parametrize(
    "data",
    [b"\x0a", b"\x08", tagged(1, b"x"), tagged(8, 1), tagged(8, b"\x08"), b"\x00", b"\x0b", tagged(9, tagged(1, 5))],
)
def test_what_is_malformed_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        wire.decode_reply(tagged(1, 3) + data)


def test_of_what_was_cut_off_the_part_before_counts() -> None:
    data = reply(3, (8, peer(1)), (9, peer(2)), (9, peer(3)))
    found = wire.decode_reply(data[:-1], is_whole=False)
    assert (found.closer, found.providers) == ((peer(1),), (peer(2),))
    with pytest.raises(DecodeError):
        wire.decode_reply(data[:-1])
    for malformed in (b"\x0a", tagged(1, 3) + tagged(8, 1) + bytes(9)):  # not by its end
        with pytest.raises(DecodeError):
            wire.decode_reply(malformed, is_whole=False)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_reply_or_refused(data: bytes, is_whole: bool) -> None:
    with contextlib.suppress(DecodeError):
        wire.decode_reply(data, is_whole=is_whole)


VECTOR = (
    "1220348ffc0a99f3e6e573c86fa2fe0a95009087db784432285a9c9af63c88413557",
    "bafkreibur76avgpt43sxhsdpul7avfiascd5w6cegiufvhe26y6iqqjvk4",
)
