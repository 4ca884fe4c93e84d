"""Streams and connections: who connects is taken up, and a stream through a relay makes room for a better one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.ids import PeerId
from p2pchat.services.link import Link
from p2pchat.services.paths import superfluous
from p2pchat.testing.cluster import Cluster, eventually
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
