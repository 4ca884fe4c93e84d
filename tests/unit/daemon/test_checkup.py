"""A profile that is looked at, and put in order, without a daemon."""

from __future__ import annotations

import argparse
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pchat.api.diagnosis import SAID, Finding, advice, text
from p2pchat.api.paths import ProfilePaths
from p2pchat.daemon import checkup, profile
from p2pchat.daemon.system import profile_lock
from p2pchat.store import keyfile
from p2pchat.store.keyfile import read_key
from p2pchat.store.sqlite import connect
from p2pchat.testing.entropy import SeededEntropy
from tests.damage import flip, pages_of

PASSPHRASE = b"correct horse"
Ran = Callable[..., dict[str, Finding]]


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProfilePaths:
    monkeypatch.setenv("P2PCHAT_HOME", str(tmp_path))
    monkeypatch.delenv("P2PCHAT_LISTEN", raising=False)
    return ProfilePaths()


@pytest.fixture
def made(paths: ProfilePaths) -> ProfilePaths:
    make(paths, None)
    return paths


def make(paths: ProfilePaths, passphrase: bytes | None) -> None:
    profile.create(
        paths,
        name="Somebody",
        number=None,
        region=None,
        passphrase=passphrase,
        entropy=SeededEntropy(1),
        now_ms=1_800_000_000_000,
    )


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Ran:
    """What a command finds, by names of checks; all in words that have their facts."""

    def run(
        command: Callable[[argparse.Namespace], None] = checkup.examine,
        passphrase_file: Path | None = None,
        yes: bool = False,
    ) -> dict[str, Finding]:
        command(argparse.Namespace(profile="default", socket=None, passphrase_file=passphrase_file, yes=yes))
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        found = [Finding(line["code"], line["facts"]) for line in lines]
        for each in found:
            assert each.code in SAID
            assert text(each, "p2pchat") + advice(each, "p2pchat")
        assert len({each.name for each in found}) == len(found) or command is checkup.repair
        return {each.code if command is checkup.repair else each.name: each for each in found}

    return run


def test_no_profile(paths: ProfilePaths, ran: Ran) -> None:
    found = ran()
    assert found["daemon"].code == "daemon.no_profile"
    assert found.keys() == {"daemon", "configuration"}
    assert ran(checkup.repair).keys() == {"fix.nothing"}


def test_a_profile_that_is_well(made: ProfilePaths, ran: Ran) -> None:
    found = ran()
    codes = {each.code for each in found.values()}
    assert {"daemon.none", "database.ok", "port.any", "key.open", "permissions.ok", "test.no_daemon"} <= codes
    assert {each.name for each in found.values() if each.state == "failed"} <= {"daemon", "disk"}
    assert sorted(path.name for path in made.data_dir.iterdir()) == ["key", "lock", "p2pchat.db"]
    assert ran(checkup.repair).keys() == {"fix.nothing"}


def test_a_daemon_that_does_not_answer(made: ProfilePaths, ran: Ran) -> None:
    with profile_lock(made.lock_file):
        found = ran()
        assert (found["daemon"].code, found["database"].code) == ("daemon.silent", "database.in_use")
        assert ran(checkup.repair).keys() == {"fix.daemon_runs"}


def test_a_profile_behind_a_passphrase(
    paths: ProfilePaths, ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyfile, "_OPS", 1)
    monkeypatch.setattr(keyfile, "_MEMORY", 8192)
    make(paths, PASSPHRASE)
    assert ran()["key"].code == "key.protected"
    assert ran()["database"].code == "database.needs_passphrase"
    (tmp_path / "right").write_bytes(PASSPHRASE + b"\n")
    (tmp_path / "wrong").write_bytes(b"battery\n")
    assert ran(passphrase_file=tmp_path / "right")["database"].code == "database.ok"
    assert ran(checkup.repair).keys() == {"fix.needs_passphrase"}
    assert ran(checkup.repair, tmp_path / "right").keys() == {"fix.nothing"}
    assert ran(checkup.repair, tmp_path / "wrong").keys() == {"fix.refused"}
    assert ran(passphrase_file=tmp_path / "wrong")["database"].code == "database.wrong_passphrase"


def test_a_database_that_is_damaged(made: ProfilePaths, ran: Ran) -> None:
    content = bytearray(made.database.read_bytes())
    content[20 * 4096 + 50] ^= 1
    made.database.write_bytes(content)
    found = ran()["database"]
    assert (found.code, found.state, found.facts["places"]) == ("database.damaged", "failed", 1)
    assert made.database.read_bytes() == bytes(content)
    content[50] ^= 1
    made.database.write_bytes(content)
    assert ran()["database"].code == "database.unreadable"
    made.database.unlink()
    assert ran()["database"].code == "database.none"


def test_what_a_damaged_database_still_gives_is_saved_once_its_user_agrees(made: ProfilePaths, ran: Ran) -> None:
    key = read_key(made.key_file, None)
    leaf = pages_of(made.database, key, "event")[0]
    flip(made.database, leaf)
    before = made.database.read_bytes()
    offered = ran(checkup.repair)
    assert offered.keys() == {"fix.can_be_saved"}
    assert offered["fix.can_be_saved"].state == "warning"
    assert made.database.read_bytes() == before
    done = ran(checkup.repair, yes=True)
    assert done.keys() == {"fix.saved"}
    aside = Path(str(done["fix.saved"].facts["path"]))
    assert aside.read_bytes() == before
    assert aside.parent == made.data_dir
    assert ran()["database"].code == "database.ok"
    assert ran(checkup.repair, yes=True).keys() == {"fix.nothing"}


