"""The key file: opened by its passphrase alone, whole or not there, bounded in what it may ask for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgpack
import pytest

from p2pchat.base.errors import Corrupt, StoreError, WrongPassphrase
from p2pchat.store import keyfile

KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile, "_OPS", 1)
    monkeypatch.setattr(keyfile, "_MEMORY", 8192)


def test_with_a_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keyfile.write_key(path, KEY, "pässwort".encode(), os.urandom)
    assert keyfile.needs_passphrase(path)
    assert keyfile.read_key(path, "pässwort".encode()) == KEY
    with pytest.raises(WrongPassphrase):
        keyfile.read_key(path, b"passwort")
    with pytest.raises(WrongPassphrase):
        keyfile.read_key(path, None)
    assert KEY not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_a_key_file_of_which_a_part_was_written_replaces_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    keyfile.write_key(path, KEY, b"old", os.urandom)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:50]))
    with pytest.raises(StoreError):
        keyfile.write_key(path, KEY, b"new", os.urandom)
    assert keyfile.read_key(path, b"old") == KEY
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_without_one(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keyfile.write_key(path, KEY, None, os.urandom)
    assert not keyfile.needs_passphrase(path)
    assert keyfile.read_key(path, None) == KEY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        msgpack.packb([2, KEY]),
        msgpack.packb([0, KEY[:31]]),
        msgpack.packb([1, bytes(16), 1, 1 << 40, bytes(72)]),
        msgpack.packb([1, bytes(16), 1 << 20, 8192, bytes(72)]),
        msgpack.packb([1, bytes(16), 1, 8192, bytes(71)]),
    ],
)
def test_a_damaged_or_greedy_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(Corrupt):
        keyfile.read_key(path, b"x")


def test_a_missing_file_and_a_directory_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        keyfile.read_key(tmp_path / "nothing", None)
    with pytest.raises(StoreError):
        keyfile.write_key(tmp_path / "nothing" / "key", KEY, None, os.urandom)


def test_a_change_leaves_nothing_of_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keyfile.write_key(path, KEY, b"old", os.urandom)
    before = path.read_bytes()
    with path.open("rb") as old:  # as a disk keeps blocks that no file has any more
        keyfile.write_key(path, KEY, b"new", os.urandom)
        assert old.read() == bytes(len(before))
    assert keyfile.read_key(path, b"new") == KEY
    with pytest.raises(WrongPassphrase):
        keyfile.read_key(path, b"old")


def test_a_key_that_is_shredded_is_overwritten_and_gone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keyfile.write_key(path, KEY, None, os.urandom)
    with path.open("rb") as old:
        keyfile.shred(path)
        assert not any(old.read())
    assert list(tmp_path.iterdir()) == []
    keyfile.shred(path)


def test_a_disk_that_refuses_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    keyfile.write_key(path, KEY, b"old", os.urandom)

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StoreError):
        keyfile.write_key(path, KEY, b"new", os.urandom)
    assert keyfile.read_key(path, b"old") == KEY
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_what_a_crash_has_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "key.new").write_bytes(b"half of it")
    keyfile.remove_unfinished(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []
