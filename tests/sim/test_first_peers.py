"""Back into the network from the cache, after a month, and out of what floods it (PROTOCOL.md 7.6)."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Final, cast

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.base.ids import Address, PeerId, RootKey
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.dht_wire import ToldPeer
from p2pchat.core.invite import Invite, encode_invite
from p2pchat.core.kad_wire import with_length
from p2pchat.core.params import DAY_S
from p2pchat.core.peer_cache import CachedPeer
from p2pchat.core.protobuf import tagged
from p2pchat.core.public_wire import GET_PROVIDERS, MEETING_KEY, PUBLIC_KAD
from p2pchat.net.addresses import format_address, format_peer_id, parse_address, peer_id_from_key
from p2pchat.net.dht import Dht
from p2pchat.net.dnsaddr import DnsName, NodeAddress
from p2pchat.net.transport import Network, Stream
from p2pchat.services import invites, meeting_point, peer_cache
from p2pchat.services.context import Context, Reach
from p2pchat.services.join import ALONE_CHECK_S, join
from p2pchat.services.standing import Survey
from p2pchat.store import known_peers
from p2pchat.testing.cluster import CHEAP, START_S, Cluster, Node
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.memnode import MemoryNode
from tests.sim.test_join import context_of

CACHED: Final = limits.PEERS_CACHED
THERE: Final = CACHED // 5
OFF_S: Final = 30 * DAY_S
RELAY: Final = f"/ip4/1.1.1.1/tcp/1/p2p/{format_peer_id(peer_id_from_key(bytes(32)))}"


def global_host(number: int) -> str:
    return f"{20 + number // 200}.{number % 200}.0.1"


class Others:
    """Nodes of the DHT beside a cluster's."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._entropy = random.Random(1)
        self.nodes: list[MemoryNode] = []

    async def add(self, host: str | None = None, *, runs: bool = True) -> MemoryNode:
        node = self._cluster.network.node(host=host)
        if runs:
            dht = Dht(node, CHEAP, self._cluster.now, entropy=self._entropy.randbytes)
            await self._cluster.network.nursery.start(dht.run)
            if self.nodes:
                await dht.bootstrap([(self.nodes[0].peer_id, self.nodes[0].addresses())])
            self.nodes.append(node)
        return node


def cached(node: MemoryNode, heard_s: int = START_S - OFF_S, tenure_s: int = 0) -> CachedPeer:
    return CachedPeer(node.peer_id, node.addresses(), heard_s, heard_s - tenure_s)


async def rows_of(node: Node) -> list[CachedPeer]:
    return await node.database.run(known_peers.load)


class Dials:
    """How many are under way, and were, at most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.most, self.total = 0, 0, 0
        self.peers: list[PeerId] = []
        connect = MemoryNetwork.connect

        async def counted(net: MemoryNetwork, node: MemoryNode, peer: PeerId, address: Address) -> None:
            self.now, self.total = self.now + 1, self.total + 1
            self.most = max(self.most, self.now)
            self.peers.append(peer)
            try:
                await connect(net, node, peer, address)
            finally:
                self.now -= 1

        monkeypatch.setattr(MemoryNetwork, "connect", counted)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_after_thirty_days_a_fifth_of_the_cached_is_enough(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Half of the others refuse, half are silent; in the log: seconds to the first answer, and dials at a time."""
    chance = random.Random(seed)
    there = set(chance.sample(range(CACHED), THERE))
    async with Cluster.running(seed=seed) as cluster:
        others = Others(cluster)
        nodes = [await others.add(global_host(number), runs=number in there) for number in range(CACHED)]
        alice = await cluster.add("Alice")
        await cluster.crash(alice)
        for number, node in enumerate(nodes):
            if number not in there:
                if number % 2:
                    cluster.network.stall(alice.network, node)
                else:
                    cluster.network.down(node)
        rows = [cached(node, START_S - OFF_S - chance.randrange(DAY_S)) for node in nodes]
        await alice.database.run(lambda tx: known_peers.save(tx, rows))

        dials = Dials(monkeypatch)
        began = trio.current_time()
        await cluster.start(alice)
        with trio.fail_after(30):
            while context_of(alice).dht.peers() == 0:  # noqa: ASYNC110  the table's state, on a virtual clock
                await trio.sleep(0.01)
        first_s = trio.current_time() - began
        assert first_s < 3 * limits.DIAL_TOTAL_S
        await trio.sleep(30)
        assert context_of(alice).dht.peers() >= CHEAP.k
        assert dials.most <= limits.IDENTIFIES + CHEAP.alpha
        print(f"first answer {first_s:.2f} s, {dials.most} dials at a time, {dials.total} within 30 s")
        gone = {node.peer_id for number, node in enumerate(nodes) if number not in there}
        kept = await rows_of(alice)
        assert len([row for row in kept if row.peer in gone]) == len(gone)  # one failure costs nobody its place


