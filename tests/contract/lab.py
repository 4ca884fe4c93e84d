"""Three nodes of whichever network, and what can become of the way between two; what tests do with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.transport import Network, Stream, StreamHandler

ECHO = "/test/echo/1"
PROTOCOL = "/test/1"
HOP = "/test/hop/1"
STOP = "/test/stop/1"


class Gate(Protocol):
    """What lies between a and b, where a dials b at ``addresses``."""

    addresses: tuple[Address, ...]

    def stall(self) -> None:
        """Let nothing through, and tell nobody."""
        ...

    def heal(self) -> None:
        """Let everything through, what was held back first."""
        ...

    async def cut(self) -> None:
        """End what goes through it."""
        ...


@dataclass(frozen=True)
class Lab:
    """Three nodes that can reach each other, and an address at which nobody is. ``end``: close one of them."""

    a: Network
    b: Network
    c: Network
    nowhere: Address
    gate: Gate
    end: Callable[[Network], Awaitable[None]]


async def echo(stream: Stream) -> None:
    while data := await stream.read(limits.STREAM_READ_BYTES):
        await stream.write(data)


async def never(stream: Stream) -> None:
    """Read nothing."""
    await trio.sleep_forever()


async def read_all(stream: Stream) -> bytes:
    data = b""
    while chunk := await stream.read(limits.STREAM_READ_BYTES):
        data += chunk
    return data


async def read_until_error(stream: Stream) -> bytes:
    """What came before the stream was reset or its connection lost; a clean end is an error."""
    data = b""
    try:
        while chunk := await stream.read(limits.STREAM_READ_BYTES):
            data += chunk
    except NetError:
        return data
    raise AssertionError("it has ended cleanly")


async def read_exactly(stream: Stream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = await stream.read(count - len(data))
        assert chunk
        data += chunk
    return data


async def pump(source: Stream, sink: Stream) -> None:
    """What a relay does."""
    try:
        while data := await source.read(limits.STREAM_READ_BYTES):
            await sink.write(data)
        await sink.close()
    except NetError:
        await source.reset()
        await sink.reset()


async def until(condition: Callable[[], bool]) -> None:
    """Poll: what the other node learns arrives after what this one does. How soon is no matter of its callers'."""
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - there is no event for what happens at the other end
            await trio.sleep(0.002)


def pattern(count: int) -> bytes:
    return b"".join(i.to_bytes(4, "big") for i in range(count // 4))


class Recorder:
    """A watcher that remembers."""

    def __init__(self, network: Network) -> None:
        self.seen: list[tuple[PeerId, bool]] = []
        network.watch(lambda peer, connected: self.seen.append((peer, connected)))


class Kept:
    """A handler that keeps its streams for the test, which ends them."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []

    async def __call__(self, stream: Stream) -> None:
        stream.adopt()
        self.streams.append(stream)

    async def one(self) -> Stream:
        """The next one."""
        await until(lambda: bool(self.streams))
        return self.streams.pop()


class Contract:
    """``clock`` is there for pytest-trio, which takes a clock only from a test's own arguments."""

    async def connect(self, lab: Lab, handler: StreamHandler = echo, protocol: str = ECHO) -> Stream:
        """Connect a to b, which serves ``protocol``, and open a stream."""
        lab.b.handle(protocol, handler)
        await lab.a.dial(lab.b.peer_id, lab.b.addresses())
        return await lab.a.open(lab.b.peer_id, protocol)

    async def both_ends(self, lab: Lab) -> tuple[Stream, Stream]:
        """A stream that a has opened, and b's end of it."""
        kept = Kept()
        return await self.connect(lab, kept, PROTOCOL), await kept.one()

    async def relayed(self, lab: Lab) -> None:
        """Connect a to b through c."""

        async def relay(stream: Stream) -> None:
            onward = await lab.c.open(lab.b.peer_id, STOP)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump, stream, onward)
                nursery.start_soon(pump, onward, stream)

        async def stop(stream: Stream) -> None:
            await lab.b.adopt(stream, None)

        lab.c.handle(HOP, relay)
        lab.b.handle(STOP, stop)
        await lab.b.dial(lab.c.peer_id, lab.c.addresses())
        await lab.a.dial(lab.c.peer_id, lab.c.addresses())
