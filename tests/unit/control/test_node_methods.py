"""``node.status``: what it says of how this node is reached."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from p2pchat.control.node_methods import _reachability
from p2pchat.net.transport import Network


@pytest.mark.parametrize(
    ("standing", "circuits", "shown", "said"),
    [
        ("public", 1, ["somewhere"], "public"),
        ("private", 1, ["somewhere"], "relayed"),
        ("private", 0, ["somewhere"], "lan"),
        ("unknown", 0, ["somewhere"], "lan"),
        ("unknown", 0, [], "none"),
    ],
)
def test_the_best_of_what_is_known_is_said(standing: str, circuits: int, shown: list[str], said: str) -> None:
    network = SimpleNamespace(standing=standing, circuits=lambda: (object(),) * circuits)
    assert _reachability(cast("Network", network), shown) == said
