"""``contacts import`` and ``find`` against a fake node: what is asked, said and printed, and how it ends."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.cli import book
from tests.fake_api import Served
from tests.unit.cli.conftest import Cli

CARD = "BEGIN:VCARD\nVERSION:3.0\nFN:{name}\nTEL:{number}\nEND:VCARD\n"


def cards(*people: tuple[str, str]) -> bytes:
    return "".join(CARD.format(name=name, number=number) for name, number in people).encode()


def many(count: int) -> bytes:
    return cards(*((f"Person {number}", f"+8210{number:08}") for number in range(count)))


def asked(node: Served, method: str) -> list[dict[str, object]]:
    return [params for name, params in node.api.calls if name == method]


BOOK = cards(("Bob", "+821098765432"), ("Nobody", "abc"), ("Carol", "+821011112222")) + b"BEGIN:VCARD\nFN:Cut\n"


def test_a_book_is_summed_up_with_line_and_reason(node: Served, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "book.vcf"
    file.write_bytes(BOOK)
    outcome = cli("contacts", "import", str(file))
    assert outcome.status == 0
    assert outcome.out.splitlines() == [
        "added 2, known 0, refused 2",
        "line 9: This is not a phone number.",
        "line 16: The card is not ended.",
    ]
    assert outcome.err == ""
    assert [each.name for each in node.api.contacts] == ["Bob", "Carol"]
    assert asked(node, "contacts.find") == []


def test_json_is_one_object(node: Served, cli: Cli) -> None:
    outcome = cli("contacts", "import", "-", "--json", stdin=BOOK)
    assert (outcome.status, outcome.err) == (0, "")
    refused = [{"line": 9, "reason": "This is not a phone number."}, {"line": 16, "reason": "The card is not ended."}]
    assert outcome.lines == [{"added": 2, "known": 0, "refused": refused}]


def test_importing_twice_adds_nothing(node: Served, cli: Cli) -> None:
    cli("contacts", "import", "-", stdin=BOOK)
    assert cli("contacts", "import", "-", "--json", stdin=BOOK).lines[0]["known"] == 2
    assert len(node.api.contacts) == 2


@pytest.mark.parametrize("data", [b"", b"\0" * 10, b"%PDF-1.4", cards(("Nobody", "abc")), b"\xff\xfe"])
def test_a_file_of_which_nothing_is_understood_exits_65(node: Served, cli: Cli, data: bytes) -> None:
    outcome = cli("contacts", "import", "-", "--find", "all", "--json", stdin=data)
    assert outcome.status == 65
    assert outcome.err == "INVALID_PARAMS: No contact was found in this file.\n"
    assert len(outcome.lines) == 1
    assert asked(node, "contacts.find") == []


def test_a_large_file_goes_in_batches(node: Served, cli: Cli) -> None:
    outcome = cli("contacts", "import", "-", "--idempotency-key", "k", stdin=many(250))
    assert outcome.out == "added 250, known 0, refused 0\n"
    sent = asked(node, "contacts.import")
    assert [len(each["entries"]) for each in sent] == [100, 100, 50]  # type: ignore[arg-type]
    assert [each["idempotency_key"] for each in sent] == ["k.0", "k.100", "k.200"]


def test_what_was_committed_before_a_failure_is_said(node: Served, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    node.api.fail["contacts.import"] = UsageError("The disk is full.", name="NO_SPACE")
    outcome = cli("contacts", "import", "-", stdin=many(3))
    assert outcome.status == 74
    assert outcome.err.splitlines() == [
        "Of 3 entries 0 were read into the book; the same command goes on from there.",
        "NO_SPACE: The disk is full.",
    ]


@pytest.mark.parametrize(("terminal", "drawn"), [(True, True), (False, False)])
def test_a_bar_is_drawn_on_a_terminal_alone_and_without_colour(
    node: Served, cli: Cli, monkeypatch: pytest.MonkeyPatch, terminal: bool, drawn: bool
) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    assert cli("contacts", "import", "-", stdin=many(3)).status == 0
    assert ("Importing" in stream.getvalue()) is drawn
    assert "\x1b[3" not in stream.getvalue()


def test_find_says_what_it_reveals_before_it_begins(node: Served, cli: Cli) -> None:
    node.api.fail["contacts.find"] = UsageError("No contact has that name, number or id.", name="CONTACT_NOT_FOUND")
    outcome = cli("contacts", "find", "Bob")
    assert outcome.status == 66
    assert outcome.err.splitlines() == [
        book.REVEALS,
        "CONTACT_NOT_FOUND: No contact has that name, number or id.",
    ]
    assert "which of the two" in book.REVEALS
    assert "45 to 111 USD" in book.REVEALS


def test_find_all_and_by_name(node: Served, cli: Cli) -> None:
    node.do(lambda: (node.api.contact("Bob", "+821098765432", "pending"), node.api.contact("Carol", None, "pending")))
    outcome = cli("contacts", "find", "Bob", "Carol", "--json")
    assert [each["searching"] for each in outcome.lines] == [True, True]
    cli("contacts", "find", "all", "--idempotency-key", "k")
    assert asked(node, "contacts.find") == [{"to": ["Bob", "Carol"]}, {"idempotency_key": "k.find.0"}]


def test_import_looks_for_those_of_the_file_and_no_others(node: Served, cli: Cli) -> None:
    node.do(lambda: node.api.contact("Dave", "+821033334444", "pending"))
    outcome = cli("contacts", "import", "-", "--find", "all", stdin=BOOK)
    assert outcome.err.splitlines() == [book.REVEALS, "Contacts that are looked for now: 2."]
    assert [each.searching for each in node.api.contacts] == [False, True, True]
    cli("-q", "contacts", "import", "-", "--find", "Dave", stdin=BOOK)
    assert asked(node, "contacts.find")[1:] == [{"to": ["Dave"]}]


def test_a_file_that_is_too_large_is_refused_unread(node: Served, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from p2pchat.cli.addressbook import entry

    monkeypatch.setattr(entry, "FILE_BYTES", 1000)
    outcome = cli("contacts", "import", "-", stdin=b"x" * 1001)
    assert (outcome.status, outcome.err[:11]) == (74, "TOO_LARGE: ")


def test_who_writes_to_somebody_nobody_looks_for_is_told(node: Served, cli: Cli) -> None:
    node.do(lambda: (node.api.contact("Bob", None, "pending"), node.api.contact("Carol")))
    outcome = cli("send", "Bob", "hello")
    assert outcome.status == 0
    assert outcome.err == (
        "This waits: nobody looks for this contact yet. To begin: p2pchat contacts find 0000000000000001\n"
    )
    assert cli("send", "Carol", "hello").err == ""
    assert cli("-q", "send", "Bob", "hello").err == ""
    cli("contacts", "find", "Bob")
    assert cli("send", "Bob", "hello").err == ""


def test_show_says_how_to_look(node: Served, cli: Cli) -> None:
    node.do(lambda: node.api.contact("Bob", None, "pending"))
    assert "not looked for: p2pchat contacts find 0000000000000001\n" in cli("contacts", "show", "Bob").out
