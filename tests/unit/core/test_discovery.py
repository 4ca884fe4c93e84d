"""Hello, card, reach and the roots behind which they lie (PROTOCOL.md 3.3); their bytes are in tests/vectors."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import HandshakeError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.crypto import x25519_pair
from p2pchat.core.discovery import (
    PEER_ID_PREFIX,
    Reach,
    decode_reach,
    encode_reach,
    make_card,
    open_card,
    reach_root,
    reply_root,
)
from p2pchat.core.keys import create_identity
from p2pchat.core.record import DATA_BYTES
from p2pchat.core.slots import Slot
from p2pchat.testing.entropy import SeededEntropy
from tests.property.matching_world import NOW

ROOT = bytes(range(32))
ALICE, BOB = (create_identity(SeededEntropy(seed), (NOW - 100) * 1000) for seed in (1, 2))
EPH_A, EPH_B, EPH_C = (x25519_pair(bytes((n,)) * 32) for n in (1, 2, 3))
REACH = Reach(PeerId(PEER_ID_PREFIX + bytes(32)), (Address(b"\x04\x7f\0\0\1\x06\x0f\xa1"),), b"\5" * 32)


def test_the_reply_root_binds_both_ephs_the_root_and_the_epoch() -> None:
    q = reply_root(ROOT, 7, EPH_A, EPH_B.public)
    assert q == reply_root(ROOT, 7, EPH_B, EPH_A.public)
    others = [
        reply_root(ROOT, 8, EPH_A, EPH_B.public),
        reply_root(bytes(32), 7, EPH_A, EPH_B.public),
        reply_root(ROOT, 7, EPH_A, EPH_C.public),
        reply_root(ROOT, 7, EPH_C, EPH_B.public),
        reach_root(q),
    ]
    assert len({q, *others}) == 6


@pytest.mark.parametrize("their_eph", [bytes(32), b"\1" + bytes(31)])
def test_an_eph_of_low_order_has_no_reply_root(their_eph: bytes) -> None:
    with pytest.raises(HandshakeError):
        reply_root(ROOT, 7, EPH_A, their_eph)


def test_a_card_is_worth_nothing_in_another_slot() -> None:
    slot, other = Slot(ROOT, 7), Slot(ROOT, 8)
    card = make_card(BOB, slot, 1, NOW)
    assert open_card(slot, card, 1, ALICE.cert.root, NOW) == BOB.cert
    with pytest.raises(HandshakeError, match="not signed for its slot"):
        open_card(other, card, 1, ALICE.cert.root, NOW)


def test_the_longest_card_fits_into_a_record() -> None:
    late = create_identity(SeededEntropy(3), (1 << 63) - 1)
    assert len(make_card(late, Slot(ROOT, 7), 1, 1 << 40)) <= DATA_BYTES


def test_reach_drops_what_is_no_address_and_then_from_the_end() -> None:
    long = [Address(bytes((i,)) * 128) for i in range(8)]
    reach = Reach(REACH.peer_id, (Address(b"x" * 129), Address(b""), *long, *REACH.addresses), REACH.ask)
    data = encode_reach(reach)
    assert len(data) <= DATA_BYTES
    assert decode_reach(data).addresses == tuple(long[:4])
    assert decode_reach(encode_reach(REACH)) == REACH


def test_repr_shows_neither_ask_nor_address_nor_whole_peer_id() -> None:
    assert repr(REACH) == "Reach(peer_id=PeerId(0000…), addresses=(Address(0fa1…),))"
