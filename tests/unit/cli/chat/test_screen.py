"""Which lines are on the screen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.cli.chat import drawing
from p2pchat.cli.chat import screen as screen_module
from p2pchat.cli.chat.drawing import Line, Look
from p2pchat.cli.chat.rows import Row
from p2pchat.cli.chat.screen import Screen
from tests.unit.cli.chat.makers import made, plain, rows

LOOK = Look(40, "Bob")


def numbers(lines: list[Line]) -> list[int]:
    return [int(line.rsplit(" ", 1)[1]) for line in plain(lines) if "text" in line]


def test_it_follows_the_end() -> None:
    screen, said = Screen(), rows(range(1, 11))
    assert numbers(screen.show(said, LOOK, 4)) == [7, 8, 9, 10]
    said.append(made(11))
    assert numbers(screen.show(said, LOOK, 4)) == [8, 9, 10, 11]
    assert screen.follows


def test_few_lines_are_all_there_with_the_day_above() -> None:
    assert plain(Screen().show(rows([1]), LOOK, 9))[0].startswith("-- Sunday, 22 November 2026")


def test_scrolled_up_it_stays_whatever_comes_in() -> None:
    screen, said = Screen(), rows(range(20, 40))
    screen.show(said, LOOK, 4)
    screen.scroll(-6)
    before = numbers(screen.show(said, LOOK, 4))
    assert before == [30, 31, 32, 33]
    said = rows(range(1, 20)) + said + rows(range(40, 60))
    assert numbers(screen.show(said, LOOK, 4)) == before
    assert not screen.follows
    screen.scroll(100)
    assert numbers(screen.show(said, LOOK, 4)) == [56, 57, 58, 59]
    assert screen.follows


def test_nothing_is_scrolled_past_the_start() -> None:
    screen, said = Screen(), rows(range(1, 10))
    screen.show(said, LOOK, 4)
    screen.scroll(-100)
    assert numbers(screen.show(said, LOOK, 4)) == [1, 2, 3]
    assert screen.first_row() == 0


def test_an_end_that_is_not_the_conversations_is_not_followed() -> None:
    screen, said = Screen(), rows(range(1, 10))
    screen.show(said, LOOK, 4, at_end=False)
    screen.scroll(-3)
    screen.scroll(10)
    before = numbers(screen.show(said, LOOK, 4, at_end=False))
    said += rows(range(10, 20))
    assert numbers(screen.show(said, LOOK, 4, at_end=False)) == before == [6, 7, 8, 9]


def test_a_hit_stands_a_third_from_above() -> None:
    screen, said = Screen(), rows(range(1, 50))
    screen.show(said, LOOK, 9)
    screen.hit = 20
    screen.look_at(20)
    lines = screen.show(said, LOOK, 9)
    assert numbers(lines)[3] == 20
    assert lines[3][0][0] == "class:hit"


def test_a_mark_and_the_days_stand_where_they_belong() -> None:
    screen = Screen()
    said = [made(1), made(2, created_ms=made(2).created_ms + 86_400_000), made(3, created_ms=made(3).created_ms)]
    screen.new_from = 3
    shown = [line for line in plain(screen.show(said, LOOK, 20)) if line.startswith("--")]
    assert [line.split(",")[0] for line in shown] == ["-- Sunday", "-- Monday", "-- Sunday", "-- new --"]


def test_lines_of_the_programs_own_come_last_and_can_be_longer_than_the_screen() -> None:
    screen, said = Screen(), rows(range(1, 10))
    screen.below = [[("", f"help {n}")] for n in range(8)]
    screen.read_below()
    assert plain(screen.show(said, LOOK, 4))[0] == "help 0"
    screen.scroll(2)
    assert plain(screen.show(said, LOOK, 4))[0] == "help 2"
    screen.scroll(-3)
    assert numbers(screen.show(said, LOOK, 4)) == [9]
    screen.below = ()
    screen.read_below()
    assert numbers(screen.show(said, LOOK, 4)) == [6, 7, 8, 9]


def test_a_narrower_terminal_shows_the_same_message_first() -> None:
    screen, said = Screen(), [made(n, f"word {'x' * 70} {n}") for n in range(1, 30)]
    screen.show(said, Look(100, "Bob"), 5)
    screen.scroll(-8)
    first = screen.first_row()
    screen.show(said, Look(40, "Bob"), 5)
    assert screen.first_row() == first


def test_what_did_not_change_is_not_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Row] = []

    def draw(row: Row, look: Look, *, day: str = "", first_new: bool = False, hit: bool = False) -> list[Line]:
        drawn.append(row)
        return drawing.draw(row, look, day=day, first_new=first_new, hit=hit)

    monkeypatch.setattr(screen_module, "draw", draw)
    screen, said = Screen(), rows(range(1, 1000))
    screen.show(said, LOOK, 10)
    assert len(drawn) <= 12
    drawn.clear()
    screen.show(said, LOOK, 10)
    assert drawn == []
    said[-1] = made(999, "other")
    screen.show(said, LOOK, 10)
    assert len(drawn) == 1


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 200), max_size=30),
    st.lists(st.tuples(st.integers(-30, 30), st.integers(1, 12), st.integers(10, 60)), min_size=1, max_size=10),
)
def test_the_screen_is_full_wherever_it_was_scrolled(sizes: list[int], moves: list[tuple[int, int, int]]) -> None:
    said = [made(n + 1, "x" * size) for n, size in enumerate(sizes)]
    screen = Screen()
    for lines, height, columns in moves:
        screen.show(said, Look(columns, "Bob"), height)
        screen.scroll(lines)
        shown = screen.show(said, Look(columns, "Bob"), height)
        whole = Screen().show(said, Look(columns, "Bob"), 10_000)
        assert len(shown) == min(height, len(whole))
        assert 0 <= screen.first_row() <= screen.last_row()
