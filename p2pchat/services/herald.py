"""Keeps the own presences published: one record of each for all contacts (PROTOCOL.md 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
import trio

from p2pchat.base.errors import P2PChatError
from p2pchat.base.ids import Address
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.presence import PRESENCE_ADDRESSES, OwnPresence, Presence, encode_presence
from p2pchat.net.addresses import varied
from p2pchat.services import announce
from p2pchat.services import presence as presences
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.store import contacts
from p2pchat.store import presence as store
from p2pchat.store.db import Tx

_CHECK_S: Final = 60.0  # how soon a changed address is noticed
_RETRY_S: Final = 600.0

log = structlog.get_logger()


class Herald:
    """Keeps the own presences published, as soon as there is a contact to read them.

    Args:
        wake: called when contacts have to be given another one.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context, wake: Callable[[], None]) -> None:
        self._context = context
        self._wake = wake
        self._news = trio.Event()
        self._told_n: int | None = None

    def nudge(self) -> None:
        """There is a new reason to publish: a first contact, or the network is back."""
        self._news.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        unhook = self._context.bus.hook(self._heard)
        task_status.started()
        try:
            while True:
                self._news = trio.Event()
                told = self._context.network.addresses()
                pause_s = await self._publish()
                with trio.move_on_after(pause_s):
                    await self._until_moved(told)
        finally:
            unhook()

    def _heard(self, event: DomainEvent) -> None:
        if event.kind is EventKind.CONTACT_MATCHED:
            self.nudge()

    async def _until_moved(self, told: tuple[Address, ...]) -> None:
        """Until a nudge, until this node has other addresses than ``told``, or its clock was set."""
        offset_s = self._offset_s()
        while self._context.network.addresses() == told and abs(self._offset_s() - offset_s) < _CHECK_S:
            with trio.move_on_after(_CHECK_S):
                await self._news.wait()
                return

    def _offset_s(self) -> float:
        return self._context.now() - trio.current_time()

    async def _publish(self) -> float:
        """Put the records where they belong, anew if it is time to; seconds until the next time."""
        context = self._context
        every_s = context.params.presence_every_s
        reached_others = True
        try:
            wanted = await context.db.run(partial(_wanted, context))
            if wanted and self._told_n not in (None, wanted[0].n):
                self._wake()
            self._told_n = wanted[0].n if wanted else self._told_n
            for presence in wanted:
                result = await announce.publish_and_read(context, self._draft(presence), watch_s=0)
                reached_others &= result.stored > 1
        except P2PChatError as error:
            log.warning("presence.failed", error=cause(error))
            return _RETRY_S
        # storers that this node does not know yet must not be without it for long
        return every_s + 1 if reached_others else _RETRY_S

    def _draft(self, presence: OwnPresence) -> announce.Draft:
        context, network = self._context, self._context.network
        addresses = varied(network.addresses(), PRESENCE_ADDRESSES)
        every_s = context.params.presence_every_s
        return announce.Draft(
            loc=presence.loc,
            place=lambda seq: presence.slot(seq, context.params),
            writer=presence.gate(),
            data=encode_presence(Presence(network.peer_id, presence.ask, presence.n, addresses)),
            contact=None,
            renew_s=(every_s, every_s),
        )


def _wanted(context: Context, tx: Tx) -> list[OwnPresence]:
    """The newest first; none while nobody could read them."""
    presences.forget_ended(tx)
    if not contacts.any_matched(tx):
        return []
    presences.own(tx, context)
    return store.all_own(tx)
