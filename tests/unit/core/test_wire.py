"""Frames, content and texts against the independent msgpack, and their bounds (PROTOCOL.md 4.5, 5.1)."""

from __future__ import annotations

from collections.abc import Sequence

import nacl.encoding
import nacl.hash
import pytest

from p2pchat.base.errors import DecodeError, InternalError, UsageError
from p2pchat.core import wire
from p2pchat.core.envelope import MIN_ENVELOPE_BYTES
from p2pchat.core.wire import TEXT, Frame, Item, Text
from tests.vectors.independent_session import pack

ENVELOPE = b"e" * 400
ID = b"i" * 16
U64_MAX = 2**64 - 1

FRAMES: list[tuple[Frame, list[object]]] = [
    (wire.Hello(0), [0, 0]),
    (wire.Hello(U64_MAX), [0, U64_MAX]),
    (wire.BundleRequest(b"p" * 32), [1, b"p" * 32]),
    (wire.Bundle(b""), [2, b""]),
    (wire.Bundle(b"b" * 2048), [2, b"b" * 2048]),
    (
        wire.Flight(b"E" * 32, b"k" * 1088, ID, b"s" * 276, ENVELOPE),
        [3, b"E" * 32, b"k" * 1088, ID, b"s" * 276, ENVELOPE],
    ),
    (wire.Batch((ENVELOPE,)), [4, [ENVELOPE]]),
    (wire.Batch((ENVELOPE,) * 64), [4, [ENVELOPE] * 64]),
    (wire.Ack(((ID, b"a" * 16),)), [5, [[ID, b"a" * 16]]]),
    (wire.Ack(((ID, b"a" * 16),) * 1024), [5, [[ID, b"a" * 16]] * 1024]),
    (wire.Nack(ID), [6, ID]),
    (wire.Ping(1), [7, 1]),
    (wire.Pong(U64_MAX), [8, U64_MAX]),
    (wire.Bye(), [9]),
    (wire.Device(b"c" * 248), [10, b"c" * 248]),
    (wire.Device(b"c" * 256), [10, b"c" * 256]),
]


@pytest.mark.parametrize(("frame", "form"), FRAMES, ids=lambda x: type(x).__name__)
def test_frame(frame: Frame, form: list[object]) -> None:
    data = wire.encode_frame(frame)
    assert data == pack(form)
    assert wire.decode_frame(data) == frame


@pytest.mark.parametrize(
    "form",
    [
        [10],
        [10, b"c" * 257],
        [10, "c"],
        [10, b"c", 0],
        [11],
        [-1],
        ["0", 0],
        [],
        [0],
        [0, -1],
        [0, 0, 0],
        [1, b"p" * 31],
        [2, b"b" * 2049],
        [2, None],
        [3, b"E" * 31, b"k" * 1088, ID, b"s", ENVELOPE],
        [3, b"E" * 32, b"k" * 1087, ID, b"s", ENVELOPE],
        [3, b"E" * 32, b"k" * 1088, ID[1:], b"s", ENVELOPE],
        [3, b"E" * 32, b"k" * 1088, ID, b"s" * 513, ENVELOPE],
        [3, b"E" * 32, b"k" * 1088, ID, b"s", b"e" * (MIN_ENVELOPE_BYTES - 1)],
        [4, []],
        [4, [ENVELOPE] * 65],
        [4, ENVELOPE],
        [4, [b""]],
        [4, [b"e" * (wire.ENVELOPE_MAX_BYTES + 1)]],
        [5, []],
        [5, [[ID, ID]] * 1025],
        [5, [[ID]]],
        [5, [[ID, ID, ID]]],
        [5, [[ID, b"a" * 15]]],
        [6, b"i" * 17],
        [7, -1],
        [7, 1.0],
        [9, 0],
        None,
        {},
    ],
)
def test_frame_refuses(form: object) -> None:
    with pytest.raises(DecodeError):
        wire.decode_frame(pack(form))


def test_a_frame_is_bounded_as_a_whole() -> None:
    batch = wire.Batch((b"e" * 262_144,) * 4)
    with pytest.raises(DecodeError):
        wire.decode_frame(pack([4, list(batch.envelopes)]))
    with pytest.raises(InternalError):
        wire.encode_frame(batch)


def test_eid() -> None:
    raw = nacl.encoding.RawEncoder
    assert wire.eid(ENVELOPE) == nacl.hash.blake2b(ENVELOPE, 16, person=b"dcd1/eid", encoder=raw)


def test_content() -> None:
    items = (Item(ID, TEXT, b"body"), Item(b"j" * 16, 65_535, b""))
    data = wire.encode_content(items)
    assert data == pack([[ID, 1, b"body"], [b"j" * 16, 65_535, b""]])
    assert wire.decode_content(data) == items


