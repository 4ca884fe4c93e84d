"""One node of the memory network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError, UnsupportedProtocol
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core.access import Access
from p2pchat.net import circuits
from p2pchat.net.addresses import endpoint
from p2pchat.net.dialer import Dialer
from p2pchat.net.doorkeeper import Doorkeeper
from p2pchat.net.handlers import Handlers
from p2pchat.net.serving import drain, run_handler
from p2pchat.net.transport import (
    PATH_RANK,
    Link,
    Load,
    Network,
    PathWatcher,
    PeerWatcher,
    Source,
    Standing,
    Stream,
    StreamHandler,
    Told,
)
from p2pchat.net.whereabouts import Whereabouts
from p2pchat.testing.memlink import Connection
from p2pchat.testing.mempipe import MemoryStream, pair

if TYPE_CHECKING:
    from p2pchat.testing.memnet import MemoryNetwork

_SURPLUS: Final = "The stream was reset or its connection lost."


class MemoryNode(Network):
    """One node. Made by :meth:`MemoryNetwork.node`."""

    def __init__(self, net: MemoryNetwork, peer_id: PeerId, address: Address) -> None:
        self.is_up = True
        self.outside: Address | None = None
        self.sees: Callable[[MemoryNode], Address | None] = lambda node: node.outside or node.bound
        self._net = net
        self._peer_id = peer_id
        self._whereabouts = Whereabouts()
        self._whereabouts.bound = (address,)
        self._dialer = Dialer[None](net.nursery, self._connect, _keep)
        self._connections: dict[PeerId, list[Connection]] = {}  # oldest first, one a path
        self._links: tuple[Link, ...] | None = None  # None: to be told anew
        self.refusals = Refusals()
        self.door = Doorkeeper(Access(), self.refusals)
        self._handlers = Handlers(self._whereabouts.is_on_internet, self.door)
        self._watchers: list[PeerWatcher] = []
        self._path_watchers: list[PathWatcher] = []
        self._serving: Counter[tuple[PeerId, str]] = Counter()

    @property
    def peer_id(self) -> PeerId:
        """See :class:`p2pchat.net.transport.Network`; so are the following."""
        return self._peer_id

    def addresses(self) -> tuple[Address, ...]:
        """The one that the network gave it, and what it was told."""
        return self.door.shown(self._whereabouts.addresses())

    async def restrict(self, access: Access) -> None:
        """Both sides of a connection know at once."""
        await trio.lowlevel.checkpoint()
        self.door.access = access
        for connection in self.connections():
            other = connection.other(self)
            if not access.may_meet(other.peer_id, connection.host_of(other)):
                self._net.break_connection(connection)

    @property
    def standing(self) -> Standing:
        """Set by whoever has asked others."""
        return self._whereabouts.standing

    @standing.setter
    def standing(self, standing: Standing) -> None:
        self._whereabouts.standing = standing

    def circuits(self) -> tuple[Address, ...]:
        """As they were told."""
        return self._whereabouts.circuits()

    def tell(self, source: Source, addresses: Sequence[Address]) -> None:
        """At once."""
        self._whereabouts.tell(source, addresses)

    def moved(self, address: Address) -> None:
        """The network gave it another one."""
        self._whereabouts.bound = (address,)

    def handle(self, protocol: str, handler: StreamHandler, *, public_only: bool = False) -> None:
        """At most ``limits.STREAMS_PER_PEER`` streams a protocol and peer run at once."""
        self._handlers.add(protocol, handler, public_only=public_only)

    def unhandle(self, protocol: str) -> None:
        """At once."""
        self._handlers.drop(protocol)

    def watch(self, watcher: PeerWatcher) -> None:
        """Watchers stay for the life of the node."""
        self._watchers.append(watcher)

    def links(self) -> tuple[Link, ...]:
        """One a peer."""
        if self._links is None:
            best = [(peer, self._connection(peer)) for peer in self._connections]
            self._links = tuple(Link(peer, c.path(self), c.since_s, c.ends[1] is self) for peer, c in best)
        return self._links

    def load(self) -> Load:
        """There are no handshakes."""
        every = self.connections()
        direct = [c for c in every if not c.carriers]
        inbound = sum(c.ends[1] is self for c in direct)
        streams = Counter[str]()
        for (_, protocol), count in self._serving.items():
            streams[protocol] += count
        return Load(inbound, len(direct) - inbound, len(every) - len(direct), 0, +streams)

    async def dial(
        self,
        peer: PeerId,
        addresses: Sequence[Address],
        told: Told | None = None,
        *,
        from_port: bool = False,
    ) -> None:
        """As the host dials: staggered, shared, each address once. There are no ports."""
        if peer == self._peer_id:
            raise NetError("A node cannot dial itself.")
        await trio.lowlevel.checkpoint()
        if peer not in self._connections:
            for address in addresses if from_port else ():
                self._whereabouts.opens(endpoint(address).host)
            try:
                await self._dialer.dial(peer, self.door.permitted(peer, addresses, told), told)
            except NetError:
                if peer not in self._connections:
                    raise

    def on_better_path(self, watcher: PathWatcher) -> None:
        """Watchers stay for the life of the node."""
        self._path_watchers.append(watcher)

    async def dial_unknown(self, addresses: Sequence[Address]) -> PeerId:
        """As :meth:`dial`, of whoever has the first address that somebody has."""
        found = next(filter(None, map(self._net.at, self._knockable(addresses))), None)
        if found is None:
            raise NetError("Nobody answered.")
        await self.dial(found.peer_id, addresses)
        return found.peer_id

    async def adopt(self, stream: Stream, peer: PeerId | None) -> PeerId:
        """By an exchange of PeerIDs in the place of a handshake; see :mod:`~.memcircuit`."""
        return await self._net.circuits.adopt(self, stream, peer)

    async def punch(
        self, peer: PeerId, addresses: Sequence[Address], *, leads: bool, within_s: float | None = None
    ) -> Address | None:
        """Whoever is hidden is found by one who looks for it while it looks for them, and the other way round leads."""
        permitted = self.door.permitted(peer, addresses)
        for address in permitted:
            self._whereabouts.opens(endpoint(address).host)
        met = await self._net.punch(self, peer, permitted, within_s or limits.PUNCH_S, leads=leads)
        self._dialer.settle(peer)
        return met

    async def confirm(self, peer: PeerId, address: Address) -> None:
        """Nothing is left of it."""
        self.door.check_dial(peer, endpoint(address))
        with trio.move_on_after(limits.CONFIRM_S):
            await self._net.reach(self, peer, address)
            return
        raise NetError("The address did not answer in time.")

    async def seen_by(self, peer: PeerId) -> Address | None:
        """What the peer's ``sees`` says."""
        connection = await self._ask(peer)
        return None if connection.carriers else connection.other(self).sees(self)

    def has_opened(self, host: str) -> bool:
        """By what was dialled so."""
        return self._whereabouts.has_opened(host)

    async def probe(self, peer: PeerId) -> float:
        """A round trip."""
        started = trio.current_time()
        await self._ask(peer)
        return trio.current_time() - started

    async def check(self, within_s: float) -> None:
        """All connections at once."""
        self._whereabouts.moved()

        async def one(connection: Connection) -> None:
            with trio.move_on_after(within_s) as scope:
                await self._net.travel(connection)
            if scope.cancelled_caught:
                self._net.break_connection(connection)

        async with trio.open_nursery() as nursery:
            for connection in self.connections():
                nursery.start_soon(one, connection)

    async def open(self, peer: PeerId, protocol: str) -> Stream:
        """Takes a round trip."""
        connection = await self._ask(peer)
        return connection.other(self).accept(connection, protocol)

    async def disconnect(self, peer: PeerId) -> None:
        """Both sides know at once."""
        await trio.lowlevel.checkpoint()
        for connection in self.connections_to(peer):
            self._net.break_connection(connection)

    async def learn(self, peer: PeerId) -> tuple[tuple[Address, ...], frozenset[str]]:
        """Takes a round trip."""
        connection = await self._ask(peer)
        other, host = connection.other(self), connection.host_of(self)
        addresses = self.door.learnt(peer, other.addresses())
        return addresses, frozenset(other._handlers.protocols(self._peer_id, host))

    # for the network

    def connections_to(self, peer: PeerId) -> tuple[Connection, ...]:
        """Oldest first."""
        return tuple(self._connections.get(peer, ()))

    def connections(self) -> list[Connection]:
        """All of them."""
        return [c for row in self._connections.values() for c in row]

    def connected(self, connection: Connection) -> None:
        """A connection has come about."""
        self._links = None
        peer = connection.other(self).peer_id
        row = self._connections.setdefault(peer, [])
        best = max((PATH_RANK[c.path(self)] for c in row), default=None)
        row.append(connection)
        if best is None:
            for watcher in self._watchers:
                watcher(peer, True)
        elif PATH_RANK[connection.path(self)] > best:
            for path_watcher in self._path_watchers:
                path_watcher(peer)

    def lets_in(self, peer: PeerId, host: str) -> bool:
        """Whether ``peer``, which comes from ``host``, may: asked twice, as of a handshake."""
        return self.door.lets_in(host) and self.door.lets_stay(peer, host)

    def reached_by(self, node: MemoryNode) -> None:
        """``node`` has dialled this one."""
        self._whereabouts.reached_by(node.host)

    def disconnected(self, connection: Connection) -> None:
        """A connection has ended."""
        self._links = None
        peer = connection.other(self).peer_id
        row = self._connections[peer]
        row.remove(connection)
        if row:
            return
        del self._connections[peer]
        for watcher in self._watchers:
            watcher(peer, False)

    def accept(self, connection: Connection, protocol: str) -> MemoryStream:
        """Start the handler of a stream that the other end opens; the opener's end of it.

        Raises:
            UnsupportedProtocol: not served.
            NetError: too many at once.
        """
        opener = connection.other(self)
        if connection.served[self._peer_id] >= limits.STREAMS_PER_CONNECTION:
            self.refusals.note(Refusal.STREAM_SURPLUS)
            raise NetError(_SURPLUS)
        handler = self._handlers.get(protocol)
        host = connection.host_of(opener)
        if handler is None or not self._handlers.serves(protocol, opener.peer_id, host):
            raise UnsupportedProtocol("The peer does not speak this protocol.")
        if self._serving[opener.peer_id, protocol] >= limits.STREAMS_PER_PEER:
            self.refusals.note(Refusal.STREAM_SURPLUS)
            raise NetError(_SURPLUS)
        theirs, ours = pair(connection, connection.far(opener), connection.far(self))
        connection.streams[:] = [row for row in connection.streams if not row[1].is_over]
        connection.streams.append((protocol, theirs))
        self._serving[opener.peer_id, protocol] += 1
        connection.served[self._peer_id] += 1
        self._net.nursery.start_soon(self._serve, connection, protocol, handler, ours)
        return theirs

    @property
    def host(self) -> str:
        """The IP literal at which others see it."""
        return endpoint(self.outside or self.bound).host

    @property
    def bound(self) -> Address:
        """The address that the network gave it."""
        return self._whereabouts.bound[0]

    def _knockable(self, addresses: Sequence[Address]) -> Iterator[Address]:
        for address in addresses:
            with suppress(NetError):  # it may not be dialled: another may
                self.door.check_dial(None, endpoint(address))
                yield address

    def _connection(self, peer: PeerId) -> Connection:
        row = self._connections.get(peer)
        if row is None:
            raise NetError("The peer is not connected.")
        return row[0] if len(row) == 1 else max(reversed(row), key=lambda c: PATH_RANK[c.path(self)])

    async def _ask(self, peer: PeerId) -> Connection:
        """A round trip on the best connection to ``peer`` that lives so long."""
        with trio.move_on_after(limits.STREAM_OPEN_S):
            while True:
                connection = self._connection(peer)
                await self._net.travel(connection)
                if connection.is_live:
                    return connection
        raise NetError("The peer did not answer in time.")

    async def _serve(self, connection: Connection, protocol: str, handler: StreamHandler, stream: MemoryStream) -> None:
        async def counted(stream: Stream) -> None:
            try:
                await handler(stream)
            finally:
                self._serving[stream.peer, protocol] -= 1

        try:
            if await run_handler(counted, stream):
                await drain(stream)
        finally:
            connection.served[self._peer_id] -= 1

    async def _connect(self, peer: PeerId, address: Address) -> None:
        self.door.check_dial(peer, endpoint(address))
        if endpoint(address).relay is not None:
            await self.adopt(await circuits.lead_to(self, peer, address), peer)
            return
        await self._net.connect(self, peer, address)


async def _keep(_: None) -> None:
    """Nothing to discard: the network makes one connection a pair."""
