"""Runs count when they are over; the one that warms up never does."""

from __future__ import annotations

import sys

import pytest

from bench.measure import Samples, rounds


def test_the_run_that_warms_up_leaves_no_values() -> None:
    samples = Samples()
    for index, values in rounds(2, samples, warm_up=True):
        values.add("index", index)
    assert samples["index"].values == [1, 2]


def test_without_it_the_first_run_is_the_first() -> None:
    samples = Samples()
    assert [index for index, _ in rounds(2, samples, warm_up=False)] == [1, 2]


def test_half_a_run_leaves_no_values() -> None:
    samples = Samples()

    def work() -> None:
        for index, values in rounds(3, samples, warm_up=False):
            values.add("one", index)
            if index == 3:
                raise KeyboardInterrupt
            values.add("other", index)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert samples["one"].values == samples["other"].values == [1, 2]


def test_a_terminal_is_told_which_run_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    list(rounds(1, Samples(), warm_up=True))
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    list(rounds(1, Samples(), warm_up=True))
    assert capsys.readouterr() == ("", "warming up\nrun 1 of 1\n")
