"""What a node that stands alone does, and what it says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.crypto import ed25519_pair
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.net.dnsaddr import NodeAddress
from p2pchat.services.context import Context
from p2pchat.services.join import join
from p2pchat.store import known_peers
from p2pchat.testing.cluster import Cluster, Node
from tests.sim.people import meet

HOUR_S = 3600
NOBODY: NodeAddress = peer_id_from_key(ed25519_pair(bytes(32)).public), (Address(b"\x04\x7f\x00\x00\x01\x06\x00\x01"),)


def context_of(node: Node) -> Context:
    assert node.running is not None
    return node.running.context


async def nobody_answers(_: Sequence[NodeAddress]) -> int:
    raise NetError("none of the known peers answered")


@asynccontextmanager
async def joining(node: Node, configured: Sequence[NodeAddress]) -> AsyncIterator[Callable[[], list[int]]]:
    """A node that begins to join; after how many tries it has said that nobody answers."""
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(join, context_of(node), configured, lambda: None)
            yield lambda: [entry["count"] for entry in logs if entry["event"] == "bootstrap.no_node_answered"]
            nursery.cancel_scope.cancel()


async def test_the_first_node_of_a_network_has_nothing_to_complain_of(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice")
        itself: tuple[PeerId, tuple[Address, ...]] = alice.network.peer_id, alice.network.addresses()
        for configured in ((), (itself,)):
            async with joining(alice, configured) as tries:
                await trio.sleep(HOUR_S)
                assert tries() == []


async def test_a_node_that_nobody_answers_says_so_seldom(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice")
        async with joining(alice, (NOBODY,)) as tries:
            await trio.sleep(10)
            assert tries()[:2] == [1, 2]
            await trio.sleep(3 * HOUR_S)
            assert tries() == [1 << power for power in range(len(tries()))]
            assert 4 < len(tries()) < 8


async def test_it_says_nothing_while_somebody_is_connected_and_is_quick_again_when_they_leave(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice")
        async with joining(alice, (NOBODY,)) as tries:
            await trio.sleep(HOUR_S)
            before = tries()
            bob = await cluster.add("Bob")  # who knows where Alice is
            await trio.sleep(HOUR_S)
            assert context_of(alice).network.links()
            with monkeypatch.context() as patch:  # as if Bob took no part in the DHT
                patch.setattr(context_of(alice).dht, "peers", lambda: 0)
                patch.setattr(context_of(alice).dht, "bootstrap", nobody_answers)
                await trio.sleep(3 * HOUR_S)
            await trio.sleep(HOUR_S)
            assert tries() == before
            await cluster.crash(bob)
            await trio.sleep(600)
            assert tries()[len(before) :].count(1) == 2  # of its own joining, too, which remembers Bob


@pytest.mark.parametrize("matched", [True, False])
async def test_the_node_of_a_contact_that_comes_is_a_first_peer_and_a_strangers_is_none(
    autojump_clock: MockClock, *, matched: bool
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        cluster.introduces = False
        for node in (alice, bob):
            await cluster.crash(node)
            await node.database.run(lambda tx: known_peers.save(tx, ()))
            if not matched:  # nothing of a session has come from there
                await node.database.run(lambda tx: tx.execute("UPDATE contact_peer SET proven = 0"))
        await cluster.start(alice)
        await trio.sleep(HOUR_S)
        await cluster.start(bob)
        await trio.sleep(60)
        assert any(link.peer == bob.network.peer_id for link in alice.network.links())
        assert context_of(alice).dht.peers() == int(matched)
