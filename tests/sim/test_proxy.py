"""A node behind a proxy: what it does not do that would tell where it is, and how it is reached nevertheless."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.ids import Address, PeerId
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.net.autonat import AUTONAT
from p2pchat.net.circuits import HOP
from p2pchat.net.dcutr import DCUTR
from p2pchat.net.transport import Stream
from p2pchat.services.context import Reach
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.memnode import MemoryNode
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import ALICE, BOB, is_matched
from tests.sim.relays import at_home, has_relays, path, relay
from tests.sim.test_join import NOBODY, context_of, joining

BEHIND = Reach(proxy=True)
MEETING = {AUTONAT, DCUTR}
PEER = peer_id_from_key(bytes(32))


def served(node: Node) -> set[str]:
    return set(node.network._handlers.protocols(PEER, None))


async def test_two_match_through_relays_and_nobody_asks_where_one_of_them_is(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[MemoryNode] = []
    asked: list[tuple[MemoryNode, str]] = []
    punch, opening = MemoryNode.punch, MemoryNode.open

    async def punched(self: MemoryNode, peer: PeerId, addresses: Sequence[Address], *, leads: bool) -> None:
        met.append(self)
        await punch(self, peer, addresses, leads=leads)

    async def opened(self: MemoryNode, peer: PeerId, protocol: str) -> Stream:
        asked.append((self, protocol))
        return await opening(self, peer, protocol)

    monkeypatch.setattr(MemoryNode, "punch", punched)
    monkeypatch.setattr(MemoryNode, "open", opened)
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            for number in range(2):
                await relay(cluster, number)
            alice = await cluster.add("Alice", ALICE, is_hidden=True, reach=BEHIND)
            bob = await at_home(cluster, "Bob", BOB)
            await alice.add(BOB, "Bob")
            await bob.add(ALICE, "Alice")
            await eventually(lambda: is_matched(alice, "Bob"), within_s=60)
            await eventually(lambda: is_matched(bob, "Alice"), within_s=60)
            await trio.sleep(600)
            assert path(alice, bob) == path(bob, alice) == "relayed"
            assert await has_relays(alice)
            assert MEETING.isdisjoint(served(alice))
            assert served(bob) >= MEETING
            assert alice.network not in met
            assert {HOP} == {each for node, each in asked if node is alice.network} & {HOP, *MEETING}


async def test_a_proxy_that_cannot_be_used_is_what_it_complains_of(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", reach=BEHIND)
        context = context_of(alice)
        async with joining(alice, (NOBODY,)):
            await trio.sleep(10)
            assert "no other node answers through the proxy; asked: 1 node named by the user" in context.health.alone
            context.health.proxy = "the proxy cannot be reached"
            await trio.sleep(3_600)
            assert context.health.alone == "the proxy cannot be reached"
