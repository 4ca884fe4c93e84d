"""Where a profile lives, and which directories are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2pchat.api.paths import SOCKET_PATH_BYTES, ProfilePaths, checked_socket, private_directory
from p2pchat.base.errors import UsageError


def test_everything_lies_under_p2pchat_home() -> None:
    paths = ProfilePaths("work", {"P2PCHAT_HOME": "/h", "XDG_DATA_HOME": "/d", "XDG_RUNTIME_DIR": "/r"})
    assert paths.data_dir == Path("/h/data/work")
    assert paths.config_file == Path("/h/config/work.toml")
    assert paths.socket == Path("/h/run/work.sock")
    assert {paths.database.parent, paths.key_file.parent, paths.lock_file.parent} == {paths.data_dir}


def test_the_xdg_directories_are_used() -> None:
    env = {"XDG_DATA_HOME": "/d", "XDG_CONFIG_HOME": "/c", "XDG_RUNTIME_DIR": "/r"}
    paths = ProfilePaths("default", env)
    assert paths.data_dir == Path("/d/p2pchat/default")
    assert paths.config_file == Path("/c/p2pchat/default.toml")
    assert paths.socket == Path("/r/p2pchat/default.sock")


def test_defaults_without_xdg_are_the_users_own_directories() -> None:
    env = {"HOME": "/u", "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": "relative", "P2PCHAT_HOME": ""}
    paths = ProfilePaths("default", env)
    assert paths.data_dir == Path("/u/.local/share/p2pchat/default")
    assert paths.config_file == Path("/u/.config/p2pchat/default.toml")
    assert paths.socket == Path("/u/.local/share/p2pchat/.run/default.sock")


def test_a_relative_home_is_relative_to_the_working_directory() -> None:
    assert ProfilePaths("a", {"P2PCHAT_HOME": "h"}).data_dir == Path.cwd() / "h" / "data" / "a"


@pytest.mark.parametrize("profile", ["a", "0", "work-2_b", "a" * 32])
def test_profile_names(profile: str) -> None:
    assert ProfilePaths(profile, {"HOME": "/u"}).profile == profile


@pytest.mark.parametrize("profile", ["", "A", "-a", "_a", ".", "..", "a/b", "a\n", "a b", "é", "a" * 33])
def test_names_that_are_no_profiles(profile: str) -> None:
    with pytest.raises(UsageError) as caught:
        ProfilePaths(profile, {"HOME": "/u"})
    assert caught.value.data == {"param": "profile"}


def test_a_socket_path_that_the_kernel_cannot_take_is_refused_only_when_it_is_needed() -> None:
    paths = ProfilePaths("a", {"P2PCHAT_HOME": "/" + "x" * 200})
    assert paths.data_dir.name == "a"
    with pytest.raises(UsageError, match="P2PCHAT_HOME"):
        _ = paths.socket


def test_the_limit_is_counted_in_bytes() -> None:
    checked_socket(Path("/" + "x" * (SOCKET_PATH_BYTES - 1)))
    with pytest.raises(UsageError):
        checked_socket(Path("/" + "x" * SOCKET_PATH_BYTES))
    with pytest.raises(UsageError):
        checked_socket(Path("/" + "한" * 36))


def test_a_private_directory_is_made_closed(tmp_path: Path) -> None:
    made = private_directory(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    assert private_directory(made) == made


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o770, 0o755, 0o777])
def test_an_open_directory_is_refused_and_left_alone(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "open"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(UsageError, match="chmod 700") as caught:
        private_directory(directory)
    assert caught.value.error_name == "FORBIDDEN"
    assert directory.stat().st_mode & 0o777 == mode


def test_a_file_or_a_link_is_no_private_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("file", "link"):
        with pytest.raises(UsageError, match="is not a directory"):
            private_directory(tmp_path / name)


def test_another_users_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = private_directory(tmp_path / "theirs")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match="another user") as caught:
        private_directory(directory)
    assert caught.value.error_name == "FORBIDDEN"
