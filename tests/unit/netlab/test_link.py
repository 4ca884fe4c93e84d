"""Lines: what they lose, delay and queue."""

from __future__ import annotations

from random import Random

import pytest

from netlab.link import Link, Settings


def test_a_line_without_settings_is_none() -> None:
    assert Link().due(1500, 5.0, Random(1)) == 5.0


def test_jitter_stays_in_its_bounds_and_in_order() -> None:
    link, random = Link(Settings(delay_ms=100, jitter_ms=20)), Random(1)
    sent = [index * 0.5 for index in range(200)]
    due = [link.due(100, at, random) or 0.0 for at in sent]
    waits = [came - at for came, at in zip(due, sent, strict=True)]
    assert 0.08 <= min(waits) < 0.085
    assert 0.115 < max(waits) <= 0.12
    close = [link.due(100, 200.0 + index / 1000, random) or 0.0 for index in range(200)]
    assert close == sorted(close)


def test_the_share_is_lost() -> None:
    link, random = Link(Settings(loss=0.05)), Random(1)
    kept = [link.due(100, 0.0, random) for _ in range(10_000)]
    assert 400 < kept.count(None) == link.counts.lost < 600
    assert link.counts.sent == 10_000


def test_a_rate_queues_and_then_drops() -> None:
    link, random = Link(Settings(rate_kbit=800)), Random(1)
    due = [link.due(1000, 0.0, random) for _ in range(60)]
    assert due[:3] == pytest.approx([0.01, 0.02, 0.03])
    assert due[48] == pytest.approx(0.49)
    assert not any(due[52:])
    assert link.counts.overflowed == due.count(None)
    assert link.due(1000, 2.0, random) == pytest.approx(2.01)


@pytest.mark.parametrize("bad", [{"loss": 1.5}, {"loss": -0.1}, {"delay_ms": -1}, {"rate_kbit": -1}])
def test_impossible_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        Settings(**bad)
