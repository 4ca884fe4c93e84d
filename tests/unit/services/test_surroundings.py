"""The clock by which a sleep of the machine is noticed."""

from __future__ import annotations

import time

import pytest

from p2pchat.services.surroundings import clock_s


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no such clock")
def test_it_goes_on_in_sleep_where_the_system_has_such_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "clock_gettime", {time.CLOCK_BOOTTIME: 7.5}.__getitem__)
    assert clock_s() == 7.5


def test_elsewhere_it_is_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    assert clock_s() == 1_800_000_000.0
