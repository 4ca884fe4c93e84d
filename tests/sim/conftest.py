"""What simulations have: a clock that jumps over the waiting, and pings that long ones can afford."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from p2pchat.services import link
from tests.sim.loss import Loss

HOUR_S = 3600.0


@pytest.fixture
def autojump_clock() -> MockClock:
    return MockClock(autojump_threshold=0.0)


@pytest.fixture
def rare_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """One an hour, and each a probe: days of pings every 15 s would take long."""
    monkeypatch.setattr(link, "HEARTBEAT_S", HOUR_S)
    monkeypatch.setattr(link, "SILENCE_S", 2 * HOUR_S)
    monkeypatch.setattr(link, "_PINGS_A_PROBE", 1)


@pytest.fixture
def loss(monkeypatch: pytest.MonkeyPatch) -> Loss:
    return Loss(monkeypatch)
