"""Whom the DHT is served to: neighbours always, the internet where it reaches this node (PROTOCOL.md 3.7, 7.3)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import UnsupportedProtocol
from p2pchat.core.params import PRODUCTION
from p2pchat.net.dht import Dht
from p2pchat.net.kad import KAD
from p2pchat.net.records import RECORDS
from p2pchat.net.transport import Standing
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.memnode import MemoryNode


async def serves(node: MemoryNode, asker: MemoryNode) -> bool:
    """Whether ``node`` serves ``asker`` both protocols, or none."""
    said: list[bool] = []
    _, protocols = await asker.learn(node.peer_id)
    for protocol in (RECORDS, KAD):
        try:
            await (await asker.open(node.peer_id, protocol)).reset()
        except UnsupportedProtocol:
            said.append(False)
        else:
            said.append(True)
        assert (protocol in protocols) is said[-1]
    assert len(set(said)) == 1
    return said[0]


@pytest.mark.parametrize(
    ("host", "standing", "to_internet"),
    [
        ("12.0.0.1", "unknown", True),  # its interface says so, and there may be nobody else yet
        ("192.168.1.2", "unknown", False),
        ("192.168.1.2", "public", True),  # its router leads there
        ("12.0.0.1", "private", False),  # a firewall lets nobody in
    ],
)
async def test_whom_it_is_served_to(
    autojump_clock: MockClock, host: str, standing: Standing, to_internet: bool
) -> None:
    async with MemoryNetwork.run(seed=5) as net, trio.open_nursery() as nursery:
        node, stranger, neighbour = net.node(host=host), net.node(host="13.0.0.1"), net.node(host="192.168.1.3")
        node.standing = standing
        await nursery.start(Dht(node, PRODUCTION, net.now).run)
        for other in (stranger, neighbour):
            await node.dial(other.peer_id, other.addresses())
        assert await serves(node, neighbour)
        assert await serves(node, stranger) is to_internet
        nursery.cancel_scope.cancel()


async def test_who_was_visited_from_the_internet_serves_it_before_anybody_has_confirmed_that(
    autojump_clock: MockClock,
) -> None:
    """A first node behind a router that was told to let others in has nobody to ask."""
    async with MemoryNetwork.run(seed=5) as net, trio.open_nursery() as nursery:
        node, stranger = net.node(host="192.168.1.2"), net.node(host="13.0.0.1")
        await nursery.start(Dht(node, PRODUCTION, net.now).run)
        await stranger.dial(node.peer_id, node.addresses())
        assert await serves(node, stranger)
        node.standing = "private"
        assert not await serves(node, stranger)
        nursery.cancel_scope.cancel()
