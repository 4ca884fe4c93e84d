"""The smallest run gives a value for every row, and the pair it measures is in the state that it says."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from bench.crypto import METRICS, run, settled_pair
from bench.measure import Samples
from bench.report import table
from p2pchat.cli.sandbox import Sandbox
from p2pchat.core.session import dump_session, load_session


def test_every_row_has_its_values(tmp_path: Path) -> None:
    samples = Samples()
    run(cast("Sandbox", None), tmp_path, 2, quick=True, samples=samples)
    assert len(table(METRICS, samples)) == 1 + len(METRICS)
    for metric in METRICS:
        assert len(samples[metric.name].values) == 2
        assert samples[metric.name].low > 0


def test_the_two_ends_have_answered_each_other_and_no_header_carries_a_kem_part() -> None:
    for end in settled_pair():
        assert end.confirmed
        assert load_session(dump_session(end), b"\x90") == end
        sending = end.ratchet.sending
        assert sending is not None
        assert (sending.kem_public, sending.kem_ciphertext) == (None, None)
