"""What the clients for trio and for asyncio share: everything but how they wait.

Any number of tasks may call at once: their requests go over one connection, and replies come as they are ready. There
is no task in the background; every error is raised where somebody asked.

Concurrency: for all tasks of one run or loop. What is cancelled leaves at once; what it asked is still carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, Self

from p2pchat.api.errors import ApiError
from p2pchat.client.caller import Caller, Stream, chance
from p2pchat.client.following import Following, Pauses, Since
from p2pchat.client.link import Runtime
from p2pchat.client.protocol import Event


class AwaitedRuntime(Runtime, Protocol):
    """A way of waiting that other tasks go on beside."""

    async def checkpoint(self) -> None:
        """Let others run."""
        ...

    def end(self) -> None:
        """Close every connection; who waits is told, with NoDaemon."""
        ...


class AwaitedClient:
    """One client of a daemon; it connects when it is entered, or at the first call."""

    def __init__(self, runtime: AwaitedRuntime) -> None:
        self._runtime = runtime
        self._caller = Caller(runtime)

    async def __aenter__(self) -> Self:
        """Raises: NoDaemon: nothing answers there; ApiError: FORBIDDEN, the socket is another user's."""
        await self._runtime.checkpoint()
        self._caller.exchange()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave; calls and events that are waited for end with NoDaemon."""
        self._runtime.end()
        self._caller.close()

    async def call(self, method: str, /, **params: object) -> dict[str, object]:
        """The result of one call. A parameter that is None is sent as null: not given.

        Raises:
            ApiError: the daemon's error reply.
            NoDaemon: the connection ended before the reply. Whether the call was carried out is then not known: with
                an ``idempotency_key`` it can be made again.
        """
        return await self._caller.call(method, params)

    async def insist(self, method: str, /, **params: object) -> dict[str, object]:
        """As :meth:`call`, but made again until the daemon answers, however long it is away, locked, or has too many
        clients. Give an ``idempotency_key`` with what changes anything: then it is done once.

        Raises:
            ApiError: any other error reply.
        """
        return await self._caller.insist(method, params)

    def events(
        self,
        *,
        since: Since = "now",
        consumer: str | None = None,
        types: Sequence[str] | None = None,
        log: str | None = None,
        ack: Literal["auto", "manual"] = "auto",
        reconnect: bool = True,
        on_lost: Callable[[ApiError], object] | None = None,
    ) -> AwaitedEvents:
        """Events as they happen, without end; see :meth:`p2pchat.client.blocking.Client.events` for what the arguments
        mean and what is raised.

        The subscription begins when the first event is asked for, or at ``async with client.events(…) as events:``.
        """
        following = Following(
            Pauses(chance), since=since, consumer=consumer, types=types, log=log, reconnect=reconnect, on_lost=on_lost
        )
        return AwaitedEvents(self._runtime, Stream(self._runtime, self._caller, following), auto=ack == "auto")


class AwaitedEvents:
    """Events of one subscription: an asynchronous iterator, and a context that ends it. For one task at a time."""

    def __init__(self, runtime: AwaitedRuntime, stream: Stream, *, auto: bool) -> None:
        self._runtime = runtime
        self._stream = stream
        self._auto = auto

    @property
    def log(self) -> str | None:
        """Of which log the ``seq`` of these events are; None: it has not begun, or the daemon does not say so."""
        return self._stream.log

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._stream.closed:
            raise StopAsyncIteration
        await self._runtime.checkpoint()  # events that have come together do not keep other tasks waiting
        return await self._stream.next(done=self._auto)

    async def __aenter__(self) -> Self:
        await self._stream.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def ack(self, event: Event) -> None:
        """Have ``event``, and all before it, acknowledged for the consumer; returns when that is committed.

        Raises:
            ApiError: the daemon refuses; NO_DAEMON and LOCKED are waited for as long as it takes.
            ValueError: these events have no consumer.
        """
        await self._stream.ack(event)

    def close(self) -> None:
        """End it. An event that was told and not acknowledged is told again to the consumer's next reader."""
        self._stream.close()
