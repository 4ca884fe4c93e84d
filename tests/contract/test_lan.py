"""The local network in memory keeps the contract that zeroconf keeps in tests/net/test_lan.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio.testing

from p2pchat.base import limits
from p2pchat.testing.memlan import MemoryLan
from tests.contract.lan import LanContract, LanLab


class TestMemory(LanContract):
    @pytest.fixture
    def clock(self) -> trio.testing.MockClock:
        return trio.testing.MockClock(autojump_threshold=0)

    @pytest.fixture
    def lab(self) -> LanLab:
        lan = MemoryLan()

        @contextmanager
        def unusable() -> Iterator[None]:
            lan.is_up = False
            yield
            lan.is_up = True

        hosts = tuple(f"10.0.0.{number}" for number in range(1, limits.LAN_ADDRESSES + 3))
        return LanLab(lambda: lan, hosts, unusable)
