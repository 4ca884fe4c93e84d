"""Protobuf by hand, as far as two messages of libp2p need it: fields in order, by their wire types.

Rules:

- What is malformed is refused: a truncated field, a varint of more than 10 bytes or 64 bits, the number 0, a group.
- Fields of fixed width mean nothing to anybody here and come as their bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from p2pchat.base.errors import DecodeError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def tagged(number: int, value: int | bytes) -> bytes:
    """One field: a varint, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3 | _VARINT) + varint(value)
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The numbers and values of a message's fields, in order.

    Raises:
        DecodeError: malformed; raised when that place is reached.
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


def integer(value: int | bytes) -> int:
    """The value of a varint field.

    Raises:
        DecodeError: the field is none.
    """
    if not isinstance(value, int):
        raise DecodeError("a field is of another wire type")
    return value


def octets(value: int | bytes) -> bytes:
    """The value of a field of bytes.

    Raises:
        DecodeError: the field is none.
    """
    if not isinstance(value, bytes):
        raise DecodeError("a field is of another wire type")
    return value


def varint(value: int) -> bytes:
    """An unsigned LEB128 number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at ``at``, and where it ends.

    Raises:
        DecodeError: it has no end, or is of more than 64 bits.
    """
    value = 0
    for index, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + index + 1
    raise DecodeError("a varint is malformed")
