"""``read``, ``contacts receipts`` and ``id receipts``: what they ask of the node, and what they print."""

from __future__ import annotations

import msgspec
import pytest

from p2pchat.base.errors import UsageError
from tests.fake_api import Served
from tests.unit.cli.conftest import Cli


def test_all_that_came_from_a_contact_is_read(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob")
    newest = [node.api.message(bob, "text", incoming=incoming) for incoming in (True, True, False)][-1]
    outcome = cli("read", "Bob", "--idempotency-key", "k")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == f"read  {2:032x}\n"
    assert node.api.calls[-1] == ("message.mark_read", {"id": f"{2:032x}", "idempotency_key": "k"})
    assert newest.state == "queued"


def test_up_to_a_message(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob")
    first = node.api.message(bob, "text", incoming=True)
    node.api.message(bob, "text", incoming=True)
    outcome = cli("read", first.id, "--json")
    assert outcome.lines == [msgspec.to_builtins(first)]
    assert node.api.calls == [("message.mark_read", {"id": first.id})]
    assert cli("read", "f" * 32).err.startswith("MESSAGE_NOT_FOUND: ")
    assert cli("-q", "read", first.id).out == ""


def test_the_newest_that_came_is_found_behind_many_that_were_sent(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob")
    came = node.api.message(bob, "text", incoming=True)
    for _ in range(250):
        node.api.message(bob, "text", incoming=False)
    assert cli("read", "Bob").status == 0
    assert came.state == "read"


def test_nothing_came(cli: Cli, node: Served) -> None:
    node.api.message(node.api.contact("Bob"), "text", incoming=False)
    outcome = cli("read", "Bob")
    assert (outcome.status, outcome.out) == (0, "")
    assert "Nothing has come" in outcome.err
    assert cli("read", "Nobody").status == 66


def test_a_page_that_is_too_long_is_asked_for_in_pieces(
    cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = node.api.contact("Bob")
    came = node.api.message(bob, "text", incoming=True)
    node.api.message(bob, "long", incoming=False)
    page = node.api._page

    def short(params: object) -> object:
        if params.limit > 1:  # type: ignore[attr-defined]
            raise UsageError("ask for fewer", name="TOO_LARGE")
        return page(params)  # type: ignore[arg-type]

    monkeypatch.setattr(node.api, "_page", short)
    assert cli("read", "Bob").status == 0
    assert came.state == "read"


@pytest.mark.parametrize(("word", "on"), [("on", True), ("off", False), ("default", None)])
def test_with_one_contact(cli: Cli, node: Served, word: str, on: bool | None) -> None:
    bob = node.api.contact("Bob")
    bob.receipts = not on
    outcome = cli("contacts", "receipts", "Bob", word)
    assert outcome.out == f"Bob: read receipts {word}\n"
    assert bob.receipts is on
    assert node.api.calls[-1] == ("contacts.receipts", {"to": "Bob", "on": on})
    assert cli("contacts", "receipts", "Bob", word, "--json").lines == [msgspec.to_builtins(bob)]
    assert cli("-q", "contacts", "receipts", "Bob", word).out == ""
    shown = cli("contacts", "show", "Bob").out
    assert ("read receipts" in shown, f"read receipts {word}" in shown) == (on is not None, on is not None)
    assert cli("contacts", "receipts", "Bob", "maybe").status == 2


def test_with_everybody(cli: Cli, node: Served) -> None:
    assert "receipts" not in cli("id", "show").out
    assert cli("id", "receipts", "off").out == "read receipts off\n"
    assert cli("id", "show").out.endswith("read receipts are off\n")
    assert cli("id", "receipts", "on", "--json").lines[0]["receipts"] is True
    assert cli("-q", "id", "receipts", "on").out == ""
    assert cli("id", "receipts", "default").status == 2
