"""What every wire form is built from: the base struct and the bounded field types.

A form is a msgpack array of bounded fields and nothing else: no optional fields, no ``Any``, no recursion. Its repr
shows its name only, because fields hold texts and keys.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

U16 = Annotated[int, Meta(ge=0, le=0xFFFF)]
U32 = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
U64 = Annotated[int, Meta(ge=0)]  # msgpack itself ends at 2^64 - 1
Positive = Annotated[int, Meta(ge=1)]  # 1 to 2^64 - 1

Bytes8 = Annotated[bytes, Meta(min_length=8, max_length=8)]
Bytes16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Bytes64 = Annotated[bytes, Meta(min_length=64, max_length=64)]
KemPublic = Annotated[bytes, Meta(min_length=1184, max_length=1184)]
KemCiphertext = Annotated[bytes, Meta(min_length=1088, max_length=1088)]


class Form(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of all wire and stored forms: a frozen, exact msgpack array with a silent repr."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"
