"""Acks that come together are one commit: who writes lone texts fast would else learn of each later and later."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest
from trio.testing import MockClock

from p2pchat.services import deliver
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import CHEAP, Cluster, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import meet

TEXTS, LONG = 60, 4_000  # in so many envelopes that each has company


async def test_acks_that_come_together_are_settled_together(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[int] = []
    settle = deliver.settle

    def counted(tx: Tx, entries: Iterable[tuple[bytes, bytes]], *, there: bool = True) -> list[bytes]:
        found = list(entries)
        settled.append(len(found))
        return settle(tx, found, there=there)

    with fixed_schedule(1):
        async with Cluster.running(seed=1, params=dataclasses.replace(CHEAP, ack_entries=1)) as cluster:
            alice, bob = await meet(cluster)
            monkeypatch.setattr(deliver, "settle", counted)
            await cluster.crash(bob)
            for number in range(TEXTS):
                await alice.send("Bob", f"{number}".ljust(LONG))
            await cluster.start(bob)

            async def delivered() -> bool:
                return {row.state for row in await alice.conversation("Bob")} == {"delivered"}

            await eventually(delivered, within_s=600)
            assert await bob.received("Alice") == [f"{number}".ljust(LONG) for number in range(TEXTS)]
    assert max(settled) > 1  # though each had a frame of its own
