"""What simulations have: a clock that jumps over the waiting, pings that long ones can afford, and an eye on errors
that no method lists."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from p2pchat.api.errors import reply_name
from p2pchat.api.methods import COMMON_ERRORS, METHODS
from p2pchat.base import limits
from p2pchat.base.errors import P2PChatError
from p2pchat.control.channel import Connection
from p2pchat.control.dispatch import Methods
from p2pchat.services import herald, join, link, meeting_point, standing, upgrade
from tests.sim.loss import Loss

HOUR_S = 3600.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each of two workers begins with half of the tests (``--dist worksteal``), and with half of the longest: one that
    is begun last keeps the other worker waiting."""
    slow = [item for item in items if item.get_closest_marker("slow") is not None]
    rest = [item for item in items if item.get_closest_marker("slow") is None]
    middle = max(0, len(items) // 2 - len(slow[::2]))
    items[:] = [*slow[::2], *rest[:middle], *slow[1::2], *rest[middle:]]


@pytest.fixture
def autojump_clock() -> MockClock:
    return MockClock(autojump_threshold=0.0)


@pytest.fixture(autouse=True)
def _listed_errors_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is refused with what its method lists (docs/CONTROL-API.md), whatever a test does to the node."""
    call = Methods.__call__

    async def watched(self: Methods, method: str, params: dict[str, object], connection: Connection) -> object:
        try:
            return await call(self, method, params, connection)
        except P2PChatError as error:
            name = reply_name(error)
            if method in METHODS and name is not None and name not in (*COMMON_ERRORS, *METHODS[method].answers):
                pytest.fail(f"{method} does not list {name}")
            raise

    monkeypatch.setattr(Methods, "__call__", watched)


@pytest.fixture
def rare_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks every minute, or every few, whether anything has changed looks every ten, or once an hour: that is
    most of what a node does in a day in which nothing happens. What it is told of it still does at once."""
    monkeypatch.setattr(join, "ALONE_CHECK_S", HOUR_S / 6)
    monkeypatch.setattr(herald, "_CHECK_S", HOUR_S / 6)
    monkeypatch.setattr(limits, "REFRESH_CHECK_S", HOUR_S / 6)
    monkeypatch.setattr(limits, "RELAY_LOOK_S", HOUR_S)
    monkeypatch.setattr(upgrade, "_IDLE_S", HOUR_S)
    monkeypatch.setattr(standing, "_EVERY_S", HOUR_S)
    monkeypatch.setattr(meeting_point, "_UNWANTED_S", HOUR_S)


@pytest.fixture
def rare_pings(monkeypatch: pytest.MonkeyPatch, rare_checks: None) -> None:
    """One an hour, and each a probe: days of pings every 15 s would take long. And the other looks are rare, too."""
    monkeypatch.setattr(link, "HEARTBEAT_S", HOUR_S)
    monkeypatch.setattr(link, "SILENCE_S", 2 * HOUR_S)
    monkeypatch.setattr(link, "_PINGS_A_PROBE", 1)


@pytest.fixture
def loss(monkeypatch: pytest.MonkeyPatch) -> Loss:
    return Loss(monkeypatch)
