"""Contacts that were met half way are met there again, without any node between (PROTOCOL.md 7.4, Knocking).

Rules:

- Who is not connected is knocked at where it was met last: an address that came from a connection whose other end has
  shown its key, of a node of a matched contact, global. No other address is ever knocked at.
- Who leads is decided for good: the node with the higher PeerID. What the other one does opens its own NAT for that
  one address, for tens of seconds at least.
- For a while that is often, then every ten minutes, which is less than that while: who has just begun meets once who
  has gone on for days. Something to send, a lost connection and a changed network begin it anew.
- It ends with a connection by whatever way. One through a relay is turned into a direct one by
  :mod:`p2pchat.services.upgrade`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError, StoreError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.net.addresses import is_global
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.store import contact_peers

_STORE_RETRY_S: Final = 30.0

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class _Search:
    """Of one peer. ``anew``: there is a new reason for it."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    anew: trio.Event = field(default_factory=trio.Event)


class Knocker:
    """Knocks at the contacts of one node key's life.

    Args:
        arrived: called with a contact's node that is connected by it.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context, arrived: Callable[[PeerId], None]) -> None:
        self._context = context
        self._arrived = arrived
        self._met: dict[PeerId, tuple[int, Address]] = {}
        self._searches: dict[PeerId, _Search] = {}
        self._places = trio.Semaphore(limits.KNOCKS)
        self._nursery: trio.Nursery | None = None

    def hurry(self) -> None:
        """The network has changed: who was out of reach may not be any more."""
        for search in self._searches.values():
            search.anew.set()

    async def met(self, peer: PeerId, address: Address) -> None:
        """A contact's node has shown its key at the far end of a connection to ``address``."""
        if not is_global(address):
            return
        try:
            contacts = await self._context.db.run(lambda tx: contact_peers.save_met(tx, peer, address))
        except StoreError as error:  # a full disk: it is met another time
            log.warning("knock.store_failed", error=cause(error))
            return
        if contacts:
            self._met[peer] = contacts[0], address

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        self._context.network.watch(self._peer_changed)
        unhook = self._context.bus.hook(self._heard)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                self._met = await self._known() | self._met
                for peer in self._met:
                    self._seek(peer)
                await trio.sleep_forever()
        finally:
            self._nursery = None
            unhook()

    async def _known(self) -> dict[PeerId, tuple[int, Address]]:
        while True:
            try:
                return await self._context.db.run(contact_peers.met)
            except StoreError as error:
                log.warning("knock.store_failed", error=cause(error))
                await trio.sleep(_STORE_RETRY_S)

    def _peer_changed(self, peer: PeerId, connected: bool) -> None:
        if peer not in self._met:
            return
        if not connected:
            self._seek(peer)
        elif peer in self._searches and self._path(peer) == "relayed":  # the direct one may be what a knock has made
            self._searches[peer].scope.cancel()

    def _heard(self, event: DomainEvent) -> None:
        if event.kind is EventKind.MESSAGE_QUEUED:
            for peer, search in self._searches.items():
                if self._met[peer][0] == event.contact:
                    search.anew.set()

    def _seek(self, peer: PeerId) -> None:
        if self._nursery is not None and peer not in self._searches and self._path(peer) is None:
            search = self._searches[peer] = _Search()
            self._nursery.start_soon(self._search, peer, search)

    def _path(self, peer: PeerId) -> str | None:
        return next((link.path for link in self._context.network.links() if link.peer == peer), None)

    async def _search(self, peer: PeerId, search: _Search) -> None:
        try:
            with search.scope:
                await self._until_connected(peer, search)
        finally:
            del self._searches[peer]
        if search.scope.cancelled_caught:  # by a connection, which may have ended meanwhile
            self._seek(peer)

    async def _until_connected(self, peer: PeerId, search: _Search) -> None:
        began = trio.current_time()
        while self._path(peer) is None:
            started = trio.current_time()
            async with self._places:
                if not await self._is_contact(peer):
                    return
                if await self._knock(peer):
                    self._arrived(peer)
                    return
            with trio.move_on_at(started + _pause_s(trio.current_time() - began)):
                await search.anew.wait()
                began, search.anew = trio.current_time(), trio.Event()
                await trio.sleep_until(started + _pause_s(0.0))

    async def _knock(self, peer: PeerId) -> bool:
        """Whether the peer has answered."""
        network, (_, address) = self._context.network, self._met[peer]
        leads = network.peer_id > peer
        try:
            at = await network.punch(
                peer, (address,), leads=leads, within_s=limits.KNOCK_S if leads else limits.PUNCH_S
            )
        except NetError as error:
            log.debug("knock.failed", peer=peer, error=error.error_name)
            return False
        log.info("knock.met", peer=peer)
        if at is not None and at != address:
            await self.met(peer, at)
        return True

    async def _is_contact(self, peer: PeerId) -> bool:
        try:
            return await self._context.db.run(lambda tx: contact_peers.is_of_matched(tx, peer))
        except StoreError as error:  # a full disk voids reads, too: it was one when this began
            log.warning("knock.store_failed", error=cause(error))
            return True


def _pause_s(since_s: float) -> float:
    """Between two beginnings, ``since_s`` seconds after the first."""
    return next((pause_s for until_s, pause_s in limits.KNOCK_OFTEN if since_s < until_s), limits.KNOCK_RARELY_S)
