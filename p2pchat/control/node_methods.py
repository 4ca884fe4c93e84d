"""``node.*``: what runs here."""

from __future__ import annotations

import time
from typing import Final

import trio

import p2pchat
from p2pchat.api import calls, objects, schema
from p2pchat.control.net_methods import addresses
from p2pchat.control.server import Connection
from p2pchat.net.addresses import format_peer_id
from p2pchat.services.context import Context
from p2pchat.store import contacts, eventlog, messages

_FEATURES: Final = ("events.replay", "idempotency")


class NodeMethods:
    """One method of the API each.

    Args:
        stop: set to end the daemon.
    """

    def __init__(self, context: Context, profile: str, stop: trio.Event) -> None:
        self._context = context
        self._profile = profile
        self._stop = stop
        self._started = time.monotonic()

    async def hello(self, _params: calls.NodeHello, _: Connection) -> objects.Hello:
        head, oldest = await self._context.db.run(lambda tx: (eventlog.head(tx), eventlog.oldest(tx)))
        return objects.Hello(
            api=objects.ApiVersion(major=schema.API_MAJOR, minor=schema.API_MINOR),
            node=f"p2pchat/{p2pchat.__version__}",
            profile=self._profile,
            head=head,
            oldest=oldest,
            features=list(_FEATURES),
        )

    async def status(self, _params: calls.NoParams, _: Connection) -> objects.Status:
        context = self._context
        states, outbox = await context.db.run(lambda tx: (contacts.count_states(tx), messages.outbox_size(tx)))
        shown = addresses(context)
        return objects.Status(
            profile=self._profile,
            number=context.profile.number or None,
            name=context.profile.name,
            locked=False,
            uptime_s=int(time.monotonic() - self._started),
            peer_id=format_peer_id(context.network.peer_id),
            addresses=shown,
            peers=len(context.network.links()),
            contacts=objects.ContactCounts(
                matched=states.get("matched", 0), pending=states.get("pending", 0), requests=states.get("request", 0)
            ),
            outbox=outbox,
            # nobody confirms reachability from the internet yet, so no more than this is known
            reachability="lan" if shown else "none",
            clock_ok=context.health.clock_ok,
            version=p2pchat.__version__,
        )

    async def shutdown(self, _params: calls.NoParams, _: Connection) -> objects.Empty:
        self._stop.set()
        return objects.Empty()
