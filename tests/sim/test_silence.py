"""A peer that falls silent is dropped 30 s after its last byte, wherever in the heartbeat's period that came."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import NetError
from p2pchat.base.limits import HEARTBEAT_S, SILENCE_S
from p2pchat.core.wire import Frame, Hello, Ping, decode_frame, encode_frame
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Stream
from p2pchat.services.link import MSG_PROTOCOL
from p2pchat.testing.cluster import Cluster
from p2pchat.testing.schedule import fixed_schedule


async def heard(stream: Stream) -> list[tuple[float, Frame]]:
    """Every frame with the time at which it came, until the stream ends however."""
    reader = FrameReader(stream, 1 << 20)
    frames: list[tuple[float, Frame]] = []
    try:
        while (data := await reader.read()) is not None:
            frames.append((trio.current_time(), decode_frame(data)))
    except NetError:
        return frames
    return frames


@pytest.mark.parametrize("talks_s", [0.0, 0.1, 7.0, 14.9, 15.0, 15.1, 29.9])
async def test_dropped_30_seconds_after_the_last_byte(autojump_clock: MockClock, talks_s: float) -> None:
    with fixed_schedule(1):
        async with Cluster.running() as cluster:
            alice = await cluster.add("Alice", "+821012345678")
            node = cluster.network.node()
            await node.dial(alice.network.peer_id, alice.network.addresses())
            stream = await node.open(alice.network.peer_id, MSG_PROTOCOL)
            began = trio.current_time()

            async def talk() -> None:
                await write_frames(stream, [encode_frame(Hello(0))])
                await trio.sleep(talks_s)
                await write_frames(stream, [encode_frame(Ping(7))])

            async with trio.open_nursery() as nursery:
                nursery.start_soon(talk)
                frames = await heard(stream)
            assert trio.current_time() - began - talks_s == pytest.approx(SILENCE_S, abs=0.5)
            assert node.links() == ()
            pings = [when - began for when, frame in frames if isinstance(frame, Ping)]
            assert pings == pytest.approx([HEARTBEAT_S * n for n in range(1, len(pings) + 1)], abs=0.5)
            assert len(pings) >= 1
