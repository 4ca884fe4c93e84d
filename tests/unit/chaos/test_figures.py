"""Which texts count as quiet, flooded or in trouble, and how long a node was away."""

from __future__ import annotations

import pytest

from chaos.figures import absent_s, latencies, spans
from chaos.plan import Act
from chaos.seen import Said, Seen

ACTS = [Act(10.0, "stop", (1,), 5.0), Act(30.0, "flood", (2,), 5.0, "pings"), Act(50.0, "halve", (0, 1), 5.0)]


def said(writer: int, reader: int, asked_s: float, took_s: float = 0.1) -> Said:
    return Said(0, writer, reader, "", 1, 1_000 + asked_s, received_s=[1_000 + asked_s + took_s])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (said(0, 1, 5), "quiet"),
        (said(0, 1, 12), "in trouble"),
        (said(0, 1, 9, took_s=3), "in trouble"),
        (said(0, 2, 12), "quiet"),
        (said(0, 2, 31), "under a flood"),
        (said(2, 1, 31), "under a flood"),
        (said(0, 1, 31), "quiet"),
        (said(2, 3, 52), "in trouble"),
        (said(0, 1, 56), "in trouble"),
        (said(0, 1, 60), "quiet"),
    ],
)
def test_a_text_counts_to_what_befell_its_ends(text: Said, kind: str) -> None:
    troubles, floods = spans(ACTS, 4, 1_000.0)
    assert list(latencies([text], troubles, floods)) == [kind]


def test_what_never_came_has_no_latency() -> None:
    assert latencies([Said(0, 0, 1, "", 1, 5.0)], [], []) == {}


def test_a_node_is_away_from_when_it_ceases_to_answer_until_it_does_again_within_the_run() -> None:
    seen = Seen("t", 3)
    seen.presence = [(0.0, 0, True), (110.0, 0, False), (115.0, 0, True), (190.0, 1, False), (90.0, 2, False)]
    assert absent_s(seen, 100.0, 200.0) == [5.0, 10.0, 100.0]
