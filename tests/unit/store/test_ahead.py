"""Keys that are dated later than it is, by a clock that was ahead, or is behind now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pchat.core.params import DAY_S, PRODUCTION
from p2pchat.core.prekeys import make_signed_prekey
from p2pchat.store import ahead, own_mailbox, prekeys
from tests.unit.store.test_erasure import ENTROPY, File


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    opened = File(tmp_path / "x.db")
    yield opened
    opened.connection.close()


def upkeep(file: File) -> tuple[int, int]:
    """How many mailbox keys, and signed prekeys, are there after it."""
    may_be_behind = ahead.may_be_behind(file.tx, PRODUCTION)
    own_mailbox.prune(file.tx, PRODUCTION, may_be_behind=may_be_behind)
    prekeys.prune(file.tx, PRODUCTION, may_be_behind=may_be_behind)
    spks = file.tx.all("SELECT 1 FROM spk")
    return len(own_mailbox.kept_keys(file.tx)), len(spks)


def make(file: File) -> None:
    own_mailbox.newest_key(file.tx, ENTROPY, PRODUCTION)
    prekeys.add_spk(file.tx, make_signed_prekey(ENTROPY, file.now_s))


def test_what_is_ahead_of_the_clock_goes_when_it_has_been_for_a_day(file: File) -> None:
    file.now_s += 400 * DAY_S
    make(file)
    file.now_s -= 400 * DAY_S
    assert upkeep(file) == (1, 1)
    file.now_s += DAY_S - 1
    assert upkeep(file) == (1, 1)
    file.now_s += 1
    assert upkeep(file) == (0, 0)


def test_a_clock_that_was_behind_at_every_start_costs_no_key(file: File) -> None:
    make(file)
    now_s = file.now_s
    for days in range(1, 5):
        file.now_s = now_s - 4000 * DAY_S
        assert upkeep(file) == (1, 1)
        file.now_s = now_s + days * DAY_S
        assert upkeep(file) == (1, 1)
    file.now_s = now_s + 23 * DAY_S
    assert upkeep(file) == (0, 0)


def test_a_clock_that_falls_back_further_counts_from_there(file: File) -> None:
    make(file)
    file.now_s -= 400 * DAY_S
    assert upkeep(file) == (1, 1)
    file.now_s -= 400 * DAY_S
    assert upkeep(file) == (1, 1)
    file.now_s += DAY_S
    assert upkeep(file) == (0, 0)
