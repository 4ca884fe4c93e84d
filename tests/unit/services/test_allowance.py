"""What there may be within a day."""

from __future__ import annotations

from trio.testing import MockClock

from p2pchat.services.allowance import Allowance

HOUR_S = 3600.0


async def test_what_was_taken_counts_for_a_day_and_no_day_has_more(mock_clock: MockClock) -> None:
    allowance = Allowance(100)
    assert (allowance.left(), allowance.free_in_s(100)) == (100, 0)
    allowance.take(60)
    mock_clock.jump(10 * HOUR_S)
    allowance.take(0)
    allowance.take(40)
    assert allowance.left() == 0
    assert allowance.free_in_s(1) == allowance.free_in_s(60) == 15 * HOUR_S
    assert allowance.free_in_s(61) == 25 * HOUR_S
    mock_clock.jump(15 * HOUR_S - 1)
    assert allowance.left() == 0
    mock_clock.jump(1)
    assert (allowance.left(), allowance.free_in_s(60)) == (60, 0)


async def test_what_one_hour_brings_counts_until_a_day_after_its_end(mock_clock: MockClock) -> None:
    allowance = Allowance(100)
    for _ in range(6):
        allowance.take(20)  # the last piece may go beyond
        mock_clock.jump(HOUR_S / 12)
    assert allowance.left() == -20
    assert allowance.free_in_s(1) == 24.5 * HOUR_S
    mock_clock.jump(24.5 * HOUR_S)
    assert allowance.left() == 100
