"""Watches: who is told of new entries, how often, and what becomes of those who do not listen (PROTOCOL.md 3.7)."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.core.codec import encode
from p2pchat.core.dht_wire import ANSWER, REPLY_MAX_BYTES, Push, Reply, Request
from p2pchat.core.framing import FrameReader, with_length
from p2pchat.net.records import RECORDS
from p2pchat.net.transport import Stream
from p2pchat.testing.memnode import MemoryNode
from tests.sim.dht_world import EPOCH_S, SLOT, Peer, record, world

LOC = SLOT.loc


def told(peer: Peer) -> list[bytes]:
    return [data for _, loc, data in peer.pushes if loc == LOC]


async def test_a_new_entry_is_pushed_once_to_who_watches_and_not_to_who_put_it(autojump_clock: MockClock) -> None:
    async with world() as w:
        peers = await w.grow(8)
        watcher, putter = peers[2], peers[5]
        assert (await watcher.dht.walk(LOC, watch_s=60)).watched == limits.WATCHES_PER_WALK
        await putter.dht.walk(LOC, watch_s=60)
        put_at = trio.current_time()
        await putter.dht.walk(LOC, put=record(1))
        await trio.sleep(1)
        assert told(watcher) == [record(1)]
        assert watcher.pushes[0][0] - put_at < 0.03
        assert told(putter) == []
        await putter.dht.walk(LOC, put=record(1))
        await putter.dht.walk(LOC, put=record(1, seq=EPOCH_S + 1))
        await trio.sleep(1)
        assert told(watcher) == [record(1), record(1, seq=EPOCH_S + 1)]


async def test_of_two_nodes_each_sees_what_the_other_puts(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.grow(2)
        for peer in (a, b):
            await peer.dht.walk(LOC, watch_s=60)
        await a.dht.walk(LOC, put=record(1))
        await b.dht.walk(LOC, put=record(2))
        await trio.sleep(1)
        assert (told(a), told(b)) == ([record(2)], [record(1)])


async def test_what_was_put_before_the_watch_comes_with_the_walk(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.grow(2)
        await a.dht.walk(LOC, put=record(1))
        assert (await b.dht.walk(LOC, watch_s=60)).records == (record(1),)
        await trio.sleep(1)
        assert told(b) == []


async def test_a_lease_ends_and_walking_again_prolongs_it(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.grow(2)
        await b.dht.walk(LOC, watch_s=60)
        await trio.sleep(50)
        await b.dht.walk(LOC, watch_s=60)
        await trio.sleep(50)
        await a.dht.walk(LOC, put=record(1))
        await trio.sleep(11)
        await a.dht.walk(LOC, put=record(2))
        await trio.sleep(1)
        assert told(b) == [record(1)]


async def test_a_lease_is_granted_for_an_hour_at_most(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.grow(2)
        await b.dht.walk(LOC, watch_s=100_000)
        await trio.sleep(3_601)
        await a.dht.walk(LOC, put=record(1))
        await trio.sleep(1)
        assert told(b) == []


async def test_a_watch_ends_with_its_stream(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.grow(2)
        stream = await stranger_with_a_watch(w.net.node(), a)
        assert len(a.dht._keeper._watches) == 1
        await stream.reset()
        await b.dht.walk(LOC, put=record(1))
        assert len(a.dht._keeper._watches) == 0


async def test_a_watcher_that_does_not_read_loses_its_watch_and_costs_bounded_memory(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        (storer,) = await w.grow(1)
        stream = await stranger_with_a_watch(w.net.node(), storer)
        puts = 270 + limits.PUSHES_QUEUED + 50  # the window holds some 270 records, then the queue fills
        for i in range(puts):
            await storer.dht.walk(LOC, put=record(1, seq=EPOCH_S + i), get=False)
            await trio.sleep(0.01)
        assert len(storer.dht._keeper._watches) == 0
        pushes = 0
        framing = FrameReader(REPLY_MAX_BYTES)
        with trio.move_on_after(60):
            while data := await stream.read(limits.STREAM_READ_BYTES):
                framing.feed(data)
                while (frame := framing.next_frame()) is not None:
                    pushes += isinstance(ANSWER.decode(frame), Push)
        assert limits.PUSHES_QUEUED < pushes < puts - 20


async def test_answers_and_pushes_share_a_stream_without_mixing(autojump_clock: MockClock) -> None:
    async with world() as w:
        a, b = await w.grow(2)
        await b.dht.walk(LOC, watch_s=3_600)

        async def put(first: int) -> None:
            for i in range(30):
                await a.dht.walk(LOC, put=record(first, seq=EPOCH_S + i))

        async def read() -> None:
            for _ in range(60):
                result = await b.dht.walk(LOC)
                assert (result.answered, result.failed) == (2, 0)

        async with trio.open_nursery() as nursery:
            for writer in (1, 2):
                nursery.start_soon(put, writer)
            for _ in range(3):
                nursery.start_soon(read)
        await trio.sleep(1)
        assert set(told(b)) == {record(writer, seq=EPOCH_S + i) for writer in (1, 2) for i in range(30)}
        assert len(told(b)) == 60


async def stranger_with_a_watch(node: MemoryNode, storer: Peer) -> Stream:
    """A stream on which a request made by hand has left a watch."""
    await node.dial(storer.node.peer_id, storer.node.addresses())
    stream = await node.open(storer.node.peer_id, RECORDS)
    await stream.write(with_length(encode(Request(1, LOC, None, False, 3_600))))
    framing = FrameReader(REPLY_MAX_BYTES)
    while (frame := framing.next_frame()) is None:
        framing.feed(await stream.read(limits.STREAM_READ_BYTES))
    reply = ANSWER.decode(frame)
    assert isinstance(reply, Reply)
    assert (reply.id, reply.watch_s) == (1, 3_600)
    return stream