BIGGEST = [
    [Item(ID, TEXT, bytes(262_144))],
    [Item(ID, 65_535, bytes(262_144))],
    [Item(ID, TEXT, bytes(64))] * 1024,
    [Item(ID, TEXT, bytes(65_536)), Item(ID, TEXT, b"")],
]
TOO_BIG = [
    [],
    [Item(ID, TEXT, bytes(262_145))],
    [Item(ID, TEXT, b"")] * 1025,
    [Item(ID, TEXT, bytes(65_536)), Item(ID, TEXT, b"x")],
]


@pytest.mark.parametrize("items", BIGGEST)
def test_content_at_its_bounds(items: list[Item]) -> None:
    assert list(wire.decode_content(wire.encode_content(items))) == items
    assert len(wire.encode_content(items)) <= wire.CONTENT_MAX_BYTES


@pytest.mark.parametrize("items", TOO_BIG)
def test_content_beyond_its_bounds_is_refused(items: list[Item]) -> None:
    with pytest.raises(InternalError):
        wire.encode_content(items)
    with pytest.raises(DecodeError):
        wire.decode_content(pack([[item.message_id, item.kind, item.body] for item in items]))


@pytest.mark.parametrize("form", [[[ID, -1, b""]], [[ID, 65_536, b""]], [[ID, 1]], [[ID, 1, ""]], [[ID, 1, b"", 0]]])
def test_content_refuses(form: object) -> None:
    with pytest.raises(DecodeError):
        wire.decode_content(pack(form))


def items_of(*sizes: int) -> list[Item]:
    return [Item(n.to_bytes(16, "big"), TEXT, bytes(size)) for n, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([], []),
        ([0], [1]),
        ([65_536], [1]),
        ([65_535, 1], [2]),
        ([65_536, 1], [1, 1]),
        ([1, 65_536], [1, 1]),
        ([30_000, 30_000, 30_000], [2, 1]),
        ([10, 262_144, 10], [1, 1, 1]),
        ([0] * 1024, [1024]),
        ([0] * 1025, [1024, 1]),
        ([100_000, 100_000], [1, 1]),
    ],
)
def test_pack_items(sizes: list[int], groups: list[int]) -> None:
    items = items_of(*sizes)
    packed = wire.pack_items(items)
    assert [len(group) for group in packed] == groups
    assert [item for group in packed for item in group] == items
    for group in packed:
        wire.encode_content(group)


@pytest.mark.parametrize(
    ("alone", "groups"),
    [((), [5]), ((0,), [1, 4]), ((4,), [4, 1]), ((2,), [2, 1, 2]), ((1, 2), [1, 1, 1, 2]), (range(5), [1] * 5)],
)
def test_what_is_to_be_alone_shares_an_envelope_with_nothing(alone: Sequence[int], groups: list[int]) -> None:
    items = items_of(1, 2, 3, 4, 5)
    packed = wire.pack_items(items, frozenset(items[at].message_id for at in alone))
    assert [len(group) for group in packed] == groups
    assert [item for group in packed for item in group] == items


@pytest.mark.parametrize(
    "text",
    ["a", "\x00", "ü" * 32_768, "x" * 65_536, "👩‍👩‍👧\u200b\ufeff\r\n", "\U0010ffff"],
    ids=lambda text: str(len(text)),
)
def test_text_keeps_every_code_point(text: str) -> None:
    value = Text(1, 1_800_000_000_000, text)
    body = wire.encode_text(value)
    assert body == pack([1, 1_800_000_000_000, text])
    assert wire.decode_text(body) == value


@pytest.mark.parametrize(
    "text", ["", "x" * 65_537, "ü" * 32_769, "\ud800"], ids=["empty", "long", "long in UTF-8", "half"]
)
def test_encode_text_refuses(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        wire.encode_text(Text(1, 0, text))
    assert caught.value.__context__ is None  # UnicodeEncodeError would quote the text


@pytest.mark.parametrize(
    "form",
    [
        [0, 0, "a"],
        [1, -1, "a"],
        [1, 0, ""],
        [1, 0, b"a"],
        [1, 0, "x" * 65_537],
        [1, 0, "ü" * 32_769],
        [1, 0],
        [1, 0, "a", 0],
        "a",
    ],
)
def test_decode_text_refuses(form: object) -> None:
    with pytest.raises(DecodeError):
        wire.decode_text(pack(form))


def test_the_largest_text_is_a_larger_item() -> None:
    body = wire.encode_text(Text(U64_MAX, U64_MAX, "x" * 65_536))
    assert len(body) > 65_536
    assert [len(group) for group in wire.pack_items([Item(ID, TEXT, body)] * 2)] == [1, 1]


@pytest.mark.parametrize("value", [*(frame for frame, _ in FRAMES), Item(ID, TEXT, b"canary"), Text(1, 2, "canary")])
def test_wire_types_show_nothing(value: object) -> None:
    assert repr(value) == f"{type(value).__name__}(…)"
