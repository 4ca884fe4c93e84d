"""Who may come near, kept up to date: the user's rules and the nodes of contacts, from the store to the network.

Rules:

- What the user says is in effect when :attr:`Context.renew_access` returns.
- Which nodes contacts have changes by itself: when a place to reach one is read, when something of its comes from a
  node, when it is removed or blocked. That takes effect a moment later.
- A node that a contact names counts before anything has come from it: it has to be let in to show that. To ask for a
  proof would keep out nobody whom a contact wants to let in, who need only be given an envelope to hand in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

import structlog
import trio

from p2pchat.base.errors import StoreError
from p2pchat.core.access import Access
from p2pchat.core.events import DomainEvent
from p2pchat.services.context import Context, Reach, forget_nodes, keep_access
from p2pchat.services.defects import cause
from p2pchat.store import contact_peers, rules
from p2pchat.store.db import Tx

_STORE_RETRY_S: Final = 30.0

log = structlog.get_logger()


def load(tx: Tx, reach: Reach) -> Access:
    """Who may come near by what the store says."""
    rows = rules.everyone(tx)
    said = {row.about.contact: row.allow for row in rows if row.about.contact is not None}
    owners = contact_peers.owners(tx) if said or reach.mode == "contacts" else {}
    return Access(
        reach.mode,
        relays=reach.relays,
        peers={row.about.peer: row.allow for row in rows if row.about.peer is not None},
        nodes={peer: said[contact] for peer, contact in owners.items() if contact in said},
        networks={ipaddress.ip_network(row.about.network): row.allow for row in rows if row.about.network is not None},
        friends=frozenset(owners) if reach.mode == "contacts" else frozenset(),
    )


class AccessKeeper:
    """That of one node key's life.

    Args:
        changed: called when the user's rules are others: somebody may be reached who was not.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context, changed: Callable[[], None]) -> None:
        self._context = context
        self._changed = changed
        self._news = trio.Event()
        self._renewing = trio.Lock()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; started once the network keeps to the rules."""
        context = self._context
        unhook = context.bus.hook(self._heard)
        context.renew_access, context.nodes_changed = self._renew, self._note
        try:
            await self._until_applied()
            task_status.started()
            while True:
                await self._news.wait()
                await self._until_applied()
        finally:
            unhook()
            context.renew_access, context.nodes_changed = keep_access, forget_nodes

    async def _until_applied(self) -> None:
        while True:
            self._news = trio.Event()
            try:
                await self._apply()
                return
            except StoreError as error:  # a full disk voids reads, too, and space comes back
                log.warning("access.store_failed", error=cause(error))
                await trio.sleep(_STORE_RETRY_S)

    async def _renew(self) -> None:
        try:
            await self._apply()
        except StoreError:  # it is written down, and counts as soon as it can be read
            self._note()
            raise
        self._changed()

    async def _apply(self) -> None:
        async with self._renewing:  # or an older state could come after a newer one
            context = self._context
            context.access = await context.db.run(lambda tx: load(tx, context.reach))
            await context.network.restrict(context.access)

    def _note(self) -> None:
        self._news.set()

    def _heard(self, event: DomainEvent) -> None:
        if event.kind.value.startswith("contact."):
            self._note()
