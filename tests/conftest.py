"""How the suite is dealt out where it runs in several processes."""

from __future__ import annotations

from pathlib import Path

import pytest

_OUTSIDE = {Path(__file__).parent / name for name in ("net", "e2e")}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Tests with real sockets and processes run in one of them, one after the other: their time is that of a machine
    with a core for them."""
    if item.config.pluginmanager.hasplugin("xdist") and _OUTSIDE & set(item.path.parents):
        item.add_marker(pytest.mark.xdist_group("outside"))
