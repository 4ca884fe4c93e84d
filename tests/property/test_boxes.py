"""Packing for boxes: whatever waits, each envelope is in one frame, in order, and each frame fits a box."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.boxes import pack
from p2pchat.core.envelope import MIN_ENVELOPE_BYTES
from p2pchat.core.handshake import FlightPart
from p2pchat.core.mailbox import BOXED_MAX_BYTES
from p2pchat.core.params import PRODUCTION
from p2pchat.core.wire import ENVELOPE_MAX_BYTES, Batch, Flight, decode_frame, encode_frame

PART = FlightPart(bytes(32), bytes(1088), bytes(16), bytes(512))
SIZES = st.one_of(
    st.integers(MIN_ENVELOPE_BYTES, ENVELOPE_MAX_BYTES),
    st.sampled_from(
        [MIN_ENVELOPE_BYTES, 65_535, 65_536, BOXED_MAX_BYTES // 8, BOXED_MAX_BYTES // 2, ENVELOPE_MAX_BYTES]
    ),
)


def envelopes_of(sizes: list[int]) -> list[bytes]:
    return [number.to_bytes(2, "big") + bytes(size - 2) for number, size in enumerate(sizes)]


@given(st.lists(SIZES, max_size=80))
def test_batches_hold_all_in_order_and_as_many_as_a_box_allows(sizes: list[int]) -> None:
    envelopes = envelopes_of(sizes)
    parcels = pack(envelopes, None, PRODUCTION)
    held: list[bytes] = []
    for parcel in parcels:
        data = encode_frame(parcel.frame)
        assert len(data) <= BOXED_MAX_BYTES
        frame = decode_frame(data)
        assert isinstance(frame, Batch)
        assert len(frame.envelopes) == parcel.count
        held += frame.envelopes
    assert held == envelopes
    for parcel, following in pairwise(parcels):
        assert isinstance(parcel.frame, Batch)
        assert isinstance(following.frame, Batch)
        size = len(encode_frame(parcel.frame)) + len(following.frame.envelopes[0])
        assert parcel.count == PRODUCTION.batch_envelopes or size + 400 > BOXED_MAX_BYTES


@given(st.lists(SIZES, max_size=20))
def test_flights_hold_one_each_with_the_same_part(sizes: list[int]) -> None:
    envelopes = envelopes_of(sizes)
    frames = [decode_frame(encode_frame(parcel.frame)) for parcel in pack(envelopes, PART, PRODUCTION)]
    flights = [frame for frame in frames if isinstance(frame, Flight)]
    assert [flight.envelope for flight in flights] == envelopes
    assert all(len(encode_frame(frame)) <= BOXED_MAX_BYTES for frame in frames)
    parts = {(each.ephemeral, each.kem_ciphertext, each.prekey_id, each.sender) for each in flights}
    assert parts <= {dataclasses.astuple(PART)}
