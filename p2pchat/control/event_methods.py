"""``events.*``: the event log."""

from __future__ import annotations

from p2pchat.api import calls, event_calls, objects
from p2pchat.control import render
from p2pchat.control.server import Connection
from p2pchat.control.subscriptions import Subscriptions
from p2pchat.services import consumers as verbs
from p2pchat.services.context import Context
from p2pchat.store import consumers
from p2pchat.store.consumers import ConsumerRow


class EventMethods:
    """One method of the API each."""

    def __init__(self, context: Context, online: render.Online) -> None:
        self._context = context
        self._subscriptions = Subscriptions(context, online)

    async def subscribe(self, params: event_calls.EventsSubscribe, connection: Connection) -> objects.Subscription:
        return await self._subscriptions.subscribe(params.since, params.types, params.log, connection)

    async def unsubscribe(self, params: event_calls.EventsUnsubscribe, connection: Connection) -> objects.Empty:
        self._subscriptions.unsubscribe(params.subscription, connection)
        return objects.Empty()

    async def fetch(self, params: event_calls.EventsFetch, _: Connection) -> objects.Events:
        return await self._subscriptions.fetch(params.since, params.types, params.log, params.limit)

    async def ack(self, params: event_calls.EventsAck, _: Connection) -> objects.Consumer:
        return _shown(await self._context.db.run(lambda tx: verbs.acknowledge(tx, params.consumer, params.seq)))

    async def consumers(self, _params: calls.NoParams, _: Connection) -> objects.Consumers:
        rows = await self._context.db.run(consumers.everyone)
        return objects.Consumers(consumers=[_shown(row) for row in rows])

    async def forget(self, params: event_calls.EventsForget, _: Connection) -> objects.Consumer:
        return _shown(await self._context.db.run(lambda tx: verbs.forget(tx, params.consumer)))

    async def end(self, grace_s: float) -> None:
        """End every subscription: LOCKED, after it has told of ``node.locked``, but within ``grace_s``."""
        await self._subscriptions.end(grace_s)


def _shown(row: ConsumerRow) -> objects.Consumer:
    """A consumer as it is now."""
    return objects.Consumer(name=row.name, seq=row.seq, acked_ms=row.acked_ms, made_ms=row.made_ms)
