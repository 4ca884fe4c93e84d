"""Days of a network of whole nodes, a few seeds of them (docs/ARCHITECTURE.md, "Simulation")."""

from __future__ import annotations

from typing import Final

import pytest

from simulate.__main__ import simulate
from simulate.plan import HOUR_S, Scale
from simulate.planted import BUGS, Bug

_SCALE: Final = Scale()
_SMALL: Final = Scale(nodes=6, days=1.5, settle_s=8 * HOUR_S)
_SEEDS: Final = 10
_SEEN_AS: Final[dict[Bug, str]] = {
    "ack-before-commit": "is delivered, and p",
    "no-dedupe": " twice",
    "reused-key": "a message key of what came to p",
    "no-quota": " bytes",
    "silent-key": "trusts another key of p",
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_text_arrives_once(seed: int) -> None:
    outcome = simulate(seed, _SCALE)
    assert outcome.complaints == []
    assert outcome.arrived > _SCALE.nodes
    assert outcome.acts["kill"] > _SCALE.nodes


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    """And as what it is: a complaint of something else would be another bug."""
    complaints = next(filter(None, (simulate(seed, _SMALL, bug=bug).complaints for seed in range(1, _SEEDS + 1))), [])
    assert any(_SEEN_AS[bug] in each for each in complaints), complaints


@pytest.mark.slow
def test_a_seed_is_repeated_exactly() -> None:
    brief = Scale(nodes=6, days=0.8, settle_s=6 * HOUR_S)
    first, again, other = (simulate(seed, brief) for seed in (4, 4, 5))
    assert first == again
    assert first.arrived > 0
    assert first.digest != other.digest
