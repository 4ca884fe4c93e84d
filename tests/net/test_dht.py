"""The DHT over real connections on loopback, and its kad wire against libp2p's own protobuf."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.kad_dht.pb.kademlia_pb2 import Message

from p2pchat.base.errors import NetError
from p2pchat.core import kad_wire
from p2pchat.core.dht_wire import ToldPeer
from p2pchat.core.kad_wire import FIND_NODE, PING, KadMessage
from p2pchat.net.dht import Dht
from p2pchat.net.kad import KAD
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.records import RECORDS
from tests.contract.lab import until
from tests.net.hosts import LOOPBACK
from tests.sim.dht_world import EPOCH_S, PARAMS, SLOT, record

LOC = SLOT.loc


@dataclass
class Node:
    host: Libp2pHost
    dht: Dht
    pushes: list[bytes] = field(default_factory=list[bytes])

    def pushed(self, _loc: bytes, data: bytes) -> None:
        self.pushes.append(data)


@asynccontextmanager
async def nodes(number: int) -> AsyncGenerator[list[Node]]:
    """Nodes of which each has joined through the first."""
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(Libp2pHost.listen(bytes([i + 1] * 32), [LOOPBACK], now=lambda: EPOCH_S))
            for i in range(number)
        ]
        nursery = await stack.enter_async_context(trio.open_nursery())
        made = [Node(host, Dht(host, PARAMS, lambda: EPOCH_S)) for host in hosts]
        for node in made:
            node.dht.on_push = node.pushed
            await nursery.start(node.dht.run)
        for node in made[1:]:
            await node.dht.bootstrap([(hosts[0].peer_id, hosts[0].addresses())])
        await until(lambda: all(node.dht.peers() == number - 1 for node in made))
        yield made
        nursery.cancel_scope.cancel()


@pytest.mark.net
async def test_four_real_nodes_store_find_and_push() -> None:
    async with nodes(4) as (a, b, c, _):
        watching = await c.dht.walk(LOC, watch_s=60)
        assert (watching.records, watching.known, watching.watched) == ((), 3, 3)
        put = await a.dht.walk(LOC, put=record(1))
        assert (put.stored, put.answered, put.failed) == (4, 4, 0)
        assert (await b.dht.walk(LOC)).records == (record(1),)
        await until(lambda: c.pushes != [])
        assert c.pushes == [record(1)]


@pytest.mark.net
async def test_many_walks_at_once_over_real_streams() -> None:
    async with nodes(3) as (a, b, c):
        answered: list[int] = []

        async def walk(node: Node, writer: int) -> None:
            answered.append((await node.dht.walk(LOC, put=record(writer))).answered)

        async with trio.open_nursery() as nursery:
            for writer in range(1, 11):
                for node in (a, b, c):
                    nursery.start_soon(walk, node, writer)
        assert answered == [3] * 30
        assert len((await a.dht.walk(LOC)).records) == 10


@pytest.mark.net
async def test_a_real_connection_that_breaks_is_made_again() -> None:
    async with nodes(3) as (a, b, _):
        await a.dht.walk(LOC)
        await a.host.disconnect(b.host.peer_id)
        result = await a.dht.walk(LOC)
        assert (result.answered, result.failed) == (3, 0)


@pytest.mark.net
@pytest.mark.parametrize(("protocol", "junk"), [(RECORDS, b"\0\0\0\1\xc1"), (KAD, b"\2\x08\0")])
async def test_junk_resets_a_real_stream_and_nothing_else(protocol: str, junk: bytes) -> None:
    async with nodes(2) as (a, b):
        stream = await a.host.open(b.host.peer_id, protocol)
        await stream.write(junk)
        with pytest.raises(NetError):
            await stream.read(1)
        assert (await a.dht.walk(LOC)).answered == 2


told = st.lists(
    st.builds(
        ToldPeer,
        st.binary(min_size=1, max_size=64),
        st.lists(st.binary(min_size=1, max_size=128), max_size=8).map(tuple),
    ),
    max_size=20,
).map(tuple)


@given(told)
def test_libp2p_reads_our_replies_and_writes_what_we_read(peers: tuple[ToldPeer, ...]) -> None:
    ours = kad_wire.encode_reply(KadMessage(FIND_NODE, peers=peers))
    theirs = Message(type=Message.MessageType.FIND_NODE)
    for peer in peers:
        theirs.closerPeers.add(id=peer.peer_id, addrs=list(peer.addresses), connection=Message.ConnectionType.CONNECTED)
    assert Message.FromString(ours) == theirs
    theirs.key, theirs.clusterLevelRaw, theirs.senderRecord = b"key", 1, b"signed"
    assert kad_wire.decode_reply(theirs.SerializeToString()).peers == peers


@given(st.binary(min_size=1, max_size=64))
def test_libp2p_reads_our_requests_and_writes_what_we_read(key: bytes) -> None:
    request = KadMessage(FIND_NODE, key)
    theirs = Message(type=Message.MessageType.FIND_NODE, key=key)
    assert Message.FromString(kad_wire.encode_request(request)) == theirs
    assert kad_wire.decode_request(theirs.SerializeToString()) == request
    ping = Message(type=Message.MessageType.PING)
    assert kad_wire.decode_request(ping.SerializeToString()) == KadMessage(PING)
