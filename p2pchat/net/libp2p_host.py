"""The guarded libp2p host: :class:`p2pchat.net.transport.Network` over TCP, Noise and Yamux.

Rules:

- Everything runs in the nursery of :meth:`Libp2pHost.listen`; when that context ends nothing is left running or open.
- A peer can end its own connection, nothing else: handlers, handshakes and muxers are fenced, counted and bounded.
- The node serves identify, ping and what :meth:`Libp2pHost.handle` was given; it opens no stream of its own accord.
- The log gets the class name of an error and four digits of a PeerID.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, cast

import structlog
import trio
from libp2p.tools.anyio_service import background_trio_service

from p2pchat.base import limits
from p2pchat.base.errors import NetError, UnsupportedProtocol
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.refusals import Refusals
from p2pchat.core.access import Access
from p2pchat.net import identify, multistream, ping, tcp
from p2pchat.net.addresses import endpoint
from p2pchat.net.connections import Connection, Connections, abort
from p2pchat.net.dialer import Dialer
from p2pchat.net.doorkeeper import Doorkeeper
from p2pchat.net.entrance import Entrance
from p2pchat.net.guard import GuardedSwarm, GuardedYamux
from p2pchat.net.handlers import Handlers
from p2pchat.net.inbound import Inbound
from p2pchat.net.outgoing import Outgoing
from p2pchat.net.pace import IDENTIFY_US, Pace
from p2pchat.net.quiet import quiet_library_logs
from p2pchat.net.relayed import Adoption
from p2pchat.net.secured import LeanSession
from p2pchat.net.stream import MuxStream, library_errors
from p2pchat.net.transport import (
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
from p2pchat.net.way import Straight, Way
from p2pchat.net.whereabouts import Whereabouts

if TYPE_CHECKING:
    from libp2p.network.connection.swarm_connection import SwarmConn

log = structlog.get_logger()


class Libp2pHost(Network):
    """One node's end of the network. Made by :meth:`listen`.

    ``refusals``: what peers were refused.
    """

    def __init__(
        self,
        seed: bytes,
        now: Callable[[], float],
        nursery: trio.Nursery,
        refusals: Refusals,
        way: Way,
        access: Access,
    ) -> None:
        self.refusals = refusals
        self._door = Doorkeeper(access, refusals)
        self._nursery = nursery
        self._swarm = GuardedSwarm(seed, self._on_connection, refusals, self._door.lets_stay)
        self._whereabouts = Whereabouts(is_hidden=way.is_hidden)
        self._pace = Pace(refusals)
        self._connections = Connections(nursery, now, refusals)
        self._outgoing = Outgoing(self._swarm, self._whereabouts, way, self._door, refusals)
        self._dialer = Dialer(nursery, self._connect, GuardedYamux.abort)
        self._entrance = Entrance(self._outgoing, self._door, refusals)
        self._adoption = Adoption(nursery, self._swarm, self._entrance.delays, self._door, refusals)
        self._handlers = Handlers(self._whereabouts.is_on_internet, self._door)
        self._swarm.set_stream_handler(Inbound(self._connections, self._handlers, refusals).serve)
        self.handle(identify.IDENTIFY, self._answer_identify)
        self.handle(ping.PING, partial(ping.answer, pace=self._pace))

    @classmethod
    @asynccontextmanager
    async def listen(
        cls,
        seed: bytes,
        listen: Sequence[Address],
        *,
        now: Callable[[], float],
        refusals: Refusals | None = None,
        way: Way | None = None,
        access: Access | None = None,
    ) -> AsyncIterator[Libp2pHost]:
        """Run a node that listens on ``listen`` for the life of the context.

        Args:
            seed: 32-byte Ed25519 seed of the node key. PROTOCOL.md 1.
            listen: ip4 and ip6 addresses, WebSocket ones too; 0.0.0.0 and :: for all interfaces, port 0 for any. May be
                empty.
            now: the node's clock in unix seconds, for :attr:`Link.since_s`.
            refusals: where it is counted what peers were refused.
            way: how connections leave; None: by themselves.
            access: who may come near from the first moment on; everybody, where omitted.

        Raises:
            NetError: ``ADDRESS_IN_USE`` or another reason why it cannot listen; nothing is left running.

        Concurrency: at the end, and when cancelled, connections are closed within ``limits.CLOSE_S``. An exception of
        the body leaves the context as it is, not in a group.
        """
        quiet_library_logs()
        listeners = await tcp.bind(listen)
        failure: Exception | None = None
        try:
            async with trio.open_nursery() as nursery:
                host = cls(seed, now, nursery, refusals or Refusals(), way or Straight(), access or Access())
                host._whereabouts.bound = tuple(map(tcp.bound_address, listeners, listen))
                host._entrance.open_at(listeners, listen)
                async with background_trio_service(host._swarm):
                    nursery.start_soon(host._entrance.run, name="listen")
                    nursery.start_soon(host._connections.close_surplus, host.peer_id, name="surplus")
                    try:
                        yield host
                    except Exception as error:  # raised again below, outside of the nursery
                        failure = error
                    finally:
                        host._entrance.close()
                        await abort(host._connections.all())
                nursery.cancel_scope.cancel()
        finally:
            for listener in listeners:
                listener.socket.close()
        if failure is not None:
            raise failure

    # Network; see transport.py

    @property
    def peer_id(self) -> PeerId:
        """This node's PeerID."""
        return PeerId(self._swarm.get_peer_id().to_bytes())

    @property
    def standing(self) -> Standing:
        """Set by whoever has asked others."""
        return self._whereabouts.standing

    @standing.setter
    def standing(self, standing: Standing) -> None:
        self._whereabouts.standing = standing

    def listening(self) -> tuple[Address, ...]:
        """What the sockets are bound to, in the order asked for, with the ports that the system chose for port 0."""
        return self._whereabouts.bound

    async def restrict(self, access: Access) -> None:
        """As :func:`~.connections.abort` closes them."""
        self._door.access = access
        self._entrance.filter()
        await abort([each for each in self._connections.all() if not access.may_meet(each.peer, _host(each.mux))])

    def addresses(self) -> tuple[Address, ...]:
        """The interfaces' addresses for a socket bound to all of them."""
        return self._door.shown(self._whereabouts.addresses())

    def circuits(self) -> tuple[Address, ...]:
        """In the order in which they were told."""
        return self._whereabouts.circuits()

    def tell(self, source: Source, addresses: Sequence[Address]) -> None:
        """At once."""
        self._whereabouts.tell(source, addresses)

    def handle(self, protocol: str, handler: StreamHandler, *, public_only: bool = False) -> None:
        """At most ``limits.STREAMS_PER_PEER`` streams a protocol and peer run at once; further ones are reset."""
        self._handlers.add(protocol, handler, public_only=public_only)

    def unhandle(self, protocol: str) -> None:
        """From the next stream on; identify tells it of no more."""
        self._handlers.drop(protocol)

    def watch(self, watcher: PeerWatcher) -> None:
        """Watchers stay for the life of the host."""
        self._connections.watchers.append(watcher)

    def links(self) -> tuple[Link, ...]:
        """A connection to a loopback or private address counts as ``lan``."""
        return self._connections.links()

    def load(self) -> Load:
        """Those of relayed connections among the handshakes."""
        return self._connections.load(self._entrance.handshakes + self._adoption.handshakes)

    async def dial(
        self, peer: PeerId, addresses: Sequence[Address], told: Told | None = None, *, from_port: bool = False
    ) -> None:
        """Returns at once if there is a connection."""
        if peer == self.peer_id:
            raise NetError("A node cannot dial itself.")
        if self._connections.alive(peer):
            return
        try:
            with self._outgoing.prefer_port(peer) if from_port else nullcontext():
                await self._dialer.dial(peer, self._door.permitted(peer, addresses, told), told)
        except NetError:
            if not self._connections.alive(peer):  # it may have come to us meanwhile
                raise

    def on_better_path(self, watcher: PathWatcher) -> None:
        """Watchers stay for the life of the host."""
        self._connections.path_watchers.append(watcher)

    async def dial_unknown(self, addresses: Sequence[Address]) -> PeerId:
        """All at once: they are those of one machine on the local network."""
        muxes: list[GuardedYamux] = []
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + limits.DIAL_TOTAL_S

            async def attempt(address: Address) -> None:
                with suppress(NetError):  # another may answer, and whether one has is looked at below
                    muxes.append(await self._outgoing.connect(None, address))
                    nursery.cancel_scope.cancel()

            for address in addresses:
                nursery.start_soon(attempt, address)
        if not muxes:
            raise NetError("Nobody answered.")
        peer = PeerId(muxes[0].peer_id.to_bytes())
        is_used = peer != self.peer_id and not self._connections.has_opened_another(muxes[0])
        for surplus in muxes[is_used:]:
            await surplus.abort()
        if peer == self.peer_id:
            raise NetError("It was this node itself.")
        return peer

    async def adopt(self, stream: Stream, peer: PeerId | None) -> PeerId:
        """Within ``limits.HANDSHAKE_S``."""
        return await self._adoption.adopt(stream, peer)

    async def punch(
        self, peer: PeerId, addresses: Sequence[Address], *, leads: bool, within_s: float | None = None
    ) -> Address | None:
        """All addresses at once."""
        met: Address | None = None
        try:
            met = await self._outgoing.punch(peer, addresses, within_s or limits.PUNCH_S, leads=leads)
        except NetError:
            if all(connection.path == "relayed" for connection in self._connections.alive(peer)):  # none came to us
                raise
        self._dialer.settle(peer)
        return met

    async def confirm(self, peer: PeerId, address: Address) -> None:
        """Within ``limits.CONFIRM_S``."""
        await self._outgoing.confirm(peer, address)

    def has_opened(self, host: str) -> bool:
        """The newest ``limits.OPENED`` are remembered."""
        return self._whereabouts.has_opened(host)

    async def probe(self, peer: PeerId) -> float:
        """By libp2p's ping."""
        for connection in self._connections.alive(peer)[:1]:
            return await self._ping(connection)
        raise NetError("The peer is not connected.")

    async def check(self, within_s: float) -> None:
        """All connections at once."""
        self._whereabouts.moved()

        async def one(connection: Connection) -> None:
            with trio.move_on_after(within_s), suppress(NetError):  # either way it did not answer
                await self._ping(connection)
                return
            await connection.mux.abort()

        async with trio.open_nursery() as nursery:
            for connection in self._connections.all():
                nursery.start_soon(one, connection)

    async def _ping(self, connection: Connection) -> float:
        with trio.move_on_after(limits.STREAM_OPEN_S):
            return await ping.measure(await self._open_on(connection, ping.PING))
        raise NetError("The peer did not answer in time.")

    async def open(self, peer: PeerId, protocol: str) -> Stream:
        """Within ``limits.STREAM_OPEN_S``, on the best connection that works."""
        with trio.move_on_after(limits.STREAM_OPEN_S):
            for connection in self._connections.alive(peer):
                try:
                    return await self._open_on(connection, protocol)
                except UnsupportedProtocol:
                    raise
                except NetError:
                    continue  # this connection is dying; another may live, and the error below is the same
            raise NetError("The peer is not connected.")
        raise NetError("The peer did not answer in time.")

    async def disconnect(self, peer: PeerId) -> None:
        """Within ``limits.CLOSE_S``. Whoever connects from there next may have to wait."""
        alive = self._connections.alive(peer)
        for connection in alive:
            connection.mux.cut_off = True
        await abort(alive)

    async def learn(self, peer: PeerId) -> tuple[tuple[Address, ...], frozenset[str]]:
        """Asked anew each time; bounded and checked as :mod:`p2pchat.net.identify` says."""
        with trio.move_on_after(limits.STREAM_OPEN_S):
            stream = await self.open(peer, identify.IDENTIFY)
            try:
                addresses, protocols = await identify.ask(stream, _remote(stream))
                return self._door.learnt(peer, addresses), protocols
            finally:
                await stream.reset()
        raise NetError("The peer did not say what it serves in time.")

    async def seen_by(self, peer: PeerId) -> Address | None:
        """By identify, on the best connection."""
        for connection in self._connections.alive(peer)[:1]:
            with trio.move_on_after(limits.STREAM_OPEN_S):
                stream = await self._open_on(connection, identify.IDENTIFY)
                try:
                    seen = None if connection.path == "relayed" else await identify.ask_seen(stream)
                finally:
                    await stream.reset()
                return None if seen is None else self._outgoing.as_listening(seen, connection.mux)
        raise NetError("The peer did not say where it sees this node.")

    # connections

    async def _connect(self, peer: PeerId, address: Address) -> GuardedYamux:
        if endpoint(address).relay is not None:
            return await self._adoption.dial(self, peer, address)
        return await self._outgoing.connect(peer, address)

    def _on_connection(self, conn: SwarmConn) -> None:
        mux = cast(GuardedYamux, conn.muxed_conn)
        known = self._connections.register(mux)
        # what it was let in by may have changed since its handshake
        if known is not None and not self._door.access.may_meet(known[1].peer, _host(mux)):
            self._nursery.start_soon(mux.abort, name="denied")

    # streams

    async def _open_on(self, connection: Connection, protocol: str) -> Stream:
        with library_errors("The connection is lost."):
            raw = await connection.mux.open_stream()
        connection.mux.idle_s = 0.0
        stream = MuxStream(connection.mux, raw, connection.peer)
        try:
            await multistream.propose(stream, protocol)
        except BaseException:
            await stream.reset()
            raise
        return stream

    async def _answer_identify(self, stream: Stream) -> None:
        await self._pace.wait(stream, IDENTIFY_US)
        await stream.write(
            identify.describe(
                public_key=self._swarm.peerstore.pubkey(self._swarm.get_peer_id()).serialize(),
                protocols=self._handlers.protocols(stream.peer, stream.remote_host),
                addresses=self._door.shown(self._whereabouts.shown_to(_remote(stream))),
                remote=None if self._whereabouts.is_hidden else _remote(stream),
            )
        )


def _host(mux: GuardedYamux) -> str | None:
    return cast(LeanSession, mux.secured_conn).host


def _remote(stream: Stream) -> tuple[str, int] | None:
    return cast(MuxStream, stream).remote
