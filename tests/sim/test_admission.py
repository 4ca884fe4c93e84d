"""What is queued while a stream is being admitted leaves on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio
from trio.testing import MockClock

from p2pchat.services.connect import Connector
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import meet

T = TypeVar("T")


async def test_what_is_queued_while_a_stream_is_admitted_does_not_wait_for_the_next_reason(
    autojump_clock: MockClock,
) -> None:
    with fixed_schedule(29):
        async with Cluster.running() as cluster:
            alice, bob = await meet(cluster)
            await trio.sleep(60)
            run = alice.database.run

            async def slowly(job: Callable[[Tx], T]) -> T:
                result = await run(job)
                if getattr(job, "__qualname__", "").startswith(f"{Connector._peers.__qualname__}."):
                    await trio.sleep(1)  # the pump has looked, and rests, before the stream is in the table
                return result

            alice.database.run = slowly  # type: ignore[method-assign]

            async def is_empty() -> bool:
                return await alice.outbox() == 0

            for tenths in range(40):  # some of them fall into that second
                cluster.network.kill_streams(alice.network, bob.network)
                await trio.sleep(tenths / 10)
                await alice.send("Bob", f"{tenths}")
                assert await eventually(is_empty, within_s=4_000) < 10
                await trio.sleep(60)
