"""Wiping: the key first, nothing of other profiles, and a wipe that was interrupted is finished by the next."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import StoreError, UsageError
from p2pchat.daemon import wipe as wipe_module
from p2pchat.daemon.system import profile_lock
from p2pchat.daemon.wipe import wipe

KEY = b"the key file"


def made(home: Path, name: str) -> ProfilePaths:
    """The files of a profile, with a folder that an unfinished init has left, and nothing in them."""
    paths = ProfilePaths(name, {"P2PCHAT_HOME": str(home)})
    building = paths.data_dir.parent / f".{name}.new-abc"
    for folder in (paths.data_dir, building, paths.config_file.parent, paths.socket.parent):
        folder.mkdir(parents=True, exist_ok=True)
    for file in (paths.key_file, building / "key", paths.data_dir / "key.new"):
        file.write_bytes(KEY)
    settings_left = paths.config_file.with_name(f"{name}.toml.new")
    for file in (paths.database, paths.data_dir / "p2pchat.db-wal", paths.config_file, settings_left):
        file.write_bytes(b"x")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(paths.socket))
    return paths


def files(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir()}


def test_everything_of_this_profile_and_nothing_of_another_is_removed(tmp_path: Path) -> None:
    made(tmp_path, "work-new")
    made(tmp_path, "work2")
    others = files(tmp_path)
    paths = made(tmp_path, "work")
    with paths.key_file.open("rb") as key:
        wipe(paths, None, 0)
        assert key.read() == bytes(len(KEY))
    assert files(tmp_path) == others
    assert not paths.data_dir.exists()
    with pytest.raises(UsageError) as caught:
        wipe(paths, None, 0)
    assert caught.value.error_name == "NO_PROFILE"


def test_what_was_begun_beside_a_linked_configuration_goes_too(tmp_path: Path) -> None:
    paths, elsewhere = made(tmp_path, "work"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    paths.config_file.unlink()
    paths.config_file.symlink_to(elsewhere / "shared.toml")
    for name in ("shared.toml", "shared.toml.new"):
        (elsewhere / name).write_bytes(b"x")
    wipe(paths, None, 0)
    assert files(tmp_path) == {"elsewhere/shared.toml"}, "what is linked to may be another's, too"


@pytest.mark.parametrize("step", ["_remove_files", "_remove_folder"])
def test_what_was_interrupted_has_no_key_and_is_finished_by_the_next(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = made(tmp_path, "work")

    def die(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(wipe_module, step, die)
        with pytest.raises(StoreError, match="The key is gone"):
            wipe(paths, None, 0)
    assert not [file for file in tmp_path.rglob("key*") if file.is_file()]
    assert paths.database.exists()
    wipe(paths, None, 0)
    assert files(tmp_path) == set()


def test_a_profile_that_is_held_is_left_alone(tmp_path: Path) -> None:
    paths = made(tmp_path, "work")
    with profile_lock(paths.lock_file):
        before = files(tmp_path)
        with pytest.raises(UsageError) as caught:
            wipe(paths, None, 0.1)
    assert caught.value.error_name == "ALREADY_RUNNING"
    assert files(tmp_path) == before


def test_a_socket_elsewhere_and_a_folder_on_another_disk(tmp_path: Path) -> None:
    paths = made(tmp_path, "work")
    elsewhere, disk = tmp_path / "s.sock", tmp_path / "disk"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(elsewhere))
    shutil.move(paths.data_dir, disk)
    paths.data_dir.symlink_to(disk)
    wipe(paths, elsewhere, 0)
    assert files(tmp_path) == {str(paths.socket.relative_to(tmp_path))}  # another daemon's, for all that is known
    assert not disk.exists()


def test_the_root_of_another_disk_stays_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = made(tmp_path, "work")
    disk = tmp_path / "disk"
    shutil.move(paths.data_dir, disk)
    paths.data_dir.symlink_to(disk)
    rmdir = Path.rmdir

    def mounted(path: Path) -> None:
        if path == disk:
            raise OSError(16, "Device or resource busy")
        rmdir(path)

    monkeypatch.setattr(Path, "rmdir", mounted)
    wipe(paths, None, 0)
    assert files(tmp_path) == set()
    assert list(disk.iterdir()) == []
    assert not paths.data_dir.is_symlink()


def test_what_is_no_socket_is_left_at_its_place(tmp_path: Path) -> None:
    paths = made(tmp_path, "work")
    letter = tmp_path / "letter"
    letter.write_text("not ours")
    wipe(paths, letter, 0)
    assert letter.exists()
