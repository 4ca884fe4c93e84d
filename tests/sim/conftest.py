"""What every simulation has: a clock that jumps over the waiting."""

from __future__ import annotations

import pytest
from trio.testing import MockClock


@pytest.fixture
def autojump_clock() -> MockClock:
    return MockClock(autojump_threshold=0.0)
