"""The half of a node that others see: network, DHT, and whatever talks through them.

It is begun anew with another node key when the old one shall lead nowhere any more (PROTOCOL.md 3.4): a contact was
blocked, say. The other half stays: store, socket, clients and what they wait for. It ends for good when a newer device
of the same person is in use (PROTOCOL.md 5.3), and is not begun at the next start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog
import trio

from p2pchat.api.replaced import ADVICE
from p2pchat.base.errors import NetError
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.net.dht import Dht
from p2pchat.net.dnsaddr import Entry
from p2pchat.net.transport import Network
from p2pchat.net.unconnected import Unconnected
from p2pchat.services import custodies, device, meeting_point, peer_cache, upkeep
from p2pchat.services.access import AccessKeeper
from p2pchat.services.acquaint import Acquaintances
from p2pchat.services.changes import Change
from p2pchat.services.collector import Collector
from p2pchat.services.connect import Connector
from p2pchat.services.context import Context
from p2pchat.services.disk import patiently, recovering
from p2pchat.services.herald import Herald
from p2pchat.services.hold import Hold
from p2pchat.services.holder import Holder
from p2pchat.services.join import join
from p2pchat.services.live import PARTED, STOPPED, Ending, Live, end_all
from p2pchat.services.neighbours import Neighbours
from p2pchat.services.reachability import Reachability
from p2pchat.services.relaying import Relaying
from p2pchat.services.rendezvous import Rendezvous
from p2pchat.services.reservations import Reservations
from p2pchat.services.seek import Seeker
from p2pchat.services.surroundings import Lookout, Surroundings
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
        surroundings: None: nothing of them is noticed, and nobody looked for there.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(
        self,
        context: Context,
        listen: Listen,
        bootstrap: Callable[[], Sequence[Entry]],
        surroundings: Surroundings | None = None,
    ) -> None:
        self._surroundings = surroundings
        self._context = context
        self._listen = listen
        self._bootstrap = bootstrap
        self._over = trio.Event()
        self.connector: Connector | None = None
        self._hold: Hold | None = None

    def online(self, contact: int) -> bool:
        """Whether a live stream to ``contact`` exists."""
        return self.connector is not None and self.connector.online(contact)

    async def save(self) -> None:
        """Write down what the next start goes on from: for a clean stop."""
        if self._hold is not None and self._context.replaced_ms is None:
            await peer_cache.remember(self._context)
            await self._hold.save()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled.

        Raises:
            NetError: the network could not be opened, at first or later.
        """
        context = self._context
        unhook = context.bus.hook(self._heard)
        try:
            context.profile, context.replaced_ms = await patiently(
                context, lambda tx: (meta.load_profile(tx), meta.load_replaced(tx))
            )
            started_alone = context.replaced_ms is not None
            if not started_alone:
                await self._one(task_status, STOPPED)
            while context.replaced_ms is None:
                log.info("node.renewed")
                await self._again()
            log.warning("device.replaced", reason=f"a newer device of yours is in use; {ADVICE}")
            context.network = Unconnected(peer_id_from_key(ed25519_pair(context.profile.node_seed).public))
            await patiently(context, lambda tx: end_all(tx, STOPPED))
            if started_alone:
                task_status.started()
            await upkeep.run_alone(context)
        finally:
            unhook()

    async def _again(self) -> None:
        """The next life. A port that the user has named may take a moment to be free again."""
        for left in range(_TRIES, -1, -1):
            try:
                await self._one(trio.TASK_STATUS_IGNORED, PARTED)  # the node went on: its streams did not
                return
            except NetError as error:
                if error.error_name != "ADDRESS_IN_USE" or not left:
                    raise
            await trio.sleep(_RETRY_S)

    def _heard(self, event: DomainEvent) -> None:
        replaced_ms = device.replaced_by(event)
        if replaced_ms is not None:
            self._context.replaced_ms = replaced_ms
        if event.kind is EventKind.NODE_RENEWED or replaced_ms is not None:
            self._over.set()

    async def _one(self, task_status: trio.TaskStatus[None], before: Ending) -> None:
        """From one node key to the next, or to none; ``before``: see :class:`Live`."""
        context = self._context
        self._over = trio.Event()
        context.profile = await patiently(context, meta.load_profile)
        async with self._listen(context.profile.node_seed) as network:
            context.network = network
            refusals = context.charges.refusals
            context.dht = Dht(network, context.params, context.now, entropy=context.entropy.bytes, refusals=refusals)
            self._hold = hold = Hold(context)
            live = Live(context, self.online, before)
            self.connector = connector = Connector(context, live.parted)

            def led(contact: int) -> None:
                context.nodes_changed()
                connector.hurry(contact)

            seeker = Seeker(context, led)
            herald = Herald(context, connector.wake_all)
            rendezvous = Rendezvous(context, connector.hurry)
            collector = Collector(context, connector.acknowledge, herald.put, herald.nudge)
            context.dht.on_push = seeker.pushed

            def reached() -> None:
                seeker.nudge_all()
                herald.nudge()

            def joined() -> None:
                seeker.nudge_all()
                herald.nudge()
                connector.hurry_all()
                collector.hurry()

            def changed(change: Change) -> None:
                herald.look(change)
                connector.hurry_all()
                collector.hurry()
                reservations.hurry()
                reachability.hurry()
                if change.slept:
                    seeker.nudge_all()

            reservations = Reservations(context, reached)

            def moved() -> None:
                herald.nudge()
                reservations.look()

            reachability = Reachability(context, moved, connector.met)

            async with trio.open_nursery() as nursery:
                await nursery.start(AccessKeeper(context, connector.hurry_all).run)
                await nursery.start(context.dht.run)
                await nursery.start(live.run)
                await nursery.start(connector.run)
                nursery.start_soon(Relaying(context).run)
                nursery.start_soon(reservations.run)
                nursery.start_soon(join, context, self._bootstrap(), joined)
                nursery.start_soon(Acquaintances(context, joined).run)
                nursery.start_soon(meeting_point.announce, context)
                await nursery.start(seeker.run)
                await nursery.start(herald.run)
                await nursery.start(Holder(context).run)
                await nursery.start(collector.run)
                if not context.reach.proxy:  # nobody is asked where this node is, or told, or met half way
                    nursery.start_soon(reachability.run)
                nursery.start_soon(rendezvous.run)
                nursery.start_soon(hold.run)
                nursery.start_soon(upkeep.run, context)
                nursery.start_soon(custodies.run, context)
                if self._surroundings is not None:
                    nursery.start_soon(Lookout(context, self._surroundings).run)
                    if context.reach.lan:
                        nursery.start_soon(Neighbours(context, self._surroundings, joined).run)
                task_status.started()
                with context.changes.hooked(changed), recovering(context.db, joined):
                    await self._over.wait()
                await peer_cache.remember(context)
                nursery.cancel_scope.cancel()
