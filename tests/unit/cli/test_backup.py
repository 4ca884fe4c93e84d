"""``backup`` and ``export``: what is asked of the daemon, what becomes of the file, and how it ends."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.cli import backup, export
from p2pchat.cli.program import daemon_program
from tests.fake_api import NOW_MS, Served
from tests.unit.cli.conftest import Cli


@pytest.fixture
def passphrase(tmp_path: Path) -> str:
    file = tmp_path / "passphrase"
    file.write_bytes("pässwort\n".encode())
    return str(file)


def test_create_names_an_absolute_path_and_passes_the_passphrase_over_the_socket(
    node: Served, cli: Cli, passphrase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = cli("backup", "create", "my backup", "--passphrase-file", passphrase)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == "2 contacts, 3 messages, 4 bytes\n"
    [(method, params)] = node.api.calls
    assert method == "backup.create"
    assert params == {"path": str(tmp_path / "my backup"), "passphrase": "pässwort".encode()}


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("", 65, "INVALID_PARAMS"),
        ("-", 65, "INVALID_PARAMS"),
        ("backup.part", 65, "INVALID_PARAMS"),
        ("\udcff", 65, "INVALID_PARAMS"),
        ("home/data/default/backup", 65, "INVALID_PARAMS"),
        ("home/data/default/below/backup", 65, "INVALID_PARAMS"),
        ("link/backup", 65, "INVALID_PARAMS"),
        ("there", 73, "ALREADY_EXISTS"),
        ("folder", 73, "ALREADY_EXISTS"),
        ("folder/", 73, "ALREADY_EXISTS"),
        ("dangling", 73, "ALREADY_EXISTS"),
        ("nowhere/backup", 74, "STORE"),
        ("there/backup", 74, "STORE"),
        ("closed/backup", 74, "STORE"),
        ("x" * 252, 74, "STORE"),  # there would be no place for .part
    ],
)
def test_create_looks_at_the_place_before_it_asks(
    name: str, status: int, error: str, node: Served, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("P2PCHAT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(backup, "ask_new_passphrase", lambda *_: pytest.fail("it was asked"))
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed")  # root may everything
    for folder in ("home/data/default/below", "folder", "closed"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "there").write_bytes(b"x")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "link").symlink_to("home/data/default")
    outcome = cli("backup", "create", name)
    assert (outcome.status, outcome.out) == (status, "")
    assert outcome.err.startswith(f"{error}: ")
    assert len(outcome.err.splitlines()) == 1
    assert node.api.calls == []


def test_a_file_may_be_called_like_a_stream(
    node: Served, cli: Cli, passphrase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("backup", "create", "./-", "--passphrase-file", passphrase).status == 0
    assert node.api.calls[0][1]["path"] == str(tmp_path / "-")


def test_create_prints_the_object(node: Served, cli: Cli, passphrase: str, tmp_path: Path) -> None:
    outcome = cli("backup", "create", str(tmp_path / "b"), "--passphrase-file", passphrase, "--json")
    shown = {"path": str(tmp_path / "b"), "made_ms": NOW_MS, "bytes": 4, "contacts": 2, "messages": 3}
    assert outcome.lines == [shown]


@pytest.mark.parametrize("missing", [(), ("--passphrase-file", "/nonexistent/file")])
def test_create_without_a_passphrase_says_what_is_missing(node: Served, cli: Cli, missing: tuple[str, ...]) -> None:
    outcome = cli("backup", "create", "b", *missing, stdin=b"")
    assert (outcome.status, outcome.out) == (65, "")
    assert outcome.err.startswith("INVALID_PARAMS: ")
    assert node.api.calls == []


def test_create_needs_a_daemon(cli: Cli, passphrase: str) -> None:
    assert cli("backup", "create", "b", "--passphrase-file", passphrase).status == 69


@pytest.mark.parametrize("command", ["verify", "restore"])
def test_the_rest_becomes_the_daemons_program(
    command: str, cli: Cli, passphrase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[list[str]] = []

    def execv(_: str, arguments: list[str]) -> None:
        became.append(arguments)
        sys.exit(0)

    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(SystemExit):
        cli("--profile", "work", "backup", command, "--passphrase-file", passphrase, "--json", "--", "-file")
    expected = ["--profile", "work", command, f"--passphrase-file={passphrase}", "--json", "--", "-file"]
    assert became[-1] == [*daemon_program(), *expected]


# -- export --------------------------------------------------------------------------------------------------------


def talk(node: Served, count: int) -> None:
    def fill() -> None:
        bob, carol = node.api.contact("Bob\x1b[2J", "+821098765432"), node.api.contact("Carol")
        for number in range(count):
            node.api.message(bob if number % 3 else carol, f"{number}\n안녕 \0", incoming=bool(number % 2))

    node.do(fill)


@pytest.mark.parametrize("page", [1, 2, 7, 1000])
def test_everything_is_written_once_and_oldest_first(
    page: int, node: Served, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", page)
    talk(node, 20)
    outcome = cli("export")
    assert outcome.status == 0
    assert "not encrypted" in outcome.err
    first, *rows = outcome.lines
    assert first["type"] == "export"
    head = json.loads(json.dumps(first["data"]))
    assert (head["format"], head["identity"]["name"]) == (1, "Alice")
    assert [row["type"] for row in rows] == ["contact"] * 2 + ["message"] * 20
    found = [json.loads(json.dumps(row["data"])) for row in rows]
    assert [each["name"] for each in found[:2]] == ["Bob\x1b[2J", "Carol"]
    by_contact = sorted(node.api.messages, key=lambda message: (message.contact_id, message.position))
    assert [each["text"] for each in found[2:]] == [message.text for message in by_contact]


def test_a_file_is_of_its_owner_alone_and_new(node: Served, cli: Cli, tmp_path: Path) -> None:
    talk(node, 3)
    path = tmp_path / "out.jsonl"
    outcome = cli("export", str(path))
    assert (outcome.status, outcome.out) == (0, "")
    assert outcome.err.splitlines()[-1] == "3 messages"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes().splitlines()) == 6
    before = path.read_bytes()
    again = cli("export", str(path))
    assert (again.status, path.read_bytes()) == (73, before)


def test_an_export_that_fails_leaves_no_file(node: Served, cli: Cli, tmp_path: Path) -> None:
    talk(node, 3)
    node.api.fail["message.list"] = UsageError("No.", name="STORE")
    path = tmp_path / "out.jsonl"
    assert cli("export", str(path)).status == 74
    assert not path.exists()


def test_a_contact_that_is_removed_meanwhile_does_not_end_it(node: Served, cli: Cli) -> None:
    talk(node, 3)
    node.api.fail["message.list"] = UsageError("Nobody.", name="CONTACT_NOT_FOUND")
    outcome = cli("export", "-")
    assert [row["type"] for row in outcome.lines] == ["export", "contact", "contact"]


def test_a_place_that_is_none(node: Served, cli: Cli) -> None:
    outcome = cli("export", "/nonexistent/file")
    assert (outcome.status, outcome.err.splitlines()[-1].split(":")[0]) == (74, "STORE")
