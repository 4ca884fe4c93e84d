"""``/p2pchat/kad/1.0.0``: FIND_NODE and PING over libp2p's kad-dht wire, both sides (PROTOCOL.md 3.7).

Rules:

- Many requests on one stream, as this project's nodes ask; one request a stream, as others do, works too.
- Every other type of message, and whatever is malformed, resets the stream.
- Peers that serve nothing else take part in routing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.dht_wire import ToldPeer
from p2pchat.core.kad_wire import (
    FIND_NODE,
    REPLY_MAX_BYTES,
    REQUEST_MAX_BYTES,
    KadMessage,
    VarintReader,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    with_length,
)
from p2pchat.net.fifo import Channel, ChannelPool
from p2pchat.net.pace import ROUTE_US, Pace
from p2pchat.net.transport import Network, Stream

KAD: Final = "/p2pchat/kad/1.0.0"


class KadClient:
    """Asks other nodes for the peers closest to a key."""

    def __init__(self, network: Network) -> None:
        self._pool = ChannelPool(network, KAD, _channel)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the streams alive until cancelled."""
        await self._pool.run(task_status)

    async def find_node(
        self, peer: PeerId, addresses: Sequence[Address], key: bytes
    ) -> tuple[tuple[ToldPeer, ...], str | None]:
        """The peers closest to ``key`` (1 to 64 bytes) that ``peer`` tells, and the IP literal from which it did.

        Raises:
            UnsupportedProtocol: the peer is alive and does not serve this.
            NetError: it could not be reached or ended the stream twice.
            DecodeError: it sent what is malformed.

        Concurrency: cancellation ends the stream to this peer; others who ask there begin anew.
        """

        async def ask(channel: Channel[KadMessage]) -> tuple[tuple[ToldPeer, ...], str | None]:
            reply = await channel.ask(with_length(encode_request(KadMessage(FIND_NODE, key))))
            if reply.type != FIND_NODE:
                channel.end()
                raise DecodeError("an answer of another type")
            return reply.peers, channel.remote_host

        return await self._pool.call(peer, addresses, ask)


class KadServer:
    """Answers FIND_NODE and PING.

    Args:
        neighbours: (key, asker's stream) → the peers closest to the key that the asker may be told of.
        on_stream: called with each inbound stream's peer.
        pace: how fast it answers.
    """

    def __init__(
        self,
        neighbours: Callable[[bytes, Stream], tuple[ToldPeer, ...]],
        on_stream: Callable[[PeerId], None],
        pace: Pace,
    ) -> None:
        self._pace = pace
        self._neighbours = neighbours
        self._on_stream = on_stream

    async def serve(self, stream: Stream) -> None:
        """Answer one inbound stream until it ends.

        Raises:
            DecodeError: a malformed message or one of another type.
            NetError: the stream is gone.
        """
        self._on_stream(stream.peer)
        framing = VarintReader(REQUEST_MAX_BYTES)
        while data := await stream.read(limits.STREAM_READ_BYTES):
            framing.feed(data)
            while (frame := framing.next_frame()) is not None:
                request = decode_request(frame)
                await self._pace.wait(stream, ROUTE_US)
                await stream.write(with_length(encode_reply(self._answer(request, stream))))

    def _answer(self, request: KadMessage, stream: Stream) -> KadMessage:
        if request.type != FIND_NODE:
            return KadMessage(request.type)
        return KadMessage(FIND_NODE, peers=self._neighbours(request.key, stream))


def _channel(stream: Stream) -> Channel[KadMessage]:
    return Channel(stream, VarintReader(REPLY_MAX_BYTES), decode_reply)
