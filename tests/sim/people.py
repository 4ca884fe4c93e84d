"""Two people who have found each other, for simulations that begin there."""

from __future__ import annotations

from p2pchat.testing.cluster import Cluster, Node, eventually

ALICE, BOB = "+821012345678", "+821098765432"


async def is_matched(node: Node, name: str) -> bool:
    """Whether ``name`` is a matched contact of ``node``."""
    return (await node.contact(name)).state == "matched"


async def meet(cluster: Cluster) -> tuple[Node, Node]:
    """Alice and Bob, matched."""
    alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
    await alice.add(BOB, "Bob")
    await bob.add(ALICE, "Alice")
    await eventually(lambda: is_matched(alice, "Bob"), within_s=60)
    await eventually(lambda: is_matched(bob, "Alice"), within_s=60)
    return alice, bob
