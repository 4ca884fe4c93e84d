"""Nodes that travel by hand: ``net.export`` and ``net.import`` of nodes among others (PROTOCOL.md 3.5, 7.6)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from p2pchat.api import handover, schema
from p2pchat.base import limits
from p2pchat.base.errors import UsageError
from p2pchat.base.ids import Address, PeerId, RootKey
from p2pchat.control.net_methods import NetMethods
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.invite import Invite, encode_invite
from p2pchat.core.nodes_link import NamedNode, decode_nodes, encode_nodes
from p2pchat.core.params import DAY_S
from p2pchat.net.addresses import from_socket, parse_address, peer_id_from_key
from p2pchat.services import invites
from p2pchat.store import known_peers
from p2pchat.testing.cluster import START_S, Cluster, Node
from p2pchat.testing.memnode import MemoryNode
from tests.sim.test_first_peers import RELAY, Others, cached, global_host, rows_of
from tests.sim.test_join import context_of
from tests.sim.verifying import NOBODY

JUNK = Address(b"\x04junk")


def methods(node: Node) -> NetMethods:
    return NetMethods(context_of(node))


async def exported(node: Node, **params: object) -> list[NamedNode]:
    asked = schema.parse("net.export", params)
    assert isinstance(asked, handover.NetExport)
    reply = await methods(node).export(asked, NOBODY)
    return [each for link in reply.links for each in decode_nodes(link, "links")]


async def imported(node: Node, *links: str, key: str | None = None) -> tuple[int, int]:
    params: dict[str, object] = {"links": list(links)}
    asked = schema.parse("net.import", params if key is None else params | {"idempotency_key": key})
    assert isinstance(asked, handover.NetImport)
    reply = await methods(node).import_(asked, NOBODY)
    return reply.nodes, reply.new


def links_of(*nodes: MemoryNode) -> list[str]:
    return encode_nodes([NamedNode(node.peer_id, node.addresses()) for node in nodes])


async def test_a_node_that_stands_alone_asks_those_that_it_is_given_at_once(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        others = Others(cluster)
        nodes = [await others.add(global_host(number)) for number in range(3)]
        alice = await cluster.add("Alice")
        silent = [await others.add(global_host(10 + number), runs=False) for number in range(80)]
        for node in silent:
            cluster.network.down(node)
        await alice.database.run(lambda tx: known_peers.save(tx, [cached(node) for node in silent]))
        await trio.sleep(3_600 + 7)
        context = context_of(alice)
        assert context.dht.peers() == 0
        assert await imported(alice, *links_of(nodes[0])) == (1, 1)
        await trio.sleep(2)
        assert context.dht.peers() == 3
        await trio.sleep(60)
        row = next(each for each in await rows_of(alice) if each.peer == nodes[0].peer_id)
        assert row.heard_s > row.since_s
        assert {each.peer_id for each in await exported(alice)} >= {node.peer_id for node in nodes}


async def test_a_key_imports_once_and_what_was_met_is_exported_in_as_many_links_as_it_takes(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        others = Others(cluster)
        nodes = [await others.add(global_host(number)) for number in range(10)]
        bob = await cluster.add("Bob")
        for _ in range(2):
            assert await imported(bob, *links_of(nodes[0]), key="k") == (1, 1)
        assert await imported(bob, *links_of(nodes[0])) == (1, 0)
        await trio.sleep(60)
        asked = schema.parse("net.export", {})
        assert isinstance(asked, handover.NetExport)
        links = (await methods(bob).export(asked, NOBODY)).links
        assert [len(decode_nodes(link, "links")) for link in links] == [8, 2]
        assert {each.peer_id for link in links for each in decode_nodes(link, "links")} == {n.peer_id for n in nodes}


async def test_exported_is_who_was_reached_at_addresses_that_mean_something_elsewhere(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        others = Others(cluster)
        far, near = await others.add(global_host(1)), await others.add()
        alice = await cluster.add("Alice")
        assert await imported(alice, *links_of(far, near)) == (2, 2)
        never, once = await others.add(global_host(2), runs=False), await others.add(global_host(3), runs=False)
        cluster.network.down(never)
        cluster.network.down(once)
        await trio.sleep(60)
        rows = [*await rows_of(alice), cached(never), cached(once, START_S - DAY_S, 3 * DAY_S)]
        await alice.database.run(lambda tx: known_peers.save(tx, rows))
        assert {each.peer_id for each in await exported(alice)} == {far.peer_id, once.peer_id}
        assert {each.peer_id for each in await exported(alice, lan=True)} == {far.peer_id, once.peer_id, near.peer_id}
        assert len(await exported(alice, nodes=1)) == 1
        assert await exported(alice, nodes=0) == []

        with pytest.raises(UsageError, match="own: this node has no address beyond its local network"):
            await exported(alice, own=True)  # it is in 10.0.0.0/8
        own, *rest = await exported(alice, own=True, lan=True)
        assert (own.peer_id, own.addresses) == (alice.network.peer_id, alice.network.addresses())
        assert alice.network.peer_id not in {each.peer_id for each in rest}
        circuit = parse_address(f"{RELAY}/p2p-circuit")[0]
        alice.network.tell("relayed", [circuit])
        assert (await exported(alice, own=True, nodes=0))[0].addresses == (circuit,)


async def test_one_bad_link_and_nothing_is_taken(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice")
        good = encode_nodes([NamedNode(peer_id_from_key(bytes(32)), (from_socket("8.8.8.8", 1),))])
        expires_s = int(cluster.now()) + DAY_S
        root = RootKey(ed25519_pair(bytes(32)).public)
        other = encode_invite(Invite(bytes(32), root, expires_s, alice.network.peer_id, ()))
        for index, links in enumerate(([other, *good], [*good, "p2pchat:1"], [*good, *good, "p2pchat:"])):
            with pytest.raises(UsageError) as refused:
                await imported(alice, *links)
            assert refused.value.data == {"param": "links", "index": index}
            assert refused.value.message.startswith("links: ")
        assert await rows_of(alice) == []
        assert await imported(alice, *encode_nodes([NamedNode(peer_id_from_key(bytes(32)), (JUNK,))])) == (0, 0)
        own = encode_nodes([NamedNode(alice.network.peer_id, (from_socket("8.8.8.8", 1),))])
        assert await imported(alice, *own, *good) == (2, 1)


async def test_no_bundle_takes_the_place_of_who_is_known(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        others = Others(cluster)
        nodes = [await others.add(global_host(number), runs=False) for number in range(limits.PEERS_CACHED)]
        alice = await cluster.add("Alice")
        rows = [cached(node) for node in nodes]
        await alice.database.run(lambda tx: known_peers.save(tx, rows))

        def liar(number: int) -> NamedNode:
            peer: PeerId = nodes[number].peer_id if number < 16 else peer_id_from_key(number.to_bytes(32, "big"))
            return NamedNode(peer, (from_socket(f"99.{number & 255}.0.1", 1),))

        links = encode_nodes([liar(number) for number in range(512)])
        assert len(links) == 64
        assert await imported(alice, *links) == (512, 0)
        found = {row.peer: row.addresses for row in await rows_of(alice)}
        assert found == {node.peer_id: node.addresses() for node in nodes}


async def test_an_invite_that_holds_what_is_no_address_harms_nothing(autojump_clock: MockClock) -> None:
    """What stands in the cache is looked at whenever the cache is written."""
    async with Cluster.running() as cluster:
        node = await Others(cluster).add(global_host(1))
        alice = await cluster.add("Alice")
        context = context_of(alice)
        root = RootKey(ed25519_pair(bytes(32)).public)
        text = encode_invite(Invite(bytes(32), root, int(cluster.now()) + DAY_S, peer_id_from_key(bytes(32)), (JUNK,)))
        await alice.database.run(lambda tx: invites.redeem(tx, context, text, None))
        assert await imported(alice, *links_of(node)) == (1, 1)
        await trio.sleep(60)
        assert context.dht.peers() == 1
        assert node.peer_id in {row.peer for row in await rows_of(alice)}
