"""Pages of a database, and bits of them that are flipped: what a disk does that is going to fail."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from p2pchat.store.sqlite import connect

PAGE: Final = 4096
_END: Final = PAGE - 80  # after it the IV and the HMAC of a page


def flip(path: Path, page: int) -> None:
    """One bit of a page, counted from 1."""
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE + 1_000)
        (byte,) = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


def pages_of(path: Path, key: bytes, table: str) -> list[int]:
    """The leaves of a table's tree, in a database whose log is empty."""
    connection = connect(path, key)
    try:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    finally:
        connection.close()
    return _leaves(path, key, root)


def _leaves(path: Path, key: bytes, page: int) -> list[int]:
    data = _plain(path, key, page)
    if data[0] in (0x0D, 0x0A):
        return [page]
    (count,) = struct.unpack_from(">H", data, 3)
    places = struct.unpack_from(f">{count}H", data, 12)
    children = [*(struct.unpack_from(">I", data, place)[0] for place in places), struct.unpack_from(">I", data, 8)[0]]
    return [leaf for child in children for leaf in _leaves(path, key, child)]


def _plain(path: Path, key: bytes, page: int) -> bytes:
    """A page as SQLCipher keeps it: AES-256-CBC."""
    raw = path.read_bytes()[(page - 1) * PAGE : page * PAGE]
    begin = 16 if page == 1 else 0  # the salt
    decryptor = Cipher(algorithms.AES(key), modes.CBC(raw[_END : _END + 16])).decryptor()
    return bytes(begin) + decryptor.update(raw[begin:_END])
