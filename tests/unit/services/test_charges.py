"""What the log says of those who were refused something, and of those who only had to wait."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from p2pchat.base.refusals import Refusal
from p2pchat.services.charges import Charges


@pytest.mark.parametrize(
    ("kind", "event"), [(Refusal.STREAM_EXCESSIVE, "peer.cut_off"), (Refusal.REQUEST_PACED, "peer.paced")]
)
def test_the_log_says_that_somebody_was_cut_off_only_of_those_who_were(kind: Refusal, event: str) -> None:
    with capture_logs() as lines:
        Charges(lambda: 0.0).refusals.note(kind)
    assert lines == [{"event": event, "reason": kind.value, "count": 1, "log_level": "info"}]
