"""Options of the tests that can be repeated at will; the suite itself runs their defaults."""

from __future__ import annotations

import pytest

KILL_RUNS = 10


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kill-runs", type=int, default=KILL_RUNS, help="how many runs of test_kill.py, one a seed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kill_seed" in metafunc.fixturenames:
        # unknown where this folder was not named on the command line
        runs = metafunc.config.getoption("--kill-runs", KILL_RUNS) or KILL_RUNS
        metafunc.parametrize("kill_seed", range(runs))
