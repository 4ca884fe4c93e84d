"""What the doctor looks at on the machine."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pchat.api.diagnosis import Finding, advice, text
from p2pchat.base import limits
from p2pchat.services import examine
from p2pchat.services.examine import Files
from p2pchat.store.keyfile import write_key

MIB = 1 << 20


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A profile as `init` makes it."""
    made = Files(tmp_path / "work", tmp_path / "work.toml")
    made.folder.mkdir(mode=0o700)
    write_key(made.key, bytes(32), None, bytes)
    made.database.touch(mode=0o600)
    return made


def in_words(finding: Finding) -> str:
    """Both sentences, which must have all their facts."""
    return text(finding, "p2pchat") + advice(finding, "p2pchat")


def test_a_profile_that_is_well(files: Files) -> None:
    found = examine.examine(files, time.time())
    assert [each.name for each in found] == ["configuration", "permissions", "key", "disk", "memory", "clock"]
    assert {each.state for each in found} <= {"ok", "warning"}  # this machine may have little room
    assert sorted(path.name for path in files.folder.iterdir()) == ["key", "p2pchat.db"]
    assert all(map(in_words, found))


@pytest.mark.parametrize(
    ("toml", "code"),
    [
        ("", "ok"),
        ('listen = ["/ip4/0.0.0.0/tcp/4001"]\n[net]\nmode = "lan"', "ok"),
        ("listen =", "refused"),
        ("lisen = []", "refused"),
        ('listen = ["0.0.0.0:4001"]', "refused"),
        ('bootstrap = ["/ip4/1.2.3.4/tcp/1"]', "refused"),
        ('[net]\nproxy = "socks5://127.0.0.1:9050"', "ok"),
        ('[net]\nproxy = "socks5://example.org:9050"', "refused"),
        ('[net]\nmode = "lan"\nproxy = "socks5://127.0.0.1:9050"', "refused"),
        ('listen = ["/ip4/0.0.0.0/tcp/4001"]\n[net]\nproxy = "socks5://127.0.0.1:9050"', "refused"),
        ("\udcff", "refused"),
    ],
)
def test_a_configuration_file(files: Files, toml: str, code: str) -> None:
    assert examine.configuration(files).code == "configuration.none"
    files.settings.write_bytes(toml.encode("utf-8", "surrogateescape"))
    found = examine.configuration(files)
    assert found.code == f"configuration.{code}"
    assert in_words(found)


def test_a_configuration_file_that_cannot_be_read(files: Files) -> None:
    files.settings.mkdir()
    assert examine.configuration(files).code == "configuration.refused"


def test_files_that_others_can_get_at_are_found_and_closed(files: Files) -> None:
    files.key.chmod(0o640)
    files.folder.chmod(0o755)
    files.settings.write_text("")
    files.settings.chmod(0o666)
    found = examine.permissions(files)
    assert (found.code, found.state) == ("permissions.open", "failed")
    assert found.facts["paths"] == [str(files.folder), str(files.key), str(files.settings)]
    assert examine.close(files) == [files.folder, files.key, files.settings]
    modes = [path.stat().st_mode & 0o777 for path in (files.folder, files.key, files.settings, files.database)]
    assert modes == [0o700, 0o600, 0o644, 0o600]
    assert examine.permissions(files).code == "permissions.ok"
    assert examine.close(files) == []


def test_a_configuration_file_with_a_password_is_closed_to_readers(files: Files) -> None:
    files.settings.write_text('[net]\nproxy = "socks5://me:secret@127.0.0.1:9050"\n')
    files.settings.chmod(0o644)
    found = examine.permissions(files)
    assert found.code == "permissions.open"
    assert "secret" not in in_words(found)
    examine.close(files)
    assert files.settings.stat().st_mode & 0o777 == 0o600


