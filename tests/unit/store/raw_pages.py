"""What really stands in the files of a store: every page decrypted, free ones and those of the log included.

SQLCipher 4 with a raw key: pages of 4,096 bytes of which the last 80 are IV (16) and HMAC-SHA-512, AES-256-CBC; the
first 16 bytes of the file are the salt. In the write-ahead log each page follows a frame header of 24 bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_PAGE: Final = 4096
_RESERVED: Final = 80
_SALT: Final = 16
_LOG_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_LEAF: Final = b"\x0d"


def raw_pages(path: Path, key: bytes) -> bytes:
    """All bytes of all pages of the database at ``path`` and of its log, in plain; and its other files as they are."""
    file = path.read_bytes()
    pages = [_decrypt(file[at : at + _PAGE], key, _SALT if at == 0 else 0) for at in range(0, len(file), _PAGE)]
    log = path.with_name(path.name + "-wal")
    frames = log.read_bytes()[_LOG_HEADER:] if log.exists() else b""
    for at in range(0, len(frames), _FRAME_HEADER + _PAGE):
        page = frames[at + _FRAME_HEADER : at + _FRAME_HEADER + _PAGE]
        # the frame's header has the number of its page: the first one begins with the salt
        pages.append(_decrypt(page, key, _SALT if frames[at : at + 4] == b"\0\0\0\x01" else 0))
    others = [other.read_bytes() for other in path.parent.iterdir() if other not in (path, log)]
    return b"".join([*pages, *others])


def leaves(path: Path, key: bytes) -> list[bytes]:
    """The pages of the database in which rows stand and move; not those on which a long row goes on."""
    file = path.read_bytes()
    pages = [_decrypt(file[at : at + _PAGE], key, _SALT if at == 0 else 0) for at in range(0, len(file), _PAGE)]
    return [page for page in pages if page[:1] == _LEAF]


def _decrypt(page: bytes, key: bytes, skipped: int) -> bytes:
    assert len(page) == _PAGE
    iv = page[_PAGE - _RESERVED : _PAGE - _RESERVED + 16]
    decryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).decryptor()
    return decryptor.update(page[skipped : _PAGE - _RESERVED]) + decryptor.finalize()
