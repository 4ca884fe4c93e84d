"""One client's connection: requests in, replies and notifications out.

Rules:

- Requests are begun in the order of their arrival and run side by side: each runs up to its first wait before the
  next is begun. Replies come as they are ready and are told apart by their ids.
- Requests that the node says may join (texts to be sent) and that have arrived together are one task and one
  transaction, in their order.
- At most ``IN_FLIGHT`` requests are begun and not yet replied to, the elements of batches included; beyond that
  nothing more is read. Nor is it while what they may be answered has no room (:mod:`p2pchat.control.weights`).
- When the client has ended its half, what it asked is still answered; then its subscriptions end and the connection
  is closed. When the client is lost (stuck, or gone altogether), what was begun has ``GRACE_S`` to end.
- A defect ends the request it happened in: INTERNAL and a reference to the client, the place to the log.

Source: docs/CONTROL-API.md, "Transport".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from itertools import repeat
from typing import Final, cast

import trio

from p2pchat.api.codec import FRAME_BYTES, JSON_LINES, FrameError, Framing, ParseError, Splitter
from p2pchat.api.errors import reply_name
from p2pchat.base.errors import P2PChatError, UsageError
from p2pchat.control import jsonrpc
from p2pchat.control.connection import Connection, Dispatch, Joint
from p2pchat.control.gone import client_gone
from p2pchat.control.outgoing import Outgoing
from p2pchat.control.places import Begun, Unfinished
from p2pchat.control.weights import reply_bytes
from p2pchat.services.defects import report_defect

__all__ = ["Channel", "Connection", "Dispatch", "Joint"]

IN_FLIGHT: Final = 1024
BATCH_REQUESTS: Final = 8192
GRACE_S: Final = 5.0
_BRACKETS: Final = 16  # and more, around a list
READ_BYTES: Final = 262_144  # what a client has sent at once is carried out at once


_Follower = Callable[[], Awaitable[None]]


_Arrival = tuple[object, "_Batch | None", int]
"""What was decoded, of which batch if of one, and what its reply may weigh."""


class _Batch:
    """The replies to a list of requests, sent as one list when the last is there."""

    def __init__(self, requests: int) -> None:
        self.unanswered = requests
        self.bodies: list[bytes] = []
        self.followers: list[_Follower] = []
        self.size = 0

    def add(self, body: bytes) -> None:
        self.bodies.append(body)
        self.size += len(body) + 1

    def fits(self, body: bytes) -> bool:
        return self.size + len(body) + _BRACKETS <= FRAME_BYTES


class Channel:
    """Serves one connected stream until either end is done with it.

    Args:
        stream: the accepted connection; closing it is the caller's.
        dispatch: carries out one request; raises :class:`P2PChatError` for an error reply.
        joint: carries out several, where it can.
        unfinished: counts what all connections have begun to send.
    """

    _requests: trio.Nursery
    _beside: trio.Nursery

    def __init__(
        self,
        stream: trio.SocketStream,
        dispatch: Dispatch,
        joint: Joint | None = None,
        unfinished: Unfinished | None = None,
    ) -> None:
        self._stream = stream
        self._joint = joint
        self._dispatch = dispatch
        self._connection = Connection(self)
        self._splitter = Splitter()
        self._begun = Begun(unfinished or Unfinished())
        self._outgoing = Outgoing(stream.socket, self._lost)
        self._slots = trio.Semaphore(IN_FLIGHT)
        self._arrived: deque[list[_Arrival]] = deque()
        self._joining: list[_Arrival] = []
        self._following: dict[trio.lowlevel.Task, list[_Follower]] = {}
        self._followers: set[trio.CancelScope] = set()
        self._reading = trio.CancelScope()
        self._watched = False

    async def run(self) -> None:
        """Serve; returns when the connection can be closed."""
        async with trio.open_nursery() as self._beside:
            self._beside.start_soon(self._outgoing.run)
            async with trio.open_nursery() as self._requests:
                with self._reading:
                    await self._read()
                if self._requests.child_tasks:
                    self._watch()
            await self._outgoing.flush()
            self._beside.cancel_scope.cancel()

    @property
    def idle_since(self) -> float | None:
        """Since when nothing is under way and nothing waits to be read, on trio's clock; None: something does."""
        is_busy = self._slots.value < IN_FLIGHT or self._followers
        return None if is_busy else self._outgoing.empty_since

    async def make_room(self) -> None:
        """Tell the client of an idle connection that others need its place, and end it. Returns at once."""
        why = "Others need this connection's place: it was the one that wanted nothing for the longest."
        await self._reply(jsonrpc.error(None, "RATE_LIMITED", why))
        self.finish()

    def finish(self) -> None:
        """Read nothing more, as if the client had ended its half."""
        self._reading.cancel()

    async def notify(self, method: str, params: object) -> None:
        await self._put(self._framing.encode(jsonrpc.notification(method, params)))

    def after_reply(self, follower: _Follower) -> None:
        self._following[trio.lowlevel.current_task()].append(follower)

    @property
    def _framing(self) -> Framing:
        return self._splitter.framing or JSON_LINES

    def _watch(self) -> None:
        """Nothing is read any more, or not now, and what was asked may wait for a day: is the client there still?"""
        if not self._watched:
            self._watched = True
            self._beside.start_soon(self._look_after)

    async def _look_after(self) -> None:
        await client_gone(self._stream.socket)
        self._lost()

    def _lost(self) -> None:
        self._reading.cancel()
        self._requests.cancel_scope.deadline = trio.current_time() + GRACE_S
        for scope in self._followers:
            scope.cancel()

    # -- in --------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while self._feed(await self._receive()):
                while (frame := self._splitter.next_frame()) is not None:
                    await self._accept(frame)
                self._begin_joined()
                self._begun.is_now(self._splitter.unfinished_bytes)
            if (last := self._splitter.rest()) is not None:
                await self._accept(last)
                self._begin_joined()
        except FrameError as error:
            self._begin_joined()  # what came before it is carried out
            await self._reply(jsonrpc.error(None, error.error_name, error.message))
        finally:
            self._splitter.clear()
            self._begun.is_now(0)

    def _feed(self, data: bytes) -> bool:
        """Whether there was anything. No variable of :meth:`_read` holds it while that waits: a secret may be in it."""
        self._splitter.feed(data)
        return bool(data)

    async def _receive(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(READ_BYTES))
        except trio.BrokenResourceError:
            return b""  # the client left without reading all that was sent: to this side the same as its end

    async def _accept(self, frame: bytes) -> None:
        try:
            value = self._framing.decode(frame)
        except ParseError as error:
            await self._reply(jsonrpc.error(None, error.error_name, error.message))
            return
        if not isinstance(value, list):
            await self._admit(value, None, len(frame))
            return
        items = cast("list[object]", value)
        if not 0 < len(items) <= BATCH_REQUESTS:
            await self._reply(jsonrpc.error(None, "INVALID_REQUEST", f"A batch has 1 to {BATCH_REQUESTS} requests."))
            return
        batch = _Batch(len(items))
        for item in items:
            await self._admit(item, batch, len(frame) // len(items))

    async def _admit(self, value: object, batch: _Batch | None, size: int) -> None:
        weight = size + reply_bytes(value)
        beside = batch.size if batch is not None else 0
        if not self._outgoing.has_room(weight, beside):
            self._begin_joined()
            self._watch()
            await self._outgoing.room(weight, beside)
        try:
            self._slots.acquire_nowait()  # acquire() would give up the processor even when there is room
        except trio.WouldBlock:
            self._begin_joined()
            self._watch()
            await self._slots.acquire()
        self._outgoing.owe(weight)
        ready = self._joint.ready(value) if self._joint is not None else None
        if ready is not None or self._may_join(value):
            self._joining.append((ready or value, batch, weight))
            return
        self._begin_joined()
        self._begin([(value, batch, weight)])

    def _may_join(self, value: object) -> bool:
        if self._joint is None or not isinstance(value, dict):
            return False
        request = cast("dict[object, object]", value)
        return self._joint.may_join(request.get("method"), request.get("params"))

    def _begin_joined(self) -> None:
        if self._joining:
            joined, self._joining = self._joining, []
            self._begin(joined)

    def _begin(self, arrivals: list[_Arrival]) -> None:
        self._arrived.append(arrivals)
        self._requests.start_soon(self._serve_oldest)

    # -- one request -----------------------------------------------------------------------------------------------

    async def _serve_oldest(self) -> None:
        # trio begins new tasks in no particular order: each takes the oldest request, not the one it was begun for
        arrivals = self._arrived.popleft()
        value, batch, weight = arrivals[0]
        if len(arrivals) > 1 or isinstance(value, jsonrpc.Ready):
            await self._serve_together(arrivals)
            return
        task = trio.lowlevel.current_task()
        followers = self._following[task] = []
        try:
            try:
                request_id, body = await self._answer(value, followers)
            finally:
                self._outgoing.owe(-weight)
            if batch is None:
                await self._settle(body, followers)
            else:
                await self._settle_in(batch, request_id, body, followers)
        finally:
            del self._following[task]
            self._slots.release()

    async def _answer(self, value: object, followers: list[_Follower]) -> tuple[jsonrpc.Id, bytes | None]:
        """The id and the body of the reply; no body for a notification."""
        try:
            request = jsonrpc.parse_request(value)
        except jsonrpc.InvalidRequest as error:
            return error.id, self._framing.encode(jsonrpc.error(error.id, error.error_name, error.message))
        try:
            result = await self._dispatch(request.method, request.params, self._connection)
            body = self._framing.encode(jsonrpc.result(request.id, result)) if request.wants_reply else None
        except Exception as error:  # whatever a handler raises ends its request and nothing else
            followers.clear()
            refusal = self._framing.encode(_refusal(request.id, error))
            body = refusal if request.wants_reply else None
        return request.id, body

    async def _serve_together(self, arrivals: list[_Arrival]) -> None:
        try:
            bodies: list[bytes] = []
            try:
                answers = await self._answer_all(arrivals)
            finally:
                self._outgoing.owe(-sum(weight for _, _, weight in arrivals))
            for (_, batch, _), (request_id, body) in zip(arrivals, answers, strict=True):
                if batch is not None:
                    await self._settle_in(batch, request_id, body, [])
                elif body is not None:
                    bodies.append(self._framing.frame(body))
            if bodies:
                await self._outgoing.put(b"".join(bodies))
        finally:
            for _ in arrivals:
                self._slots.release()

    async def _answer_all(self, arrivals: list[_Arrival]) -> list[tuple[jsonrpc.Id, bytes | None]]:
        """As :meth:`_answer`, for requests that have joined."""
        parsed = [_parsed(value) for value, _, _ in arrivals]
        requests = [each for each in parsed if not isinstance(each, jsonrpc.InvalidRequest)]
        assert self._joint is not None  # noqa: S101  it has said that they may join
        try:
            outcomes = iter(await self._joint.together([each.params for each in requests]))
        except Exception as error:  # as in _answer
            outcomes = repeat(error)
        return [self._reply_of(each, each if isinstance(each, Exception) else next(outcomes)) for each in parsed]

    def _reply_of(
        self, request: jsonrpc.Request | jsonrpc.Ready | jsonrpc.InvalidRequest, outcome: object
    ) -> tuple[jsonrpc.Id, bytes | None]:
        if not isinstance(request, jsonrpc.InvalidRequest) and not request.wants_reply:
            return request.id, None
        if not isinstance(outcome, Exception):
            try:
                return request.id, self._framing.encode(jsonrpc.result(request.id, outcome))
            except UsageError as error:  # the reply is too long
                outcome = error
        return request.id, self._framing.encode(_refusal(request.id, outcome))

    async def _settle(self, body: bytes | None, followers: list[_Follower]) -> None:
        if body is not None:
            await self._put(body)
        for follower in followers:
            self._beside.start_soon(self._follow, follower)

    async def _settle_in(
        self, batch: _Batch, request_id: jsonrpc.Id, body: bytes | None, followers: list[_Follower]
    ) -> None:
        batch.unanswered -= 1
        batch.followers += followers
        if body is not None:
            body = body if batch.fits(body) else self._crowded_out(request_id)
            batch.add(body)
            self._outgoing.owe(len(body) + 1)
        if batch.unanswered == 0:
            self._outgoing.owe(-batch.size)
            await self._settle(self._framing.join(batch.bodies) if batch.bodies else None, batch.followers)

    def _crowded_out(self, request_id: jsonrpc.Id) -> bytes:
        message = "It was carried out, but the replies of this batch are too long together."
        return self._framing.encode(jsonrpc.error(request_id, "TOO_LARGE", message))

    async def _follow(self, follower: _Follower) -> None:
        with trio.CancelScope() as scope:
            self._followers.add(scope)
            try:
                await self._outgoing.flush()
                await follower()
            except Exception as error:  # whatever a subscription raises ends it and nothing else
                refusal = _refusal(None, error)
            else:
                return
            finally:
                self._followers.discard(scope)
            await self._reply(refusal)  # the error is gone by now, and with it all that its traceback refers to

    # -- out -------------------------------------------------------------------------------------------------------

    async def _reply(self, reply: dict[str, object]) -> None:
        await self._put(self._framing.encode(reply))

    async def _put(self, body: bytes) -> None:
        await self._outgoing.put(self._framing.frame(body))


def _parsed(value: object) -> jsonrpc.Request | jsonrpc.Ready | jsonrpc.InvalidRequest:
    if isinstance(value, jsonrpc.Ready):
        return value
    try:
        return jsonrpc.parse_request(value)
    except jsonrpc.InvalidRequest as error:
        return error


def _refusal(request_id: jsonrpc.Id, error: Exception) -> dict[str, object]:
    name = reply_name(error) if isinstance(error, P2PChatError) else None
    if name is None or not isinstance(error, P2PChatError):
        reference = report_defect(error)
        message = f"The node met a defect of its own; its log has it under {reference}."
        return jsonrpc.error(request_id, "INTERNAL", message, {"ref": reference})
    return jsonrpc.error(request_id, name, error.message, error.data)
