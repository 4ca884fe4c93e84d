"""A cluster whose nodes are told of nobody, on one local network, and what happens to their machines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from p2pchat.services.context import Context, Reach
from p2pchat.services.surroundings import Surroundings
from p2pchat.testing.cluster import Cluster, Node
from p2pchat.testing.memlan import MemoryInterfaces, MemoryLan
from tests.sim.people import is_matched


@dataclass
class World:
    """``asleep_s``: for how long each node's machine has slept."""

    cluster: Cluster
    lan: MemoryLan = field(default_factory=MemoryLan)
    interfaces: dict[str, MemoryInterfaces] = field(default_factory=dict[str, MemoryInterfaces])
    asleep_s: dict[str, float] = field(default_factory=dict[str, float])

    def surroundings(self, node: Node) -> Surroundings:
        mine = self.interfaces.setdefault(node.name, MemoryInterfaces(lambda: node.network))
        self.asleep_s.setdefault(node.name, 0.0)
        return Surroundings(mine, self.lan, lambda: trio.current_time() + self.asleep_s[node.name])

    def unplug(self, node: Node) -> None:
        """Its interface goes down: nobody is told, and nothing comes through."""
        self.interfaces[node.name].is_up = False
        for other in self._others(node):
            self.cluster.network.stall(node.network, other.network)

    def plug_in(self, node: Node, *, moved: bool = False) -> None:
        """The interface comes up again; ``moved``: with another address."""
        self.interfaces[node.name].is_up = True
        if moved:
            self.cluster.network.move(node.network)
        for other in self._others(node):
            self.cluster.network.heal(node.network, other.network)

    def _others(self, node: Node) -> Iterable[Node]:
        return (other for other in self.cluster.nodes.values() if other is not node)


@asynccontextmanager
async def world(*, lan: bool = True) -> AsyncIterator[World]:
    async with Cluster.running() as cluster:
        made = World(cluster)
        cluster.introduces = False
        cluster.reach = Reach(lan=lan)
        cluster.surroundings = made.surroundings
        yield made


def context_of(node: Node) -> Context:
    assert node.running is not None
    return node.running.context


def connected(a: Node, b: Node) -> bool:
    return bool(a.network.connections_to(b.network.peer_id))


def online(node: Node, contact: int) -> bool:
    assert node.running is not None
    return node.running.life.online(contact)


async def both_matched(alice: Node, bob: Node) -> bool:
    return await is_matched(alice, "Bob") and await is_matched(bob, "Alice")


async def has(node: Node, sender: str, text: str) -> bool:
    return text in await node.received(sender)
