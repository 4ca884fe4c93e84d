"""Offers to relay for others, while the user allows it and others reach this node (PROTOCOL.md 7.2)."""

from __future__ import annotations

import structlog
import trio

from p2pchat.base.limits import RELAY_CHECK_S
from p2pchat.net.relay_server import RelayServer
from p2pchat.services.context import Context

log = structlog.get_logger()


class Relaying:
    """The offer of one node key's life."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._server = RelayServer(context.network, context.now, context.charges.refusals)

    async def run(self) -> None:
        """Until cancelled, or at once where nothing is to be offered."""
        reach = self._context.reach
        while reach.relay_offer != "off" and not reach.is_local:
            await self._until(offered=True)
            log.info("relay.offered")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._server.run)
                await self._until(offered=False)
                nursery.cancel_scope.cancel()
            log.info("relay.withdrawn")

    async def _until(self, *, offered: bool) -> None:
        while self._is_offered() != offered:  # noqa: ASYNC110  whoever decides on the standing tells nobody
            await trio.sleep(RELAY_CHECK_S)

    def _is_offered(self) -> bool:
        offer = self._context.reach.relay_offer
        return offer == "on" or (offer == "auto" and self._context.network.standing == "public")
