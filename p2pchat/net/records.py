"""``/p2pchat/records/1``: reading, writing and watching slots at other nodes, and serving the same (PROTOCOL.md 3.7).

Rules:

- One long-lived stream a peer; many requests under way, answers in their order, pushes between them.
- Whatever is malformed ends its stream and nothing else: for an asker an answer with another id, or a push for a slot
  that it does not watch there, is malformed too.
- A server handles the requests of a stream one after the other, so a peer that does not read is not read from. Pushes
  wait in a bounded queue; a watcher that lets it fill loses its watches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError, NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core import codec
from p2pchat.core.dht_wire import ANSWER, REPLY_MAX_BYTES, REQUEST, REQUEST_MAX_BYTES, Push, Reply, Request, ToldPeer
from p2pchat.core.framing import FrameReader, with_length
from p2pchat.net.fifo import Channel, ChannelPool
from p2pchat.net.hearsay import prefix_of_putter
from p2pchat.net.keeper import Keeper, Watcher
from p2pchat.net.pace import PUT_US, RECORDS_US, Pace
from p2pchat.net.transport import Network, Stream

RECORDS: Final = "/p2pchat/records/1"

_PUSH_GRACE_S: Final = 60.0  # a push that left before the lease ended may arrive after it
_IDS: Final = 2**32

Neighbours = Callable[[bytes, Stream], tuple[ToldPeer, ...]]
"""(key, the asker's stream) → the peers closest to it that the asker may be told of."""


class _RecordsChannel(Channel[Reply]):
    """A channel that also takes the pushes of what is watched through it."""

    def __init__(self, stream: Stream, on_push: Callable[[bytes, bytes], None]) -> None:
        super().__init__(stream, FrameReader(REPLY_MAX_BYTES), self._decode_answer)
        self._on_push = on_push
        self._watched_until: dict[bytes, float] = {}
        self._last_id = 0

    async def ask_about(self, loc: bytes, *, put: bytes | None, get: bool, watch_s: int) -> Reply:
        """One request and its reply. Raises and ends as :meth:`Channel.ask` does."""
        self._last_id = (self._last_id + 1) % _IDS
        request = Request(self._last_id, loc, put, get, watch_s)
        if watch_s:
            self._watch(loc, trio.current_time() + watch_s + _PUSH_GRACE_S)
        reply = await self.ask(with_length(codec.encode(request)))
        if reply.id != request.id:
            self.end()
            raise DecodeError("a reply to another request")
        return reply

    def _watch(self, loc: bytes, until: float) -> None:
        now = trio.current_time()
        self._watched_until = {known: end for known, end in self._watched_until.items() if now < end}
        self._watched_until[loc] = until
        self.keep_until = max(self._watched_until.values())

    def _decode_answer(self, frame: bytes) -> Reply | None:
        answer = ANSWER.decode(frame)
        if isinstance(answer, Reply):
            return answer
        if trio.current_time() >= self._watched_until.get(answer.loc, 0.0):
            raise DecodeError("a push for a slot that is not watched")
        self._on_push(answer.loc, answer.record)
        return None


class RecordsClient:
    """Asks other nodes about slots.

    Args:
        network: where streams are opened.
        on_push: (loc, record) that a storer pushed, not yet validated.
    """

    def __init__(self, network: Network, on_push: Callable[[bytes, bytes], None]) -> None:
        self._pool = ChannelPool(network, RECORDS, lambda stream: _RecordsChannel(stream, on_push))

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the streams alive until cancelled."""
        await self._pool.run(task_status)

    def keep_warm(self, peers: Iterable[PeerId]) -> None:
        """Close no stream to ``peers``, and to those alone, to make room for others."""
        self._pool.warm = frozenset(peers)

    async def ask(
        self, peer: PeerId, addresses: Sequence[Address], loc: bytes, *, put: bytes | None, get: bool, watch_s: int = 0
    ) -> tuple[Reply, str | None]:
        """One request to ``peer``; its reply, and the IP literal from which it came (None when relayed).

        Raises:
            UnsupportedProtocol: the peer is alive and no storer.
            NetError: it could not be reached or ended the stream twice.
            DecodeError: it sent what is malformed.

        Concurrency: cancellation ends the stream to this peer; others who ask there begin anew.
        """

        async def ask(channel: _RecordsChannel) -> tuple[Reply, str | None]:
            return await channel.ask_about(loc, put=put, get=get, watch_s=watch_s), channel.remote_host

        return await self._pool.call(peer, addresses, ask)


class RecordsServer:
    """Answers other nodes from a :class:`Keeper`.

    Args:
        keeper: the slots of this node.
        neighbours: the storers that an asker may be told of.
        on_stream: called with each inbound stream's peer.
        pace: how fast it answers.
        refusals: where it is counted what was not kept or not granted.
    """

    def __init__(
        self,
        keeper: Keeper,
        neighbours: Neighbours,
        on_stream: Callable[[PeerId], None],
        pace: Pace,
        refusals: Refusals,
    ) -> None:
        self._keeper = keeper
        self._neighbours = neighbours
        self._on_stream = on_stream
        self._pace = pace
        self._refusals = refusals

    async def serve(self, stream: Stream) -> None:
        """Answer one inbound stream until it ends.

        Raises:
            DecodeError: a malformed request, or the end within one.
            NetError: the stream is gone.
        """
        self._on_stream(stream.peer)
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            session = _Session(stream, self._keeper, self._neighbours, nursery, self._refusals)
            try:
                await session.answer_requests(self._pace)
            except Exception as error:  # raised below: out of the nursery it would come in a group
                failure = error
            finally:
                self._keeper.leave(session)
                nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure


class _Session(Watcher):
    """One inbound stream; what is pushed to it waits in a bounded queue."""

    def __init__(
        self, stream: Stream, keeper: Keeper, neighbours: Neighbours, nursery: trio.Nursery, refusals: Refusals
    ) -> None:
        self._stream = stream
        self._refusals = refusals
        self._keeper = keeper
        self._neighbours = neighbours
        self._nursery = nursery
        self._prefix = prefix_of_putter(stream.remote_host, stream.peer)
        self._pushes, self._waiting_pushes = trio.open_memory_channel[bytes](limits.PUSHES_QUEUED)
        self._pushes_are_sent = False

    async def answer_requests(self, pace: Pace) -> None:
        """Read requests and answer them, one after the other, as fast as ``pace`` allows."""
        framing = FrameReader(REQUEST_MAX_BYTES)
        while data := await self._stream.read(limits.STREAM_READ_BYTES):
            framing.feed(data)
            while (frame := framing.next_frame()) is not None:
                request = REQUEST.decode(frame)
                await pace.wait(self._stream, RECORDS_US + (0.0 if request.put is None else PUT_US))
                await self._stream.write(with_length(codec.encode(self._answer(request))))
        if not framing.is_empty:
            raise DecodeError("a stream ended within a request")

    def push(self, loc: bytes, record: bytes) -> bool:
        """See :class:`Watcher`."""
        try:
            self._pushes.send_nowait(codec.encode(Push(loc, record)))
        except trio.WouldBlock:
            self._refusals.note(Refusal.WATCH_REFUSED)
            return False
        return True

    def _answer(self, request: Request) -> Reply:
        stored = None
        if request.put is not None:
            stored = self._keeper.put(request.loc, request.put, prefix=self._prefix, by=self)
            if not stored:
                self._refusals.note(Refusal.RECORD_REFUSED)
        records = self._keeper.get(request.loc) if request.get else ()
        watch_s = self._keeper.watch(request.loc, self, request.watch_s)
        if request.watch_s and not watch_s:
            self._refusals.note(Refusal.WATCH_REFUSED)
        if watch_s and not self._pushes_are_sent:
            self._pushes_are_sent = True
            self._nursery.start_soon(self._send_pushes)
        return Reply(request.id, stored, watch_s, records, self._neighbours(request.loc, self._stream))

    async def _send_pushes(self) -> None:
        try:
            async for push in self._waiting_pushes:
                await self._stream.write(with_length(push))
        except NetError:
            await self._stream.reset()  # the reader ends with it, and with that the session
