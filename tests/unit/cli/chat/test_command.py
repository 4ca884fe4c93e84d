"""Whether there is a terminal for it, and what its end means."""

from __future__ import annotations

import errno
import sys
from types import SimpleNamespace

import pytest

from p2pchat.cli import app
from p2pchat.cli.chat import command
from p2pchat.cli.chat.rows import Draft
from p2pchat.cli.chat.view import HUNG_UP, View
from tests.fake_api import Served
from tests.unit.cli.conftest import Cli


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch, node: Served) -> None:
    monkeypatch.setattr(command, "_is_terminal", lambda _: True)
    node.do(lambda: node.api.contact("Bob"))


@pytest.mark.parametrize("arguments", [["chat", "Bob"], ["--json", "chat", "Bob"], ["chat"]])
def test_without_a_terminal_nothing_is_asked(cli: Cli, node: Served, arguments: list[str]) -> None:
    outcome = cli(*arguments)
    assert (outcome.status, outcome.out, node.api.calls) == (2, "", [])


def test_whoever_is_not_there_cannot_be_talked_with(cli: Cli, node: Served, on_terminal: None) -> None:
    assert (cli("chat", "Nobody").status, cli("--json", "chat", "Bob").status) == (66, 2)


@pytest.mark.parametrize(
    ("end", "status"),
    [(EOFError(), HUNG_UP), (OSError(errno.EIO, ""), HUNG_UP), (OSError(errno.EMFILE, "Full"), 74), (0, 0), (143, 143)],
)
def test_how_it_ends(
    cli: Cli, on_terminal: None, monkeypatch: pytest.MonkeyPatch, end: int | Exception, status: int
) -> None:
    async def run(_: View) -> int:
        if isinstance(end, Exception):
            raise end
        return end

    monkeypatch.setattr(View, "run", run)
    for module in (app, command):
        monkeypatch.setattr(module, "forget_stdout", lambda: None)
    assert cli("chat", "Bob").status == status


def test_a_text_without_an_answer_is_told_at_the_end(
    cli: Cli, on_terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(view: View) -> int:
        view.talk.drafts.append(Draft("key", "secret", 0))
        return 130

    monkeypatch.setattr(View, "run", run)
    outcome = cli("chat", "Bob")
    assert (outcome.status, outcome.out) == (130, "")
    assert "not confirmed" in outcome.err
    assert "secret" not in outcome.err


@pytest.mark.parametrize(
    ("environ", "encoding", "utf8"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "utf-8", True),
        ({"LANG": "C.utf8"}, "utf-8", True),
        ({"LC_ALL": "C", "LANG": "ko_KR.UTF-8"}, "utf-8", False),
        ({"LC_CTYPE": "ko_KR.eucKR", "LANG": "ko_KR.UTF-8"}, "euc_kr", False),
        ({"LC_ALL": "", "LANG": "en_US.UTF-8"}, "utf-8", True),
        ({}, "utf-8", False),
        ({"LANG": "en_US.UTF-8"}, "ascii", False),
    ],
)
def test_signs_need_a_locale_that_names_utf8(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], encoding: str, utf8: bool
) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(encoding=encoding))
    assert command._names_utf8(environ) is utf8
