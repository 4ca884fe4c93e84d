"""What :mod:`p2pchat.testing` shows to its users does what it says."""

from __future__ import annotations

import doctest

from structlog.testing import capture_logs

from p2pchat import testing


def test_the_example_does_what_it_says() -> None:
    with capture_logs():
        result = doctest.testmod(testing)
    assert result.attempted > 0
    assert result.failed == 0
