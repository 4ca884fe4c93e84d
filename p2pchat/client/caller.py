"""What the three clients do: calls, calls that are repeated, and events that go on where they were. Each client gives
it its way of waiting; see :mod:`p2pchat.client.link`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.client.following import PASSING, Following, Pauses
from p2pchat.client.link import Exchange, Runtime, Subscription
from p2pchat.client.protocol import LOST, Event


def chance() -> float:
    """From 0 up to 1; for pauses, which are no secret."""
    return int.from_bytes(os.urandom(2), "big") / 65_536


class Caller:
    """Calls over a connection that is made anew when it was lost."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._exchange: Exchange | None = None

    def exchange(self) -> Exchange:
        """The connection, made where there is none.

        Raises:
            NoDaemon: nothing answers, or the client was closed or interrupted.
            ApiError: FORBIDDEN, the socket is another user's.
        """
        if self.runtime.ended:
            raise NoDaemon(LOST)
        if self._exchange is not None and self._exchange.is_over():
            self._exchange.close()
            self._exchange = None
        if self._exchange is None:
            self._exchange = Exchange(self.runtime)
        return self._exchange

    async def call(self, method: str, params: Mapping[str, object]) -> dict[str, object]:
        """See :meth:`p2pchat.client.blocking.Client.call`."""
        return await self.exchange().call(method, params)

    async def insist(self, method: str, params: Mapping[str, object]) -> dict[str, object]:
        """See :meth:`p2pchat.client.blocking.Client.insist`."""
        pauses = Pauses(chance)
        while True:
            try:
                return await self.call(method, params)
            except ApiError as error:
                if self.runtime.ended or error.error_name not in PASSING:
                    raise
                pause_s = pauses.after(error)
            await self.runtime.sleep(pause_s)

    async def wait_closed(self) -> None:
        """Until the other end has closed the connection, if there is one."""
        if self._exchange is not None:
            await self._exchange.wait_closed()

    def close(self) -> None:
        """Leave."""
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None


class Stream:
    """The events of one reader.

    Args:
        runtime: by which it waits; its own deadline, if it has one, is the whole stream's.
        caller: who acknowledges.
    """

    def __init__(self, runtime: Runtime, caller: Caller, following: Following) -> None:
        self._runtime = runtime
        self._caller = caller
        self._following = following
        self._subscription: Subscription | None = None
        self.closed = False

    @property
    def log(self) -> str | None:
        """Which log is read; None: it is not known."""
        return self._following.log

    async def begin(self) -> None:
        """Subscribe, where that was not done yet; a locked daemon is waited for.

        Raises:
            ApiError: CURSOR_EXPIRED, or whatever the daemon refuses with.
            NoDaemon: nothing answers.
        """
        while self._subscription is None:
            try:
                await self._begin()
            except ApiError as error:
                if error.error_name != "LOCKED":
                    raise
                pause_s = self._given_up(error)
            else:
                return
            await self._runtime.sleep(pause_s)

    async def _begin(self) -> None:
        if self._runtime.ended:
            raise NoDaemon(LOST)
        subscription = Subscription(self._runtime)
        try:
            self._following.began(await subscription.begin(self._following.subscription()))
        except BaseException:
            subscription.close()
            raise
        self._subscription = subscription

    async def next(self, *, done: bool) -> Event:
        """The next event; ``done``: the one before it is.

        Raises:
            ApiError: as :meth:`begin`, but for what passes by itself.
        """
        if done:
            self._following.proceed()
        while True:
            if self._runtime.ended:
                raise NoDaemon(LOST)
            try:
                await self._acknowledge()
                await self.begin()
                assert self._subscription is not None  # noqa: S101  it has begun
                return self._following.told(await self._subscription.next_event())
            except ApiError as error:
                pause_s = self._given_up(error)
            await self._runtime.sleep(pause_s)

    async def ack(self, event: Event) -> None:
        """Have ``event``, and all before it, acknowledged; returns when the daemon has committed that."""
        self._following.done(event)
        while True:
            try:
                return await self._acknowledge()
            except ApiError as error:
                pause_s = self._given_up(error)
            await self._runtime.sleep(pause_s)

    def close(self) -> None:
        """Leave; the event that was told last is not acknowledged by that."""
        self.closed = True
        self._drop()

    async def _acknowledge(self) -> None:
        ack = self._following.ack()
        if ack is not None:
            await self._caller.call("events.ack", ack)
            self._following.acked(ack)

    def _given_up(self, error: ApiError) -> float:
        """Seconds until the next attempt on another connection; raises ``error`` where there is none."""
        self._drop()
        if self._runtime.ended or self.closed:
            raise error
        return self._following.after(error)

    def _drop(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
