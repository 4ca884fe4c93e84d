"""``events.*``: the event log."""

from __future__ import annotations

from p2pchat.api import calls, objects
from p2pchat.control import render
from p2pchat.control.server import Connection
from p2pchat.control.subscriptions import Subscriptions
from p2pchat.services.context import Context


class EventMethods:
    """One method of the API each."""

    def __init__(self, context: Context, online: render.Online) -> None:
        self._subscriptions = Subscriptions(context, online)

    async def subscribe(self, params: calls.EventsSubscribe, connection: Connection) -> objects.Subscription:
        return await self._subscriptions.subscribe(params.since, params.types, connection)

    async def unsubscribe(self, params: calls.EventsUnsubscribe, connection: Connection) -> objects.Empty:
        self._subscriptions.unsubscribe(params.subscription, connection)
        return objects.Empty()

    async def fetch(self, params: calls.EventsFetch, _: Connection) -> objects.Events:
        return await self._subscriptions.fetch(params.since, params.types, params.limit)

    async def end(self, grace_s: float) -> None:
        """End every subscription: LOCKED, after it has told of ``node.locked``, but within ``grace_s``."""
        await self._subscriptions.end(grace_s)
