"""Keeps the own presences published: one record of each for all contacts (PROTOCOL.md 3.4).

All of them tell the same: where this node is, and where boxes for it can be left (PROTOCOL.md 6), once one can be.

A node that nobody reaches without a relay waits a moment for one: whoever looked for it meanwhile would find a record
that leads nowhere in the place of the last one, and look again after a minute at the earliest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog
import trio

from p2pchat.base.errors import P2PChatError
from p2pchat.base.ids import Address
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.presence import PRESENCE_ADDRESSES, Mailbox, OwnPresence, Presence, encode_presence
from p2pchat.net.addresses import is_global
from p2pchat.net.whereabouts import published
from p2pchat.services import announce
from p2pchat.services import presence as presences
from p2pchat.services.changes import Change
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.store import contacts, own_mailbox
from p2pchat.store import presence as store
from p2pchat.store.db import Tx

_CHECK_S: Final = 60.0  # how soon a changed address is noticed
_RETRY_S: Final = 600.0
_RELAYS_S: Final = 3.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The presences to publish, the newest first, and what they tell of mailboxes."""

    presences: tuple[OwnPresence, ...]
    mailboxes: tuple[Mailbox, ...] = ()
    mailbox_key: bytes | None = field(default=None, repr=False)

    @property
    def bundle_key(self) -> bytes | None:
        return self.presences[0].bundle_key() if self.mailboxes else None


class _Round:
    """A publication that somebody waits for, and whether it came about."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.done = False


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
        self._told: tuple[Address, ...] = ()
        self._told_n: int | None = None
        self._next = _Round()

    def nudge(self) -> None:
        """There is a new reason to publish: a first contact, or the network is back."""
        self._news.set()

    def look(self, change: Change) -> None:
        """The network has changed: maybe this node is somewhere else, or what it has told too old."""
        if change.slept or self._reached() != self._told:
            self.nudge()

    async def put(self) -> bool:
        """Publish what is to be told now; whether that was done. True, too, where there is nobody to be told."""
        awaited = self._next
        self.nudge()
        await awaited.over.wait()
        return awaited.done

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        unhook = self._context.bus.hook(self._heard)
        task_status.started()
        try:
            while True:
                await self._until_relayed()
                self._news = trio.Event()
                self._told = self._reached()
                awaited, self._next = self._next, _Round()
                pause_s = await self._publish(awaited)
                awaited.over.set()
                with trio.move_on_after(pause_s):
                    await self._until_moved()
        finally:
            unhook()

    def _heard(self, event: DomainEvent) -> None:
        if event.kind is EventKind.CONTACT_MATCHED:
            self.nudge()

    async def _until_relayed(self) -> None:
        """Until this node is reached from afar, or not even through a relay."""
        with trio.move_on_after(_RELAYS_S):
            while not self._context.network.circuits() and not any(map(is_global, self._context.network.addresses())):
                self._news = trio.Event()
                await self._news.wait()

    async def _until_moved(self) -> None:
        """Until a nudge, until this node has other addresses than it has told, or its clock was set."""
        offset_s = self._offset_s()
        while self._reached() == self._told and abs(self._offset_s() - offset_s) < _CHECK_S:
            with trio.move_on_after(_CHECK_S):
                await self._news.wait()
                return

    def _reached(self) -> tuple[Address, ...]:
        return (*self._context.network.addresses(), *self._context.network.circuits())

    def _offset_s(self) -> float:
        return self._context.now() - trio.current_time()

    async def _publish(self, awaited: _Round) -> float:
        """Put the records where they belong, anew if it is time to; seconds until the next time."""
        context = self._context
        every_s = context.params.presence_every_s
        reached_others = True
        try:
            wanted = await context.db.run(partial(_wanted, context))
            newest_n = wanted.presences[0].n if wanted.presences else self._told_n
            if self._told_n not in (None, newest_n):
                self._wake()
            self._told_n = newest_n
            for presence in wanted.presences:
                result = await announce.publish_and_read(context, self._draft(presence, wanted), watch_s=0)
                reached_others &= result.stored > 1
            awaited.done = reached_others
        except P2PChatError as error:
            log.warning("presence.failed", error=cause(error))
            return _RETRY_S
        # storers that this node does not know yet must not be without it for long
        return every_s + 1 if reached_others else _RETRY_S

    def _draft(self, presence: OwnPresence, wanted: _Wanted) -> announce.Draft:
        context, network = self._context, self._context.network
        addresses = published(network, PRESENCE_ADDRESSES)
        every_s = context.params.presence_every_s
        boxes = (wanted.mailbox_key, wanted.bundle_key, wanted.mailboxes)
        return announce.Draft(
            loc=presence.loc,
            place=lambda seq: presence.slot(seq, context.params),
            writer=presence.gate(),
            data=encode_presence(
                Presence(network.peer_id, presence.ask, presence.n, addresses, *boxes, circuits=network.circuits())
            ),
            contact=None,
            renew_s=(every_s, every_s),
        )


def _wanted(context: Context, tx: Tx) -> _Wanted:
    """No presences while nobody could read them."""
    presences.forget_ended(tx)
    if not contacts.any_matched(tx):
        return _Wanted(())
    presences.own(tx, context)
    # what a clock that was ahead has dated waits until that time has come
    known = tuple(each for each in store.all_own(tx) if presences.is_usable(tx, each, context.params))
    mailboxes = own_mailbox.told(tx)
    if not mailboxes:
        return _Wanted(known)
    return _Wanted(known, mailboxes, own_mailbox.newest_key(tx, context.entropy, context.params).public)
