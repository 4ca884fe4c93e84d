"""The outside of a backup: a passphrase becomes a key, a stream of bytes becomes sealed chunks, and back.

    file  = head96 ‖ chunk ‖ … ‖ last chunk
    head  = magic15 ‖ version u8 ‖ salt16 ‖ ops u32 ‖ memory_bytes u32 ‖ check16 ‖ header24 ‖ digest16
    chunk = u32(length) ‖ secretstream push of 65,536 bytes, of 1 to 65,536 in the last, which alone is FINAL

Rules:

- What the head asks for is bounded before anything is derived; its digest tells damage from a wrong passphrase.
- Of a higher version only the beginning is known: magic15 ‖ version u8 ‖ u8(length) ‖ the version of p2pchat that reads
  it. It is told to the user, so it may hold nothing but digits and dots.
- Every chunk is authenticated with its place and the whole head: cut, swapped, repeated or altered it is Corrupt.
- Nothing is held but one chunk, whatever the file's size.

Source: docs/BACKUP.md, "The file".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import nacl.bindings as sodium
import nacl.exceptions
from nacl.pwhash import argon2id

from p2pchat import __version__
from p2pchat.base.errors import Corrupt, InternalError, StoreError, WrongPassphrase
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

_RELEASE: Final = re.compile(rb"[0-9]{1,4}(\.[0-9]{1,4}){1,3}")

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


def check_head(begun: bytes) -> None:
    """That a file which begins like that is a backup which this program reads, as far as can be told without its
    passphrase.

    Args:
        begun: its first 96 bytes, or all of a shorter one.

    Raises:
        Corrupt: it is no backup, it is cut short or damaged.
        StoreError: it needs a newer p2pchat.
    """
    at = len(MAGIC)
    if begun[:at] != MAGIC[: len(begun)]:
        raise Corrupt(_OTHER)
    ours = begun[:at] + bytes((_VERSION,)) + begun[at + 1 :]
    if begun[at : at + 1] > bytes((_VERSION,)) and not _is_signed(ours):  # else the byte alone was damaged
        raise StoreError(
            f"The backup has version {begun[at]}; this is p2pchat {__version__}, which reads version {_VERSION}. "
            f"{_needed(begun[at + 1 :])}"
        )
    if len(begun) < HEAD_BYTES:
        raise Corrupt(_CUT)
    if begun != ours or not _is_signed(begun):
        raise Corrupt(_DAMAGED)
    cost = _cost(begun)
    if not (1 <= cost.ops <= _OPS_MAX and _MEMORY_MIN <= cost.memory_bytes <= _MEMORY_MAX):
        raise Corrupt(_DAMAGED)


def _is_signed(head: bytes) -> bool:
    return blake2b_plain(head[:-_DIGEST_BYTES], _DIGEST_BYTES) == head[-_DIGEST_BYTES:]


def _needed(rest: bytes) -> str:
    release = rest[1 : 1 + rest[0]] if rest and len(rest) > rest[0] else b""
    return f"Use p2pchat {release.decode()} or a newer one." if _RELEASE.fullmatch(release) else "Use a newer p2pchat."


def _cost(head: bytes) -> Cost:
    at = len(MAGIC) + 1 + _SALT_BYTES
    return Cost(int.from_bytes(head[at : at + 4], "big"), int.from_bytes(head[at + 4 : at + 8], "big"))


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
            Corrupt, StoreError: as :func:`check_head`; damaged or altered later on.
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
            StoreError: it needs a newer p2pchat.
        """
        if not self._ended:
            if not self._head:
                check_head(bytes(self._waiting))
            raise Corrupt(_CUT)

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
    check_head(head)
    at = len(MAGIC) + 1
    salt, rest = head[at : at + _SALT_BYTES], head[at + _SALT_BYTES + 8 : -_DIGEST_BYTES]
    key, check = _derive(passphrase, salt, _cost(head))
    if not equal(check, rest[:_CHECK_BYTES]):
        raise WrongPassphrase("The passphrase is wrong.")
    return _start(rest[_CHECK_BYTES:], key)


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
