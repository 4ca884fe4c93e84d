"""Who was cut off waits before it shakes hands again, and not for ever."""

from __future__ import annotations

from p2pchat.net.admission import Delays

HERE, THERE = b"here", b"there"


def test_each_that_was_cut_off_delays_the_next_of_its_origin() -> None:
    delays = Delays(0.5, 5.0)
    assert delays.until(HERE) <= 100.0
    delays.cut_off(HERE, 100.0)
    assert delays.until(HERE) == 100.5
    delays.cut_off(HERE, 100.1)
    assert delays.until(HERE) == 101.0
    assert delays.until(THERE) <= 100.0
    delays.cut_off(HERE, 200.0)
    assert delays.until(HERE) == 200.5


def test_nobody_waits_longer_than_the_longest() -> None:
    delays = Delays(0.5, 5.0)
    for _ in range(100):
        delays.cut_off(HERE, 100.0)
    assert delays.until(HERE) == 105.0


def test_origins_that_need_not_wait_are_forgotten() -> None:
    delays = Delays(0.5, 5.0)
    delays.cut_off(HERE, 199.9)
    for number in range(10_000):
        delays.cut_off(number.to_bytes(4, "big"), 100.0 + number / 100)
    assert len(delays._until) <= 4_096
    assert delays.until(HERE) == 200.4
