"""Ping: a round trip on a stream of its own. Source: the libp2p ping specification, /ipfs/ping/1.0.0."""

from __future__ import annotations

from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.net import multistream
from p2pchat.net.pace import PING_BYTES_A_US, PING_US, Pace
from p2pchat.net.transport import Stream

PING: Final = "/ipfs/ping/1.0.0"
_BYTES: Final = 32


async def answer(stream: Stream, pace: Pace) -> None:
    """Echo until the peer ends.

    Pings are of 32 bytes, but what has come together goes back together: a frame for every 32 bytes of a flood would
    cost this node thirty times what it costs the peer.
    """
    while data := await stream.read(limits.STREAM_READ_BYTES):
        await pace.wait(stream, PING_US + len(data) / PING_BYTES_A_US)
        await stream.write(data)


async def measure(stream: Stream) -> float:
    """One round trip in seconds on a stream opened with :data:`PING`, which is ended.

    Raises:
        NetError: the stream ended.
    """
    try:
        started = trio.current_time()
        await stream.write(bytes(_BYTES))
        await multistream.read_exactly(stream, _BYTES)
        return trio.current_time() - started
    finally:
        await stream.reset()
