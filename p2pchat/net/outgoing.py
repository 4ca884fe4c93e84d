"""Connections that this node opens: to an address, from the port on which it listens, or to see whether one is reached.

Rules:

- From the port on which it listens a node connects where its own NAT matters: to relays, which then see the address
  that others could come to, and to whoever meets it half way (PROTOCOL.md 7.4). Everything else leaves from a port of
  the system's choice: two nodes that dial each other from the ports that they listen on could meet in one TCP
  connection that both have opened, and both would begin the handshake.
- Who *leads* begins the handshake, whichever end of TCP it is. Where both have opened the connection that is agreed on
  before; where the other's attempt reaches the listening socket instead, it is known by where it comes from.
- Who looks whether an address is reached authenticates who answers there, and closes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, cast

import trio
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from multiaddr import Multiaddr  # type: ignore[import-untyped]

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net import addresses as addr
from p2pchat.net import tcp
from p2pchat.net.guard import ANYBODY, GuardedSwarm, GuardedYamux
from p2pchat.net.secured import LeanSession
from p2pchat.net.stream import library_errors
from p2pchat.net.way import Way
from p2pchat.net.whereabouts import Whereabouts

_NOWHERE: Final = Multiaddr("/ip4/0.0.0.0/tcp/0")  # upstream wants the listener's address for its log only
_NOT_THE_PEER: Final = "The address did not answer as the peer."


@dataclass(eq=False, slots=True)
class Meeting:
    """An attempt to meet half way. ``done``: a connection has come about by it."""

    peer: PeerId
    leads: bool
    done: trio.Event = field(default_factory=trio.Event)


class Outgoing:
    """Those of one host.

    Args:
        swarm: what shakes hands, and is given the connections.
        whereabouts: the listening sockets.
        way: how connections leave.
    """

    def __init__(self, swarm: GuardedSwarm, whereabouts: Whereabouts, way: Way) -> None:
        self._swarm = swarm
        self._way = way
        self._whereabouts = whereabouts
        self._from_port: Counter[PeerId] = Counter()
        self._awaited: dict[tuple[str, int], Meeting] = {}

    async def connect(self, peer: PeerId | None, address: Address) -> GuardedYamux:
        """Connect to ``address``; ``peer`` None: to whoever answers.

        Raises:
            NetError: nobody did, or somebody else.
        """
        end = _direct(address)
        with library_errors(_NOT_THE_PEER):
            own = self._own(end) if peer in self._from_port and addr.is_global(address) else None
            if own is not None and end.kind in ("ip4", "ip6"):
                stream = await self._way.connect_from(own, end, must=False)
            else:
                stream = await self._way.connect(peer, end)
            return await self._lead(stream, end, ANYBODY if peer is None else ID(bytes(peer)))

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

    async def punch(self, peer: PeerId, addresses: Sequence[Address], *, leads: bool) -> None:
        """See :meth:`~p2pchat.net.transport.Network.punch`."""
        if self._way.is_hidden:
            raise NetError("Through a proxy nobody is met half way.")
        ends = [_direct(address) for address in addresses]
        meeting = Meeting(peer, leads)
        self._awaited.update({(end.host, end.port): meeting for end in ends})
        try:
            with trio.move_on_after(limits.PUNCH_S):
                async with trio.open_nursery() as nursery:
                    for end in ends:
                        nursery.start_soon(self._punch_one, meeting, end)
                    await meeting.done.wait()
                    nursery.cancel_scope.cancel()
        finally:
            for end in ends:
                self._awaited.pop((end.host, end.port), None)
        if not meeting.done.is_set():
            raise NetError("None of the peer's addresses answered.")

    async def _punch_one(self, meeting: Meeting, end: addr.Endpoint) -> None:
        own = self._own(end)
        if own is None:
            return
        with suppress(NetError):  # another address may do, or the other end's attempt: done says so
            with library_errors(_NOT_THE_PEER):
                stream = await self._way.connect_from(own, end, must=not meeting.leads)
                if meeting.leads:
                    await self._lead(stream, end, ID(bytes(meeting.peer)))
                else:
                    await self._follow(stream, meeting.peer)
            meeting.done.set()

    async def confirm(self, peer: PeerId, address: Address) -> None:
        """See :meth:`~p2pchat.net.transport.Network.confirm`."""
        end = _direct(address)
        with trio.move_on_after(limits.CONFIRM_S), library_errors(_NOT_THE_PEER):
            stream = await self._way.connect(peer, end)
            try:
                raw = RawConnection(tcp.TcpStream(stream, far_end=self._way.far_end(end)), True)
                await self._swarm.upgrader.upgrade_security(raw, True, ID(bytes(peer)))
                return
            finally:
                stream.socket.close()
        raise NetError("The address did not answer in time.")

    async def admit(self, stream: tcp.TcpStream) -> GuardedYamux:
        """Shake hands with who has come to the listening socket; who is awaited to punch is led.

        Raises what the library does.
        """
        if self._way.is_hidden:
            stream.conceal()
        remote = stream.get_remote_address()
        meeting = None if remote is None else self._awaited.get(remote)
        if meeting is not None and meeting.leads:
            conn = await self._swarm.upgrade_outbound_raw_conn(RawConnection(stream, True), ID(bytes(meeting.peer)))
            mux = cast(GuardedYamux, conn.muxed_conn)
        else:
            raw = RawConnection(stream, False)
            mux = cast(GuardedYamux, await self._swarm.upgrade_inbound_raw_conn(raw, _NOWHERE))
        if meeting is None:
            self._whereabouts.reached_by(stream.remote_host)
        elif mux.peer_id.to_bytes() == meeting.peer:
            meeting.done.set()
        return mux

    def as_listening(self, seen: Address, mux: GuardedYamux) -> Address | None:
        """Where others could come to, by where the other end of ``mux`` sees this one.

        The port that it sees is worth something where the connection has come to, or left from, one on which this node
        listens. Otherwise the one that it listens on stands in its place: many routers leave it as it is, and some were
        told to. None: it listens on none of that kind.
        """
        end = addr.endpoint(seen)
        own = self._own(end)
        if own is None or end.relay is not None:
            return None
        local_port = cast(LeanSession, mux.secured_conn).local_port
        is_listening = any(local_port == addr.endpoint(each).port for each in self._whereabouts.bound)
        return seen if is_listening else addr.from_socket(end.host, own[1])

    async def _lead(self, stream: trio.SocketStream, end: addr.Endpoint, peer: ID) -> GuardedYamux:
        try:
            raw = RawConnection(tcp.TcpStream(stream, far_end=self._way.far_end(end)), True)
            conn = await self._swarm.upgrade_outbound_raw_conn(raw, peer)
        except BaseException:
            stream.socket.close()
            raise
        return cast(GuardedYamux, conn.muxed_conn)

    async def _follow(self, stream: trio.SocketStream, peer: PeerId) -> None:
        try:
            raw = RawConnection(tcp.TcpStream(stream), False)
            mux = cast(GuardedYamux, await self._swarm.upgrade_inbound_raw_conn(raw, _NOWHERE))
        except BaseException:
            stream.socket.close()
            raise
        if mux.peer_id.to_bytes() != peer:
            await mux.abort()
            raise NetError(_NOT_THE_PEER)

    def _own(self, end: addr.Endpoint) -> tcp.Own | None:
        """What a listening socket of the kind of ``end`` is bound to, for connections to leave from; None: there is
        none, or they may not.
        """
        if self._way.is_hidden:
            return None
        own = (own for own in map(addr.endpoint, self._whereabouts.bound) if own.kind == end.kind)
        return next(((each.host, each.port) for each in own), None)


def _direct(address: Address) -> addr.Endpoint:
    end = addr.endpoint(address)
    if end.relay is not None:
        raise NetError("A relayed address cannot be dialled directly.")
    return end
