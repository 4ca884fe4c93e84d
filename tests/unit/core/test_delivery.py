"""The window of a stream and the schedule of retries."""

from __future__ import annotations

import pytest

from p2pchat.core.delivery import Window, retry_after_s
from p2pchat.core.params import PRODUCTION


def test_bytes_in_flight_stay_below_the_limit_and_acks_make_room() -> None:
    window = Window(100)
    window.left(b"a", 60)
    assert window.room() == 40
    assert window.admits(40)
    assert not window.admits(41)
    assert window.settled(b"a")
    assert window.room() == 100


def test_what_is_in_flight_is_known() -> None:
    window = Window(100)
    window.left(b"a", 10)
    window.left(b"b", 10)
    window.settled(b"b")
    assert window.flying([b"a", b"b", b"c", b"a"]) == 2


def test_one_larger_envelope_may_go_alone() -> None:
    window = Window(100)
    assert window.admits(500)
    window.left(b"a", 500)
    assert window.room() == 0
    assert not window.admits(1)
    assert not window.idle
    window.settled(b"a")
    assert window.idle


def test_what_may_stay_unanswered_takes_no_room_and_is_known_when_it_is_answered() -> None:
    window = Window(100)
    window.left(b"a", 0)
    assert window.idle
    assert window.admits(500)
    assert window.flying([b"a"]) == 1
    assert window.settled(b"a")
    assert not window.settled(b"a")


def test_nothing_that_was_forgotten_takes_room() -> None:
    window = Window(100)
    window.left(b"a", 60)
    window.forget()
    assert window.idle
    assert window.room() == 100
    assert not window.settled(b"a")


def test_a_repeat_of_the_same_envelope_counts_once_and_a_foreign_ack_nothing() -> None:
    window = Window(100)
    window.left(b"a", 60)
    window.left(b"a", 60)
    assert window.room() == 40
    assert not window.settled(b"b")
    assert window.room() == 40
    assert window.settled(b"a")
    assert not window.settled(b"a")
    assert window.room() == 100


@pytest.mark.parametrize(("tries", "base"), [(0, 1), (1, 1), (2, 2), (3, 4), (10, 512), (11, 600), (1000, 600)])
def test_retries_double_up_to_ten_minutes_with_a_fifth_of_jitter(tries: int, base: float) -> None:
    assert retry_after_s(tries, 0.0, PRODUCTION) == pytest.approx(base * 0.8)
    assert retry_after_s(tries, 0.5, PRODUCTION) == pytest.approx(base)
    assert retry_after_s(tries, 1.0, PRODUCTION) == pytest.approx(base * 1.2)
