"""Connections that this node opens: to an address, from the port on which it listens, or to see whether one is reached.

Rules:

- From the port on which it listens a node connects where its own NAT matters: to relays, which then see the address
  that others could come to, and to whoever meets it half way (PROTOCOL.md 7.4). Everything else leaves from a port of
  the system's choice: two nodes that dial each other from the ports that they listen on could meet in one TCP
  connection that both have opened, and both would begin the handshake.
- Who *leads* begins the handshake, whichever end of TCP it is. Where both have opened the connection that is agreed on
  before; where the other's attempt reaches the listening socket instead, it is known by where it comes from.
- A connection that nobody leads holds the two ports: it is given up soon, and all of it begun anew.
- A connection made from that port is ended by a reset: one that was ended properly while nothing gets through would
  hold the two ports for minutes, and nobody could connect anew between them.
- Who looks whether an address is reached authenticates who answers there, and closes.
- None of this is for WebSocket: nobody meets there half way, and no NAT is learnt about by it.
- Nothing is dialled that the :class:`~.doorkeeper.Doorkeeper` forbids. A name is resolved before it is asked, where it
  matters to which network it leads; a proxy resolves it unseen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final, cast

import trio
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from multiaddr import Multiaddr  # type: ignore[import-untyped]

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.refusals import Refusals
from p2pchat.net import addresses as addr
from p2pchat.net import tcp
from p2pchat.net.doorkeeper import Doorkeeper
from p2pchat.net.guard import ANYBODY, GuardedSwarm, GuardedYamux
from p2pchat.net.secured import LeanSession
from p2pchat.net.stream import library_errors
from p2pchat.net.way import Way, is_onion
from p2pchat.net.whereabouts import Whereabouts

_NOWHERE: Final = Multiaddr("/ip4/0.0.0.0/tcp/0")  # upstream wants the listener's address for its log only
_NOT_THE_PEER: Final = "The address did not answer as the peer."


@dataclass(eq=False, slots=True)
class Meeting:
    """An attempt to meet half way. ``done``: a connection has come about by it, ``at`` an address of the peer."""

    peer: PeerId
    leads: bool
    done: trio.Event = field(default_factory=trio.Event)
    at: Address | None = field(default=None, repr=False)

    def succeed(self, at: Address) -> None:
        """The peer has answered, and this is the other end of the connection."""
        self.at = at
        self.done.set()


class Outgoing:
    """Those of one host.

    Args:
        swarm: what shakes hands, and is given the connections.
        whereabouts: the listening sockets.
        way: how connections leave.
        door: what may be dialled.
        refusals: what peers were refused.
    """

    def __init__(
        self, swarm: GuardedSwarm, whereabouts: Whereabouts, way: Way, door: Doorkeeper, refusals: Refusals
    ) -> None:
        self._swarm = swarm
        self._way = way
        self._door = door
        self._refusals = refusals
        self._whereabouts = whereabouts
        self._from_port: Counter[PeerId] = Counter()
        self._awaited: dict[tuple[str, int], Meeting] = {}

    async def connect(self, peer: PeerId | None, address: Address) -> GuardedYamux:
        """Connect to ``address``; ``peer`` None: to whoever answers.

        Raises:
            NetError: nobody did, or somebody else.
        """
        end = _direct(address)
        self._door.check_dial(peer, end)
        with library_errors(_NOT_THE_PEER):
            own = self._own(end) if peer in self._from_port and addr.is_global(address) and not end.ws else None
            if own is not None and end.kind in ("ip4", "ip6"):
                self._whereabouts.opens(end.host)
                stream = tcp.TcpStream(await self._way.connect_from(own, end, must=False))
            else:
                stream = await self._stream(peer, end)
            return await self._lead(stream, ANYBODY if peer is None else ID(bytes(peer)))

    async def _reach(self, peer: PeerId | None, end: addr.Endpoint) -> trio.SocketStream:
        is_left_to_way = self._way.is_hidden or is_onion(end)  # which refuses such a name, and resolves none
        if end.kind in ("ip4", "ip6") or is_left_to_way or not self._door.access.knows_networks:
            return await self._way.connect(peer, end)
        failure = NetError(_NOT_THE_PEER)
        for host in await tcp.resolve(end.host, end.port):
            try:
                self._door.check_host(peer, host)
                return await self._way.connect(peer, replace(end, kind="ip6" if ":" in host else "ip4", host=host))
            except NetError as error:
                failure = error
        raise failure

    @contextmanager
    def prefer_port(self, peer: PeerId) -> Iterator[None]:
        """Inside, connections to ``peer`` leave from the port on which this node listens, where it can be had."""
        self._from_port[peer] += 1
        try:
            yield
        finally:
            self._from_port[peer] -= 1
            if not self._from_port[peer]:
                del self._from_port[peer]

    async def punch(self, peer: PeerId, addresses: Sequence[Address], within_s: float, *, leads: bool) -> Address:
        """See :meth:`~p2pchat.net.transport.Network.punch`."""
        if self._way.is_hidden:
            raise NetError("Through a proxy nobody is met half way.")
        ends = [_direct(address) for address in self._door.permitted(peer, addresses)]
        meeting = Meeting(peer, leads)
        self._awaited.update({(end.host, end.port): meeting for end in ends})
        try:
            with trio.move_on_after(within_s):
                async with trio.open_nursery() as nursery:
                    for end in ends:
                        nursery.start_soon(self._punch_one, meeting, end)
                    await meeting.done.wait()
                    nursery.cancel_scope.cancel()
        finally:
            for key in [key for key, each in self._awaited.items() if each is meeting]:  # not another attempt's
                del self._awaited[key]
        if meeting.at is None:
            raise NetError("None of the peer's addresses answered.")
        return meeting.at

    async def _punch_one(self, meeting: Meeting, end: addr.Endpoint) -> None:
        own = self._own(end)
        if own is None:
            return
        self._whereabouts.opens(end.host)
        while True:
            with suppress(NetError):  # another address may do, or the other end's attempt: done says so
                with library_errors(_NOT_THE_PEER):
                    await self._knock(meeting, own, end)
                meeting.succeed(addr.from_socket(end.host, end.port))
                return
            await trio.sleep(limits.PUNCH_PAUSE_S)

    async def _knock(self, meeting: Meeting, own: tcp.Own, end: addr.Endpoint) -> None:
        connected: trio.SocketStream | None = None
        with trio.move_on_after(limits.PUNCH_KNOCK_S):
            connected = await self._way.connect_from(own, end, must=not meeting.leads)
        if connected is None:
            raise NetError("It did not answer.")
        stream = tcp.TcpStream(connected)
        if meeting.leads:
            await self._lead(stream, ID(bytes(meeting.peer)))
        else:
            await self._follow(stream, meeting.peer)

    async def confirm(self, peer: PeerId, address: Address) -> None:
        """See :meth:`~p2pchat.net.transport.Network.confirm`."""
        end = _direct(address)
        self._door.check_dial(peer, end)
        with trio.move_on_after(limits.CONFIRM_S), library_errors(_NOT_THE_PEER):
            stream = await self._stream(peer, end)
            try:
                await self._swarm.upgrader.upgrade_security(RawConnection(stream, True), True, ID(bytes(peer)))
                return
            finally:
                stream.abort()
        raise NetError("The address did not answer in time.")

    async def admit(self, stream: tcp.TcpStream) -> GuardedYamux:
        """Shake hands with who has come to the listening socket; who is awaited to punch is led.

        Raises what the library does.
        """
        if self._way.is_hidden:
            stream.conceal()
        remote = stream.get_remote_address()
        meeting = None if remote is None else self._awaited.get(remote)
        if meeting is not None:
            tcp.end_by_reset(stream.stream)
        with trio.fail_after(limits.HANDSHAKE_S):
            await stream.follow()
            if meeting is not None and meeting.leads:
                conn = await self._swarm.upgrade_outbound_raw_conn(RawConnection(stream, True), ID(bytes(meeting.peer)))
                mux = cast(GuardedYamux, conn.muxed_conn)
            else:
                raw = RawConnection(stream, False)
                mux = cast(GuardedYamux, await self._swarm.upgrade_inbound_raw_conn(raw, _NOWHERE))
        if meeting is None or remote is None:
            self._whereabouts.reached_by(stream.remote_host)
        elif mux.peer_id.to_bytes() == meeting.peer:
            meeting.succeed(addr.from_socket(*remote))
        return mux

    def as_listening(self, seen: Address, mux: GuardedYamux) -> Address | None:
        """Where others could come to, by where the other end of ``mux`` sees this one.

        The port that it sees is worth something where the connection has come to, or left from, one on which this node
        listens. Otherwise the one that it listens on stands in its place: many routers leave it as it is, and some were
        told to. None: it listens on none of that kind.
        """
        end, local_port = addr.endpoint(seen), cast(LeanSession, mux.secured_conn).local_port
        own = self._listening(end.kind)
        if not own or end.relay is not None:
            return None
        come_to = next((each for each in own if each.port == local_port), None)
        there, port = (own[0], own[0].port) if come_to is None else (come_to, end.port)
        return addr.from_socket(end.host, port, ws=there.ws)

    async def _stream(self, peer: PeerId | None, end: addr.Endpoint) -> tcp.TcpStream:
        """Connect to ``end``, as far as bytes go both ways."""
        connected, far_end = await self._reach(peer, end), self._way.far_end(end)
        if not end.ws:
            return tcp.TcpStream(connected, far_end=far_end)
        from p2pchat.net.websocket import WsStream

        stream = WsStream(connected, self._refusals, is_client=True, far_end=far_end)
        try:
            await stream.lead(end)
        except BaseException:
            stream.abort()
            raise
        return stream

    async def _lead(self, stream: tcp.TcpStream, peer: ID) -> GuardedYamux:
        try:
            conn = await self._swarm.upgrade_outbound_raw_conn(RawConnection(stream, True), peer)
        except BaseException:
            stream.abort()
            raise
        return cast(GuardedYamux, conn.muxed_conn)

    async def _follow(self, stream: tcp.TcpStream, peer: PeerId) -> None:
        """Be led; by nobody, where what was reached is the other end's listening socket before it leads."""
        try:
            with trio.fail_after(limits.PUNCH_SILENCE_S):
                await trio.lowlevel.wait_readable(stream.stream.socket)
            raw = RawConnection(stream, False)
            mux = cast(GuardedYamux, await self._swarm.upgrade_inbound_raw_conn(raw, _NOWHERE))
        except BaseException:
            stream.abort()
            raise
        if mux.peer_id.to_bytes() != peer:
            await mux.abort()
            raise NetError(_NOT_THE_PEER)

    def _own(self, end: addr.Endpoint) -> tcp.Own | None:
        """What a listening socket of the kind of ``end`` is bound to, without WebSocket; None: there is none, or
        nothing may leave from there.
        """
        return next(((own.host, own.port) for own in self._listening(end.kind) if not own.ws), None)

    def _listening(self, kind: addr.Kind) -> list[addr.Endpoint]:
        """Those of a kind that are listened on, WebSocket ones last; none where nobody may learn of them."""
        if self._way.is_hidden:
            return []
        own = (own for own in map(addr.endpoint, self._whereabouts.bound) if own.kind == kind)
        return sorted(own, key=lambda each: each.ws)


def _direct(address: Address) -> addr.Endpoint:
    end = addr.endpoint(address)
    if end.relay is not None:
        raise NetError("A relayed address cannot be dialled directly.")
    return end
