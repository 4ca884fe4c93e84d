"""Relayed connections of the memory network: whom a stream leads to, and a connection that lives as long as it does.

::

    both        u8 length ‖ PeerID         the opener checks whom it has reached
    opener      u32 ticket                 of the connection that it has made
    acceptor    u8 1                       it has taken it

What is sent on the connection does not pass through the relay's hands; its two ways to the relay delay and stall it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.net.multistream import read_exactly
from p2pchat.net.transport import Stream
from p2pchat.testing.memlink import Connection
from p2pchat.testing.mempipe import MemoryStream

if TYPE_CHECKING:
    from p2pchat.testing.memnet import MemoryNetwork
    from p2pchat.testing.memnode import MemoryNode

_TICKET_BYTES: Final = 4
_NOT_THE_PEER: Final = "Nobody answered through the relay as the peer."


class Circuits:
    """Those of one network."""

    def __init__(self, net: MemoryNetwork) -> None:
        self._net = net
        self._offered: dict[int, Connection] = {}
        self._tickets = 0

    async def adopt(self, node: MemoryNode, stream: Stream, peer: PeerId | None) -> PeerId:
        """See :meth:`~p2pchat.net.transport.Network.adopt`; ``node`` adopts."""
        stream.adopt()
        ours = cast(MemoryStream, stream)
        try:
            with trio.move_on_after(limits.HANDSHAKE_S):
                node.door.check_relayed(peer)
                return await (self._accept(node, ours) if peer is None else self._connect(node, ours, peer))
            raise NetError(_NOT_THE_PEER)
        except BaseException:
            await stream.reset()
            raise

    async def _connect(self, node: MemoryNode, stream: MemoryStream, peer: PeerId) -> PeerId:
        await _name(node, stream)
        other = self._net.named(await _read_name(stream))
        if other is None or other.peer_id != peer:
            raise NetError(_NOT_THE_PEER)
        self._tickets += 1
        ticket = self._tickets
        connection = self._offered[ticket] = Connection(self._net, (node, other), self._net.now(), [stream])
        try:
            await stream.write(ticket.to_bytes(_TICKET_BYTES, "big"))
            if await read_exactly(stream, 1) != b"\1":
                raise NetError(_NOT_THE_PEER)
        except BaseException:
            self._offered.pop(ticket, None)
            self._net.break_connection(connection)
            raise
        self._net.nursery.start_soon(self._attend, connection, stream)
        return peer

    async def _accept(self, node: MemoryNode, stream: MemoryStream) -> PeerId:
        await _name(node, stream)
        peer = await _read_name(stream)
        if not node.door.lets_stay(peer, None):
            raise NetError(_NOT_THE_PEER)
        ticket = int.from_bytes(await read_exactly(stream, _TICKET_BYTES), "big")
        connection = self._offered.pop(ticket, None)
        if connection is None or connection.ends[1] is not node:
            raise NetError(_NOT_THE_PEER)
        await stream.write(b"\1")
        connection.carriers.append(stream)
        self._net.join(connection)
        self._net.nursery.start_soon(self._attend, connection, stream)
        return peer

    async def _attend(self, connection: Connection, carrier: MemoryStream) -> None:
        with suppress(NetError):  # the relay, or its connection, is gone: this end like any other
            await carrier.read(1)
        self._net.break_connection(connection)


async def _name(node: MemoryNode, stream: Stream) -> None:
    await stream.write(bytes([len(node.peer_id)]) + bytes(node.peer_id))


async def _read_name(stream: Stream) -> PeerId:
    return PeerId(await read_exactly(stream, (await read_exactly(stream, 1))[0]))
