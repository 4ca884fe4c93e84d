"""``mailbox offer`` and ``transparency``: what they ask of the node, and what they print."""

from __future__ import annotations

import os
import shutil
import sys

import msgspec
import pytest

from p2pchat.cli import output
from p2pchat.cli.reading import size_text
from tests.fake_api import QR, Served
from tests.unit.cli.conftest import Cli


def test_what_is_offered_is_shown(cli: Cli, node: Served) -> None:
    outcome = cli("mailbox", "offer")
    assert outcome.out == "mailboxes for nobody, up to 1 GiB\nheld: 5 KiB, boxes: 5, mailboxes: 1\n"
    assert outcome.err.splitlines() == [
        "Nothing more is taken; what is held stays until it is fetched or has expired.",
        "To hold for your contacts: p2pchat mailbox offer --for contacts",
    ]
    assert node.api.calls == [("mailbox.offer", {})]
    assert cli("-q", "mailbox", "offer").out == ""


def test_an_offer_to_anyone_has_a_link(cli: Cli, node: Served) -> None:
    outcome = cli("mailbox", "offer", "--for", "anyone", "--quota", "500M", "--idempotency-key", "k")
    assert outcome.out.splitlines()[0] == "mailboxes for anyone, up to 500 MiB"
    assert outcome.out.splitlines()[-1] == QR
    assert node.api.calls[-1] == ("mailbox.offer", {"for": "anyone", "quota": 500 << 20, "idempotency_key": "k"})
    shown = cli("mailbox", "offer", "--for", "contacts", "--json").lines
    assert shown == [msgspec.to_builtins(node.api.offer)]
    assert (shown[0]["for"], shown[0]["invite"]) == ("contacts", None)


@pytest.mark.parametrize(
    ("given", "size"), [("1M", 1 << 20), ("2g", 2 << 30), ("2GiB", 2 << 30), ("1T", 1 << 40), ("2048k", 2 << 20)]
)
def test_sizes(cli: Cli, node: Served, given: str, size: int) -> None:
    assert cli("mailbox", "offer", "--quota", given).status == 0
    assert node.api.calls[-1] == ("mailbox.offer", {"quota": size})


@pytest.mark.parametrize("given", ["", "0", "500", "-1G", "0M", "1023K", "1.5G", "9999999T", "1025T", "2 G", "G", "1P"])
def test_what_is_no_size_is_said_in_one_sentence(cli: Cli, node: Served, given: str) -> None:
    outcome = cli("mailbox", "offer", f"--quota={given}")
    assert (outcome.status, outcome.out, node.api.calls) == (2, "", [])
    assert outcome.err.splitlines()[-1].endswith("give a size such as 500M or 2G, from 1M to 1024T")


def test_whom_it_is_for_is_one_of_three(cli: Cli, node: Served) -> None:
    assert cli("mailbox", "offer", "--for", "everyone").status == 2
    assert node.api.calls == []


def test_sizes_in_words() -> None:
    shown = [size_text(size) for size in (0, 1023, 1024, 1536, 1 << 20, (1 << 30) - 1, 5 << 30)]
    assert shown == ["0 bytes", "1023 bytes", "1 KiB", "1.5 KiB", "1 MiB", "1024 MiB", "5 GiB"]


def test_transparency(cli: Cli, node: Served) -> None:
    outcome = cli("transparency")
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[1] == "Held for others: 5 sealed boxes, 5 KiB."
    assert lines[2].startswith("  5ab4f00d5ab4f00d  5  5 KiB")
    assert "  2026-11-22  fetched  1,234  2 MiB" in lines
    assert lines[-2:] == ["Locked reveals little.", "Unlocked reveals more."]
    (shown,) = cli("transparency", "--json").lines
    assert shown["mailboxes"][0]["until_ms"] is None  # type: ignore[index]
    assert node.api.calls == [("mailbox.transparency", {})] * 2


def test_status_says_how_much_is_held(cli: Cli, node: Served) -> None:
    assert "3 messages not delivered yet, 2 of them held in mailboxes\n" in cli("status").out
    (shown,) = cli("status", "--json").lines
    assert (shown["outbox"], shown["held"]) == (3, 2)


def test_sentences_break_at_words_on_a_terminal_and_nowhere_in_a_pipe(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    sentences = "This is said of a machine: nothing there can be read, \x1b[31mwhatever stands in it"
    output.paragraph(sentences)
    (line,) = capsysbinary.readouterr().out.decode().splitlines()
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((40, 10)))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.paragraph(sentences)
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert max(map(len, lines)) <= 40
    assert " ".join(lines) == line
    assert "\x1b" not in line
