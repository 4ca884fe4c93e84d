"""Signals while the demo runs: the first one raises, once, and never in the middle of making something."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from p2pchat.cli.sandbox import Interrupted, Interrupts


@pytest.fixture(autouse=True)
def _nothing_is_ignored() -> Iterator[None]:
    """As on a terminal, also where the suite was started by nohup or in the background."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    with Interrupts() as installed:
        yield installed


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=lambda value: str(value),
)
def test_the_first_signal_raises_and_names_the_exit_status(
    interrupts: Interrupts, number: signal.Signals, status: int
) -> None:
    with pytest.raises(Interrupted) as caught:
        signal.raise_signal(number)
    assert caught.value.exit_status == status


def test_the_second_signal_changes_nothing(interrupts: Interrupts) -> None:
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)


def test_a_protected_stretch_is_finished_first(interrupts: Interrupts) -> None:
    made = []

    def make() -> None:
        with interrupts.protected():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            made.append("known")

    with pytest.raises(Interrupted) as caught:
        make()
    assert made == ["known"]
    assert caught.value.exit_status == 143


def test_nothing_is_raised_while_cleaning_up(interrupts: Interrupts) -> None:
    interrupts.ignore()
    signal.raise_signal(signal.SIGINT)
    with interrupts.protected():
        signal.raise_signal(signal.SIGTERM)
    interrupts.check()


def test_a_signal_whose_exception_was_lost_is_raised_at_the_next_check(interrupts: Interrupts) -> None:
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(Interrupted):
        interrupts.check()


def test_what_was_ignored_before_stays_ignored_and_handlers_are_put_back() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    of_interrupt = signal.getsignal(signal.SIGINT)
    try:
        with Interrupts():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGINT) != of_interrupt
        assert signal.getsignal(signal.SIGINT) == of_interrupt
    finally:
        signal.signal(signal.SIGHUP, before)
