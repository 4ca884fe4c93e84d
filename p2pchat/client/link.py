"""Connections to the daemon, for every way of waiting. What waits is a :class:`Runtime`: the blocking client's never
suspends, trio's and asyncio's do. All else, from here to the socket's bytes, is the same for the three.

Rules:

- Calls share one connection. Any number may wait for their replies: one of them reads, for all; when it leaves, another
  one does. So there is no task in the background, and an error is raised where somebody asked.
- Of what was asked together, one sends for all. When that one is cancelled, what it asked is left out if nothing of it
  was sent, and the rest is sent at once; where that cannot be, for the daemon is behind, the connection is over.
- A connection that was lost fails those who wait on it, and no others: the next call makes a new one.
- A subscription has a connection of its own, and is read when an event is asked for: what nobody asks for waits in the
  daemon's log and not here.

Concurrency: of one runtime in one thread. A call may be cancelled; what it asked is still carried out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final
from typing import Protocol as Interface

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.client.protocol import LOST, Event, Message, Protocol, Reply, Told, Unasked

READ_BYTES: Final = 65_536
SEND_BYTES: Final = 262_144


class Waker(Interface):
    """As ``trio.Event`` and ``asyncio.Event``."""

    def set(self) -> object: ...
    async def wait(self) -> object: ...


class Stream(Interface):
    """One connection. Whatever fails on it is NoDaemon."""

    async def send(self, data: bytes) -> int:
        """Send a beginning of ``data``; how many bytes. Who is cancelled has sent nothing."""
        ...

    def send_now(self, data: bytes) -> int:
        """As :meth:`send`, without waiting: none where that would have to be."""
        ...

    async def receive(self, *, due: bool) -> bytes:
        """The next bytes, none at the end; ``due``: a reply is awaited, so there must be some soon."""
        ...

    def is_over(self) -> bool:
        """Whether the other end has closed it, as far as one can tell without waiting."""
        ...

    def interrupt(self) -> None:
        """End it for whoever waits on it."""
        ...

    def close(self) -> None: ...


class Runtime(Interface):
    """How a client waits."""

    @property
    def ended(self) -> bool:
        """Whether the client was closed or interrupted: then nothing is waited for any more."""
        ...

    def connect(self) -> Stream: ...
    def waker(self) -> Waker: ...
    async def sleep(self, seconds: float) -> None: ...


class Pipe:
    """A stream of messages."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.protocol = Protocol()
        self.refusal: ApiError | None = None  # what the other end has said before it closed it, if it has

    async def read(self, *, due: bool) -> Message:
        """The next message; see :meth:`Stream.receive`.

        Raises:
            NoDaemon: there is none and there will be none.
        """
        while (message := self.protocol.next_message()) is None:
            self.protocol.feed(await self.stream.receive(due=due))
        return message

    async def send(self, data: bytes) -> int:
        """Send a beginning of ``data``; how many bytes. Not while another task reads.

        Raises:
            NoDaemon: the other end has closed it.
            ApiError: it has said why before.
        """
        try:
            return await self.stream.send(data)
        except NoDaemon:
            while True:  # what waits to be read is the last that comes
                match await self.read(due=True):
                    case Unasked() as unasked:
                        self.refusal = unasked.error
                        raise self.refusal from None
                    case _:
                        pass


class _Call:
    """One call that waits. ``reply``: its outcome, as soon as there is one."""

    def __init__(self) -> None:
        self.reply: Reply | None = None
        self.waker: Waker | None = None

    def wake(self) -> None:
        if self.waker is not None:
            self.waker.set()


