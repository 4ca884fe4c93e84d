"""Streams and connections: who connects is taken up, and a stream through a relay makes room for a better one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.net.transport import Stream
from p2pchat.services.link import MSG_PROTOCOL, Link
from p2pchat.services.paths import superfluous
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import meet

LOW, OWN, HIGH = PeerId(b"\x01"), PeerId(b"\x05"), PeerId(b"\x09")


@dataclass
class _Stream:
    peer: PeerId


@dataclass(eq=False)
class _Link:
    stream: _Stream
    outbound: bool
    is_relayed: bool
    proven: trio.Event = field(default_factory=trio.Event)


def link(peer: PeerId, *, outbound: bool, relayed: bool = False, proven: bool = False) -> Link:
    made = _Link(_Stream(peer), outbound, relayed)
    if proven:
        made.proven.set()
    return cast(Link, made)


def ended(*links: Link) -> Sequence[int]:
    return [links.index(each) for each in superfluous(OWN, links)]


def test_of_equal_streams_that_of_the_lower_opener_stays() -> None:
    for relayed in (False, True):
        theirs = link(LOW, outbound=False, relayed=relayed)
        assert ended(link(LOW, outbound=True, relayed=relayed), theirs) == [0]
        assert ended(link(HIGH, outbound=True, relayed=relayed), link(HIGH, outbound=False, relayed=relayed)) == []
        assert ended(link(LOW, outbound=True, relayed=relayed), link(LOW, outbound=True, relayed=relayed)) == []
        assert ended(link(LOW, outbound=True, relayed=relayed)) == []


@pytest.mark.parametrize("peer", [LOW, HIGH])
@pytest.mark.parametrize("outbound", [False, True])
def test_a_relayed_stream_stays_until_a_better_one_has_carried_a_heartbeat(peer: PeerId, outbound: bool) -> None:
    relayed = link(peer, outbound=True, relayed=True)
    assert ended(relayed, link(peer, outbound=outbound)) == []
    assert ended(relayed, link(peer, outbound=outbound, proven=True)) == [0]
    assert ended(relayed, link(OWN, outbound=outbound, proven=True)) == []  # of another node
    theirs = link(peer, outbound=False, relayed=True, proven=True)
    assert ended(theirs, link(peer, outbound=True, proven=True)) == []  # who opened it ends it


async def test_a_contact_that_connects_is_taken_up_at_once(autojump_clock: MockClock) -> None:
    with fixed_schedule(3):
        async with Cluster.running() as cluster:
            alice, bob = await meet(cluster)

            async def is_empty() -> bool:
                return await alice.outbox() == 0

            cluster.network.cut(alice.network, bob.network)
            await alice.send("Bob", "while apart")
            await trio.sleep(4 * 3600)  # the next dials are ten minutes off
            assert not await is_empty()
            cluster.network.heal(alice.network, bob.network)
            await bob.network.dial(alice.network.peer_id, alice.network.addresses())  # the DHT, say
            assert await eventually(is_empty, within_s=600) < 5
            assert await bob.received("Alice") == ["while apart"]


async def _pump(source: Stream, sink: Stream) -> None:
    with suppress(NetError):
        while data := await source.read(65_536):
            await sink.write(data)
    await sink.reset()


async def relay_between(cluster: Cluster, alice: Node, bob: Node) -> None:
    """Nobody dials the two any more; they are connected through a third node alone."""
    relay = cluster.network.node()

    async def hop(inbound: Stream) -> None:
        outbound = await relay.open(bob.network.peer_id, "/stop")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pump, inbound, outbound)
            nursery.start_soon(_pump, outbound, inbound)

    async def stop(stream: Stream) -> None:
        await bob.network.adopt(stream, None)

    relay.handle("/hop", hop)
    bob.network.handle("/stop", stop)
    for node in (alice, bob):
        await node.network.dial(relay.peer_id, relay.addresses())
        cluster.network.hide(node.network)
    await alice.network.disconnect(bob.network.peer_id)
    await alice.network.adopt(await alice.network.open(relay.peer_id, "/hop"), bob.network.peer_id)


def paths_in_use(alice: Node, bob: Node) -> set[str]:
    """The paths of the live message streams between the two."""
    connections = alice.network.connections_to(bob.network.peer_id)
    return {
        connection.path(alice.network)
        for connection in connections
        for protocol, stream in connection.streams
        if protocol == MSG_PROTOCOL and not stream.is_over
    }


async def write_both(alice: Node, bob: Node, first: int, last: int) -> None:
    for number in range(first, last):
        await alice.send("Bob", f"{number}")
        await bob.send("Alice", f"{number}")
        await trio.sleep(0.01)


@pytest.mark.parametrize("seed", range(6))
async def test_a_stream_moves_from_the_relay_while_texts_run_both_ways(seed: int, autojump_clock: MockClock) -> None:
    with fixed_schedule(seed):
        async with Cluster.running(seed=seed) as cluster:
            alice, bob = await meet(cluster)
            await relay_between(cluster, alice, bob)

            async def is_relayed() -> bool:
                return paths_in_use(alice, bob) == {"relayed"}

            async def is_direct() -> bool:
                return paths_in_use(alice, bob) == {"lan"}

            async def is_empty() -> bool:
                return await alice.outbox() == await bob.outbox() == 0

            await eventually(is_relayed, within_s=30)
            await write_both(alice, bob, 0, 20)
            cluster.network.hide(bob.network, is_hidden=False)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write_both, alice, bob, 20, 120)
                bobs = bob.network
                nursery.start_soon(cluster.network.connect, alice.network, bobs.peer_id, bobs.addresses()[0])
            assert await eventually(is_direct, within_s=60) < 20
            await eventually(is_empty, within_s=30)
            texts = [f"{number}" for number in range(120)]
            assert await bob.received("Alice") == texts
            assert await alice.received("Bob") == texts


async def test_the_relayed_stream_stays_where_the_better_connection_carries_nothing(autojump_clock: MockClock) -> None:
    with fixed_schedule(8):
        async with Cluster.running(seed=8) as cluster:
            alice, bob = await meet(cluster)
            await relay_between(cluster, alice, bob)
            await trio.sleep(10)
            cluster.network.hide(bob.network, is_hidden=False)
            await cluster.network.connect(alice.network, bob.network.peer_id, bob.network.addresses()[0])
            cluster.network.stall(alice.network, bob.network)
            for number in range(30):
                await write_both(alice, bob, number, number + 1)
                await trio.sleep(1)
            assert "relayed" in paths_in_use(alice, bob)
            texts = [f"{number}" for number in range(30)]
            assert await bob.received("Alice") == texts
            assert await alice.received("Bob") == texts
