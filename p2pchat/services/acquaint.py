"""Contacts' nodes as first peers of the DHT, for a node that stands alone (PROTOCOL.md 7.6).

A connection alone makes nobody a peer of the DHT: a stranger's would be one more way to surround this node. The node of
a contact may come when nobody else is left, by knocking say, or where a relay is all that two have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import structlog
import trio

from p2pchat.base.errors import NetError, StoreError
from p2pchat.base.ids import PeerId
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.store import contact_peers

log = structlog.get_logger()


class Acquaintances:
    """Asks those who come while this node stands alone.

    Args:
        joined: called when one of them takes part in the DHT, and this node with it.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context, joined: Callable[[], None]) -> None:
        self._context = context
        self._joined = joined
        self._nursery: trio.Nursery | None = None
        self._joining = trio.Lock()
        self._joined_at = float("-inf")

    async def run(self) -> None:
        """Until cancelled."""
        self._context.network.watch(self._peer_changed)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await trio.sleep_forever()
        finally:
            self._nursery = None

    def _peer_changed(self, peer: PeerId, connected: bool) -> None:
        if connected and self._nursery is not None and self._context.dht.peers() == 0:
            self._nursery.start_soon(self._ask, peer)

    async def _ask(self, peer: PeerId) -> None:
        dht, asked_at = self._context.dht, trio.current_time()
        try:
            if not await self._context.db.run(lambda tx: contact_peers.is_of_matched(tx, peer)):
                return
        except StoreError as error:  # a full disk voids reads, too: it comes another time
            log.warning("bootstrap.failed", error=cause(error))
            return
        if not await dht.contact(peer, ()):
            return
        async with self._joining:
            if self._joined_at >= asked_at:
                return  # of several who came at the same time, as after a start, one leads into the network
            with suppress(NetError):  # it has left again
                log.info("bootstrap.done", count=await dht.bootstrap([(peer, ())]))
                self._joined_at = trio.current_time()
                self._joined()