def test_a_database_that_does_not_say_whose_it_is_stays_as_it_is(made: ProfilePaths, ran: Ran) -> None:
    content = bytearray(made.database.read_bytes())
    content[50] ^= 1
    made.database.write_bytes(content)
    assert ran(checkup.repair, yes=True).keys() == {"fix.cannot_be_saved"}
    assert made.database.read_bytes() == bytes(content)


def test_a_repair_that_was_cut_short_is_ended(made: ProfilePaths, ran: Ran) -> None:
    whole = made.database.with_name(made.database.name + ".repaired")
    made.database.rename(whole)
    assert ran(checkup.repair).keys() == {"fix.saved"}
    assert not whole.exists()
    assert ran()["database"].code == "database.ok"


@pytest.mark.parametrize(("version", "code"), [(3, "older"), (9999, "newer")])
def test_a_database_of_another_version(made: ProfilePaths, ran: Ran, version: int, code: str) -> None:
    connection = connect(made.database, read_key(made.key_file, None))
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    found = ran()["database"]
    assert (found.code, found.facts["schema"]) == (f"database.{code}", version)


def test_a_key_that_is_damaged_opens_nothing(made: ProfilePaths, ran: Ran) -> None:
    made.key_file.write_bytes(b"junk")
    assert (ran()["key"].code, ran()["database"].code) == ("key.damaged", "database.no_key")


def test_the_port_that_is_named(made: ProfilePaths, ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("P2PCHAT_LISTEN", f"/ip4/127.0.0.1/tcp/0 /ip4/127.0.0.1/tcp/{port}")
        assert (ran()["port"].code, ran()["port"].facts["port"]) == ("port.taken", port)
    assert ran()["port"].code == "port.free"
    monkeypatch.setenv("P2PCHAT_LISTEN", f"/ip4/192.0.2.1/tcp/{port}")
    assert ran()["port"].code == "port.refused"
    monkeypatch.setenv("P2PCHAT_LISTEN", "junk")
    assert ran()["port"].code == "port.any"


def test_a_port_that_needs_rights(made: ProfilePaths, ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkup, "_bind", denied)
    monkeypatch.setenv("P2PCHAT_LISTEN", "/ip4/127.0.0.1/tcp/443/ws")
    assert (ran()["port"].code, ran()["port"].facts["port"]) == ("port.forbidden", 443)


def test_behind_a_proxy_it_listens_nowhere(made: ProfilePaths, ran: Ran) -> None:
    made.config_file.parent.mkdir(parents=True, exist_ok=True)
    made.config_file.write_text('[net]\nproxy = "socks5://127.0.0.1:9050"\n')
    assert ran()["port"].code == "port.proxied"


def test_what_was_left_is_told_and_removed(made: ProfilePaths, ran: Ran) -> None:
    half = made.key_file.with_name("key.new")
    half.write_bytes(b"half")
    half.chmod(0o600)
    folder = made.data_dir.parent / ".default.new-abc"
    folder.mkdir(0o700)
    (folder / "key").write_bytes(b"half")
    before = made.database.read_bytes(), made.key_file.read_bytes()
    found = ran()["permissions"]
    assert (found.code, found.facts["paths"]) == ("permissions.left", [str(half), str(folder)])
    done = ran(checkup.repair)
    assert done["fix.left"].facts == {"paths": [str(half), str(folder)]}
    assert not half.exists()
    assert not folder.exists()
    assert (made.database.read_bytes(), made.key_file.read_bytes()) == before
    assert ran()["permissions"].code == "permissions.ok"
    assert ran(checkup.repair).keys() == {"fix.nothing"}


def test_rights_are_put_right(made: ProfilePaths, ran: Ran) -> None:
    made.key_file.chmod(0o644)
    made.socket.parent.mkdir(0o755)
    made.socket.parent.chmod(0o755)
    done = ran(checkup.repair)
    assert set(done) == {"fix.rights"}
    assert made.key_file.stat().st_mode & 0o777 == 0o600
    assert made.socket.parent.stat().st_mode & 0o777 == 0o700


def test_a_socket_that_was_left_is_removed_and_one_in_use_is_not(made: ProfilePaths, ran: Ran) -> None:
    made.socket.parent.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made.socket))
        listener.listen()
        assert ran(checkup.repair).keys() == {"fix.nothing"}
        assert made.socket.is_socket()
    assert ran(checkup.repair).keys() == {"fix.socket"}
    assert not made.socket.exists()
    made.socket.write_text("no socket")
    assert ran(checkup.repair).keys() == {"fix.nothing"}
    assert made.socket.read_text() == "no socket"


def test_what_cannot_be_repaired_is_told(made: ProfilePaths, ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, mode: int) -> None:
        raise PermissionError(1, os.strerror(1))

    made.key_file.chmod(0o644)
    monkeypatch.setattr(Path, "chmod", refuse)
    assert ran(checkup.repair)["fix.refused"].state == "failed"
