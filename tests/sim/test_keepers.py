"""What a contact costs while nothing is to be done for it: nothing."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from p2pchat.services.connect import Connector
from p2pchat.testing.cluster import Cluster, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import meet


class Woken(trio.abc.Instrument):
    """Notes the keepers of contacts that run."""

    def __init__(self) -> None:
        self.tasks: set[trio.lowlevel.Task] = set()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if Connector._keeper.__qualname__ in task.name:
            self.tasks.add(task)


async def test_a_contact_that_is_connected_is_not_woken_by_the_news_of_others(autojump_clock: MockClock) -> None:
    with fixed_schedule(31):
        async with Cluster.running() as cluster:
            alice, bob = await meet(cluster)
            await trio.sleep(60)

            async def is_empty() -> bool:
                return await alice.outbox() == 0

            woken = Woken()
            trio.lowlevel.add_instrument(woken)
            for number in range(20):
                await alice.send("Bob", f"{number}")
                await eventually(is_empty, within_s=10)
            assert len(woken.tasks) == 1  # of the one who dialled, whose stream it reads
            cluster.network.kill_streams(alice.network, bob.network)  # its end wakes it, and it dials
            await alice.send("Bob", "again")
            await eventually(is_empty, within_s=60)
            trio.lowlevel.remove_instrument(woken)
            assert len(woken.tasks) > 1
            assert (await bob.received("Alice"))[-1] == "again"