def test_a_proxy_without_a_password_may_be_read(files: Files) -> None:
    files.settings.write_text('[net]\nproxy = "socks5://127.0.0.1:9050"\n')
    files.settings.chmod(0o644)
    assert examine.permissions(files).code == "permissions.ok"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_process_without_descriptors_is_examined_as_far_as_it_goes(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as short:
        short.setattr(os, "open", refuse)
        short.setattr(os, "listdir", refuse)
        short.setattr(os, "scandir", refuse)
        found = examine.examine(files, time.time())
    assert "Too many open files" in " ".join(map(in_words, found))


def test_files_of_another_user(files: Files) -> None:
    os.chown(files.key, 12345, 12345)
    found = examine.permissions(files)
    assert (found.code, found.facts["paths"]) == ("permissions.foreign", [str(files.key)])


def test_the_key_file(files: Files) -> None:
    assert examine.key(files).code == "key.open"
    files.key.write_bytes(b"junk")
    assert examine.key(files).code == "key.damaged"
    files.key.unlink()
    assert examine.key(files).code == "key.none"
    assert str(files.folder) in in_words(examine.key(files))
    files.key.mkdir()
    assert examine.key(files).code == "key.unreadable"


def test_a_key_behind_a_passphrase(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "needs_passphrase", lambda path: True)
    assert examine.key(files).code == "key.protected"


Space = Callable[..., None]


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Space:
    """A disk with so much room."""

    def has(free: int, flag: int = 0) -> None:
        values = [4096, 4096, 10**9, free // 4096, free // 4096, 0, 0, 0, flag, 255]
        monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(values))

    return has


@pytest.mark.parametrize(
    ("free", "code"),
    [(limits.DISK_LOW_BYTES, "ok"), (limits.DISK_LOW_BYTES - 4096, "low"), (limits.DISK_FULL_BYTES - 4096, "full")],
)
def test_room_on_the_disk(files: Files, space: Space, free: int, code: str) -> None:
    space(free)
    assert examine.disk(files.folder).code == f"disk.{code}"


def test_a_disk_that_can_only_be_read(files: Files, space: Space) -> None:
    space(1 << 40, os.ST_RDONLY)
    assert examine.disk(files.folder).code == "disk.read_only"


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "full"), (errno.EDQUOT, "full"), (errno.EROFS, "read_only"), (errno.EIO, "refused")],
)
def test_a_disk_that_refuses_a_write(
    files: Files, space: Space, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    space(1 << 40)
    monkeypatch.setattr(os, "fsync", refuse)
    found = examine.disk(files.folder)
    assert (found.code, found.state) == (f"disk.{code}", "failed")
    assert in_words(found)
    assert not list(files.folder.glob(".doctor*"))


def test_a_disk_that_takes_a_part(files: Files, space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    space(1 << 40)
    monkeypatch.setattr(os, "write", lambda descriptor, data: 100)
    assert examine.disk(files.folder).code == "disk.full"


def test_a_disk_that_is_slow(files: Files, space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    at = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: at[0])

    def sync(descriptor: int) -> None:
        at[0] += 1.5

    space(1 << 40)
    monkeypatch.setattr(os, "fsync", sync)
    found = examine.disk(files.folder)
    assert (found.code, found.facts) == ("disk.slow", {"ms": 1500})


def test_no_folder(tmp_path: Path) -> None:
    found = examine.disk(tmp_path / "gone")
    assert (found.code, found.facts["reason"]) == ("disk.refused", "No such file or directory")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (f"MemTotal: 9 kB\nMemAvailable:  {limits.MEMORY_LOW_BYTES // 1024} kB\n", "ok"),
        (f"MemAvailable:  {limits.MEMORY_LOW_BYTES // 1024 - 1} kB\n", "low"),
        ("nothing of the kind\n", "unknown"),
    ],
)
def test_memory(tmp_path: Path, content: str, code: str) -> None:
    (tmp_path / "meminfo").write_text(content)
    found = examine.memory(tmp_path / "meminfo")
    assert found.code == f"memory.{code}"
    assert in_words(found)
    assert examine.memory(tmp_path / "none").code == "memory.unknown"


@pytest.mark.parametrize("now", [1_800_000_000.0, 1_800_057_600.0 + 60, 1_800_057_600.0 - 60])  # or about midnight
def test_a_clock_that_is_a_day_off(files: Files, now: float) -> None:
    for path in (files.key, files.database):
        os.utime(path, (now, now))
    assert examine.clock(files, now).code == "clock.plausible"
    assert examine.clock(files, now - 300).code == "clock.plausible"
    behind = examine.clock(files, now - 86_400)
    assert (behind.code, behind.state) == ("clock.behind", "failed")
    assert behind.facts["date"] != behind.facts["known"]


def test_a_clock_that_no_file_can_contradict(tmp_path: Path) -> None:
    nothing = Files(tmp_path, tmp_path / "x.toml")
    assert examine.clock(nothing, 0.0).facts["date"] == "1970-01-01"
    assert examine.clock(nothing, time.time()).code == "clock.plausible"
    assert examine.clock(nothing, 5e9).code == "clock.ahead"
