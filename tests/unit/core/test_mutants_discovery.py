"""What only a changed line of discovery.py showed to be untested: the bounds of a reach, to the byte."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import DecodeError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core import codec
from p2pchat.core.discovery import ADDRESS_BYTES, PEER_ID_PREFIX, Reach, decode_reach, encode_reach

PEER_ID = PEER_ID_PREFIX + bytes(32)
ASK = bytes(32)


def reach(peer_id: bytes = PEER_ID, address: bytes = b"a") -> bytes:
    return codec.encode([3, peer_id, [address], ASK])


@pytest.mark.parametrize("length", [1, ADDRESS_BYTES])
def test_an_address_has_1_to_128_bytes(length: int) -> None:
    said = decode_reach(reach(address=b"a" * length))
    assert [bytes(address) for address in said.addresses] == [b"a" * length]


@pytest.mark.parametrize("length", [0, ADDRESS_BYTES + 1])
def test_an_address_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(DecodeError):
        decode_reach(reach(address=b"a" * length))


@pytest.mark.parametrize("peer_id", [PEER_ID[:-1], PEER_ID + b"\0"])
def test_a_peer_id_has_38_bytes(peer_id: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_reach(reach(peer_id))


def test_what_is_told_keeps_the_bounds_of_what_is_read() -> None:
    given = tuple(map(Address, (b"", b"a", b"b" * ADDRESS_BYTES, b"c" * (ADDRESS_BYTES + 1))))
    told = decode_reach(encode_reach(Reach(PeerId(PEER_ID), given, ASK)))
    assert told.addresses == given[1:3]
