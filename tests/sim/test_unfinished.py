"""Frames that strangers begin and do not finish: they share a bound, and nobody else waits for them."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import NetError
from p2pchat.base.refusals import Refusal
from p2pchat.core.framing import with_length
from p2pchat.core.wire import Hello, encode_frame
from p2pchat.net.transport import Stream
from p2pchat.net.unfinished import Unfinished
from p2pchat.services.charges import Charges
from p2pchat.services.link import MSG_PROTOCOL
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.memnode import MemoryNode
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import meet

HELLO = with_length(encode_frame(Hello(0)))
LARGEST = with_length(bytes(1 << 20))


async def begin(cluster: Cluster, alice: Node, *said: bytes, by: MemoryNode | None = None) -> Stream:
    """A stream of a stranger's with Alice, on which ``said`` was said."""
    stranger = by or cluster.network.node()
    await stranger.dial(alice.network.peer_id, alice.network.addresses())
    stream = await stranger.open(alice.network.peer_id, MSG_PROTOCOL)
    for data in said:
        await stream.write(data)
    return stream


async def is_over(stream: Stream) -> bool:
    """Whether it was reset; what came is dropped."""
    try:
        with trio.move_on_after(1):
            while await stream.read(1000):
                pass
    except NetError:
        return True
    return False


def charges(alice: Node) -> Charges:
    assert alice.running is not None
    return alice.running.context.charges


def refused(alice: Node) -> int:
    return charges(alice).refusals[Refusal.STREAM_UNFINISHED]


@pytest.mark.parametrize("before", [b"", HELLO])
async def test_strangers_share_one_bound_and_contacts_have_none(before: bytes, autojump_clock: MockClock) -> None:
    with fixed_schedule(4):
        async with Cluster.running() as cluster:
            alice, bob = await meet(cluster)
            charges(alice).unfinished = Unfinished(2_000_000)
            small = await begin(cluster, alice, before, LARGEST[:50_000])
            large = [await begin(cluster, alice, before, LARGEST[:400_000]) for _ in range(8)]
            await trio.sleep(1)
            assert [await is_over(each) for each in large] == [True] * 4 + [False] * 4  # the oldest went
            assert not await is_over(small)
            assert refused(alice) == 4

            async def is_empty() -> bool:
                return await bob.outbox() == 0

            for _ in range(20):  # in one envelope or two: frames as large as they come
                await bob.send("Alice", "x" * 60_000)
            assert await eventually(is_empty, within_s=30) < 10
            assert len(await alice.received("Bob")) == 20
            assert refused(alice) == 4


@pytest.mark.parametrize("before", [b"", HELLO])
async def test_a_frame_that_has_begun_is_complete_in_time(before: bytes, autojump_clock: MockClock) -> None:
    with fixed_schedule(5):
        async with Cluster.running() as cluster:
            alice, _ = await meet(cluster)
            stream = await begin(cluster, alice, before, LARGEST[:100])
            for _ in range(6):
                await trio.sleep(1)
                await stream.write(b"x")
            assert not await is_over(stream)
            await trio.sleep(30)
            assert await is_over(stream)
            assert charges(alice).unfinished.total == 0


async def test_one_stranger_has_two_large_ones(autojump_clock: MockClock) -> None:
    with fixed_schedule(6):
        async with Cluster.running() as cluster:
            alice, _ = await meet(cluster)
            stranger = cluster.network.node()
            streams = [await begin(cluster, alice, HELLO, LARGEST[:250_000], by=stranger) for _ in range(6)]
            await trio.sleep(1)
            held = charges(alice).unfinished.total
            assert 500_000 <= held <= 500_000 + 4 * (65_536 + 65_536)  # of the others no more is read
            for stream in streams:
                await stream.reset()
            await trio.sleep(1)
            assert charges(alice).unfinished.total == 0
