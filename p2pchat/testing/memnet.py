"""A network in memory: many nodes in one process, with delays and faults from one seed.

It keeps the contract of :mod:`p2pchat.net.transport` (one suite in tests/net proves it for this and the libp2p host),
dials with the host's own :class:`~p2pchat.net.dialer.Dialer`, and needs no socket. Under trio's autojump clock and
:func:`fixed_schedule` a run is determined by its seed.

Faults: ``cut`` breaks the connections of two nodes and refuses new ones, ``stall`` keeps them and delivers nothing (the
silent death), ``heal`` ends both; ``kill_streams`` resets streams; ``down`` and ``up`` are a node's crash and return;
``drop_rate`` breaks a connection at a write.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import trio
import trio._core._run as trio_run

from p2pchat.base import limits
from p2pchat.base.errors import NetError, UnsupportedProtocol
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.addresses import classify, endpoint, from_socket, peer_id_from_key
from p2pchat.net.dialer import Dialer
from p2pchat.net.serving import run_handler
from p2pchat.net.transport import Link, Network, PeerWatcher, Stream, StreamHandler, Told
from p2pchat.testing.mempipe import MemoryStream, pair

_PORT: Final = 4001
_LOST: Final = "The connection is lost."
_ALLOW: Final = "_ALLOW_DETERMINISTIC_SCHEDULING"
_scope: Final = lru_cache(maxsize=4_096)(classify)  # of days a third goes into reading addresses otherwise


@contextmanager
def fixed_schedule(seed: int) -> Generator[None]:
    """Make trio's order of runnable tasks follow ``seed`` for what is run inside; it is random otherwise."""
    # trio keeps this behind private names for its own tests and Hypothesis.
    generator: random.Random = trio_run._r  # pyright: ignore[reportPrivateUsage]
    allowed, state = getattr(trio_run, _ALLOW), generator.getstate()
    setattr(trio_run, _ALLOW, True)
    generator.seed(seed)
    try:
        yield
    finally:
        setattr(trio_run, _ALLOW, allowed)
        generator.setstate(state)


@dataclass(eq=False)
class _Connection:
    """A connection of two nodes, and the :class:`~p2pchat.testing.mempipe.Wire` of its streams."""

    net: MemoryNetwork
    ends: tuple[MemoryNode, MemoryNode]
    since_s: float
    streams: list[tuple[str, MemoryStream]] = field(default_factory=list[tuple[str, MemoryStream]])
    is_live: bool = True

    @property
    def is_stalled(self) -> bool:
        """Whether nothing is delivered at present."""
        return self.net.is_stalled(*self.ends)

    def delay_s(self) -> float:
        """How long the next write is under way."""
        return self.net.delay_s()

    def wrote(self) -> None:
        """Break the connection with the network's drop rate."""
        if self.net.drops():
            self.net.break_connection(self)

    def other(self, node: MemoryNode) -> MemoryNode:
        """The end that is not ``node``."""
        return self.ends[0] if self.ends[1] is node else self.ends[1]


