"""A backup is looked at before its passphrase is asked for: what is none is said at once, and nothing is changed."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pchat.base.errors import Corrupt, P2PChatError, StoreError, UsageError
from p2pchat.core.backup import Header, Owner, Record, Settings, encode_record
from p2pchat.core.backup_file import Cost, Sealer
from p2pchat.daemon import recovery
from p2pchat.testing.entropy import SeededEntropy

PASSPHRASE = b"correct horse"
OWNER = Owner("Alice", "", "", bytes(32), 1_800_000_000_000, 3)


def sealed(*further: Record) -> bytes:
    sealer = Sealer(PASSPHRASE, SeededEntropy(1), Cost(1, 8192))
    records = (Header(1_800_000_000_000, 5, "p2pchat 0", 0, 0), OWNER, *further)
    return sealer.head + sealer.feed(b"".join(map(encode_record, records))) + sealer.finish()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("P2PCHAT_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)
    return tmp_path / "passphrase"


@pytest.fixture(params=[recovery.verify, recovery.restore])
def command(request: pytest.FixtureRequest) -> Callable[[argparse.Namespace], None]:
    found: Callable[[argparse.Namespace], None] = request.param
    return found


def arguments(file: str, passphrase: Path | None, *, as_json: bool = False) -> argparse.Namespace:
    return argparse.Namespace(file=file, passphrase_file=passphrase, json=as_json, profile="default")


class Pipe(io.TextIOWrapper):
    """What comes through stdin."""

    def __init__(self, content: bytes, *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(content))
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("", UsageError, "is empty"),
        ("missing", StoreError, "No such file"),
        ("missing/file", StoreError, "No such file"),
        ("folder", StoreError, "no file"),
        ("pipe", StoreError, "no file"),
        ("photo", Corrupt, "not a backup"),
        ("begun", Corrupt, "too early"),
        ("damaged", Corrupt, "damaged"),
        ("newer", StoreError, "Use p2pchat 7.1"),
        ("x" * 300, StoreError, "too long"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_asked(
    name: str,
    kind: type[P2PChatError],
    sentence: str,
    command: Callable[[argparse.Namespace], None],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery, "ask_passphrase", lambda *_: pytest.fail("it was asked"))
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "photo").write_bytes(b"\xff\xd8" + bytes(1000))
    (tmp_path / "begun").write_bytes(sealed()[:90])
    (tmp_path / "damaged").write_bytes(sealed()[:50] + b"\xff" + sealed()[51:])
    (tmp_path / "newer").write_bytes(b"p2pchat backup\n\2\x037.1" + bytes(100))
    with pytest.raises(kind, match=sentence) as refused:
        command(arguments(name and str(tmp_path / name), None))
    assert type(refused.value) is kind
    assert list(home.iterdir()) == []


def test_a_backup_that_is_none_is_not_asked_for_where_the_profile_is_there(home: Path, tmp_path: Path) -> None:
    (home / "data" / "default").mkdir(parents=True)
    with pytest.raises(UsageError) as refused:
        recovery.restore(arguments(str(tmp_path / "missing"), None))
    assert refused.value.error_name == "ALREADY_EXISTS"


def test_a_backup_comes_through_a_pipe(
    command: Callable[[argparse.Namespace], None],
    home: Path,
    passphrase: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = sealed(Settings(b"log_level = 'debug'\n"))
    monkeypatch.setattr(sys, "stdin", Pipe(whole))
    command(arguments("-", passphrase, as_json=True))
    shown = json.loads(capsys.readouterr().out)
    assert (shown["path"], shown["bytes"]) == ("-", len(whole))
    assert (home / "config" / "default.toml").exists() is (command is recovery.restore)


@pytest.mark.parametrize(
    ("content", "kind"), [(b"", Corrupt), (b"PK", Corrupt), (sealed()[:-1], Corrupt), (sealed() + b"\0", Corrupt)]
)
def test_what_comes_through_a_pipe_and_is_not_whole_changes_nothing(
    content: bytes,
    kind: type[P2PChatError],
    command: Callable[[argparse.Namespace], None],
    home: Path,
    passphrase: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", Pipe(content))
    with pytest.raises(kind):
        command(arguments("-", passphrase))
    assert [path for path in home.rglob("*") if not path.is_dir()] == []


@pytest.mark.parametrize(("given", "terminal", "sentence"), [(False, False, "--passphrase-file"), (True, True, "pipe")])
def test_a_pipe_that_is_none_or_leaves_nothing_to_type_on_is_refused(
    given: bool,
    terminal: bool,
    sentence: str,
    command: Callable[[argparse.Namespace], None],
    home: Path,
    passphrase: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", Pipe(sealed(), terminal=terminal))
    with pytest.raises(UsageError, match=sentence):
        command(arguments("-", passphrase if given else None))
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("toml", [b"log_lovel = 'info'\n", b"log_level = 5\n", b"listen = [1]\n", b"[", b"\xff"])
def test_settings_that_this_program_does_not_take_are_refused(
    toml: bytes, command: Callable[[argparse.Namespace], None], home: Path, tmp_path: Path, passphrase: Path
) -> None:
    (tmp_path / "backup").write_bytes(sealed(Settings(toml)))
    with pytest.raises(Corrupt, match="settings"):
        command(arguments(str(tmp_path / "backup"), passphrase))
    assert [path for path in home.rglob("*") if not path.is_dir()] == []
