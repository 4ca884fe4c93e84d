"""People whom nobody can dial, and nodes that relay."""

from __future__ import annotations

from typing import Final

from p2pchat.net.addresses import endpoint
from p2pchat.services.context import Reach
from p2pchat.testing.cluster import Cluster, Node, eventually
from tests.sim.people import ALICE, BOB, is_matched

OFFERS: Final = Reach(relay_offer="on")
HOSTS: Final = ("45.1.1.1", "46.2.2.2", "47.3.3.3", "48.4.4.4")


async def relay(cluster: Cluster, number: int) -> Node:
    """The ``number``-th node that relays, each in a network of its own."""
    return await cluster.add(f"Relay {number}", host=HOSTS[number], reach=OFFERS)


async def at_home(cluster: Cluster, name: str, number: str) -> Node:
    """Someone whom nobody can dial."""
    return await cluster.add(name, number, is_hidden=True)


def relays_of(node: Node) -> set[bytes]:
    """Through whom a node is reached, as it says."""
    return {bytes(end.relay) for end in map(endpoint, node.network.circuits()) if end.relay is not None}


async def has_relays(node: Node, count: int = 2) -> bool:
    return len(relays_of(node)) == count


async def meet_through_relays(cluster: Cluster, relays: int = 2) -> tuple[Node, Node, list[Node]]:
    """Alice and Bob, both at home, matched, and the nodes that relay."""
    between = [await relay(cluster, number) for number in range(relays)]
    alice, bob = await at_home(cluster, "Alice", ALICE), await at_home(cluster, "Bob", BOB)
    await alice.add(BOB, "Bob")
    await bob.add(ALICE, "Alice")
    await eventually(lambda: is_matched(alice, "Bob"), within_s=60)
    await eventually(lambda: is_matched(bob, "Alice"), within_s=60)
    return alice, bob, between


def path(node: Node, other: Node) -> str | None:
    """How a node is connected to another."""
    return next((link.path for link in node.network.links() if link.peer == other.network.peer_id), None)