class Exchange:
    """Calls over one connection."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pipe = Pipe(runtime.connect())
        self._calls: dict[int, _Call] = {}
        self._reader: _Call | None = None
        self._outgoing = bytearray()
        self._is_sending = False
        self._lost: ApiError | None = None

    def is_over(self) -> bool:
        """Whether another connection is needed for the next call."""
        return self._lost is not None or (not self._calls and self._pipe.stream.is_over())

    def close(self) -> None:
        """Leave; who waits gets NoDaemon."""
        self._lose(NoDaemon(LOST))

    async def call(self, method: str, params: Mapping[str, object]) -> dict[str, object]:
        """The result of one call.

        Raises:
            ApiError: the daemon's error reply.
            NoDaemon: the connection ended before the reply.
        """
        number, line = self._pipe.protocol.request(method, params)
        mine = self._calls[number] = _Call()
        try:
            await self._send(line)
            while mine.reply is None:
                await self._read_or_wait(mine)
        finally:
            del self._calls[number]
            if self._reader is mine:
                self._hand_over()
        if mine.reply.error is not None:
            raise mine.reply.error
        return mine.reply.result

    async def wait_closed(self) -> None:
        """Read until the other end has closed it."""
        while self._lost is None:
            await self._read()

    async def _send(self, line: bytes) -> None:
        self._outgoing += line
        if self._is_sending:
            return  # whoever does it sends this, too
        self._is_sending, has_begun = True, False
        try:
            while self._outgoing:
                sends = self._pipe.send if self._reader is None else self._pipe.stream.send
                del self._outgoing[: await sends(bytes(self._outgoing[:SEND_BYTES]))]
                has_begun = True
        except BaseException as error:
            if isinstance(error, ApiError) and (isinstance(error, NoDaemon) or error is self._pipe.refusal):
                self._lose(error)
                raise
            if not has_begun:
                del self._outgoing[: len(line)]
            self._send_now()
            raise
        finally:
            self._is_sending = False

    def _send_now(self) -> None:
        """What others have asked meanwhile, or the rest of what has begun."""
        try:
            while self._outgoing and (sent := self._pipe.stream.send_now(bytes(self._outgoing[:SEND_BYTES]))):
                del self._outgoing[:sent]
        except NoDaemon as error:
            self._lose(error)
        if self._outgoing:
            self._lose(NoDaemon(LOST))

    async def _read_or_wait(self, mine: _Call) -> None:
        if self._reader is None:
            self._reader = mine
        if self._reader is mine:
            await self._read()
            return
        mine.waker = self._runtime.waker()
        await mine.waker.wait()

    async def _read(self) -> None:
        try:
            message = await self._pipe.read(due=True)
        except NoDaemon as error:
            self._lose(error)
            return
        match message:
            case Reply():
                self._settle(message.number, message)
            case Unasked():  # of which request, if of one, cannot be known
                for number in self._calls:
                    self._settle(number, Reply(number, {}, message.error))
            case Told():  # of a subscription that nobody reads
                pass

    def _settle(self, number: int, reply: Reply) -> None:
        call = self._calls.get(number)
        if call is not None and call.reply is None:  # else it was cancelled
            call.reply = reply
            call.wake()

    def _lose(self, error: ApiError) -> None:
        if self._lost is not None:
            return
        self._lost = error
        for number in self._calls:
            self._settle(number, Reply(number, {}, error))
        if self._reader is None:
            self._pipe.stream.close()
        else:
            self._pipe.stream.interrupt()  # it is closed when nobody reads

    def _hand_over(self) -> None:
        # one who waits, not one who still sends
        ready = (call for call in self._calls.values() if call.reply is None and call.waker is not None)
        self._reader = next(ready, None)
        if self._reader is not None:
            self._reader.wake()
        elif self._lost is not None:
            self._pipe.stream.close()


class Subscription:
    """Events over a connection of their own."""

    def __init__(self, runtime: Runtime) -> None:
        self._pipe = Pipe(runtime.connect())
        self._told: deque[Event] = deque()

    async def begin(self, params: Mapping[str, object]) -> dict[str, object]:
        """The reply to ``events.subscribe``.

        Raises:
            ApiError: the daemon refuses.
            NoDaemon: the connection ended.
        """
        number, line = self._pipe.protocol.request("events.subscribe", params)
        while line:
            line = line[await self._pipe.send(line) :]
        while True:
            match await self._pipe.read(due=True):
                case Reply() as reply if reply.number == number:
                    if reply.error is not None:
                        raise reply.error
                    return reply.result
                case Told() as told:
                    self._told.append(told.event)
                case Unasked() as unasked:
                    raise unasked.error
                case Reply():
                    pass

    async def next_event(self) -> Event:
        """The next event.

        Raises:
            ApiError: the subscription is over.
            NoDaemon: the connection ended.
        """
        while not self._told:
            match await self._pipe.read(due=False):
                case Told() as told:
                    self._told.append(told.event)
                case Unasked() as unasked:
                    raise unasked.error
                case Reply():
                    pass
        return self._told.popleft()

    def close(self) -> None:
        """End it."""
        self._pipe.stream.close()
