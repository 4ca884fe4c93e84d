"""Subscribers pull from the event log: there is no queue to overflow, and a stuck one slows nobody.

A subscription holds one page of the log, of a bounded size, until its client has taken it. What of its types is dropped
from the log before it has come there ends it with CURSOR_EXPIRED: it passes over nothing that it reads.

When the node is locked a subscription tells what is in the log, ``node.locked`` last, and ends with an error LOCKED.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from secrets import token_hex
from typing import Final
from weakref import WeakKeyDictionary

import trio

from p2pchat.api import objects, schema
from p2pchat.api.event_calls import Reader
from p2pchat.base.errors import UsageError
from p2pchat.base.limits import EVENTS_PAGE_BYTES
from p2pchat.control import render
from p2pchat.control.locked import locked
from p2pchat.control.server import Connection
from p2pchat.core.events import DomainEvent
from p2pchat.services import consumers
from p2pchat.services.context import Context
from p2pchat.services.disk import patiently
from p2pchat.store import eventlog
from p2pchat.store.db import Tx

_PAGE: Final = 256
_PER_CONNECTION: Final = 64


@dataclass(slots=True)
class _Subscription:
    """``cursor``: the last seq told; ``mark``: the same for what is not stored."""

    name: str
    connection: Connection
    types: Sequence[str] | None
    cursor: int
    mark: int
    scope: trio.CancelScope


class Subscriptions:
    """The subscriptions of all connections; each ends with its connection.

    Args:
        online: whether a contact is connected now.
    """

    def __init__(self, context: Context, online: render.Online) -> None:
        self._context = context
        self._online = online
        self._running: dict[str, _Subscription] = {}
        self._counts: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()
        self._ending = False
        self._last_ended = trio.Event()

    async def subscribe(
        self, since: int | str | Reader, types: Sequence[str] | None, log: str | None, connection: Connection
    ) -> objects.Subscription:
        """Begin to notify ``connection``, once the reply to this call is on its way.

        Raises:
            UsageError: CURSOR_EXPIRED with ``oldest``; RATE_LIMITED, too many on one connection; INVALID_PARAMS, too
                many consumers.
        """
        known = self._context.db.log
        consumers.refuse_another(known, log)
        mark, _ = self._context.bus.transient_after(0)
        cursor = await self._context.db.run(lambda tx: _cursor(tx, since, types))
        if self._counts.get(connection, 0) >= _PER_CONNECTION:
            raise UsageError(f"A connection has at most {_PER_CONNECTION} subscriptions.", name="RATE_LIMITED")
        self._counts[connection] = self._counts.get(connection, 0) + 1
        subscription = _Subscription(token_hex(8), connection, types, cursor, mark, trio.CancelScope())
        connection.after_reply(self._pump, subscription)
        return objects.Subscription(subscription=subscription.name, cursor=cursor, log=known.log)

    def unsubscribe(self, name: str, connection: Connection) -> None:
        """End a subscription.

        Raises:
            UsageError: INVALID_PARAMS, it is none of this connection.
        """
        subscription = self._running.get(name)
        if subscription is None or subscription.connection is not connection:
            raise UsageError("subscription: is none of this connection", data={"param": "subscription"})
        del self._running[name]
        subscription.scope.cancel()

    async def end(self, grace_s: float) -> None:
        """Let every subscription tell what there is; one that takes longer than ``grace_s`` is cut off."""
        self._ending = True
        self._context.bus.committed([])
        with trio.move_on_after(grace_s):
            await self._ended()
        for subscription in self._running.values():
            subscription.scope.cancel()
        await self._ended()

    async def _ended(self) -> None:
        self._last_ended = trio.Event()
        if self._running:
            await self._last_ended.wait()

    async def fetch(
        self, since: int | Reader, types: Sequence[str] | None, log: str | None, limit: int
    ) -> objects.Events:
        """Up to ``limit`` fitting events after ``since``; empty at the end of the log.

        Raises:
            UsageError: CURSOR_EXPIRED; INVALID_PARAMS, too many consumers.
        """
        consumers.refuse_another(self._context.db.log, log)
        found: list[objects.Event] = []
        size = 0
        cursor = await self._context.db.run(lambda tx: _cursor(tx, since, types))
        while True:
            cursor, page, at_end = await self._context.db.run(partial(self._page, cursor, types))
            for event in page:
                size += render.size_of(event.data)
                if len(found) == limit or (found and size > render.PAGE_BYTES):
                    return objects.Events(events=found)
                found.append(event)
            if at_end:
                return objects.Events(events=found)

    def _page(self, cursor: int, types: Sequence[str] | None, tx: Tx) -> tuple[int, list[objects.Event], bool]:
        """(how far was read, what of it fits, whether there was nothing more)"""
        consumers.refuse_if_gone(tx, cursor, types)
        rows = eventlog.after(tx, cursor, _PAGE)
        store_id, size = self._context.profile.store_id, 0
        fitting: list[objects.Event] = []
        for row in rows:
            cursor = row.seq
            if schema.type_matches(types, row.kind):
                event = render.event(tx, row, self._online, store_id)
                fitting.append(event)
                size += render.size_of(event.data)
                if size > EVENTS_PAGE_BYTES:
                    break
        return cursor, fitting, not rows

    async def _pump(self, subscription: _Subscription) -> None:
        if self._ending:  # its reply was not read until now
            raise locked()
        self._running[subscription.name] = subscription
        try:
            with subscription.scope:
                await self._tell_all(subscription)
        finally:
            self._running.pop(subscription.name, None)
            self._counts[subscription.connection] -= 1
            if not self._running:
                self._last_ended.set()
        if self._ending:
            raise locked()

    async def _tell_all(self, subscription: _Subscription) -> None:
        """Until the log ends for good."""
        while True:
            news, ending = self._context.bus.edge(), self._ending
            if not await self._tell(subscription):
                if ending:
                    return
                await news()

    async def _tell(self, subscription: _Subscription) -> bool:
        """Send what is new; True if there was something in the log, so there may be more."""
        mark, told = self._context.bus.transient_after(subscription.mark)
        wanted = [event for event in told if schema.type_matches(subscription.types, event.kind.value)]

        def look(tx: Tx) -> tuple[int, list[objects.Event], bool]:
            cursor, page, at_end = self._page(subscription.cursor, subscription.types, tx)
            return cursor, page + self._transient(tx, wanted), at_end

        cursor, events, at_end = await patiently(self._context, look)
        for event in events:
            notice = objects.EventNotification(
                subscription=subscription.name, seq=event.seq, ts=event.ts, type=event.type, data=event.data
            )
            await subscription.connection.notify("event", notice)
        subscription.cursor, subscription.mark = cursor, mark
        return not at_end

    def _transient(self, tx: Tx, told: list[DomainEvent]) -> list[objects.Event]:
        return [render.transient(tx, event, self._online) for event in told]


def _cursor(tx: Tx, since: int | str | Reader, types: Sequence[str] | None) -> int:
    if isinstance(since, Reader):
        return consumers.enter(tx, since.consumer, _seq(since.start), types)
    return consumers.after(tx, _seq(since), types)


def _seq(since: int | str) -> int | None:
    """None: from now on."""
    return None if isinstance(since, str) else since
