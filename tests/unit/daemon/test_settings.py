"""The configuration of a restored profile comes into its place once, over nothing, and not at the profile's price."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import StoreError
from p2pchat.core.backup import Settings
from p2pchat.daemon import restore as restoring
from p2pchat.daemon import settings
from p2pchat.daemon.restore import restore
from p2pchat.daemon.system import SystemEntropy, profile_lock
from p2pchat.services.backup_source import opened
from tests.unit.daemon.test_recovery import PASSPHRASE, sealed

TOML = b"log_level = 'debug'\n"


@pytest.fixture
def paths(tmp_path: Path) -> ProfilePaths:
    (tmp_path / "backup").write_bytes(sealed(Settings(TOML)))
    return ProfilePaths("default", {"P2PCHAT_HOME": str(tmp_path / "home")})


def made(paths: ProfilePaths, tmp_path: Path) -> None:
    with opened(tmp_path / "backup") as source:
        restore(paths, source, PASSPHRASE, SystemEntropy(), 1_800_000_000_000)


def test_what_is_there_stays(paths: ProfilePaths, tmp_path: Path) -> None:
    paths.config_file.parent.mkdir(parents=True)
    paths.config_file.write_bytes(b"# mine\n")
    made(paths, tmp_path)
    assert paths.config_file.read_bytes() == b"# mine\n"
    assert not settings.are_waiting(paths)
    assert [path.name for path in paths.config_file.parent.iterdir()] == ["default.toml"]


def test_where_it_cannot_be_written_there_is_no_profile(paths: ProfilePaths, tmp_path: Path) -> None:
    paths.config_file.parent.parent.mkdir(parents=True)
    paths.config_file.parent.write_bytes(b"a file where a folder should be")
    with pytest.raises(StoreError, match="configuration file"):
        made(paths, tmp_path)
    assert list(paths.data_dir.parent.iterdir()) == []


def test_a_daemon_that_was_started_meanwhile_sees_to_it(
    paths: ProfilePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = restoring._settle

    def late(paths: ProfilePaths) -> None:
        with profile_lock(paths.lock_file):
            settle(paths)

    monkeypatch.setattr(restoring, "_settle", late)
    made(paths, tmp_path)
    assert settings.are_waiting(paths)
    assert not paths.config_file.exists()
