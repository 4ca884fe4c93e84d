"""A restore that is killed, at whatever step: nothing is there, or the whole profile with its configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from p2pchat.api.paths import ProfilePaths
from p2pchat.core.backup import Contact, Header, Owner, Record, Settings, encode_record
from p2pchat.core.backup_file import Cost, Sealer
from p2pchat.daemon import profile as profiles
from p2pchat.daemon import restore as restoring
from p2pchat.daemon import settings
from p2pchat.daemon.system import SystemEntropy
from p2pchat.services.backup_source import opened
from p2pchat.store.db import Tx
from p2pchat.store.sqlite import connect
from p2pchat.testing.entropy import SeededEntropy
from tests.e2e.daemons import DEADLINE_S, Daemon, environment

pytestmark = pytest.mark.e2e

PASSPHRASE = b"correct horse"
TOML = b'log_level = "error"\n'
NOW_MS = 1_800_000_000_000
RECORDS: list[Record] = [
    Header(NOW_MS, 5, "p2pchat 0", 1, 0),
    Owner("Alice", "", "", bytes(32), NOW_MS - 1, 3),
    Settings(TOML),
    Contact(
        *(b"contact1", "Bob", None, "pending", "claimed", None, 0, 0, 1, 0, None, None, None, 0, None, None),
        *((), None, (), ()),
    ),
]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The homes, one for each step, in their order; at the last the restore went through."""
    folder = tmp_path_factory.mktemp("killed")
    sealer = Sealer(PASSPHRASE, SeededEntropy(1), Cost(1, 8192))
    plain = b"".join(map(encode_record, RECORDS))
    (folder / "backup").write_bytes(sealer.head + sealer.feed(plain) + sealer.finish())
    (folder / "homes").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.killed_restore", folder / "homes", folder / "backup", PASSPHRASE.decode()],
        env=environment(folder),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [folder / "homes" / str(step) for step in range(1, int(done.stdout) + 1)]


def paths_of(home: Path) -> ProfilePaths:
    return ProfilePaths("default", {"P2PCHAT_HOME": str(home)})


def is_there(home: Path) -> bool:
    return paths_of(home).data_dir.exists()


def test_it_was_killed_before_and_after_the_profile_was_there(killed: list[Path]) -> None:
    there = [is_there(home) for home in killed]
    assert there == sorted(there)
    assert there.count(False) > 8
    waiting = [settings.are_waiting(paths_of(home)) for home in killed]
    assert waiting.count(True) >= 4
    assert not waiting[-1]


def test_before_it_there_is_nothing_in_the_way_of_the_next_restore(killed: list[Path], tmp_path: Path) -> None:
    homes = [home for home in killed if not is_there(home)]
    for home in homes:
        assert not paths_of(home).config_file.exists()
        if (home / "data").exists():
            assert all(path.name.startswith(".default.new-") for path in (home / "data").iterdir())
    paths = paths_of(homes[-1])
    with opened(killed[0].parents[1] / "backup") as source:
        restoring.restore(paths, source, PASSPHRASE, SystemEntropy(), NOW_MS)
    profiles.tidy(paths)
    assert sorted(path.name for path in paths.data_dir.parent.iterdir()) == ["default"]
    assert paths.config_file.read_bytes() == TOML


def test_after_it_all_of_it_is_there(killed: list[Path]) -> None:
    for home in filter(is_there, killed):
        paths = paths_of(home)
        settings.put_in_place(paths)
        assert paths.config_file.read_bytes() == TOML
        assert [path.name for path in paths.config_file.parent.iterdir()] == ["default.toml"]
        assert not settings.are_waiting(paths)
        connection = connect(paths.database, profiles.unlock(paths, PASSPHRASE).take())
        try:
            assert Tx(connection, NOW_MS).all("SELECT name FROM contact") == [("Bob",)]
        finally:
            connection.close()


def test_the_next_start_finishes_it(killed: list[Path], tmp_path: Path) -> None:
    home = tmp_path / "home"
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)
    sealed = killed[0].parents[1] / "backup"
    home.mkdir()
    paths = paths_of(home)
    with opened(sealed) as source:
        restoring.restore(paths, source, PASSPHRASE, SystemEntropy(), NOW_MS)
    paths.config_file.unlink()
    settings.bring(paths.data_dir, TOML)
    settings.unfinished(paths).write_bytes(TOML[:3])
    daemon = Daemon.__new__(Daemon)
    daemon.home, daemon.socket, daemon.log, daemon.process = home, home / "run" / "default.sock", home / "log.txt", None
    try:
        daemon.start("--passphrase-file", str(tmp_path / "passphrase"))
        assert paths.config_file.read_bytes() == TOML
        assert not settings.are_waiting(paths)
        assert not settings.unfinished(paths).exists()
        assert daemon.log.read_text() == ""  # in force already: nothing of the start is an error
        assert daemon.stop() == 0
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()
