"""How messages look, and that none can look like another."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from prompt_toolkit.utils import get_cwidth

from p2pchat.cli.chat.drawing import ASCII, INDENT, UNICODE, Look, day_of, draw, sign_of, words
from tests.unit.cli.chat.makers import made, own, plain

LOOK = Look(40, "Bob")


@pytest.fixture(autouse=True)
def _seoul(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Asia/Seoul")
        time.tzset()
        yield
    time.tzset()


def test_times_and_days_are_those_of_the_users_zone() -> None:
    assert plain(draw(made(1, "late"), LOOK)) == ["21:01 Bob: late"]
    assert day_of(made(1)) == "Sunday, 22 November 2026"
    assert [day_of(made(n)).split(",")[0] for n in (179, 180)] == ["Sunday", "Monday"]


@pytest.mark.parametrize("created_ms", [1 << 80, -(1 << 80), 1 << 52])
def test_a_clock_beyond_all_calendars_is_not_shown(created_ms: int) -> None:
    shown = plain(draw(made(1, "x", created_ms=created_ms), LOOK))[0]
    assert shown.endswith(" Bob: x")
    assert len(shown) == len("--:-- Bob: x")


@pytest.mark.parametrize(
    ("state", "reason", "utf8", "ascii_only"),
    [
        ("queued", None, "\u25e6", "."),
        ("sending", None, "\u25e6 sending", ". sending"),
        ("sent", None, "\u2713", "+"),
        ("held", None, "\u2713 held", "+ held"),
        ("delivered", None, "\u2713\u2713", "++"),
        ("read", None, "\u2713\u2713 read", "++ read"),
        ("failed", "blocked", "\u2717 failed: blocked", "x failed: blocked"),
        (
            "expired",
            "not delivered in time",
            "\u2717 expired: not delivered in time",
            "x expired: not delivered in time",
        ),
        ("cancelled", None, "\u2717 cancelled", "x cancelled"),
        ("of a newer daemon", None, "\u2717 of a newer daemon", "x of a newer daemon"),
    ],
)
def test_every_state_has_a_sign(state: str, reason: str | None, utf8: str, ascii_only: str) -> None:
    row = own(1, "x", state, reason)
    assert sign_of(row, UNICODE)[1] == utf8
    assert sign_of(row, ASCII)[1] == ascii_only
    assert utf8 in " ".join(plain(draw(row, Look(60, "Bob"))))


def test_what_came_in_has_no_sign() -> None:
    assert sign_of(made(1), UNICODE) == ("", "")


def test_a_sign_stands_after_the_text_or_below_it() -> None:
    fits = own(1, "x" * (40 - INDENT - len("me: ") - 3), "delivered")
    assert len(draw(fits, LOOK)) == 1
    over = own(1, "x" * (40 - INDENT - len("me: ") - 2), "delivered")
    assert plain(draw(over, LOOK))[1:] == [" " * INDENT + "\u2713\u2713"]


def test_no_text_reaches_the_columns_of_the_times() -> None:
    forged = "x\n12:05 me: I agree \u2713\u2713\n-- new --\r12:06 Bob: \x1b[1A\x1b[2K"
    lines = plain(draw(made(1, forged), LOOK))
    assert len(lines) > 3
    assert all(line.startswith(" " * INDENT) for line in lines[1:])
    assert all(style == "" for line in draw(made(1, forged), LOOK)[1:] for style, _ in line)
    assert "\x1b" not in "".join(lines)


def test_a_name_cannot_take_the_line() -> None:
    line = plain(draw(made(1, "text"), Look(40, "B" * 100)))[0]
    assert line == f"21:01 {'B' * 12}~: text"
    assert plain(draw(made(1, "text"), Look(40, "B\x1b[2J\u202e")))[0].startswith("21:01 B\\x1b[2J")


def test_a_message_of_a_newer_version_says_so() -> None:
    row = made(1, "", reason="sent by a newer version")
    assert plain(draw(row, LOOK)) == ["21:01 Bob: [sent by a newer version]"]


def test_a_day_and_a_mark_stand_above_and_a_hit_is_marked_whole() -> None:
    lines = draw(made(1, "x"), LOOK, day="Sunday", first_new=True, hit=True)
    assert plain(lines) == ["-- Sunday --", "-- new --", "21:01 Bob: x"]
    assert [style for style, _ in lines[2]] == ["class:hit"]


def test_words_of_the_program_are_wrapped() -> None:
    assert plain(words(["one two", "three"], Look(5, ""))) == ["one ", "two", "three"]


def test_what_is_missing_is_said_above() -> None:
    assert plain(draw(made(1, missing=1), LOOK))[0] == "-- 1 message of Bob has not arrived --"
    assert plain(draw(made(1, missing=2), LOOK, first_new=True))[:2] == [
        "-- 2 messages of Bob have not arrived --",
        "-- new --",
    ]
    assert (
        plain(draw(made(1, missing=1024), Look(60, "Bob")))[0] == "-- 1,024 or more messages of Bob have not arrived --"
    )


@pytest.mark.parametrize("columns", [10, 40, 60])
def test_what_is_missing_is_one_line_however_the_contact_is_called(columns: int) -> None:
    name = "\u202e\x1b[2J" + "한글" * 60
    line = plain(draw(made(1, missing=7), Look(columns, name)))[0]
    assert ("7 messages have not arrived" in line) == (columns == 40)
    assert get_cwidth(line) <= columns
    assert line.isprintable()
