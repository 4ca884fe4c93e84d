"""Frames of ``/p2pchat/msg/1`` and the content of envelopes (PROTOCOL.md 4.5, 5.1).

Rules:

- a frame is a msgpack array whose first element is its tag; every field is bounded here, the whole by ``frame_bytes``;
- decoding accepts the canonical form alone and raises nothing but DecodeError;
- an item of unknown type decodes: only the body of a known type has a form.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Annotated, Final, cast

from msgspec import Meta

from p2pchat.base.errors import DecodeError, InternalError, UsageError
from p2pchat.core.codec import Decoder, encode
from p2pchat.core.crypto import blake2b
from p2pchat.core.envelope import MIN_ENVELOPE_BYTES, max_envelope_bytes
from p2pchat.core.keys import CERT_MAX_BYTES
from p2pchat.core.params import PRODUCTION
from p2pchat.core.structs import U16, U64, Bytes16, Bytes32, Form, KemCiphertext, Positive

OPEN: Final = 0
TEXT: Final = 1
PRESENCE: Final = 2
PROOF_ASK: Final = 3
PROOF: Final = 4
PROOF_RESULT: Final = 5
READ: Final = 6

CONTENT_OVERHEAD_BYTES: Final = 28  # of a single item: list 1, array 1, id 18, type 3, length 5
CONTENT_MAX_BYTES: Final = CONTENT_OVERHEAD_BYTES + PRODUCTION.item_bytes
ENVELOPE_MAX_BYTES: Final = max_envelope_bytes(CONTENT_MAX_BYTES)
SENDER_MAX_BYTES: Final = 512
BUNDLE_MAX_BYTES: Final = 2_048

TAKES_DEVICE: Final = 1 << 0  # a feature: whoever does not know the frame would reset the stream
TAKES_READ: Final = 1 << 1  # a feature: whoever does not know the item would show it to its user
FEATURES: Final = TAKES_DEVICE | TAKES_READ

Envelope = Annotated[bytes, Meta(min_length=MIN_ENVELOPE_BYTES, max_length=ENVELOPE_MAX_BYTES)]


class Hello(Form, frozen=True, tag=0):
    """The first frame in each direction. ``features``: bits, of which ``FEATURES`` are known; others are ignored."""

    features: U64


class BundleRequest(Form, frozen=True, tag=1):
    """Asks for a bundle. Source: PROTOCOL.md 4.1."""

    proof: Bytes32


class Bundle(Form, frozen=True, tag=2):
    """The answer: a bundle, or nothing as the constant refusal."""

    bundle: Annotated[bytes, Meta(max_length=BUNDLE_MAX_BYTES)]


class Flight(Form, frozen=True, tag=3):
    """A first flight with its first envelope. Source: PROTOCOL.md 4.2."""

    ephemeral: Bytes32
    kem_ciphertext: KemCiphertext
    prekey_id: Bytes16
    sender: Annotated[bytes, Meta(max_length=SENDER_MAX_BYTES)]
    envelope: Envelope


class Batch(Form, frozen=True, tag=4):
    """Envelopes in the order in which they were sealed."""

    envelopes: Annotated[tuple[Envelope, ...], Meta(min_length=1, max_length=PRODUCTION.batch_envelopes)]


class Ack(Form, frozen=True, tag=5):
    """``entries``: (eid16, ack16) of envelopes that are on the receiver's disk. Source: PROTOCOL.md 5.2."""

    entries: Annotated[tuple[tuple[Bytes16, Bytes16], ...], Meta(min_length=1, max_length=PRODUCTION.ack_entries)]


class Nack(Form, frozen=True, tag=6):
    """No session opens the envelope of this eid. Source: PROTOCOL.md 5.2."""

    eid: Bytes16


class Ping(Form, frozen=True, tag=7):
    """Asks for a Pong with the same token."""

    token: U64


class Pong(Form, frozen=True, tag=8):
    """Answers a Ping."""

    token: U64


class Bye(Form, frozen=True, tag=9):
    """The stream ends by intention."""


class Device(Form, frozen=True, tag=10):
    """To an older device of a contact: the certificate of a newer one. Source: PROTOCOL.md 5.3."""

    cert: Annotated[bytes, Meta(max_length=CERT_MAX_BYTES)]


Frame = Hello | BundleRequest | Bundle | Flight | Batch | Ack | Nack | Ping | Pong | Bye | Device