class MemoryNetwork:
    """All nodes and what is between them. Make one with :meth:`run`.

    Args:
        seed: of delays, drops and the nodes' keys.
        delay_s: least and greatest one-way delay of a write in seconds.
        drop_rate: probability that a write breaks its connection, 0 to 1.
        now: the nodes' clock in unix seconds; trio's where omitted.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        seed: int = 0,
        delay_s: tuple[float, float] = (0.001, 0.005),
        drop_rate: float = 0.0,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.nursery = nursery
        self.now = now or trio.current_time
        self.drop_rate = drop_rate
        self._random = random.Random(seed)
        self._delay_s = delay_s
        self._nodes: list[MemoryNode] = []
        self._by_address: dict[Address, MemoryNode] = {}
        self._cut: set[frozenset[PeerId]] = set()
        self._stalled: set[frozenset[PeerId]] = set()
        self._healed = trio.Event()
        self._moves = 0

    @classmethod
    @asynccontextmanager
    async def run(
        cls,
        *,
        seed: int = 0,
        delay_s: tuple[float, float] = (0.001, 0.005),
        drop_rate: float = 0.0,
        now: Callable[[], float] | None = None,
    ) -> AsyncGenerator[MemoryNetwork]:
        """A network for the life of the context; handlers that still run at its end are cancelled."""
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            try:
                yield cls(nursery, seed=seed, delay_s=delay_s, drop_rate=drop_rate, now=now)
            except Exception as error:  # raised again below, outside of the nursery
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def node(self, peer: PeerId | None = None, host: str | None = None) -> MemoryNode:
        """Add a node.

        Args:
            peer: its PeerID; one from the seed where omitted.
            host: the IP literal it is reached at; the next of 10.0.0.0/8, which counts as LAN, where omitted.
        """
        number = len(self._nodes) + 1
        address = from_socket(host or f"10.0.{number >> 8}.{number & 255}", _PORT)
        if address in self._by_address:
            raise ValueError("two nodes at one address")
        node = MemoryNode(self, peer or peer_id_from_key(self._random.randbytes(32)), address)
        self._nodes.append(node)
        self._by_address[address] = node
        return node

    def cut(self, a: MemoryNode, b: MemoryNode) -> None:
        """Break what connects two nodes and refuse new connections until :meth:`heal`."""
        self._cut.add(_edge(a, b))
        self._break_between(a, b)

    def stall(self, a: MemoryNode, b: MemoryNode) -> None:
        """Deliver nothing between two nodes until :meth:`heal`; neither is told."""
        self._stalled.add(_edge(a, b))

    def heal(self, a: MemoryNode, b: MemoryNode) -> None:
        """End :meth:`cut` and :meth:`stall`; what a stalled connection held is delivered."""
        self._cut.discard(_edge(a, b))
        self._stalled.discard(_edge(a, b))
        self._healed.set()
        self._healed = trio.Event()
        for connection in a.connections_to(b.peer_id):
            for _, opener in connection.streams:
                opener.look_again()

    def kill_streams(self, a: MemoryNode, b: MemoryNode, protocol: str | None = None) -> int:
        """Reset the streams between two nodes, of one protocol or all; how many there were."""
        streams = [s for c in a.connections_to(b.peer_id) for s in c.streams]
        doomed = [end for name, end in streams if protocol in (None, name) and not end.is_over]
        for end in doomed:
            end.break_off("The stream was reset.")
        return len(doomed)

    def down(self, node: MemoryNode) -> None:
        """Crash a node: its connections break, its handlers end by that, nobody reaches it."""
        node.is_up = False
        for other in self._nodes:
            self._break_between(node, other)

    def up(self, node: MemoryNode) -> None:
        """Let it be reached again, under the same PeerID and address."""
        node.is_up = True

    def move(self, node: MemoryNode) -> None:
        """Give a node another address of 10.0.0.0/8: its connections break, and nobody is told."""
        self._moves += 1
        address = from_socket(f"10.1.{self._moves >> 8}.{self._moves & 255}", _PORT)
        for other in self._nodes:
            self._break_between(node, other)
        del self._by_address[node.addresses()[0]]
        self._by_address[address] = node
        node.moved(address)

    # for nodes and connections

    def is_stalled(self, a: MemoryNode, b: MemoryNode) -> bool:
        """Whether nothing is delivered between two nodes."""
        return _edge(a, b) in self._stalled

    def delay_s(self) -> float:
        """A one-way delay."""
        return self._random.uniform(*self._delay_s)

    def drops(self) -> bool:
        """Whether this write breaks its connection."""
        return self.drop_rate > 0 and self._random.random() < self.drop_rate

    async def travel(self, a: MemoryNode, b: MemoryNode) -> None:
        """One round trip between two nodes, as long as it may take."""
        await trio.sleep(self.delay_s() + self.delay_s())
        while self.is_stalled(a, b):
            await self._healed.wait()

    async def connect(self, node: MemoryNode, peer: PeerId, address: Address) -> None:
        """Connect ``node`` to what answers at ``address``, if that is ``peer``."""
        target = self._by_address.get(address)
        if target is None:
            await trio.sleep(self.delay_s())
            raise NetError("The address did not answer as the peer.")
        await self.travel(node, target)
        if not (node.is_up and target.is_up) or target.peer_id != peer or _edge(node, target) in self._cut:
            raise NetError("The address did not answer as the peer.")
        if not node.connections_to(peer):
            connection = _Connection(self, (node, target), self.now())
            node.connected(connection)
            target.connected(connection)

    def break_connection(self, connection: _Connection) -> None:
        """End a connection on both sides."""
        if not connection.is_live:
            return
        connection.is_live = False
        for _, opener in connection.streams:
            opener.break_off(_LOST)
        for node in connection.ends:
            node.disconnected(connection)

    def _break_between(self, a: MemoryNode, b: MemoryNode) -> None:
        for connection in a.connections_to(b.peer_id):
            self.break_connection(connection)


class MemoryNode(Network):
    """One node. Made by :meth:`MemoryNetwork.node`."""

    def __init__(self, net: MemoryNetwork, peer_id: PeerId, address: Address) -> None:
        self.is_up = True
        self._net = net
        self._peer_id = peer_id
        self._address = address
        self._dialer = Dialer[None](net.nursery, self._connect, _keep)
        self._connections: dict[PeerId, _Connection] = {}
        self._handlers: dict[str, StreamHandler] = {}
        self._watchers: list[PeerWatcher] = []
        self._serving: Counter[tuple[PeerId, str]] = Counter()

    @property
    def peer_id(self) -> PeerId:
        """See :class:`p2pchat.net.transport.Network`; so are the following."""
        return self._peer_id

    def addresses(self) -> tuple[Address, ...]:
        """The one that the network gave it."""
        return (self._address,)

    def moved(self, address: Address) -> None:
        """The network gave it another one."""
        self._address = address

    def handle(self, protocol: str, handler: StreamHandler) -> None:
        """At most ``limits.STREAMS_PER_PEER`` streams a protocol and peer run at once."""
        self._handlers[protocol] = handler

    def unhandle(self, protocol: str) -> None:
        """At once."""
        self._handlers.pop(protocol, None)

    def watch(self, watcher: PeerWatcher) -> None:
        """Watchers stay for the life of the node."""
        self._watchers.append(watcher)

    def links(self) -> tuple[Link, ...]:
        """One a peer."""
        return tuple(
            Link(peer, _scope(c.other(self).addresses()[0]), c.since_s) for peer, c in self._connections.items()
        )

    async def dial(self, peer: PeerId, addresses: Sequence[Address], told: Told | None = None) -> None:
        """As the host dials: staggered, shared, each address once."""
        if peer == self._peer_id:
            raise NetError("A node cannot dial itself.")
        await trio.lowlevel.checkpoint()
        if peer not in self._connections:
            try:
                await self._dialer.dial(peer, addresses, told)
            except NetError:
                if peer not in self._connections:
                    raise

    async def open(self, peer: PeerId, protocol: str) -> Stream:
        """Takes a round trip."""
        connection = self._connection(peer)
        with trio.move_on_after(limits.STREAM_OPEN_S):
            await self._net.travel(*connection.ends)
            if not connection.is_live:
                raise NetError(_LOST)
            return connection.other(self).accept(connection, protocol)
        raise NetError("The peer did not answer in time.")

    async def disconnect(self, peer: PeerId) -> None:
        """Both sides know at once."""
        await trio.lowlevel.checkpoint()
        for connection in self.connections_to(peer):
            self._net.break_connection(connection)

    async def learn(self, peer: PeerId) -> tuple[tuple[Address, ...], frozenset[str]]:
        """Takes a round trip."""
        connection = self._connection(peer)
        with trio.move_on_after(limits.STREAM_OPEN_S):
            await self._net.travel(*connection.ends)
            if not connection.is_live:
                raise NetError(_LOST)
            other = connection.other(self)
            return other.addresses(), frozenset(other._handlers)
        raise NetError("The peer did not say what it serves in time.")

    # for the network

    def connections_to(self, peer: PeerId) -> tuple[_Connection, ...]:
        """The connection to ``peer``, if there is one."""
        connection = self._connections.get(peer)
        return () if connection is None else (connection,)

    def connected(self, connection: _Connection) -> None:
        """A connection has come about."""
        peer = connection.other(self).peer_id
        self._connections[peer] = connection
        for watcher in self._watchers:
            watcher(peer, True)

    def disconnected(self, connection: _Connection) -> None:
        """A connection has ended."""
        peer = connection.other(self).peer_id
        del self._connections[peer]
        for watcher in self._watchers:
            watcher(peer, False)

    def accept(self, connection: _Connection, protocol: str) -> MemoryStream:
        """Start the handler of a stream that the other end opens; the opener's end of it.

        Raises:
            UnsupportedProtocol: not served.
            NetError: too many at once.
        """
        opener = connection.other(self)
        handler = self._handlers.get(protocol)
        if handler is None:
            raise UnsupportedProtocol("The peer does not speak this protocol.")
        if self._serving[opener.peer_id, protocol] >= limits.STREAMS_PER_PEER:
            raise NetError("The stream was reset or its connection lost.")
        theirs, ours = pair(connection, opener.peer_id, opener.host, self._peer_id, self.host)
        connection.streams[:] = [row for row in connection.streams if not row[1].is_over]
        connection.streams.append((protocol, theirs))
        self._serving[opener.peer_id, protocol] += 1
        self._net.nursery.start_soon(self._serve, protocol, handler, ours)
        return theirs

    @property
    def host(self) -> str:
        """The IP literal it is reached at."""
        return endpoint(self._address).host

    def _connection(self, peer: PeerId) -> _Connection:
        connection = self._connections.get(peer)
        if connection is None:
            raise NetError("The peer is not connected.")
        return connection

    async def _serve(self, protocol: str, handler: StreamHandler, stream: MemoryStream) -> None:
        try:
            await run_handler(handler, stream)
        finally:
            self._serving[stream.peer, protocol] -= 1

    async def _connect(self, peer: PeerId, address: Address) -> None:
        await self._net.connect(self, peer, address)


async def _keep(_: None) -> None:
    """Nothing to discard: the network makes one connection a pair."""


def _edge(a: MemoryNode, b: MemoryNode) -> frozenset[PeerId]:
    return frozenset((a.peer_id, b.peer_id))
