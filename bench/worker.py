"""``python -m bench.worker SOCKET``: some nodes of a fleet in one process, told by :mod:`bench.fleet` what to do.

A node is what the daemon makes of one, as far as the DHT goes: a libp2p host and a :class:`Dht` with production
parameters. It listens on an address of its own; like the daemon's its dials leave from wherever the kernel says.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import trio

from bench.counting import CountingNetwork
from bench.fleet_wire import (
    FRAME_BYTES,
    Command,
    Echo,
    Errand,
    Failed,
    Known,
    Newcomer,
    Pushes,
    Start,
    Walk,
    Walked,
    Wander,
    Watch,
)
from p2pchat.base import limits
from p2pchat.base.errors import InternalError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.framing import FrameReader, with_length
from p2pchat.core.params import PRODUCTION
from p2pchat.daemon import logs
from p2pchat.net.addresses import parse_address
from p2pchat.net.dht import Dht
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.ping import PING
from p2pchat.net.transport import Stream

_COMMANDS = msgspec.msgpack.Decoder(Command)
_WATCH_S = 600
_DISCONNECTED_S = 5.0


@dataclass(eq=False)
class Node:
    """One of them; ``pushes``: when the first entry of a slot was pushed."""

    network: CountingNetwork
    dht: Dht
    pushes: dict[bytes, float] = field(default_factory=dict[bytes, float])

    def pushed(self, loc: bytes, _record: bytes) -> None:
        self.pushes.setdefault(loc, time.monotonic())

    async def walk(self, errand: Errand) -> Walked:
        traffic = self.network.traffic
        before = traffic.requests, traffic.sent, traffic.received
        began = time.monotonic()
        result = await self.dht.walk(errand.loc, put=errand.put)
        seconds = time.monotonic() - began
        after = traffic.requests, traffic.sent, traffic.received
        requests, sent, received = (late - early for late, early in zip(after, before, strict=True))
        return Walked(began, seconds, requests, sent, received, len(result.records), result.answered, result.stored)

    async def disconnect(self) -> None:
        """Close every connection and wait until none is left at this end."""
        with trio.fail_after(_DISCONNECTED_S):
            while links := self.network.links():  # what a walk has asked and not waited for may still come in
                for link in links:
                    await self.network.disconnect(link.peer)
                await trio.sleep(0.001)
        await trio.sleep(0.05)  # for the other ends, which would have to answer on connections that are gone


@asynccontextmanager
async def running(host: str) -> AsyncGenerator[Node]:
    """A node that listens on ``host``, an IPv4 literal, at a port of the system's choice."""
    listen = [parse_address(f"/ip4/{host}/tcp/0")[0]]
    async with Libp2pHost.listen(os.urandom(32), listen, now=time.time) as libp2p, trio.open_nursery() as nursery:
        network = CountingNetwork(libp2p)
        node = Node(network, Dht(network, PRODUCTION, time.time))
        node.dht.on_push = node.pushed
        await nursery.start(node.dht.run)
        yield node
        nursery.cancel_scope.cancel()


class Worker:
    """Does what it is told, one command after the other."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._nodes: list[Node] = []

    async def do(self, command: Command) -> object:
        """The reply to ``command``."""
        match command:
            case Start(host, peers):
                node = await self._stack.enter_async_context(running(host))
                self._nodes.append(node)
                if peers:
                    await node.dht.bootstrap(_contacts(peers))
                return Known(bytes(node.network.peer_id), list(map(bytes, node.network.addresses())))
            case Wander(walks):
                return [await _wander(node, walks) for node in self._nodes]
            case Walk(index, errands, cold):
                return [await _walk(self._nodes[index], errand, cold=cold) for errand in errands]
            case Newcomer(host, peers):
                return await _newcomer(host, peers)
            case Watch(index, locs):
                dht = self._nodes[index].dht
                return [(await dht.walk(loc, watch_s=_WATCH_S)).watched for loc in locs]
            case Pushes(index):
                return self._nodes[index].pushes
            case Echo(index, peers, size, count):
                return await _echo(self._nodes[index].network, peers, size, count)


def _contacts(peers: Sequence[Known]) -> list[tuple[PeerId, tuple[Address, ...]]]:
    return [(PeerId(known.peer), tuple(map(Address, known.addresses))) for known in peers]


async def _wander(node: Node, walks: int) -> int:
    for _ in range(walks):
        await node.dht.walk(os.urandom(32))
    return node.dht.peers()


async def _walk(node: Node, errand: Errand, *, cold: bool) -> Walked:
    if cold:
        await node.disconnect()
    return await node.walk(errand)


async def _newcomer(host: str, peers: Sequence[Known]) -> tuple[float, float]:
    async with running(host) as node:
        began = time.monotonic()
        await node.dht.bootstrap(_contacts(peers))
        joined_s = time.monotonic() - began
        return joined_s, (await node.walk(Errand(os.urandom(32)))).seconds


async def _echo(network: CountingNetwork, peers: Sequence[Known], size: int, count: int) -> list[float]:
    streams: list[Stream] = []
    for peer, addresses in _contacts(peers):
        await network.dial(peer, addresses)
        streams.append(await network.open(peer, PING))
    data, taken = bytes(size), list[float]()

    async def once(stream: Stream) -> None:
        await stream.write(data)
        left = size
        while left:
            chunk = await stream.read(left)
            if not chunk:
                raise InternalError("a peer ended the stream of an echo")
            left -= len(chunk)

    for _ in range(count):
        began = time.monotonic()
        async with trio.open_nursery() as nursery:
            for stream in streams:
                nursery.start_soon(once, stream)
        taken.append(time.monotonic() - began)
    for stream in streams:
        await stream.reset()
    return taken


async def main(path: Path) -> None:
    """Listen at ``path`` for the driver; return when it has gone."""
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(path))
    listener.listen(1)
    connection, _ = await listener.accept()
    framing = FrameReader(FRAME_BYTES)
    async with AsyncExitStack() as stack:
        worker = Worker(stack)
        while data := await connection.recv(limits.STREAM_READ_BYTES):
            framing.feed(data)
            while (frame := framing.next_frame()) is not None:
                try:
                    reply = await worker.do(_COMMANDS.decode(frame))
                except Exception as error:  # told to the driver, which ends the measurement
                    reply = Failed(f"{type(error).__name__}: {error}")
                await trio.SocketStream(connection).send_all(with_length(msgspec.msgpack.encode(reply)))


if __name__ == "__main__":
    gc.collect()
    gc.freeze()  # as the daemon does
    logs.configure("error", "json")
    trio.run(main, Path(sys.argv[1]))
