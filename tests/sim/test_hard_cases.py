"""Everything that test_convergence has one by one, at once and in any order, from one seed.

A wider range by hand: ``HARD_CASES=200 python -m pytest tests/sim/test_hard_cases.py``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.params import DAY_S
from p2pchat.core.wire import Ack, Batch, Flight
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.convergence import Snapshot, converge, forget_sessions
from tests.sim.loss import Loss
from tests.sim.people import meet

HOUR_S = 3600
EVENTS = 12
SEEDS = range(int(os.environ.get("HARD_CASES", "4")))


def forget_prekeys(tx: Tx) -> None:
    tx.execute("DELETE FROM prekey")


class Fate:
    """What may happen to two people and their stores."""

    def __init__(self, cluster: Cluster, alice: Node, bob: Node, loss: Loss, chance: random.Random) -> None:
        self.cluster, self.alice, self.bob, self.loss, self.chance = cluster, alice, bob, loss, chance
        self.snapshots: list[tuple[Node, Snapshot]] = []
        self.spoken = 0
        self.was_thrown_back = False

    @property
    def one(self) -> Node:
        return self.chance.choice((self.alice, self.bob))

    async def speak(self) -> None:
        """Somebody says something, as often as not while something goes wrong."""
        for _ in range(self.chance.choice((0, 1, 2, 9))):
            node = self.one
            await node.send("Bob" if node is self.alice else "Alice", str(self.spoken))
            self.spoken += 1

    async def part(self) -> None:
        self.cluster.network.cut(self.alice.network, self.bob.network)
        await self.speak()
        await trio.sleep(self.chance.expovariate(1 / 60))
        self.cluster.network.heal(self.alice.network, self.bob.network)

    async def break_streams(self) -> None:
        self.cluster.network.kill_streams(self.alice.network, self.bob.network)

    async def crash(self) -> None:
        node = self.one
        await self.cluster.crash(node)
        await trio.sleep(self.chance.expovariate(1 / 60))
        await self.cluster.start(node)

    async def be_away(self) -> None:
        """Both are down for longer than bundles live."""
        for node in (self.alice, self.bob):
            await self.cluster.crash(node)
        await trio.sleep(self.chance.uniform(1.1, 3) * DAY_S)
        for node in (self.alice, self.bob):
            await self.cluster.start(node)

    async def lose_frames(self) -> None:
        self.loss.all(*self.chance.choice(((Ack,), (Flight,), (Batch,), (Ack, Flight), (Ack, Batch, Flight))))
        await self.speak()
        await trio.sleep(self.chance.choice((1, 90, 700)))
        self.loss.nothing()

    async def forget_sessions(self) -> None:
        for node in self.chance.choice(((self.alice,), (self.bob,), (self.alice, self.bob))):
            await node.database.run(forget_sessions)

    async def forget_prekeys(self) -> None:
        await self.one.database.run(forget_prekeys)

    async def remember(self) -> None:
        node = self.one
        self.snapshots.append((node, await Snapshot.of(node)))

    async def throw_back(self) -> None:
        if self.snapshots:
            node, snapshot = self.chance.choice(self.snapshots)
            await snapshot.restore(node)
            self.was_thrown_back = True

    async def set_clock(self) -> None:
        """One clock is wrong for a while; not so far ahead that what waits expires."""
        node = self.one
        node.now.skew_s = self.chance.choice((0.3, -0.3, 2, -2, 20, -20, 24, -24, -960)) * HOUR_S
        if self.chance.random() < 0.7:
            await self.forget_sessions()
        await self.speak()
        await trio.sleep(self.chance.choice((10, 2000)))
        node.now.skew_s = 0.0

    def events(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            self.part,
            self.break_streams,
            self.crash,
            self.be_away,
            self.lose_frames,
            self.forget_sessions,
            self.forget_prekeys,
            self.remember,
            self.throw_back,
            self.set_clock,
        ]


@pytest.mark.parametrize("seed", SEEDS)
async def test_one_working_session_and_nothing_lost(
    seed: int, loss: Loss, rare_pings: None, autojump_clock: MockClock
) -> None:
    with fixed_schedule(seed):
        chance = random.Random(seed)
        async with Cluster.running(seed=seed) as cluster:
            loss.in_order = True
            alice, bob = await meet(cluster)
            fate = Fate(cluster, alice, bob, loss, chance)
            for _ in range(EVENTS):
                await fate.speak()
                await chance.choice(fate.events())()
                await fate.speak()
                await trio.sleep(chance.choice((0, 0.01, 1, 30)))
            # who lost all sessions and, by a clock that was behind, its presence is sought after three days of silence
            await converge(alice, bob, 5 * DAY_S, in_order=not fate.was_thrown_back)
