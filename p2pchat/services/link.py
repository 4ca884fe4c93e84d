"""One message stream with one peer: Hello, then frames both ways until it ends (PROTOCOL.md 5.1).

Three tasks share a link: the *reader* takes frames and answers them, the *pump* sends what waits for the contact, the
*heart* pings and ends a silent stream. Whatever goes wrong ends this link alone; delivery goes on with the next one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from math import inf
from typing import Final

import structlog
import trio

from p2pchat.base.errors import DecodeError, NetError, P2PChatError, Stalled
from p2pchat.base.limits import HEARTBEAT_S, SILENCE_S, STREAM_OPEN_S, UNACKED_BYTES
from p2pchat.core.delivery import Window
from p2pchat.core.wire import (
    FEATURES,
    TAKES_DEVICE,
    Ack,
    Batch,
    Bundle,
    BundleRequest,
    Bye,
    Device,
    Flight,
    Frame,
    Hello,
    Nack,
    Ping,
    Pong,
    decode_frame,
    encode_frame,
)
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.net.transport import Stream
from p2pchat.net.unfinished import Share
from p2pchat.services import arrivals as took
from p2pchat.services import charges, deliver, device, greet
from p2pchat.services.context import Context
from p2pchat.services.defects import cause, innermost, report_defect
from p2pchat.services.opening import Opening
from p2pchat.services.room import Room
from p2pchat.store import contacts, sessions
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow

MSG_PROTOCOL: Final = "/p2pchat/msg/1"
_CLOSE_S: Final = 1.0
_PINGS_A_PROBE: Final = 240  # once an hour it is looked whether a quiet contact is to be asked for a sign of life
_STALL_S: Final = 60.0  # an ack that takes longer than this on a live stream will not come on it

log = structlog.get_logger()


class Link:
    """The life of one stream.

    Args:
        stream: open, nothing sent or read yet.
        outbound: this node opened it.
    """

    def __init__(self, context: Context, stream: Stream, *, outbound: bool) -> None:
        self.stream = stream
        self.outbound = outbound
        self.contact: int | None = None
        self.ready = trio.Event()  # the peer's Hello has come
        self.known = trio.Event()  # whose it is is known
        self.proven = trio.Event()  # a heartbeat went there and back
        self.room = Room()
        self._context = context
        self._reader = FrameReader(stream, context.params.frame_bytes, self._hold)
        self._share: Share  # of what strangers have begun; in run()
        self._write_lock = trio.Lock()
        self._wake = trio.Event()
        self.heard = trio.current_time()
        self._window = Window(UNACKED_BYTES)
        self._cursor = deliver.Cursor()
        self._opening = Opening(context, stream.peer, self.send)
        self._progress = trio.current_time()
        self._device_ms: int | None = None  # epoch_ms of the device that was heard on it
        self._look_for_newer = False
        self._told = False  # the peer, of a newer device of its person
        self._heeded = False  # what the peer told of this one
        self._more = True
        self._look = True  # woken for something that was not handed over
        self._handed: deque[deliver.Outgoing] = deque()

    def wake(self) -> None:
        """Something may wait for this contact."""
        self._look = True
        self._wake.set()

    def compare_device(self) -> None:
        """The contact may have a newer device than the one at the other end."""
        self._look_for_newer = True
        self._wake.set()

    def go_on_for(self, other: Link) -> None:
        """The peer has been online since ``other`` began: what was queued for that stream is for this one, too."""
        self._cursor.began = min(self._cursor.began, other._cursor.began)

    async def run(self) -> None:
        """Until the stream ends; never raises but for cancellation."""
        with self._context.charges.unfinished.share(self.stream.peer) as self._share:
            await self._run()

    async def _run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._charge(charges.STREAM_US)
                await self.send([Hello(FEATURES)])
                nursery.start_soon(self._heart)
                with trio.fail_after(STREAM_OPEN_S):
                    await self._expect_hello()
                await self._find_contact()
                self.ready.set()
                nursery.start_soon(self._pump)
                await self._read()
                nursery.cancel_scope.cancel()
        except* (P2PChatError, trio.TooSlowError) as group:
            log.debug("link.ended", error=cause(group))
            await self.stream.reset()
            if self._context.charges.ended(self.stream.peer, innermost(group)):
                await self._context.network.disconnect(self.stream.peer)
        except* Exception as group:  # a defect of ours ends this link, not the node
            report_defect(group)
            await self.stream.reset()
        finally:
            self.room.note(crowded=False)
            with trio.move_on_after(_CLOSE_S, shield=True):
                await self.stream.close()

    @property
    def is_relayed(self) -> bool:
        """Whether its connection leads through a relay."""
        return self.stream.remote_host is None

    async def prove(self) -> None:
        """Send a heartbeat out of its turn; Raises: NetError, the stream is over."""
        await self.send([Ping(0)])

    async def bye(self) -> None:
        """End the stream by intention."""
        try:
            await self.send([Bye()])
        except NetError:
            return  # it ended before we could say so
        await self.stream.close()

    def _charge(self, cost_us: float) -> None:
        self._context.charges.charge(self.stream.peer, cost_us)

    async def send(self, frames: Sequence[Frame]) -> None:
        """Put ``frames`` on the stream; Raises: NetError, it is over."""
        async with self._write_lock:
            await write_frames(self.stream, [encode_frame(frame) for frame in frames])

    async def _expect_hello(self) -> None:
        with self._share.reading(inf):
            data = await self._reader.read()
        if data is None:
            raise NetError("the stream ended before Hello")
        hello = decode_frame(data)
        if not isinstance(hello, Hello):
            raise DecodeError("the first frame is not Hello")
        self._cursor.features = hello.features

    async def _find_contact(self) -> None:
        rows = await self._context.db.run(lambda tx: deliver.begin(tx, self._cursor, self.stream.peer))
        if rows:
            self._is(rows[0].contact)

    def _is(self, contact: int) -> None:
        self.contact = contact
        self._context.nodes_changed()  # it may be a node that nothing of the contact's has come from before
        self.stream.keep()
        self.known.set()
        self.wake()  # what waits for the contact can leave on this stream, too

    # -- in ---------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while bodies := await self._next():
            self.heard = trio.current_time()
            arrivals, proofs = list[Flight | bytes](), list[tuple[bytes, bytes]]()
            for body in bodies:
                frame = decode_frame(body)
                if isinstance(frame, Flight | Batch):
                    arrivals += [frame] if isinstance(frame, Flight) else frame.envelopes
                elif isinstance(frame, Ack):
                    proofs.extend(frame.entries)  # one commit for all: acks of lone texts would fall behind the texts
                else:
                    await self._take(arrivals)
                    await self._settle(proofs)
                    arrivals, proofs = [], []
                    if isinstance(frame, Bye):
                        return
                    await self._control(frame)
            await self._take(arrivals)
            await self._settle(proofs)

    async def _next(self) -> list[bytes]:
        if self.known.is_set():
            return await self._reader.read_available()
        with self._share.reading(inf):
            return await self._reader.read_available()

    async def _hold(self, size: int) -> None:
        """So much of a frame is there: only strangers have to share the room for that."""
        if self.known.is_set():
            self._share.note(0)
        else:
            await self._share.hold(size)

    async def _take(self, arrivals: list[Flight | bytes]) -> None:
        if not arrivals:
            return
        answer = await took.take(self._context, self.stream, self.contact, arrivals)
        if answer.contacts and self.contact not in answer.contacts:
            if self.contact is not None:
                raise NetError("the stream is another contact's than its PeerID was published for")
            self._is(min(answer.contacts))
        if answer.device_ms is not None:
            self._device_ms = min(answer.device_ms, self._device_ms or answer.device_ms)
        await self.send(answer.frames(self._context.params))
        nacks = len(answer.nacks)
        self._charge(charges.of_arrivals(answer.repeats, nacks, answer.unopened_bytes, answer.flights, answer.passed))
        if answer.newer is not None:  # last, since whoever takes it leaves
            await self._tell(answer.newer)
        if answer.contacts and any(isinstance(arrival, Flight) for arrival in arrivals):
            self.wake()  # a flight that was accepted may be the session that waiting messages need

    async def _control(self, frame: Frame) -> None:
        self._charge(charges.PRICES.get(type(frame), 0.0))
        match frame:
            case Nack():
                await self._refused(frame.eid)
            case BundleRequest():
                await self.send([Bundle(await took.answer(self._context, self.stream, self.contact, frame.proof))])
            case Bundle():
                self._opening.answered(frame.bundle)
            case Ping():
                await self.send([Pong(frame.token)])
            case Pong():
                self.proven.set()
            case Device():
                await self._heed(frame.cert)
            case _:
                raise DecodeError("a frame out of its place")

    async def _settle(self, proofs: Sequence[tuple[bytes, bytes]]) -> None:
        if not proofs:
            return
        flying = self._window.flying(eid for eid, _ in proofs)
        self._charge(charges.ACK_US * (len(proofs) - flying))  # before the store looks a thousand up
        useful = sum(
            [self._settled(eid) for eid in await self._context.db.run(partial(deliver.settle, entries=proofs))]
        )
        self._charge(charges.ACK_US * (flying - useful))

    def _settled(self, eid: bytes) -> bool:
        """Whether it was in flight on this stream."""
        flew = self._window.settled(eid)
        if flew:
            self._progress = trio.current_time()
        if self._more:
            self.wake()
        return flew

    async def _refused(self, eid: bytes) -> None:
        contact, peer = self.contact, self.stream.peer
        if contact is None:
            return
        condemned = await self._context.db.run(lambda tx: greet.condemn(tx, self._context, contact, eid, peer))
        if condemned is not None or await self._context.db.run(lambda tx: sessions.sent(tx, eid)) is None:
            self._settled(eid)
        # else it stays in flight: the stall ends the stream, and the next one carries it again
        if condemned is not None:
            log.info("session.refused")
            self._opening.condemned = condemned
            self.wake()

    async def _heed(self, cert: bytes) -> None:
        if self._heeded:
            raise DecodeError("a second newer device on one stream")
        self._heeded = True
        await self._context.db.run(lambda tx: device.heed(tx, self._context, cert))

    # -- out --------------------------------------------------------------------------------------------------------

    async def _pump(self) -> None:
        while True:
            self._wake = trio.Event()
            contact = self.contact
            if contact is not None:
                if self._look_for_newer:
                    await self._compare_device(contact)
                if self._opening.condemned is not None:
                    await self._open_session(contact)
                outgoing = self._next_handed()
                if outgoing is None:
                    self._look = False
                    self._more = True  # what is settled while the store looks makes room that it has not seen
                    outgoing = await self._context.db.run(self.next_outgoing)
                self._more = outgoing.more or bool(self._handed)
                self.room.note(crowded=self._more)
                if outgoing.envelopes:
                    deliver.left(self._cursor, self._window, outgoing)
                    self._progress = max(self._progress, trio.current_time())
                    await self.send(outgoing.frames)
                    if self._more or self._look:
                        continue
                if outgoing.wants_session and await self._open_session(contact):
                    continue
            await self._rest()

    def _next_handed(self) -> deliver.Outgoing | None:
        """What was handed over and is not on the stream yet; None where the store is to be asked."""
        while self._handed:
            outgoing = self._handed.popleft()
            if deliver.has_left(self._cursor, outgoing):
                continue  # it was found in the store before it was handed over
            if deliver.continues(self._cursor, outgoing):
                return outgoing
            self._handed.clear()
            self._look = True  # something of before goes first: the store has all of it, in order
        return None

    async def _compare_device(self, contact: int) -> None:
        self._look_for_newer, heard_ms = False, self._device_ms
        if heard_ms is not None:
            newer = await self._context.db.run(lambda tx: contacts.newer_cert(tx, contact, heard_ms))
            if newer is not None:
                await self._tell(newer)

    async def _tell(self, newer: bytes) -> None:
        """Tell the peer of a newer device of its person, once a stream, if it takes that."""
        if not self._told and self._cursor.features & TAKES_DEVICE:
            self._told = True
            await self.send([Device(newer)])

    def next_outgoing(self, tx: Tx) -> deliver.Outgoing:
        """What may leave on this stream next, sealed in ``tx`` if it is not yet."""
        assert self.contact is not None  # noqa: S101  asked only for a stream that is known to be somebody's
        return deliver.next_outgoing(tx, self._context, self.contact, self._cursor, self._window)

    def seal_queued(self, tx: Tx, contact: int, queued: Sequence[MessageRow]) -> deliver.Outgoing | None:
        """What ``tx`` has queued, sealed in it as far as this stream has room; :meth:`hand` it over after the commit.

        Concurrency: runs on the store's thread, while the stream goes on.
        """
        if self._opening.condemned is not None:
            return None
        return deliver.seal_queued(tx, self._context, contact, queued, self._cursor, UNACKED_BYTES)

    def hand(self, outgoing: deliver.Outgoing) -> None:
        """What was sealed elsewhere, for this stream to carry, is committed."""
        self._handed.append(outgoing)
        self.room.note(crowded=outgoing.more)
        self._wake.set()

    async def _rest(self) -> None:
        """Until there is something new; a refused request for a bundle is repeated after a while."""
        with trio.move_on_after(self._opening.again_s):
            await self._wake.wait()

    async def _open_session(self, contact: int) -> bool:
        """Whether there is a session to send on now."""
        made = await self._opening.open(contact)
        if made:  # the peer has read before it answered what left in the old one; it is sealed again
            self._window.forget()
        return made

    # -- life -------------------------------------------------------------------------------------------------------

    async def _heart(self) -> None:
        token = 0
        ping_at = trio.current_time() + HEARTBEAT_S
        while True:
            # a peer goes silent at any moment of the period, and is dropped in time all the same
            await trio.sleep_until(min(ping_at, self.heard + SILENCE_S))
            now = trio.current_time()
            if now >= self.heard + SILENCE_S:
                await self._context.network.disconnect(self.stream.peer)
                raise NetError("the peer was silent")
            if now < ping_at:
                continue  # it was heard meanwhile
            if not self._window.idle and now - self._progress > _STALL_S:
                raise Stalled("the peer answers, but does not acknowledge")
            ping_at = now + HEARTBEAT_S
            token += 1
            if token % _PINGS_A_PROBE == 0:
                self.wake()
            await self.send([Ping(token)])
