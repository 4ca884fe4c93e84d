"""The headline and the status, in 40 columns too."""

from __future__ import annotations

import pytest
from prompt_toolkit.utils import get_cwidth

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.cli.chat.standing import REMOVED, headline, obstacle, presence, trouble
from tests.unit.cli.chat.makers import BOB, NOON_MS, contact


@pytest.mark.parametrize(
    ("fields", "beside"),
    [
        ({}, ["online", "claimed"]),
        ({"trust": "number_verified"}, ["online", "number verified"]),
        ({"trust": "in_person", "online": False}, ["offline", "in person"]),
        ({"online": False, "last_seen_ms": NOON_MS}, ["last seen 22 Nov", "claimed"]),
        ({"state": "pending", "searching": True}, ["looked for"]),
        ({"state": "pending"}, ["not found"]),
        ({"state": "request"}, ["wants to be a contact"]),
        ({"state": "blocked"}, ["blocked"]),
        ({"self": True}, ["for yourself"]),
        ({"self": True, "state": REMOVED}, ["removed"]),
        ({"state": "of a newer daemon"}, ["of a newer daemon"]),
        ({"trust": "of a newer daemon"}, ["online", "of a newer daemon"]),
    ],
)
def test_presence(fields: dict[str, object], beside: list[str]) -> None:
    shown = presence(contact(**fields))
    assert [each[: len(want)] for each, want in zip(shown, beside, strict=True)] == beside


@pytest.mark.parametrize(
    ("fields", "way"),
    [
        ({}, ""),
        ({"state": "pending", "claimants": 2}, f"p2pchat contacts show {BOB}"),
        ({"state": "pending", "searching": True}, "waits"),
        ({"state": "pending", "claimants": 0}, f"p2pchat contacts find {BOB}"),
        ({"state": "request"}, f"p2pchat contacts accept {BOB}"),
        ({"state": "blocked"}, f"p2pchat contacts unblock {BOB}"),
        ({"state": "removed"}, "nothing can be sent"),
        ({"state": "removed", "merged_into": "0c0c"}, "p2pchat chat 0c0c"),
    ],
)
def test_what_is_in_the_way_is_told_with_the_way_out(fields: dict[str, object], way: str) -> None:
    sentence = obstacle(contact(**fields), "p2pchat")
    assert way in sentence
    assert bool(way) == bool(sentence)


def test_trouble_with_the_daemon() -> None:
    assert trouble(NoDaemon("gone"), "p2pchat --profile work").endswith("p2pchat --profile work daemon")
    assert trouble(ApiError("LOCKED", ""), "p2pchat").endswith("p2pchat unlock")
    assert trouble(ApiError("RATE_LIMITED", "Too many."), "p2pchat") == "RATE_LIMITED: Too many."


@pytest.mark.parametrize("columns", [10, 40, 80])
@pytest.mark.parametrize("name", ["Bob", "B" * 100, "김민지" * 20, "\x1b]0;x\x07\u202e"])
def test_a_headline_fits_and_acts_on_nothing(columns: int, name: str) -> None:
    line = headline(contact(name=name), None, columns, "utf-8")
    assert get_cwidth(line) <= columns
    assert line.isprintable()
    assert columns == 10 or "online  claimed" in line


def test_a_headline_tells_of_the_daemon_first() -> None:
    assert headline(contact(), NoDaemon("gone"), 40, "utf-8") == " Bob  not connected"
    assert headline(contact(), ApiError("LOCKED", ""), 40, "utf-8") == " Bob  locked"
