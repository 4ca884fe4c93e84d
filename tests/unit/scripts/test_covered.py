"""``scripts/coverage``: what it says of the report, and when that is not enough."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.covered import LAYERS, missing, table


def report(**covered: int) -> dict[str, Any]:
    """A file a layer, with 100 lines and 100 branches of which so many are reached; 100 where nothing is said."""
    return {
        f"p2pchat/{layer}/module.py": {
            "summary": {
                "num_statements": 100,
                "covered_lines": covered.get(f"{layer}_lines", 100),
                "num_branches": 100,
                "covered_branches": covered.get(f"{layer}_branches", 100),
            },
            "missing_lines": [3, 4],
            "missing_branches": [[2, 3], [5, -1]],
        }
        for layer in LAYERS
    }


@pytest.mark.parametrize(
    ("covered", "good"),
    [
        ({}, True),
        ({"store_lines": 95, "control_branches": 95}, True),
        ({"store_lines": 94}, False),
        ({"control_branches": 94}, False),
    ],
)
def test_every_layer_has_to_reach_the_bar_in_lines_and_in_branches(covered: dict[str, int], good: bool) -> None:
    lines, reached = table(report(**covered))
    assert reached is good
    assert [line.split()[0] for line in lines] == ["layer", *LAYERS]
    assert ("below 95 %" in "\n".join(lines)) is not good


def test_a_layer_that_is_not_found_is_no_success() -> None:
    files = report()
    del files["p2pchat/store/module.py"]
    assert not table(files)[1]


def test_what_is_missing_is_named() -> None:
    assert next(iter(missing(report()))) == "p2pchat/control/module.py: lines 3 4; branches (2, 3) (5, -1)"
