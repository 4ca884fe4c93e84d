"""Every decoder of the session core, on anything: DecodeError or the one value that encodes to the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from p2pchat.base.errors import DecodeError, HandshakeError
from p2pchat.base.ids import RootKey
from p2pchat.core import wire
from p2pchat.core.codec import encode
from p2pchat.core.envelope import decode_header, encode_header, join_prefix, split_envelope
from p2pchat.core.framing import FrameReader, with_length
from p2pchat.core.keys import create_identity, open_cert
from p2pchat.core.padding import pad, padded_bytes, unpad
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import make_bundle, make_signed_prekey, open_bundle
from p2pchat.core.receipt import decode_read, encode_read
from p2pchat.core.wire import Frame, Item, Text
from p2pchat.testing.entropy import SeededEntropy

quick = settings(deadline=None, derandomize=True, max_examples=200)

U64 = st.integers(0, 2**64 - 1)
ID = st.binary(min_size=16, max_size=16)
ENVELOPES = st.binary(min_size=363, max_size=700)

FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(wire.Hello, U64),
    st.builds(wire.BundleRequest, st.binary(min_size=32, max_size=32)),
    st.builds(wire.Bundle, st.binary(max_size=2048)),
    st.builds(
        wire.Flight,
        st.binary(min_size=32, max_size=32),
        st.binary(min_size=1088, max_size=1088),
        ID,
        st.binary(max_size=512),
        ENVELOPES,
    ),
    st.builds(wire.Batch, st.lists(ENVELOPES, min_size=1, max_size=4).map(tuple)),
    st.builds(wire.Ack, st.lists(st.tuples(ID, ID), min_size=1, max_size=20).map(tuple)),
    st.builds(wire.Nack, ID),
    st.builds(wire.Ping, U64),
    st.builds(wire.Pong, U64),
    st.just(wire.Bye()),
    st.builds(wire.Device, st.binary(max_size=256)),
)
ITEMS = st.builds(Item, ID, st.integers(0, 0xFFFF), st.binary(max_size=100))
CONTENTS = st.lists(ITEMS, min_size=1, max_size=8).map(tuple)
TEXTS = st.builds(
    Text, st.integers(1, 2**64 - 1), U64, st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
)

Form = tuple[Callable[[Any], bytes], Callable[[bytes], Any]]
FORMS: dict[str, Form] = {
    "frame": (wire.encode_frame, wire.decode_frame),
    "content": (wire.encode_content, wire.decode_content),
    "text": (wire.encode_text, wire.decode_text),
    "read": (encode_read, decode_read),
    "padding": (pad, unpad),
    "header": (encode_header, decode_header),
    "envelope": (lambda parts: parts.prefix + parts.sealed_body, split_envelope),
}

# Values that look like forms: what random bytes almost never do.
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=20),
    st.binary(max_size=40), ID, ENVELOPES,
)  # fmt: skip
LOOKALIKES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=5), max_leaves=12).map(msgpack.packb)


@pytest.mark.parametrize("name", FORMS)
@given(data=st.one_of(st.binary(max_size=400), LOOKALIKES, st.binary(max_size=300).map(lambda b: b.ljust(400, b"\0"))))
@example(data=b"\xdd\xff\xff\xff\xff")
@example(data=b"\x91" * 300)
@example(data=b"\x92\x02\xc6\xff\xff\xff\xff")
@quick
def test_any_bytes_decode_to_their_own_encoding_or_are_refused(name: str, data: bytes) -> None:
    encode_form, decode_form = FORMS[name]
    try:
        value = decode_form(data)
    except DecodeError:
        return
    assert encode_form(value) == data


@given(frame=FRAMES)
@quick
def test_frames_round_trip(frame: Frame) -> None:
    data = wire.encode_frame(frame)
    assert wire.decode_frame(data) == frame
    assert msgpack.packb(msgpack.unpackb(data)) == data


@given(items=CONTENTS)
@quick
def test_content_round_trips(items: tuple[Item, ...]) -> None:
    data = wire.encode_content(items)
    assert wire.decode_content(data) == items
    assert msgpack.packb(msgpack.unpackb(data)) == data


@given(text=TEXTS)
@quick
def test_text_round_trips(text: Text) -> None:
    data = wire.encode_text(text)
    assert wire.decode_text(data) == text
    assert msgpack.packb(msgpack.unpackb(data)) == data


VALID = st.one_of(
    FRAMES.map(lambda frame: ("frame", wire.encode_frame(frame))),
    CONTENTS.map(lambda items: ("content", wire.encode_content(items))),
    TEXTS.map(lambda text: ("text", wire.encode_text(text))),
)


@given(valid=VALID, position=st.integers(0, 4_000), byte=st.integers(0, 255), how=st.sampled_from("rid"))
@quick
def test_no_form_is_malleable(valid: tuple[str, bytes], position: int, byte: int, how: str) -> None:
    """A byte replaced, inserted or deleted: refused, or another value that encodes to just these bytes."""
    name, data = valid
    at = position % len(data)
    changed = data[:at] + (bytes([byte]) if how in "ri" else b"") + data[at + (how != "i") :]
    encode_form, decode_form = FORMS[name]
    try:
        value = decode_form(changed)
    except DecodeError:
        return
    assert encode_form(value) == changed
    assert changed == data or value != decode_form(data)


IDENTITY = create_identity(SeededEntropy(1), 1_800_000_000_000)
BUNDLE = make_bundle(
    IDENTITY, make_signed_prekey(SeededEntropy(2), 1_800_000_000), SeededEntropy(3), 1_800_000_000, PRODUCTION
).bundle


@given(data=st.one_of(st.binary(max_size=300), LOOKALIKES))
@quick
def test_certs_and_bundles_refuse_anything_else(data: bytes) -> None:
    with pytest.raises((DecodeError, HandshakeError)):
        open_cert(data, 1_800_000_000_000)
    with pytest.raises((DecodeError, HandshakeError)):
        open_bundle(data, RootKey(IDENTITY.root.public), 1_800_000_000, PRODUCTION)


@given(inner=LOOKALIKES)
@quick
def test_what_is_within_certs_and_bundles_is_bounded_too(inner: bytes) -> None:
    with pytest.raises((DecodeError, HandshakeError)):
        open_cert(encode([inner, bytes(64), bytes(64)]), 1_800_000_000_000)
    with pytest.raises((DecodeError, HandshakeError)):
        open_bundle(encode([IDENTITY.cert.raw, inner, bytes(64)]), IDENTITY.cert.root, 1_800_000_000, PRODUCTION)


@given(position=st.integers(0, len(BUNDLE) - 1), bit=st.integers(0, 7))
@quick
def test_bundles_are_not_malleable(position: int, bit: int) -> None:
    changed = bytearray(BUNDLE)
    changed[position] ^= 1 << bit
    with pytest.raises((DecodeError, HandshakeError)):
        open_bundle(bytes(changed), IDENTITY.cert.root, 1_800_000_000, PRODUCTION)


@given(content=st.binary(max_size=3_000))
@quick
def test_padding_hides_lengths(content: bytes) -> None:
    padded = pad(content)
    assert unpad(padded) == content
    assert len(padded) == padded_bytes(len(content))
    assert len(padded) <= max(256, (len(content) + 1) * 1.12)


@given(hint=st.binary(min_size=8, max_size=8), eh=st.binary(min_size=57, max_size=2329), body=st.binary(min_size=272))
@quick
def test_envelopes_split_as_they_were_joined(hint: bytes, eh: bytes, body: bytes) -> None:
    prefix = join_prefix(hint, b"n" * 24, eh)
    parts = split_envelope(prefix + body)
    assert (parts.hint, parts.sealed_header, parts.sealed_body, parts.prefix) == (hint, eh, body, prefix)


@given(frames=st.lists(st.binary(min_size=1, max_size=40)), cuts=st.lists(st.integers(1, 30), max_size=50))
@quick
def test_frames_come_out_of_any_pieces(frames: list[bytes], cuts: list[int]) -> None:
    stream, reader, found = b"".join(map(with_length, frames)), FrameReader(40), []
    for cut in [*cuts, len(stream)]:
        reader.feed(stream[:cut])
        stream = stream[cut:]
        while (frame := reader.next_frame()) is not None:
            found.append(frame)
    assert found == frames
    assert reader.is_empty


@given(sizes=st.lists(st.sampled_from([0, 1, 100, 30_000, 65_536, 70_000, 262_144]), max_size=30))
@quick
def test_packing_keeps_order_and_fits(sizes: list[int]) -> None:
    items = [Item(n.to_bytes(16, "big"), 1, bytes(size)) for n, size in enumerate(sizes)]
    groups = wire.pack_items(items)
    assert [item for group in groups for item in group] == items
    for group in groups:
        wire.encode_content(group)
