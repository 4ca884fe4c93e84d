"""DHT nodes on the memory network, and records for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.core.codec import encode
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.dht_wire import ANSWER, REPLY_MAX_BYTES, Reply, Request
from p2pchat.core.framing import FrameReader, with_length
from p2pchat.core.params import PRODUCTION, Params
from p2pchat.core.record import finish, prepare_record
from p2pchat.core.slots import Slot
from p2pchat.core.work import mine
from p2pchat.net.dht import Dht
from p2pchat.net.records import RECORDS
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.memnode import MemoryNode
from p2pchat.testing.schedule import fixed_schedule

PARAMS: Final = replace(PRODUCTION, work_bits=4)
SMALL: Final = replace(PARAMS, k=6, alpha=4, answering_storers=3)
EPOCH_S: Final = 1_800_000_000
SLOT: Final = Slot(bytes(32), 1)


def unix_now() -> float:
    return EPOCH_S + trio.current_time()


def record(writer: int, *, slot: Slot = SLOT, seq: int = EPOCH_S, bits: int = PARAMS.work_bits) -> bytes:
    """A record of the ``writer``-th writer that every storer accepts."""
    unmined = prepare_record(slot, ed25519_pair(bytes([writer] * 32)), b"data", seq, bytes(24), PARAMS)
    return finish(unmined, mine(unmined.digest, bits))


@dataclass(eq=False)
class Peer:
    """One node, its DHT, and what was pushed to it at which time."""

    node: MemoryNode
    dht: Dht
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    started_at: float = field(default_factory=trio.current_time)
    pushes: list[tuple[float, bytes, bytes]] = field(default_factory=list[tuple[float, bytes, bytes]])

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        with self.scope:
            await self.dht.run(task_status)

    def pushed(self, loc: bytes, data: bytes) -> None:
        self.pushes.append((trio.current_time(), loc, data))

    async def join(self, *others: Peer) -> int:
        return await self.dht.bootstrap([(other.node.peer_id, other.node.addresses()) for other in others])


class World:
    """A memory network with DHT nodes; ``peers`` in the order in which they were added."""

    def __init__(self, net: MemoryNetwork, params: Params) -> None:
        self.net = net
        self.params = params
        self.peers: list[Peer] = []

    async def add(self, host: str | None = None) -> Peer:
        """A node whose DHT runs, and knows nobody."""
        node = self.net.node(host=host)
        dht = Dht(node, self.params, unix_now, entropy=SeededEntropy(len(self.peers)).bytes)
        peer = Peer(node, dht)
        dht.on_push = peer.pushed
        await self.net.nursery.start(peer.run)
        self.peers.append(peer)
        return peer

    async def grow(self, number: int, hosts: Sequence[str] | None = None) -> list[Peer]:
        """Nodes of which each joins through the first of the world."""
        made = [await self.add(hosts[i] if hosts else None) for i in range(number)]
        for peer in made:
            if peer is not self.peers[0]:
                await peer.join(self.peers[0])
        return made

    def silence(self, peers: Sequence[Peer]) -> None:
        """The silent death: connections stay, nothing is delivered."""
        for peer in peers:
            for other in self.peers:
                if other is not peer:
                    self.net.stall(peer.node, other.node)


async def request(node: MemoryNode, to: MemoryNode, message: Request) -> Reply:
    """What ``to`` answers to a request made by hand."""
    await node.dial(to.peer_id, to.addresses())
    stream = await node.open(to.peer_id, RECORDS)
    await stream.write(with_length(encode(message)))
    framing = FrameReader(REPLY_MAX_BYTES)
    while (frame := framing.next_frame()) is None:
        framing.feed(await stream.read(limits.STREAM_READ_BYTES))
    reply = ANSWER.decode(frame)
    assert isinstance(reply, Reply)
    return reply


@asynccontextmanager
async def world(params: Params = SMALL, *, seed: int = 1) -> AsyncGenerator[World]:
    """A world for the life of the context; its schedule follows from ``seed``."""
    with fixed_schedule(seed):
        async with MemoryNetwork.run(seed=seed, now=unix_now) as net:
            yield World(net, params)
