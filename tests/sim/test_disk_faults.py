"""A disk that fails once, at every statement of a send, a receive and a match in turn; test_deposit_faults.py has the
fourth step, test_disk_calls.py the same for the calls to the system below the statements.

In half of the runs the node crashes after the failure, and only what is on the disk is left.
"""

from __future__ import annotations

import os
import random
from typing import Final

import pytest
from trio.testing import MockClock

from p2pchat.testing.cluster import Cluster, Node
from p2pchat.testing.faulty import FaultyConnection
from tests.sim.struck import every_one_of_a_text, one_of_a_match
from tests.sim.test_faults import Wire

WHOLE: Final = bool(os.environ.get("P2PCHAT_EVERY_FAULT"))
"""Every statement of a match, not a sample: five minutes, with ``-o faulthandler_timeout=3600``."""

SAMPLE: Final = 8


class Statements(FaultyConnection):
    """The store outlives the crash of its node: what is committed, in memory, and nothing else."""

    async def crash(self, cluster: Cluster, node: Node) -> None:
        await cluster.crash(node)


@pytest.mark.parametrize("crashes", [False, True], ids=["goes-on", "crashes"])
@pytest.mark.parametrize("whose", ["sender", "receiver"])
async def test_the_disk_fails_at_every_statement_of_a_text(
    whose: str, crashes: bool, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(monkeypatch)
    struck = await every_one_of_a_text(Statements.under, whose, crashes=crashes)
    print(f"{len(struck)} statements of {whose} were struck")
    assert wire.reused == 0
    parts = ("INSERT INTO message", "COMMIT", "UPDATE session" if whose == "receiver" else "INSERT INTO envelope")
    assert crashes or all(any(part in each for each in struck) for part in parts)  # after a crash they are others
    assert len(struck) > 14


@pytest.mark.parametrize("whose", ["first", "second"])
async def test_the_disk_fails_at_every_statement_of_a_match(
    whose: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(monkeypatch)
    struck: list[str] = []
    for number in range(1, 1_000) if WHOLE else sorted(random.Random(9).sample(range(1, 200), SAMPLE)):
        struck.append(await one_of_a_match(Statements.under, whose, number))
        if not struck[-1]:
            break
    print(f"{len([each for each in struck if each])} statements of {whose} were struck")
    assert wire.reused == 0
    assert not WHOLE or any("COMMIT" in each for each in struck)
    assert len([each for each in struck if each]) > SAMPLE // 2
