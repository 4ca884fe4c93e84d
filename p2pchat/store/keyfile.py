"""The key file: a random 32-byte database key, wrapped by a passphrase.

A change of passphrase rewrites this file alone. The file is msgpack, 0600, and replaced only by rename:

- ``[1, salt16, ops, memory_bytes, SecretBox(Argon2id(passphrase, salt), key)]`` with a passphrase;
- ``[0, key32]`` without one: whoever reads the file reads the database, and ``init`` says so.

What a new file replaces is overwritten, as far as the disk overwrites at all: the key is the same, and the old
passphrase would open it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from nacl import pwhash, secret
from nacl.exceptions import CryptoError

from p2pchat.base.errors import Corrupt, StoreError, WrongPassphrase
from p2pchat.base.silent import Silent

KEY_BYTES: Final = 32
_OPS: Final = pwhash.argon2id.OPSLIMIT_MODERATE
_MEMORY: Final = pwhash.argon2id.MEMLIMIT_MODERATE
_MEMORY_MAX: Final = 1 << 30  # a forged file must not make the daemon ask for all memory
_OPS_MAX: Final = 16


class _Plain(Silent, msgspec.Struct, frozen=True, array_like=True, tag=0, forbid_unknown_fields=True):
    key: Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]


class _Wrapped(Silent, msgspec.Struct, frozen=True, array_like=True, tag=1, forbid_unknown_fields=True):
    salt: Annotated[bytes, Meta(min_length=16, max_length=16)]
    ops: Annotated[int, Meta(ge=1, le=_OPS_MAX)]
    memory: Annotated[int, Meta(ge=8192, le=_MEMORY_MAX)]
    box: Annotated[bytes, Meta(min_length=72, max_length=72)]


_decoder: Final[msgspec.msgpack.Decoder[_Plain | _Wrapped]] = msgspec.msgpack.Decoder(_Plain | _Wrapped)


def write_key(path: Path, key: bytes, passphrase: bytes | None, random: Callable[[int], bytes]) -> None:
    """Write or replace the key file, so that after a crash either the old or the new one is there, whole.

    Args:
        path: the key file; its directory exists.
        key: 32 bytes.
        passphrase: its UTF-8 bytes, or None for no protection.
        random: draws ``n`` random bytes.

    Raises:
        StoreError: the disk refused.
    """
    content: _Plain | _Wrapped
    if passphrase is None:
        content = _Plain(key)
    else:
        salt = random(16)
        wrapping = pwhash.argon2id.kdf(KEY_BYTES, passphrase, salt, _OPS, _MEMORY)
        content = _Wrapped(salt, _OPS, _MEMORY, bytes(secret.SecretBox(wrapping).encrypt(key, random(24))))
    temporary = unfinished(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_whole(descriptor, msgspec.msgpack.encode(content))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with _overwritten_at_the_end(path):
            temporary.replace(path)
            sync_directory(path.parent)
    except OSError as error:
        with suppress(OSError):  # the next start tries again
            temporary.unlink(missing_ok=True)
        raise StoreError(f"The key file could not be written: {error.strerror}.") from error


def _write_whole(descriptor: int, data: bytes) -> None:
    if os.write(descriptor, data) < len(data):  # a limit lies within; what it replaces may be the only copy of the key
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def remove_unfinished(path: Path) -> None:
    """Remove what a :func:`write_key` that was cut off has left beside the key file ``path``.

    Raises:
        StoreError: the disk refused.
    """
    shred(unfinished(path))


def shred(path: Path) -> None:
    """Overwrite a file, as far as the disk overwrites at all, and remove it; nothing happens where there is none.

    Raises:
        StoreError: the disk refused.
    """
    try:
        with _overwritten_at_the_end(path):
            path.unlink(missing_ok=True)
            sync_directory(path.parent)
    except OSError as error:
        raise StoreError(f"A key file could not be removed: {error.strerror}.") from error


def unfinished(path: Path) -> Path:
    """What a :func:`write_key` that was cut off leaves beside the key file ``path``."""
    return path.with_name(path.name + ".new")


@contextmanager
def _overwritten_at_the_end(path: Path) -> Iterator[None]:
    """Overwrite what ``path`` was at the beginning, if the block has put something else, or nothing, in its place.

    Not before: until then it may be the only copy of the key.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        yield
        os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def needs_passphrase(path: Path) -> bool:
    """Whether the key file is wrapped.

    Raises:
        StoreError: there is none, or it cannot be read.
        Corrupt: it is damaged.
    """
    return isinstance(_load(path), _Wrapped)


def read_key(path: Path, passphrase: bytes | None) -> bytes:
    """The 32-byte database key. Blocking: half a second of Argon2id where there is a passphrase.

    Raises:
        StoreError: there is no such file, or it cannot be read.
        WrongPassphrase: the passphrase does not open it, or one is needed.
        Corrupt: the file is damaged.
    """
    content = _load(path)
    if isinstance(content, _Plain):
        return content.key
    if passphrase is None:
        raise WrongPassphrase("This profile needs its passphrase.")
    wrapping = pwhash.argon2id.kdf(KEY_BYTES, passphrase, content.salt, content.ops, content.memory)
    try:
        return bytes(secret.SecretBox(wrapping).decrypt(content.box))
    except CryptoError as error:
        raise WrongPassphrase("The passphrase is wrong.") from error


def sync_directory(path: Path) -> None:
    """Make a rename in ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(path: Path) -> _Plain | _Wrapped:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"The key file cannot be read: {error.strerror}.") from error
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, ValueError) as error:
        raise Corrupt("The key file is damaged.") from error
