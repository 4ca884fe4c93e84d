"""Junk on the port, on every protocol and on the socket of a real daemon: ``scripts/fuzz``, shorter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import trio

from tests.fuzz.__main__ import described
from tests.fuzz.campaign import TARGETS, run
from tests.fuzz.daemon import Pair, pair

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SEED = 1
COUNTS = dict.fromkeys(TARGETS, 200) | {"contact": 30, "answers": 60}


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("junk")) as made:
        yield made


@pytest.mark.parametrize("target", TARGETS)
def test_junk_ends_what_it_came_on_and_nothing_else(daemons: Pair, target: str) -> None:
    begin = partial(run, daemons, target, seed=SEED, start=0, count=COUNTS[target])
    report = trio.run(begin, strict_exception_groups=True)
    assert report.feed.findings == [], described(report)
    assert report.feed.taken == COUNTS[target]
