"""First flights and requests of strangers by the thousand: a contact notices nothing, an honest newcomer waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock

from p2pchat.api import stats_objects
from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.refusals import Refusal
from p2pchat.core import handshake
from p2pchat.core.prekeys import ask_proof
from p2pchat.core.wire import Ack, BundleRequest, Hello
from p2pchat.services.link import MSG_PROTOCOL
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.memnode import MemoryNode
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import meet
from tests.sim.test_floods import junk_flight, packed
from tests.sim.test_locking import CONNECTION, methods_of
from tests.sim.test_opaque_refusals import Flier
from tests.sim.test_strangers import knock

STRANGERS, FLIGHTS = 40, 60


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(31):
        yield


def refused(node: Node, kind: Refusal) -> int:
    assert node.running is not None
    return node.running.context.charges.refusals[kind]


async def pester(stranger: MemoryNode, alice: Node, data: bytes) -> None:
    """Fly, and come again when that was refused."""
    while True:
        with suppress(NetError):
            await stranger.dial(alice.network.peer_id, alice.network.addresses())
            stream = await stranger.open(alice.network.peer_id, MSG_PROTOCOL)
            await stream.write(packed(Hello(0)) + data)
            while await stream.read(65_536):
                pass
        await trio.sleep(0.5)


@pytest.mark.parametrize("what", ["flights", "requests"])
async def test_a_contact_notices_nothing_and_no_key_is_touched(
    what: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(*_: object) -> bytes:
        raise AssertionError("a key agreement for a stranger who proved nothing")

    entropy = SeededEntropy(31)
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await trio.sleep(60)
        junk = b"".join(packed(junk_flight(entropy)) for _ in range(FLIGHTS))
        data = junk if what == "flights" else packed(BundleRequest(bytes(32))) * FLIGHTS
        monkeypatch.setattr(handshake, "x25519", touched)
        async with trio.open_nursery() as nursery:
            for _ in range(STRANGERS):
                nursery.start_soon(pester, cluster.network.node(), alice, data)
            for number in range(20):
                await bob.send("Alice", f"{number}")
                assert await eventually(lambda n=number: has(alice, f"{n}"), within_s=2) < 0.2  # type: ignore[misc]
                await trio.sleep(0.25)
            nursery.cancel_scope.cancel()
        counted = Refusal.ENVELOPE_REFUSED if what == "flights" else Refusal.BUNDLE_REFUSED
        price_us = 1_046 if what == "flights" else 1_500
        most = limits.STRANGERS_US + (8 + limits.STRANGERS_WAIT_S) * limits.STRANGERS_US_PER_S
        assert 0 < refused(alice, counted) * price_us < most
        assert (refused(alice, Refusal.STRANGER_REFUSED) > 0) == (what == "flights")  # a request waits for its answer
        assert refused(alice, Refusal.STRANGER_PACED) > 0


async def test_a_newcomer_that_has_a_bundle_is_heard_once_the_flood_is_over(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await meet(cluster)
        assert alice.running is not None
        node = await newcomer(cluster, alice)
        flier = Flier(cluster, alice, await knock(node, alice), proof(alice, node))
        carol = await flier.person()
        _, flight = await flier.fly(carol)
        strangers = alice.running.context.charges.strangers
        strangers._turns._of_all.take_back([], -limits.STRANGERS_US - 3 * limits.STRANGERS_US_PER_S)
        began = trio.current_time()
        await flier.stranger.send([flight])
        assert isinstance(await flier.answer(), Ack)
        assert 2 < trio.current_time() - began < limits.STRANGERS_WAIT_S


async def test_stats_tell_of_all_of_it(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await meet(cluster)
        assert alice.running is not None
        node = await newcomer(cluster, alice)
        stranger = await knock(node, alice)
        await stranger.send([BundleRequest(bytes(32))])
        await stranger.next()
        stats = await methods_of(alice)("stats.get", {}, CONNECTION)
        assert isinstance(stats, stats_objects.Stats)
        assert stats.refusals["bundle.refused"] == 1
        assert set(stats.refusals) == set(map(str, Refusal))
        assert (stats.connections.inbound + stats.connections.outbound, stats.peers) == (2, 2)
        assert stats.streams["/p2pchat/msg/1"] >= 1
        assert (stats.db_bytes, stats.wal_bytes) == (0, 0)  # in memory
        assert stats.commits > 0
        assert stats.commit_ms.max >= stats.commit_ms.p99 >= stats.commit_ms.p50
        assert stats.records > 0


async def newcomer(cluster: Cluster, alice: Node) -> MemoryNode:
    node = cluster.network.node()
    await node.dial(alice.network.peer_id, alice.network.addresses())
    return node


def proof(alice: Node, node: MemoryNode) -> bytes:
    return ask_proof(alice.profile.ask, alice.network.peer_id, node.peer_id)


async def has(node: Node, text: str) -> bool:
    return text in await node.received("Bob")
