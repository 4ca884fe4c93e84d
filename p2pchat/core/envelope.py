"""Bytes of an envelope and of the ratchet header within, without cryptography (PROTOCOL.md 4.4).

envelope = hint8 ‖ nonce24 ‖ u16(length of eh) ‖ eh ‖ sealed body          prefix = all before the sealed body
header   = flags u8 ‖ dhs_pk32 ‖ pn u32 ‖ n u32 ‖ [kem_pk1184 if flags & 1] ‖ [kct1088 if flags & 2]
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from p2pchat.base.errors import DecodeError
from p2pchat.base.silent import Silent
from p2pchat.core.crypto import KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES, NONCE_BYTES, TAG_BYTES
from p2pchat.core.padding import MIN_BYTES, padded_bytes

HINT_BYTES: Final = 8
COUNTER_MAX: Final = 0xFFFF_FFFF

_FIXED = struct.Struct(">B32sII")
_PREFIX = struct.Struct(f">{HINT_BYTES}s{NONCE_BYTES}sH")
_ADVERTISES: Final = 1
_ANSWERS: Final = 2
_HEADER_MAX_BYTES: Final = _FIXED.size + KEM_PUBLIC_BYTES + KEM_CIPHERTEXT_BYTES

MIN_ENVELOPE_BYTES: Final = _PREFIX.size + _FIXED.size + TAG_BYTES + MIN_BYTES + TAG_BYTES


def max_envelope_bytes(content_bytes: int) -> int:
    """The size of the largest envelope whose content is of so many bytes."""
    return _PREFIX.size + _HEADER_MAX_BYTES + TAG_BYTES + padded_bytes(content_bytes) + TAG_BYTES


class Header(Silent, msgspec.Struct, frozen=True):
    """A ratchet header.

    Args:
        dhs: the sender's ratchet key, 32 bytes.
        pn: length of the sender's chain before this one.
        n: position in this chain, from 0.
        kem_public: 1184 bytes where the chain advertises.
        kem_ciphertext: 1088 bytes where the chain answers.
    """

    dhs: bytes
    pn: int
    n: int
    kem_public: bytes | None = None
    kem_ciphertext: bytes | None = None


def encode_header(header: Header) -> bytes:
    """The header's bytes, 41 to 2,313."""
    advertised, ciphertext = header.kem_public or b"", header.kem_ciphertext or b""
    flags = (_ADVERTISES if advertised else 0) | (_ANSWERS if ciphertext else 0)
    return _FIXED.pack(flags, header.dhs, header.pn, header.n) + advertised + ciphertext


def decode_header(data: bytes) -> Header:
    """The header.

    Raises:
        DecodeError: an unknown flag, or not of the length that the flags tell.
    """
    if len(data) < _FIXED.size:
        raise DecodeError("a ratchet header is too short")
    flags, dhs, pn, n = _FIXED.unpack_from(data)
    if flags & ~(_ADVERTISES | _ANSWERS):
        raise DecodeError("a ratchet header has unknown flags")
    offset = _FIXED.size
    kem_public = kem_ciphertext = None
    if flags & _ADVERTISES:
        kem_public = data[offset : offset + KEM_PUBLIC_BYTES]
        offset += KEM_PUBLIC_BYTES
    if flags & _ANSWERS:
        kem_ciphertext = data[offset : offset + KEM_CIPHERTEXT_BYTES]
        offset += KEM_CIPHERTEXT_BYTES
    if len(data) != offset:
        raise DecodeError("a ratchet header has the wrong length")
    return Header(dhs, pn, n, kem_public, kem_ciphertext)


class Parts(Silent, msgspec.Struct, frozen=True):
    """An envelope taken apart. ``prefix`` is bound into the body's AEAD."""

    hint: bytes
    nonce: bytes
    sealed_header: bytes
    sealed_body: bytes
    prefix: bytes


def join_prefix(hint: bytes, nonce: bytes, sealed_header: bytes) -> bytes:
    """What stands before the sealed body."""
    return _PREFIX.pack(hint, nonce, len(sealed_header)) + sealed_header


def split_envelope(envelope: bytes) -> Parts:
    """The parts of an envelope; nothing is authenticated yet.

    Raises:
        DecodeError: too short for its own lengths.
    """
    if len(envelope) < MIN_ENVELOPE_BYTES:
        raise DecodeError("an envelope is too short")
    hint, nonce, header_bytes = _PREFIX.unpack_from(envelope)
    end = _PREFIX.size + header_bytes
    if len(envelope) < end + MIN_BYTES + TAG_BYTES:
        raise DecodeError("an envelope is too short for its header")
    return Parts(hint, nonce, envelope[_PREFIX.size : end], envelope[end:], envelope[:end])
