"""``mailbox use`` and ``mailbox list`` against a fake node."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from p2pchat.api import mailbox_objects
from p2pchat.api.paths import ProfilePaths
from p2pchat.control.server import Connection
from tests.fake_api import NOW_MS, FakeApi, Served, served
from tests.unit.cli.conftest import Cli

HOLDER = "00240801122011" + "ab" * 31
USED = mailbox_objects.Mailbox(
    id=HOLDER,
    contact_id="01",
    name="Bob",
    chosen=True,
    state="granted",
    granted_ms=NOW_MS,
    heard_ms=NOW_MS,
    quota=67_108_864,
)
FOUND = mailbox_objects.Mailbox(
    id=HOLDER,
    contact_id=None,
    name=None,
    chosen=False,
    state="failing",
    granted_ms=NOW_MS,
    heard_ms=None,
    quota=None,
)


class Holding(FakeApi):
    """Has these mailboxes."""

    def __init__(self) -> None:
        super().__init__()
        self.mailboxes: list[mailbox_objects.Mailbox] = []

    async def dispatch(self, method: str, params: dict[str, object], connection: Connection) -> object:
        if not method.startswith("mailbox."):
            return await super().dispatch(method, params, connection)
        self.calls.append((method, dict(params)))
        return mailbox_objects.Mailboxes(auto=bool(params.get("auto")), mailboxes=self.mailboxes)


@pytest.fixture
def node() -> Iterator[Served]:
    with served(Holding, ProfilePaths().socket) as running:
        yield running


def holding(node: Served) -> Holding:
    assert isinstance(node.api, Holding)
    return node.api


def test_use_names_what_shall_hold(node: Served, cli: Cli) -> None:
    holding(node).mailboxes = [USED, FOUND]
    outcome = cli("mailbox", "use", "Bob", "p2pchat:ABC", "--auto", "--idempotency-key", "k")
    assert outcome.status == 0
    assert holding(node).calls[-1] == (
        "mailbox.use",
        {"with": ["Bob", "p2pchat:ABC"], "auto": True, "idempotency_key": "k"},
    )
    first, second = outcome.out.splitlines()
    assert first.startswith("Bob")
    assert "granted" in first
    assert second.startswith(HOLDER[-12:])
    assert "failing" in second
    assert "chosen by this node" in second


def test_auto_alone_leaves_those_that_there_are_and_none_gives_all_up(node: Served, cli: Cli) -> None:
    assert cli("mailbox", "use", "--auto").status == 0
    assert holding(node).calls[-1] == ("mailbox.use", {"auto": True})
    outcome = cli("mailbox", "use", "--none")
    assert outcome.status == 0
    assert holding(node).calls[-1] == ("mailbox.use", {"with": [], "auto": False})
    assert "Nobody holds messages for you" in outcome.err


def test_one_that_is_given_up_holds_nothing_any_more(node: Served, cli: Cli) -> None:
    holding(node).mailboxes = [msgspec.structs.replace(USED, state="ending")]
    outcome = cli("mailbox", "list")
    assert "ending: given up, still emptied" in outcome.out
    assert "Nobody holds messages for you" in outcome.err
    holding(node).mailboxes.append(FOUND)
    assert cli("mailbox", "list").err == ""


@pytest.mark.parametrize(
    "arguments", [[], ["--none", "Bob"], ["--none", "--auto"], ["A", "B", "C"], [""], ["Bob", " "]]
)
def test_what_contradicts_itself_is_not_asked(arguments: list[str], node: Served, cli: Cli) -> None:
    outcome = cli("mailbox", "use", *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.splitlines()[-1].startswith("Error: ")
    assert holding(node).calls == []


def test_list_prints_the_api_object(node: Served, cli: Cli) -> None:
    holding(node).mailboxes = [USED]
    (line,) = cli("--json", "mailbox", "list").lines
    assert line["auto"] is False
    assert line["mailboxes"] == [
        {
            "id": HOLDER,
            "contact_id": "01",
            "name": "Bob",
            "chosen": True,
            "state": "granted",
            "granted_ms": NOW_MS,
            "heard_ms": NOW_MS,
            "quota": 67_108_864,
        }
    ]
