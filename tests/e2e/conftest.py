"""Options of the tests that can be repeated at will, of which the suite runs the defaults; which files come first."""

from __future__ import annotations

import pytest

KILL_RUNS = 10
FIRST = ("test_chaos_five_minutes.py",)
"""Files that must not begin when the others are nearly done. Workers take files in the order of collection
(``--no-loadscope-reorder`` in scripts/test)."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kill-runs", type=int, default=KILL_RUNS, help="how many runs of test_kill.py, one a seed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in FIRST)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kill_seed" in metafunc.fixturenames:
        # unknown where this folder was not named on the command line
        runs = metafunc.config.getoption("--kill-runs", KILL_RUNS) or KILL_RUNS
        metafunc.parametrize("kill_seed", range(runs))
