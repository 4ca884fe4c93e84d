"""Streams that peers open: negotiated, bounded in number, and run to their end by their handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio
from libp2p.network.stream.net_stream import NetStream

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.net import multistream
from p2pchat.net.connections import Connections, PeerConnections
from p2pchat.net.guard import GuardedYamux, WindowedStream
from p2pchat.net.handlers import Handlers
from p2pchat.net.serving import drain, run_handler
from p2pchat.net.stream import MuxStream
from p2pchat.net.transport import Stream

if TYPE_CHECKING:
    from libp2p.abc import INetStream


class Inbound:
    """Those of one host.

    Args:
        connections: where each stream's connection stands.
        handlers: what is served.
        refusals: where surplus streams are counted.
    """

    def __init__(self, connections: Connections, handlers: Handlers, refusals: Refusals) -> None:
        self._connections = connections
        self._handlers = handlers
        self._refusals = refusals

    async def serve(self, raw: INetStream) -> None:
        """Run an inbound stream to its end. Nothing but cancellation leaves: upstream's swarm would stop (guard 3)."""
        mux = cast(GuardedYamux, raw.muxed_conn)
        stream = MuxStream(mux, _yamux_stream(raw), PeerId(mux.peer_id.to_bytes()))
        known = self._connections.register(mux)
        if known is None or known[1].inbound_streams >= limits.STREAMS_PER_CONNECTION:
            self._refusals.note(Refusal.STREAM_SURPLUS)
            await stream.reset()
            return
        entry, connection = known
        connection.inbound_streams += 1
        mux.idle_s = 0.0
        try:
            if await run_handler(lambda s: self._negotiate_and_run(s, entry), stream):
                await drain(stream)
        finally:
            connection.inbound_streams -= 1

    async def _negotiate_and_run(self, stream: Stream, entry: PeerConnections) -> None:
        taken: list[str] = []

        def serves(protocol: str) -> bool:
            if not self._handlers.serves(protocol, stream.peer, stream.remote_host):
                return False
            if entry.serving[protocol] >= limits.STREAMS_PER_PEER:
                self._refusals.note(Refusal.STREAM_SURPLUS)
                raise NetError("The peer has too many streams of this protocol.")
            entry.serving[protocol] += 1
            taken.append(protocol)
            return True

        try:
            protocol = ""
            with trio.move_on_after(limits.STREAM_OPEN_S):
                protocol = await multistream.choose(stream, serves)
            if not protocol:
                self._refusals.note(Refusal.STREAM_LATE)
                raise NetError("The peer did not say in time what a stream is for.")
            handler = self._handlers.get(protocol)
            if handler is None:  # it ended while it was chosen
                raise NetError("The protocol is not served any more.")
            await handler(stream)
        finally:
            entry.serving.subtract(taken)


def _yamux_stream(raw: INetStream) -> WindowedStream:
    return cast(WindowedStream, cast(NetStream, raw).muxed_stream)
