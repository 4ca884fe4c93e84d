"""Protobuf as far as libp2p's small messages need it: varints and bytes, read strictly, without a schema or a library.

Rules:

- Fields are taken in their order; what has a meaning is up to the caller, and a repeated scalar's last value counts.
- Groups, truncated fields, field number 0 and varints of more than 10 bytes are refused.

Source: the Protocol Buffers encoding, wire types 0, 1, 2 and 5.
"""

from __future__ import annotations

from collections.abc import Iterator

from p2pchat.base.errors import DecodeError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def tagged(number: int, value: int | bytes) -> bytes:
    """One field: a varint for a number, a length and the bytes for bytes."""
    if isinstance(value, int):
        return varint(number << 3 | _VARINT) + varint(value)
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message in order; fixed-width ones, which have no meaning here, as their bytes.

    Raises:
        DecodeError: malformed.
    """
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise DecodeError("a field has the number 0")
        if wire_type == _VARINT:
            value, at = read_varint(data, at)
            yield number, value
            continue
        if wire_type == _BYTES:
            length, at = read_varint(data, at)
        elif wire_type in (_FIXED64, _FIXED32):
            length = 8 if wire_type == _FIXED64 else 4
        else:
            raise DecodeError("a field is of an unknown wire type")
        if length > len(data) - at:
            raise DecodeError("a field ends too early")
        yield number, data[at : at + length]
        at += length


def as_integer(value: int | bytes) -> int:
    """The value of a field that has to be a number.

    Raises:
        DecodeError: it is of another wire type.
    """
    if not isinstance(value, int):
        raise DecodeError("a field is of another wire type")
    return value


def as_bytes(value: int | bytes) -> bytes:
    """The value of a field that has to be bytes.

    Raises:
        DecodeError: it is of another wire type.
    """
    if not isinstance(value, bytes):
        raise DecodeError("a field is of another wire type")
    return value


def varint(value: int) -> bytes:
    """An unsigned LEB128 number in its shortest form."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """(number below 2^64, where it ends) of the varint that begins at ``at``.

    Raises:
        DecodeError: there is none.
    """
    value = 0
    for index, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + index + 1
    raise DecodeError("a varint is malformed")
