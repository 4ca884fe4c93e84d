"""Streams on which many requests are under way and the answers come in their order: one long-lived stream a peer.

Rules:

- An answer belongs to the oldest request that has none. Therefore a request that is given up (cancelled, such as by its
  hard deadline) ends the stream, and so does whatever does not decode.
- The end of a stream is no failure of the peer: a request that was under way is asked once more, on a fresh stream.
- At most ``limits.CLIENT_STREAMS`` of one protocol are kept; beyond it the least recently used idle ones are closed,
  but not those to peers that shall stay warm.
- Several askers of one peer share one dial and one opening.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

import trio

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError, NetError, PeerError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.transport import Network, Stream

R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)


class Framing(Protocol):
    """Cuts a byte stream into frames: core.framing.FrameReader or core.kad_wire.VarintReader."""

    def feed(self, data: bytes) -> None: ...
    def next_frame(self) -> bytes | None: ...


class StreamEnded(NetError):
    """The stream ended before the answer came."""


class _Question(Generic[T_co]):
    __slots__ = ("answer", "settled")

    def __init__(self) -> None:
        self.settled = trio.Event()
        self.answer: T_co | None = None


class Channel(Generic[T_co]):
    """One such stream, seen from the side that asks.

    Args:
        stream: open, negotiated, and this channel's alone.
        framing: cuts what is read.
        decode: an answer from a frame, or None where the frame was no answer (a push); raises PeerError.

    ``keep_until`` is a time on trio's clock before which the stream should stay although it is idle.
    """

    def __init__(self, stream: Stream, framing: Framing, decode: Callable[[bytes], T_co | None]) -> None:
        self._stream = stream
        self._framing = framing
        self._decode = decode
        self._questions: deque[_Question[T_co]] = deque()
        self._outgoing = bytearray()
        self._is_writing = False
        self._scope = trio.CancelScope()
        self._is_malformed = False
        self.is_open = True
        self.used_at = trio.current_time()
        self.keep_until = 0.0

    @property
    def remote_host(self) -> str | None:
        """The IP literal at the far end; None when relayed."""
        return self._stream.remote_host

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way and nobody asked to keep the stream."""
        return not self._questions and trio.current_time() >= self.keep_until

    async def ask(self, message: bytes) -> T_co:
        """Send a request, length included, and wait for its answer.

        Raises:
            StreamEnded: the stream ended first.
            DecodeError: the peer sent what is malformed.

        Concurrency: cancellation ends the channel for all that ask on it.
        """
        if not self.is_open:
            raise StreamEnded("the stream has ended")
        self.used_at = trio.current_time()
        question = _Question[T_co]()
        self._questions.append(question)
        self._outgoing += message
        try:
            if not self._is_writing:
                await self._write_out()
            await question.settled.wait()
        except NetError:
            self.end()
        except trio.Cancelled:
            self.end()
            raise
        if question.answer is not None:
            return question.answer
        if self._is_malformed:
            raise DecodeError("the peer sent a malformed answer")
        raise StreamEnded("the stream ended before the answer")

    async def run(self) -> None:
        """Read answers until the stream ends, then abandon it."""
        try:
            with self._scope:
                while data := await self._stream.read(limits.STREAM_READ_BYTES):
                    self._framing.feed(data)
                    while (frame := self._framing.next_frame()) is not None:
                        self._take(frame)
        except NetError:
            pass  # the stream is gone; those who wait for an answer learn it from end()
        except PeerError:
            self._is_malformed = True
        finally:
            self.end()
            await self._stream.reset()

    def end(self) -> None:
        """Give up the stream: nobody gets an answer any more."""
        self.is_open = False
        self._scope.cancel()
        while self._questions:
            self._questions.popleft().settled.set()

    async def _write_out(self) -> None:
        # One writer at a time, so that requests leave in the order of the questions; it takes along what others add.
        self._is_writing = True
        try:
            while self._outgoing:
                data = bytes(self._outgoing)
                self._outgoing.clear()
                await self._stream.write(data)
        finally:
            self._is_writing = False

    def _take(self, frame: bytes) -> None:
        answer = self._decode(frame)
        if answer is None:
            return
        if not self._questions:
            raise DecodeError("an answer that nobody asked for")
        question = self._questions.popleft()
        question.answer = answer
        question.settled.set()


C = TypeVar("C", bound=Channel[object])


class _Opening(Generic[C]):
    __slots__ = ("channel", "ended", "error")

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.channel: C | None = None
        self.error: NetError | None = None


class ChannelPool(Generic[C]):
    """The channels of one protocol, one a peer.

    Args:
        network: where streams are opened.
        protocol: its libp2p name.
        make: a channel around a stream just opened.

    ``warm``: peers whose channels are not closed to make room.
    """

    def __init__(self, network: Network, protocol: str, make: Callable[[Stream], C]) -> None:
        self._network = network
        self._protocol = protocol
        self._make = make
        self.warm: frozenset[PeerId] = frozenset()
        self._channels: dict[PeerId, C] = {}
        self._openings: dict[PeerId, _Opening[C]] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the channels alive until cancelled; before it nothing can be asked."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None  # whoever asks while the node takes another key has nobody to ask

    async def call(self, peer: PeerId, addresses: Sequence[Address], ask: Callable[[C], Awaitable[R]]) -> R:
        """What ``ask`` brings from a channel to ``peer``, which is dialled at ``addresses`` if it must be.

        Raises:
            UnsupportedProtocol: it is alive and does not serve the protocol.
            NetError: it could not be reached, or ended the stream twice.
            DecodeError: it sent what is malformed.
        """
        channel = self._channels.get(peer)
        if channel is not None and channel.is_open:
            try:
                return await ask(channel)
            except StreamEnded:
                pass  # no failure of the peer: asked once more below
        answer = await ask(await self._open(peer, addresses))
        self._close_surplus()
        return answer

    async def _open(self, peer: PeerId, addresses: Sequence[Address]) -> C:
        while (opening := self._openings.get(peer)) is not None:
            await opening.ended.wait()
            if opening.error is not None:
                raise type(opening.error)(opening.error.message)
            if opening.channel is not None:
                return opening.channel
        self._live()
        opening = self._openings[peer] = _Opening[C]()
        try:
            await self._network.dial(peer, addresses)
            channel = self._make(await self._network.open(peer, self._protocol))
            opening.channel = self._channels[peer] = channel
            self._live().start_soon(self._attend, peer, channel)
            return channel
        except NetError as error:
            opening.error = error
            raise
        finally:
            del self._openings[peer]
            opening.ended.set()

    def _live(self) -> trio.Nursery:
        """Raises: NetError: this does not run, or not any more."""
        if self._nursery is None:
            raise NetError("the DHT is not running")
        return self._nursery

    async def _attend(self, peer: PeerId, channel: C) -> None:
        try:
            await channel.run()
        finally:
            if self._channels.get(peer) is channel:
                del self._channels[peer]

    def _close_surplus(self) -> None:
        if len(self._channels) <= limits.CLIENT_STREAMS:
            return
        live = {peer: channel for peer, channel in self._channels.items() if channel.is_open}
        idle = sorted(
            (channel for peer, channel in live.items() if channel.is_idle and peer not in self.warm),
            key=lambda channel: channel.used_at,
        )
        for channel in idle[: max(0, len(live) - limits.CLIENT_STREAMS)]:
            channel.end()
