"""The half of a node that others see: network, DHT, and whatever talks through them.

It is begun anew with another node key when the old one shall lead nowhere any more (PROTOCOL.md 3.4): a contact was
blocked, say. The other half stays: store, socket, clients and what they wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog
import trio

from p2pchat.base.errors import NetError
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.net.dht import Dht
from p2pchat.net.transport import Network
from p2pchat.services import upkeep
from p2pchat.services.connect import Connector
from p2pchat.services.context import Context
from p2pchat.services.herald import Herald
from p2pchat.services.hold import Hold
from p2pchat.services.join import NodeAddress, join
from p2pchat.services.rendezvous import Rendezvous
from p2pchat.services.seek import Seeker
from p2pchat.store import meta

Listen = Callable[[bytes], AbstractAsyncContextManager[Network]]
"""The 32-byte seed of a node key → a network end that listens under it."""

_TRIES: Final = 30
_RETRY_S: Final = 1.0

log = structlog.get_logger()


class Life:
    """One node's connected half.

    Args:
        listen: opens the network.
        bootstrap: the nodes to start from, asked for at each beginning.

    Resource handling: everything runs inside :meth:`run`.
    """

    connector: Connector
    _hold: Hold

    def __init__(self, context: Context, listen: Listen, bootstrap: Callable[[], Sequence[NodeAddress]]) -> None:
        self._context = context
        self._listen = listen
        self._bootstrap = bootstrap
        self._renewed = trio.Event()

    def online(self, contact: int) -> bool:
        """Whether a live stream to ``contact`` exists."""
        return self.connector.online(contact)

    async def save(self) -> None:
        """Write down what the next start goes on from: for a clean stop."""
        await upkeep.remember_peers(self._context)
        await self._hold.save()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled.

        Raises:
            NetError: the network could not be opened, at first or later.
        """
        unhook = self._context.bus.hook(self._heard)
        try:
            await self._one(task_status)
            while True:
                log.info("node.renewed")
                await self._again()
        finally:
            unhook()

    async def _again(self) -> None:
        """The next life. A port that the user has named may take a moment to be free again."""
        for left in range(_TRIES, -1, -1):
            try:
                await self._one(trio.TASK_STATUS_IGNORED)
                return
            except NetError as error:
                if error.error_name != "ADDRESS_IN_USE" or not left:
                    raise
            await trio.sleep(_RETRY_S)

    def _heard(self, event: DomainEvent) -> None:
        if event.kind is EventKind.NODE_RENEWED:
            self._renewed.set()

    async def _one(self, task_status: trio.TaskStatus[None]) -> None:
        """From one node key to the next."""
        context = self._context
        self._renewed = trio.Event()
        context.profile = await context.db.run(meta.load_profile)
        async with self._listen(context.profile.node_seed) as network:
            context.network = network
            context.dht = Dht(network, context.params, context.now, entropy=context.entropy.bytes)
            self._hold = hold = Hold(context)
            self.connector = connector = Connector(context)
            seeker = Seeker(context, connector.hurry)
            herald = Herald(context, connector.wake_all)
            rendezvous = Rendezvous(context, connector.hurry)
            context.dht.on_push = seeker.pushed

            def joined() -> None:
                seeker.nudge_all()
                herald.nudge()
                connector.hurry_all()

            async with trio.open_nursery() as nursery:
                await nursery.start(context.dht.run)
                await nursery.start(connector.run)
                nursery.start_soon(join, context, self._bootstrap(), joined)
                await nursery.start(seeker.run)
                await nursery.start(herald.run)
                nursery.start_soon(rendezvous.run)
                nursery.start_soon(hold.run)
                nursery.start_soon(upkeep.run, context)
                task_status.started()
                await self._renewed.wait()
                await upkeep.remember_peers(context)
                nursery.cancel_scope.cancel()