_frames: Decoder[Frame] = Decoder(cast("type[Frame]", Frame), PRODUCTION.frame_bytes)


def encode_frame(frame: Frame) -> bytes:
    """The frame's bytes, without their length.

    Raises:
        InternalError: more than a frame may hold; the caller has to split.
    """
    data = encode(frame)
    if len(data) > PRODUCTION.frame_bytes:
        raise InternalError("a frame would exceed its bound")
    return data


def decode_frame(data: bytes) -> Frame:
    """The frame.

    Raises:
        DecodeError: unknown tag, out of bounds, malformed or not canonical.
    """
    return _frames.decode(data)


def eid(envelope: bytes) -> bytes:
    """The 16-byte id under which an envelope is looked up and acked. Source: PROTOCOL.md 5.2."""
    return blake2b("dcd1/eid", envelope, 16)


class Item(Form, frozen=True):
    """One thing to deliver. ``message_id``: 16 bytes, the same in every sealing; ``kind``: OPEN, TEXT, … or newer."""

    message_id: Bytes16
    kind: U16
    body: Annotated[bytes, Meta(max_length=PRODUCTION.item_bytes)]


class Text(Form, frozen=True):
    """Body of a TEXT item. ``n``: number in the sender's conversation, from 1; ``ts_ms``: the sender's clock, unix."""

    n: Positive
    ts_ms: U64
    text: Annotated[str, Meta(min_length=1, max_length=PRODUCTION.text_bytes)]


_items: Decoder[tuple[Item, ...]] = Decoder(tuple[Item, ...], CONTENT_MAX_BYTES)
_texts: Decoder[Text] = Decoder(Text, PRODUCTION.text_bytes + 24)


def _is_bounded(items: Sequence[Item]) -> bool:
    if len(items) == 1:
        return len(items[0].body) <= PRODUCTION.item_bytes
    bodies_bytes = sum(len(item.body) for item in items)
    return 1 <= len(items) <= PRODUCTION.content_items and bodies_bytes <= PRODUCTION.content_bytes


def encode_content(items: Sequence[Item]) -> bytes:
    """The content of one envelope.

    Raises:
        InternalError: no items, or more than one envelope may hold; see :func:`pack_items`.
    """
    if not _is_bounded(items):
        raise InternalError("an envelope would exceed its bounds")
    return encode(tuple(items))


def decode_content(data: bytes) -> tuple[Item, ...]:
    """The items of an envelope, at least one.

    Raises:
        DecodeError: malformed, not canonical or beyond the bounds of PROTOCOL.md 4.5.
    """
    items = _items.decode(data)
    if not _is_bounded(items):
        raise DecodeError("an envelope exceeds its bounds")
    return items


def pack_items(items: Sequence[Item], alone: Set[bytes] = frozenset()) -> list[tuple[Item, ...]]:
    """Group waiting items, in their order, so that each group fits one envelope. Source: PROTOCOL.md 4.5.

    Args:
        alone: message ids of items that share an envelope with none.
    """
    groups: list[tuple[Item, ...]] = []
    group: list[Item] = []
    group_bytes = 0
    most_items, most_bytes = PRODUCTION.content_items, PRODUCTION.content_bytes
    for item in items:
        size = len(item.body)
        full = group_bytes + size > most_bytes or len(group) == most_items
        if group and (full or item.message_id in alone or group[-1].message_id in alone):
            groups.append(tuple(group))
            group, group_bytes = [], 0
        group.append(item)
        group_bytes += size
    if group:
        groups.append(tuple(group))
    return groups


def _utf8_bytes(text: str) -> int | None:
    try:
        return len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:  # hidden, because it quotes the text
        return None


def encode_text(text: Text) -> bytes:
    """The body of a TEXT item.

    Raises:
        UsageError: the text is empty, longer than ``text_bytes`` of UTF-8, or holds a lone surrogate.
    """
    size = _utf8_bytes(text.text)
    if size is None:
        raise UsageError("the text is not valid Unicode")
    if not 1 <= size <= PRODUCTION.text_bytes:
        raise UsageError("the text must have 1 to 65,536 bytes")
    return encode(text)


def decode_text(body: bytes) -> Text:
    """The text.

    Raises:
        DecodeError: the body has not this form: an item "sent by a newer version".
    """
    text = _texts.decode(body)
    if len(text.text.encode()) > PRODUCTION.text_bytes:
        raise DecodeError("a text is too long")
    return text
