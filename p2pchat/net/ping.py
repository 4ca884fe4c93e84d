"""Ping, both sides. Source: the libp2p ping specification, /ipfs/ping/1.0.0."""

from __future__ import annotations

from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.net.multistream import read_exactly
from p2pchat.net.transport import Stream

PING: Final = "/ipfs/ping/1.0.0"
PING_BYTES: Final = 32


async def answer(stream: Stream) -> None:
    """Echo until the peer ends.

    Pings are of 32 bytes, but what has come together goes back together: a frame for every 32 bytes of a flood would
    cost this node thirty times what it costs the peer.
    """
    while data := await stream.read(limits.STREAM_READ_BYTES):
        await stream.write(data)


async def measure(stream: Stream) -> float:
    """One round trip on a stream opened with :data:`PING`, in seconds.

    Raises:
        NetError: the stream ended.
    """
    started = trio.current_time()
    await stream.write(bytes(PING_BYTES))
    await read_exactly(stream, PING_BYTES)
    return trio.current_time() - started
