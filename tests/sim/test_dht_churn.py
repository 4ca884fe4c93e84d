"""A third of the network gone at once: what was stored is found, by nodes that never asked before (PROTOCOL.md 3.7)."""

from __future__ import annotations

import random

import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.core.slots import Slot
from tests.sim.dht_world import PARAMS, Peer, record, world

NODES, RECORDS = 30, 6


async def test_30_percent_gone_at_once_half_of_them_silently_and_every_record_is_found(
    autojump_clock: MockClock,
) -> None:
    rng = random.Random(4)
    async with world(PARAMS, seed=4) as w:
        peers = await w.grow(NODES)
        await trio.sleep(2 * limits.REFRESH_CHECK_S)
        slots = [Slot(bytes([number] * 32), 1) for number in range(RECORDS)]
        records = [record(number + 1, slot=slot) for number, slot in enumerate(slots)]
        for slot, data in zip(slots, records, strict=True):
            await rng.choice(peers).dht.walk(slot.loc, put=data)
        gone = rng.sample(peers, NODES * 3 // 10)
        for crashed in gone[::2]:
            w.net.down(crashed.node)
        w.silence(gone[1::2])
        live = [peer for peer in peers if peer not in gone]

        async def look(peer: Peer, took: list[float]) -> None:
            for slot, data in zip(slots, records, strict=True):
                began = trio.current_time()
                result = await peer.dht.walk(slot.loc)
                took.append(trio.current_time() - began)
                assert result.records == (data,)
                assert result.complete

        for requesters in (live[:3], [await w.add() for _ in range(2)], live[3:6]):
            for peer in requesters:
                if peer not in live:
                    await peer.join(rng.choice(live))
                took: list[float] = []
                await look(peer, took)
                assert max(took) <= 1.0  # the bar for a node's first walk; the silent are found out in 2 s
            await trio.sleep(60)
