"""NAT-PMP: what a router is asked for, and what it says.

The datagrams, all numbers big-endian::

    external address   version u8 = 0, opcode u8 = 0
     answer            0, 128, result u16, epoch u32, address 4 bytes
    TCP mapping        0, opcode u8 = 2, 0 u16, internal port u16, wanted external port u16, lifetime u32
     answer            0, 130, result u16, epoch u32, internal port u16, external port u16, lifetime u32

A lifetime of 0 ends a mapping. Source: RFC 6886, section 3.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field
from typing import Final

from p2pchat.base.errors import DecodeError

PORT: Final = 5351
ANSWER_MAX_BYTES: Final = 1_100  # RFC 6887 has it that PCP, on the same port, answers with no more

_HEAD: Final = struct.Struct("!BBH4x")
_ASK: Final = struct.Struct("!BBHHHL")
_MAPPED: Final = struct.Struct("!BBH4xHHL")
_TCP: Final = 2
_ANSWER: Final = 128


@dataclass(frozen=True, slots=True)
class Mapping:
    """``external_port`` leads to ``internal_port`` of the machine that asked, for ``lifetime_s``."""

    internal_port: int
    external_port: int = field(repr=False)
    lifetime_s: int


def ask_address() -> bytes:
    """For the router's address on its other side."""
    return bytes(2)


def ask_mapping(mapping: Mapping) -> bytes:
    """For a mapping of TCP."""
    return _ASK.pack(0, _TCP, 0, mapping.internal_port, mapping.external_port, mapping.lifetime_s)


def read_address(data: bytes) -> str:
    """The IPv4 literal in the answer to :func:`ask_address`.

    Raises:
        DecodeError: it is none, or a refusal.
    """
    _check(data, 0, 12)
    return str(ipaddress.IPv4Address(data[8:12]))


def read_mapping(data: bytes, internal_port: int) -> Mapping:
    """The answer to :func:`ask_mapping` for ``internal_port``.

    Raises:
        DecodeError: it is none, or a refusal.
    """
    _check(data, _TCP, _MAPPED.size)
    _, _, _, internal, external, lifetime_s = _MAPPED.unpack_from(data)
    if internal != internal_port or (lifetime_s and not external):
        raise DecodeError("a router's answer is to another question")
    return Mapping(internal, external, lifetime_s)


def is_answer(data: bytes, opcode: int) -> bool:
    """Whether a datagram answers what was asked with ``opcode``, by a refusal, too."""
    return len(data) >= _HEAD.size and data[0] == 0 and data[1] == _ANSWER + opcode


def _check(data: bytes, opcode: int, size: int) -> None:
    if not is_answer(data, opcode) or _HEAD.unpack_from(data)[2] != 0 or len(data) < size:
        raise DecodeError("a router has refused, or not answered what it was asked")
