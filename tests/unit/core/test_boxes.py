"""Until when boxes are held, and which flights can wait (PROTOCOL.md 6.3, 6.5)."""

from __future__ import annotations

import pytest

from p2pchat.core.boxes import held_until_s, is_kept
from p2pchat.core.params import DAY_S, PRODUCTION

NOW = 1_800_000_000
TTL = PRODUCTION.mailbox_ttl_s


@pytest.mark.parametrize(
    ("ttl_s", "said_ago_s", "kept_ago_s", "left_s"),
    [
        (TTL, 0, None, 3 * DAY_S),
        (30 * DAY_S, 0, None, 14 * DAY_S),
        (TTL, 14 * DAY_S, None, DAY_S),
        (TTL, 15 * DAY_S - 1201, None, 1201),
        (TTL, 15 * DAY_S - 1200, None, None),
        (TTL, 15 * DAY_S, None, None),
        (14 * DAY_S, 0, 10 * DAY_S, 12 * DAY_S),
        (TTL, 0, 21 * DAY_S - 1, DAY_S + 1),
        (TTL, 0, 22 * DAY_S, None),
        (3600, 0, 0, 3600),
    ],
)
def test_a_box_is_held_until_its_key_or_its_bundle_may_be_gone(
    ttl_s: int, said_ago_s: int, kept_ago_s: int | None, left_s: int | None
) -> None:
    kept_s = None if kept_ago_s is None else NOW - kept_ago_s
    until_s = held_until_s(NOW, ttl_s, NOW - said_ago_s, kept_s, PRODUCTION)
    assert until_s == (None if left_s is None else NOW + left_s)


def test_a_flight_waits_if_its_bundle_did_and_is_not_old() -> None:
    assert not is_kept(None, NOW, PRODUCTION)
    assert is_kept(NOW, NOW, PRODUCTION)
    assert is_kept(NOW - 1_814_399, NOW, PRODUCTION)
    assert not is_kept(NOW - 1_814_400, NOW, PRODUCTION)