async def test_the_last_one_of_the_cached_is_found_too(autojump_clock: MockClock) -> None:
    """255 are silent, and the one that is there is asked last: 16 waves of 8 s, and what lies between attempts."""
    async with Cluster.running() as cluster:
        others = Others(cluster)
        nodes = [await others.add(global_host(number), runs=number == 0) for number in range(CACHED)]
        alice = await cluster.add("Alice")
        await cluster.crash(alice)
        for node in nodes[1:]:
            cluster.network.stall(alice.network, node)
        rows = [cached(node, START_S - OFF_S - (node is nodes[0]), DAY_S * (node is not nodes[0])) for node in nodes]
        await alice.database.run(lambda tx: known_peers.save(tx, rows))
        began = trio.current_time()
        await cluster.start(alice)
        with trio.fail_after(160):
            while context_of(alice).dht.peers() == 0:  # noqa: ASYNC110  the table's state, on a virtual clock
                await trio.sleep(0.1)
        assert trio.current_time() - began > 15 * limits.DIAL_TOTAL_S


async def test_a_node_that_was_offline_itself_holds_it_against_nobody(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        others = Others(cluster)
        nodes = [await others.add() for _ in range(3)]
        alice = await cluster.add("Alice")
        await cluster.crash(alice)
        for node in nodes:
            cluster.network.cut(alice.network, node)
        await alice.database.run(lambda tx: known_peers.save(tx, map(cached, nodes)))
        await cluster.start(alice)
        await trio.sleep(6 * DAY_S)
        assert {(row.peer, row.failures) for row in await rows_of(alice)} == {(node.peer_id, 0) for node in nodes}
        for node in nodes[1:]:
            cluster.network.heal(alice.network, node)
        await trio.sleep(3_600)
        context = context_of(alice)
        assert context.dht.peers() == 2
        await peer_cache.note_failures(context, [nodes[0].peer_id])
        assert {row.peer: row.failures for row in await rows_of(alice)}[nodes[0].peer_id] == 1


async def test_who_answers_is_remembered_with_since_when(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        others = Others(cluster)
        node = await others.add()
        alice = await cluster.add("Alice")
        await alice.database.run(lambda tx: known_peers.add(tx, node.peer_id, node.addresses()))
        await trio.sleep(3 * DAY_S)
        (row,) = await rows_of(alice)
        assert (row.peer, row.addresses, row.failures) == (node.peer_id, node.addresses(), 0)
        assert row.since_s == START_S
        assert START_S + 3 * DAY_S - 1_000 < row.heard_s <= START_S + 3 * DAY_S


async def test_who_knows_an_invite_alone_gets_in_through_it_at_once(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        others = Others(cluster)
        inviters, relayed = await others.add(global_host(1)), parse_address(f"{RELAY}/p2p-circuit")[0]
        alice = await cluster.add("Alice")
        await trio.sleep(3_600 + 7)
        context = context_of(alice)
        assert context.dht.peers() == 0
        expires_s = int(cluster.now()) + DAY_S
        addresses = (*inviters.addresses(), relayed)
        text = encode_invite(
            Invite(bytes(32), RootKey(ed25519_pair(bytes(32)).public), expires_s, inviters.peer_id, addresses)
        )
        await alice.database.run(lambda tx: invites.redeem(tx, context, text, None))
        await trio.sleep(1)
        assert context.dht.peers() == 1
        await trio.sleep(60)
        (row,) = await rows_of(alice)  # that it answered is on disk before the next upkeep
        assert (row.peer, row.failures) == (inviters.peer_id, 0)
        assert row.heard_s > row.since_s


# -- names and the meeting point ---------------------------------------------------------------------------------------


class PublicNodes:
    """Nodes of the public DHT, of which each tells of all, and of the same providers."""

    def __init__(self, cluster: Cluster, number: int, providers: list[NodeAddress]) -> None:
        self.nodes = [cluster.network.node(host=f"200.{index}.0.1") for index in range(number)]
        self.providers = providers
        self.asked: list[PeerId] = []
        self.requests: list[bytes] = []
        for node in self.nodes:
            node.handle(PUBLIC_KAD, self._serve)

    @property
    def entries(self) -> tuple[NodeAddress, ...]:
        return tuple((node.peer_id, node.addresses()) for node in self.nodes[:1])

    async def _serve(self, stream: Stream) -> None:
        self.asked.append(stream.peer)
        self.requests.append(await stream.read(limits.STREAM_READ_BYTES))
        reply = tagged(1, self.requests[-1][2])
        for number, known in ((8, [(node.peer_id, node.addresses()) for node in self.nodes]), (9, self.providers)):
            for peer, addresses in known:
                told = ToldPeer(bytes(peer), tuple(map(bytes, addresses)))
                reply += tagged(number, tagged(1, told.peer_id) + b"".join(tagged(2, a) for a in told.addresses))
        await stream.write(with_length(reply))


class Doors:
    """Ways out; ``made``: the PeerIDs under which strangers were asked."""

    def __init__(self, cluster: Cluster, records: dict[str, list[str]] | None = None) -> None:
        self.made: list[PeerId] = []
        self.looked_up: list[str] = []
        self._cluster = cluster
        self._records = records or {}

    def open(self, context: Context, reach: Reach) -> None:
        """For a node that is allowed so much."""
        context.reach, context.texts, context.stranger = reach, self._texts, self._stranger

    async def _texts(self, name: str) -> list[str]:
        await trio.lowlevel.checkpoint()
        self.looked_up.append(name)
        return self._records.get(name, [])

    @asynccontextmanager
    async def _stranger(self, *, listens: bool = False) -> AsyncGenerator[Network]:
        node = self._cluster.network.node(host=f"8.8.{len(self.made)}.8")
        self.made.append(node.peer_id)
        yield node
        self._cluster.network.down(node)


@asynccontextmanager
async def seeking(context: Context, *names: DnsName) -> AsyncGenerator[list[float]]:
    """A node that joins by itself; when somebody had answered, on trio's clock."""
    joined: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(join, context, names, lambda: joined.append(trio.current_time()))
        yield joined
        nursery.cancel_scope.cancel()


async def test_who_knows_nobody_finds_the_network_at_the_meeting_point(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        others = Others(cluster)
        nodes = [await others.add(global_host(number)) for number in range(4)]
        alice = await cluster.add("Alice")
        public = PublicNodes(cluster, 5, [(node.peer_id, node.addresses()) for node in nodes[:2]])
        context, doors = context_of(alice), Doors(cluster)
        doors.open(context, Reach(public_dht=True, public_entry=public.entries))
        await trio.sleep(limits.ALONE_S - 0.1)
        assert public.asked == []  # the others may come yet
        await trio.sleep(ALONE_CHECK_S)
        assert context.dht.peers() > 0
        await trio.sleep(3_600)
        assert context.dht.peers() == 4
        assert context.health.alone == ""
        assert context.health.met == "public_dht"
        assert len(doors.made) == 1  # who is in the network does not look again
        assert set(public.asked) == set(doors.made)
        assert len(public.requests) == 5
        assert all(request.endswith(MEETING_KEY) and request[2] == GET_PROVIDERS for request in public.requests)


async def test_a_look_that_brings_nobody_is_made_ever_more_rarely_each_under_another_key(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice")
        public = PublicNodes(cluster, 2, [])
        context, doors = context_of(alice), Doors(cluster)
        doors.open(context, Reach(public_dht=True, public_entry=public.entries))
        with capture_logs() as logs:
            await trio.sleep(DAY_S)
        assert "the public DHT" in context.health.alone
        assert 24 < len(doors.made) < 36  # 1, 2, 4 … 32 min and then an hour
        assert len(set(doors.made)) == len(doors.made)
        assert alice.network.peer_id not in public.asked
        said = [entry["reason"] for entry in logs if entry["event"] == "bootstrap.no_node_answered"]
        assert 0 < len(said) < 8
        assert "p2pchat net bootstrap" in said[0]


async def test_of_those_who_are_named_there_few_are_dialled_and_of_one_network_fewer(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice")
        nobody = [peer_id_from_key(number.to_bytes(32, "big")) for number in range(300)]
        hosts = [f"9.9.9.{number}" if number < 200 else f"{number - 150}.1.1.1" for number in range(300)]
        named: list[NodeAddress] = [
            (peer, (parse_address(f"/ip4/{host}/tcp/1")[0],)) for peer, host in zip(nobody, hosts, strict=True)
        ]
        public = PublicNodes(cluster, 2, named)
        context, doors = context_of(alice), Doors(cluster)
        dials = Dials(monkeypatch)
        doors.open(context, Reach(public_dht=True, public_entry=public.entries))
        await trio.sleep(ALONE_CHECK_S + 1)
        assert len(doors.made) == 1
        asked = [hosts[nobody.index(peer)] for peer in dials.peers if peer in nobody]
        assert len(asked) == limits.PUBLIC_MET
        assert len([host for host in asked if host.startswith("9.9.9.")]) <= limits.PUBLIC_PER_PREFIX


@pytest.mark.parametrize(
    ("host", "reach"), [(None, Reach(public_dht=False)), ("127.0.0.1", Reach(public_dht=True))], ids=["off", "loopback"]
)
async def test_nobody_outside_is_asked(autojump_clock: MockClock, host: str | None, reach: Reach) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice")
        context, doors = context_of(alice), Doors(cluster)
        doors.open(context, reach)
        if host is not None:
            context.network = cluster.network.node(host=host)
        async with seeking(context):
            await trio.sleep(DAY_S)
        assert (doors.made, doors.looked_up) == ([], [])


async def test_a_name_is_asked_when_nobody_known_answers_and_before_strangers(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        others = Others(cluster)
        node = await others.add(global_host(1))
        alice = await cluster.add("Alice")
        (address,) = node.addresses()
        doors = Doors(cluster, {"_dnsaddr.example.org": [f"dnsaddr={format_address(address, node.peer_id)}"]})
        public = PublicNodes(cluster, 2, [])
        context = context_of(alice)
        doors.open(context, Reach(public_dht=True, public_entry=public.entries))
        async with seeking(context, DnsName("example.org")) as joined:
            await trio.sleep(60)
            assert len(joined) == 1
        assert context.health.met == "names"
        assert doors.looked_up == ["_dnsaddr.example.org"]
        assert doors.made == []


async def test_only_who_is_public_and_agrees_is_announced_under_its_own_key(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Survey, "_conclude", lambda _: None)  # what others say is said here
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice")
        public = PublicNodes(cluster, 3, [])
        context, doors = context_of(alice), Doors(cluster)
        context.network = cluster.network.node(host="9.9.9.9")
        for announce, standing in ((False, "public"), (True, "unknown"), (True, "private")):
            doors.open(context, Reach(public_dht=True, announce=announce, public_entry=public.entries))
            context.network.standing = standing  # type: ignore[assignment]
            await trio.sleep(DAY_S)
            assert set(public.asked) == set(doors.made)  # it looks, since it stands alone
        context.network.standing = "public"
        await trio.sleep(DAY_S)
        assert set(public.asked) == {context.network.peer_id, *doors.made}
        said = [request for request in public.requests if request[2] == 2]
        assert len(said) == 3 * 2  # each of the three, twice a day
        assert all(bytes(context.network.peer_id) in request and MEETING_KEY in request for request in said)


@pytest.mark.parametrize("public_dht", [True, False])
async def test_who_wants_to_be_announced_where_it_may_not_look_is_told_once(
    autojump_clock: MockClock, *, public_dht: bool
) -> None:
    network = SimpleNamespace(standing="private", addresses=tuple)
    context = cast(Context, SimpleNamespace(network=network, reach=Reach(announce=True, public_dht=public_dht)))
    with capture_logs() as logs, trio.move_on_after(86_400):
        await meeting_point.announce(context)
    assert [entry["event"] for entry in logs] == ["meeting_point.not_announced"] * (not public_dht)
