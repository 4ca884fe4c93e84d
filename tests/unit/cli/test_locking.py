"""``lock``, ``unlock``, ``passphrase``, ``wipe``: what they ask, on a terminal and without one, and what they send."""

from __future__ import annotations

import getpass
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from p2pchat.api import prompts
from p2pchat.api.paths import ProfilePaths
from p2pchat.cli import locking
from tests.fake_api import Served
from tests.unit.cli.conftest import Cli

Answers = Callable[..., list[str]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Somebody at a terminal, who gives these answers; the questions are collected."""

    def give(*given: str) -> list[str]:
        left, asked = list(given), list[str]()

        def answer(question: str) -> str:
            asked.append(question)
            return left.pop(0)

        for module in (prompts, locking):
            monkeypatch.setattr(module, "on_terminal", lambda: True)
        monkeypatch.setattr(getpass, "getpass", answer)
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{each}\n" for each in given)))
        return asked

    return give


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []

    def execv(program: str, arguments: list[str]) -> None:
        calls.append(arguments[3:])
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", execv)
    return calls


@pytest.fixture
def old(tmp_path: Path) -> str:
    (tmp_path / "old").write_bytes(b"\xff old\n")
    return str(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> str:
    (tmp_path / "new").write_bytes(b"new\r\n")
    return str(tmp_path / "new")


def test_lock_and_what_status_says_then(cli: Cli, node: Served) -> None:
    outcome = cli("lock")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "locked\n")
    out = cli("status").out
    assert out.startswith("locked")
    assert "p2pchat unlock" in out
    assert "peers" not in out
    assert cli("status", "--json").lines[0]["locked"] is True
    assert cli("-q", "lock").err == ""
    assert cli("lock", "--json").lines == [{}]


def test_unlock_with_a_file_is_not_a_question_of_text(cli: Cli, node: Served, old: str) -> None:
    assert cli("unlock", "--passphrase-file", old).err == "unlocked\n"
    assert cli("--json", "unlock", "--passphrase-file", old).lines == [{}]
    assert node.api.calls == [("node.unlock", {"passphrase": b"\xff old"})] * 2


def test_unlock_asks_on_a_terminal(cli: Cli, node: Served, answers: Answers) -> None:
    asked = answers("한글 secret")
    assert cli("unlock").status == 0
    assert node.api.calls == [("node.unlock", {"passphrase": "한글 secret".encode()})]
    assert asked == ["Passphrase: "]


@pytest.mark.parametrize("command", [["unlock"], ["passphrase", "--new-passphrase-file", "x"], ["passphrase"]])
def test_without_a_terminal_and_a_file_nothing_is_sent(cli: Cli, node: Served, command: list[str]) -> None:
    outcome = cli(*command)
    assert outcome.status == 65
    assert outcome.err.startswith("INVALID_PARAMS: ")
    assert node.api.calls == []


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 1025, b"x" * 1024 + b"\r\nx"])
def test_a_file_that_holds_no_passphrase(cli: Cli, node: Served, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad").write_bytes(content)
    assert cli("unlock", "--passphrase-file", str(tmp_path / "bad")).status == 65
    assert node.api.calls == []


def test_the_longest_passphrase(cli: Cli, node: Served, tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * 1024 + b"\r\n")
    assert cli("unlock", "--passphrase-file", str(tmp_path / "long")).status == 0
    assert node.api.calls == [("node.unlock", {"passphrase": b"x" * 1024})]


def test_a_change_with_files(cli: Cli, node: Served, old: str, new: str) -> None:
    for arguments, sent in (
        (["--passphrase-file", old, "--new-passphrase-file", new], {"old": b"\xff old", "new": b"new"}),
        (["--new-passphrase-file", new], {"old": None, "new": b"new"}),
        (["--passphrase-file", old, "--no-passphrase"], {"old": b"\xff old", "new": None}),
    ):
        assert cli("passphrase", *arguments).status == 0
        assert node.api.calls.pop() == ("passphrase.change", sent)
    assert cli("passphrase", "--no-passphrase", "--new-passphrase-file", new).status == 2
    assert node.api.calls == []


def test_a_change_asks_for_the_new_one_until_it_was_typed_twice(cli: Cli, node: Served, answers: Answers) -> None:
    asked = answers("old", "", "one", "other", "new", "new")
    outcome = cli("passphrase")
    assert outcome.status == 0
    assert "They differ." in outcome.err
    assert len(asked) == 6
    assert node.api.calls == [("passphrase.change", {"old": b"old", "new": b"new"})]
    answers("", "new", "new")  # there was none
    assert cli("passphrase").status == 0
    assert node.api.calls[1:] == [("passphrase.change", {"old": None, "new": b"new"})]


def test_without_a_daemon_its_program_changes_the_passphrase(cli: Cli, executed: list[list[str]]) -> None:
    with pytest.raises(SystemExit):
        cli("--profile", "work", "passphrase", "--passphrase-file", "a", "--new-passphrase-file", "b", "--json")
    with pytest.raises(SystemExit):
        cli("passphrase", "--no-passphrase")
    assert executed == [
        ["--profile", "work", "passphrase", "--passphrase-file=a", "--new-passphrase-file=b", "--json"],
        ["--profile", "default", "passphrase", "--no-passphrase"],
    ]


def test_wipe_asks_for_the_name(cli: Cli, answers: Answers, executed: list[list[str]]) -> None:
    assert cli("wipe", "--yes").status == 66
    ProfilePaths("work").data_dir.mkdir(parents=True)
    outcome = cli("--profile", "work", "wipe")
    assert (outcome.status, "--yes" in outcome.err) == (65, True)  # there is no terminal
    answers("default")
    assert cli("--profile", "work", "wipe").status == 65
    assert executed == []
    answers("work")
    with pytest.raises(SystemExit):
        cli("--profile", "work", "wipe")
    assert executed == [["--profile", "work", "wipe"]]


def test_wipe_stops_the_daemon_first(cli: Cli, node: Served, executed: list[list[str]]) -> None:
    ProfilePaths().data_dir.mkdir(parents=True)
    with pytest.raises(SystemExit):
        cli("wipe", "--yes", "--json")
    assert node.api.calls == [("node.shutdown", {})]
    assert executed == [["--profile", "default", "wipe", "--json"]]


def test_daemon_is_started_locked(cli: Cli, executed: list[list[str]]) -> None:
    with pytest.raises(SystemExit):
        cli("daemon", "--locked")
    assert executed == [["--profile", "default", "run", "--locked"]]
    assert cli("daemon", "--locked", "--passphrase-file", "f").status == 2
