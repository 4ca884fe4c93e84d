"""The item *read*: up to which message a contact has read (PROTOCOL.md 4.5, 5.4).

It names the newest text that was read, by the id which the sender gave it: numbers of messages are used again by a
device that was restored. The texts before it are read, too, where the sender knows that they arrived before it; of
``run`` of them it need not know.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from p2pchat.core.codec import Decoder, encode
from p2pchat.core.structs import Bytes16, Form

RUN_MAX: Final = 255
_BODY_BYTES: Final = 24


class Read(Form, frozen=True):
    """Body of an item *read*. ``message_id``: 16 bytes; ``run``: 1 to 255 texts that end with it were read, whose
    numbers follow one another."""

    message_id: Bytes16
    run: Annotated[int, Meta(ge=1, le=RUN_MAX)]


_reads: Decoder[Read] = Decoder(Read, _BODY_BYTES)


def encode_read(read: Read) -> bytes:
    """The body, 20 or 21 bytes."""
    return encode(read)


def decode_read(body: bytes) -> Read:
    """Raises: DecodeError: not of its form."""
    return _reads.decode(body)
