"""The outside of a backup: a passphrase becomes a key, a stream of bytes becomes sealed chunks, and back.

    file  = head96 ‖ chunk ‖ … ‖ last chunk
    head  = magic15 ‖ version u8 ‖ salt16 ‖ ops u32 ‖ memory_bytes u32 ‖ check16 ‖ header24 ‖ digest16
    chunk = u32(length) ‖ secretstream push of 65,536 bytes, of 1 to 65,536 in the last, which alone is FINAL

Rules:

- What the head asks for is bounded before anything is derived; its digest tells damage from a wrong passphrase.
- Every chunk is authenticated with its place and the whole head: cut, swapped, repeated or altered it is Corrupt.
- Nothing is held but one chunk, whatever the file's size.

Source: docs/BACKUP.md, "The file".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import nacl.bindings as sodium
import nacl.exceptions
from nacl.pwhash import argon2id

from p2pchat.base.errors import Corrupt, InternalError, WrongPassphrase
from p2pchat.core.crypto import Entropy, blake2b_plain, equal

CHUNK_BYTES: Final = 65_536
HEAD_BYTES: Final = 96
LENGTH_BYTES: Final = 4
MAGIC: Final = b"p2pchat backup\n"

_VERSION: Final = 1
_SALT_BYTES: Final = 16
_CHECK_BYTES: Final = 16
_DIGEST_BYTES: Final = 16
_KEY_BYTES: Final = 32
_STREAM_BYTES: Final = sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_SEALING_BYTES: Final = sodium.crypto_secretstream_xchacha20poly1305_ABYTES
_MORE: Final = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL: Final = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_OPS_MAX: Final = 16
_MEMORY_MIN: Final = 8_192
_MEMORY_MAX: Final = 1 << 30  # a forged file must not make whoever reads it ask for all memory

_OTHER: Final = "This is not a backup of p2pchat."
_CUT: Final = "The backup ends too early: it is not all there."
_DAMAGED: Final = "The backup is damaged or was altered."


@dataclass(frozen=True, slots=True)
class Cost:
    """What a guess at the passphrase costs: passes and bytes of Argon2id."""

    ops: int
    memory_bytes: int


MODERATE: Final = Cost(argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)


class Sealer:
    """Seals what it is fed. Blocking: half a second of Argon2id when it is made.

    Args:
        passphrase: its UTF-8 bytes.
        entropy: for the salt and the stream's header.

    Attributes:
        head: the file's first 96 bytes.

    Raises:
        InternalError: the memory for Argon2id cannot be had.
    """

    def __init__(self, passphrase: bytes, entropy: Entropy, cost: Cost = MODERATE) -> None:
        salt, header = entropy.bytes(_SALT_BYTES), entropy.bytes(_STREAM_BYTES)
        key, check = _derive(passphrase, salt, cost)
        sizes = cost.ops.to_bytes(4, "big") + cost.memory_bytes.to_bytes(4, "big")
        head = MAGIC + bytes((_VERSION,)) + salt + sizes + check + header
        self.head: Final = head + blake2b_plain(head, _DIGEST_BYTES)
        self._stream = _start(header, key)
        self._waiting = bytearray()

    def feed(self, data: bytes) -> bytes:
        """The chunks that ``data`` completes, to be written in order."""
        self._waiting += data
        sealed = bytearray()
        while len(self._waiting) > CHUNK_BYTES:  # one byte stays at least: the last chunk is never empty
            sealed += self._seal(bytes(self._waiting[:CHUNK_BYTES]), _MORE)
            del self._waiting[:CHUNK_BYTES]
        return bytes(sealed)

    def finish(self) -> bytes:
        """The last chunk; something was fed."""
        return self._seal(bytes(self._waiting), _FINAL)

    def _seal(self, data: bytes, tag: int) -> bytes:
        sealed = sodium.crypto_secretstream_xchacha20poly1305_push(self._stream, data, self.head, tag)
        return len(sealed).to_bytes(LENGTH_BYTES, "big") + sealed


class Opener:
    """Opens what a :class:`Sealer` made, fed in pieces of any size. Blocking: Argon2id once, when the head is there.

    Args:
        passphrase: its UTF-8 bytes.
    """

    def __init__(self, passphrase: bytes) -> None:
        self._passphrase = passphrase
        self._waiting = bytearray()
        self._head = b""
        self._stream: sodium.crypto_secretstream_xchacha20poly1305_state | None = None
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        """What ``data`` lets open.

        Raises:
            Corrupt: not such a file, damaged or altered, or of a newer version.
            WrongPassphrase: it is whole, as far as the head shows, and this passphrase does not open it.
            InternalError: the memory for Argon2id cannot be had.
        """
        self._waiting += data
        if self._stream is None:
            if len(self._waiting) < HEAD_BYTES:
                return b""
            self._head = bytes(self._waiting[:HEAD_BYTES])
            del self._waiting[:HEAD_BYTES]
            self._stream = _opened(self._head, self._passphrase)
        opened = bytearray()
        while (chunk := self._next_chunk()) is not None:
            opened += self._open(self._stream, chunk)
        if self._ended and self._waiting:
            raise Corrupt(_DAMAGED)
        return bytes(opened)

    def finish(self) -> None:
        """The file is at its end.

        Raises:
            Corrupt: the backup is not.
        """
        if not self._ended:
            begun = self._head or bytes(self._waiting)
            raise Corrupt(_CUT if begun[: len(MAGIC)] == MAGIC[: len(begun)] else _OTHER)

    def _next_chunk(self) -> bytes | None:
        if self._ended or len(self._waiting) < LENGTH_BYTES:
            return None
        size = int.from_bytes(self._waiting[:LENGTH_BYTES], "big")
        if not _SEALING_BYTES < size <= CHUNK_BYTES + _SEALING_BYTES:
            raise Corrupt(_DAMAGED)
        if len(self._waiting) < LENGTH_BYTES + size:
            return None
        chunk = bytes(self._waiting[LENGTH_BYTES : LENGTH_BYTES + size])
        del self._waiting[: LENGTH_BYTES + size]
        return chunk

    def _open(self, stream: sodium.crypto_secretstream_xchacha20poly1305_state, chunk: bytes) -> bytes:
        try:
            data, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(stream, chunk, self._head)
        except nacl.exceptions.RuntimeError:
            raise Corrupt(_DAMAGED) from None
        self._ended = tag == _FINAL
        if not self._ended and (tag != _MORE or len(data) != CHUNK_BYTES):
            raise Corrupt(_DAMAGED)
        return data


def _opened(head: bytes, passphrase: bytes) -> sodium.crypto_secretstream_xchacha20poly1305_state:
    at = len(MAGIC)
    if head[:at] != MAGIC:
        raise Corrupt(_OTHER)
    if head[at] > _VERSION:
        raise Corrupt(f"The backup has version {head[at]}; this p2pchat reads {_VERSION}. Use a newer p2pchat.")
    signed = head[:-_DIGEST_BYTES]
    if head[at] != _VERSION or blake2b_plain(signed, _DIGEST_BYTES) != head[-_DIGEST_BYTES:]:
        raise Corrupt(_DAMAGED)
    salt, rest = signed[at + 1 :][:_SALT_BYTES], signed[at + 1 + _SALT_BYTES :]
    ops, memory_bytes = int.from_bytes(rest[:4], "big"), int.from_bytes(rest[4:8], "big")
    if not (1 <= ops <= _OPS_MAX and _MEMORY_MIN <= memory_bytes <= _MEMORY_MAX):
        raise Corrupt(_DAMAGED)
    key, check = _derive(passphrase, salt, Cost(ops, memory_bytes))
    if not equal(check, rest[8 : 8 + _CHECK_BYTES]):
        raise WrongPassphrase("The passphrase is wrong.")
    return _start(rest[8 + _CHECK_BYTES :], key)


def _derive(passphrase: bytes, salt: bytes, cost: Cost) -> tuple[bytes, bytes]:
    """The stream's key, and what shows that a passphrase is the right one: a guess costs Argon2id either way."""
    try:
        derived = argon2id.kdf(_KEY_BYTES + _CHECK_BYTES, passphrase, salt, cost.ops, cost.memory_bytes)
    except (nacl.exceptions.RuntimeError, MemoryError) as error:
        raise InternalError("There is not enough memory for the passphrase of a backup.") from error
    return derived[:_KEY_BYTES], derived[_KEY_BYTES:]


def _start(header: bytes, key: bytes) -> sodium.crypto_secretstream_xchacha20poly1305_state:
    """Both ends start alike: ``init_push`` is this, with a header that it draws itself."""
    stream = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(stream, header, key)
    return stream
