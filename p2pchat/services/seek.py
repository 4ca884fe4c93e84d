"""Looks for everybody who is to be found, each in a task of its own: when it is polled, and what makes it sooner.

Whom it looks for is a :class:`Target`: a contact (:mod:`p2pchat.services.match`), or whoever uses an invite
(:mod:`p2pchat.services.inviter`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, Protocol

import structlog
import trio

from p2pchat.base.errors import InternalError, NetError, StoreError
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.matching import PollSchedule
from p2pchat.core.slots import next_slot_s
from p2pchat.services.context import Context
from p2pchat.services.defects import cause, innermost, report_defect
from p2pchat.services.disk import patiently
from p2pchat.services.inviter import OpenInvite
from p2pchat.services.match import Person, is_lost
from p2pchat.services.places import Place
from p2pchat.services.poll import Poller, Quest
from p2pchat.services.roots import Roots
from p2pchat.services.search import Search
from p2pchat.store import contacts, invites, pairs
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx

_LEASE_PART: Final = 0.8  # of a watch's lease, after which it is renewed
_SPREAD_S: Final = 6000.0  # a new era begins for all: not everybody shall begin it in the same second
_WATCHED_MAX: Final = 20_000
_LOOKS_AT_ONCE: Final = 16  # when a whole address book begins to be sought, calls must not wait behind all of it
_LOST_CHECK_AFTER_S: Final = 600.0
_LOST_CHECK_S: Final = 3 * 3600.0

_BEGINNING: Final = {
    EventKind.CONTACT_ADDED,
    EventKind.CONTACT_SOUGHT,
    EventKind.CONTACT_CHOSEN,
    EventKind.CONTACT_MERGED,
    EventKind.CONTACT_UNBLOCKED,
}
_PARTING: Final = {EventKind.CONTACT_REMOVED, EventKind.CONTACT_BLOCKED}

log = structlog.get_logger()


class Key(NamedTuple):
    """Names a target: a row of the store."""

    kind: Literal["contact", "invite"]
    row: int


class Target(Quest, Protocol):
    """Who is looked for, and whether still."""

    async def look(self) -> bool | None:
        """None: there is nothing more to look for; True: once an epoch is enough (PROTOCOL.md 3.3)."""
        ...

    async def is_new_epoch(self) -> bool:
        """Whether a slot that is published in now was not begun."""
        ...

    async def places(self) -> list[Place]:
        """The slots to look in now."""
        ...


class Seeker:
    """Looks for every target.

    Args:
        reached: called when it was read where a contact is reached.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context, reached: Callable[[int], None]) -> None:
        self._context = context
        self._poller = Poller(context, reached)
        self._looking = trio.CapacityLimiter(_LOOKS_AT_ONCE)
        self._nursery: trio.Nursery | None = None
        self._tasks: dict[Key, trio.CancelScope] = {}
        self._nudges: dict[Key, trio.Event] = {}
        self._watched: dict[bytes, Key] = {}
        self._leased: dict[Key, set[bytes]] = {}  # what was watched in the last poll of a target
        self._warned: set[int] = set()
        self._meant: set[Key] = set()  # nudged for a reason of their own
        self._roots = Roots(context, lambda contact: self._nudge(Key("contact", contact)))

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            unhook = self._context.bus.hook(self._news)
            try:
                nursery.start_soon(self._roots.run)
                for key in await patiently(self._context, _everything):
                    self._start(key)
                task_status.started()
                await self._sweep()
            finally:
                unhook()
                self._nursery = None

    def nudge_all(self) -> None:
        """The network has changed for the better: the schedule of everyone not found yet starts again."""
        for nudge in self._nudges.values():
            nudge.set()

    def pushed(self, loc: bytes, _record: bytes) -> None:
        """A storer tells of a new entry in a watched slot: read it now."""
        key = self._watched.get(loc)
        if key is not None and key in self._nudges:
            self._nudge(key)

    def _nudge(self, key: Key) -> None:
        nudge = self._nudges.get(key)
        if nudge is not None:  # else its task is about to begin, and with a poll
            self._meant.add(key)
            nudge.set()

    def _news(self, event: DomainEvent) -> None:
        if event.kind in (EventKind.INVITE_CREATED, EventKind.INVITE_USED) and event.subject is not None:
            self._start(Key("invite", event.subject))
        elif event.kind is EventKind.INVITE_CLOSED and event.subject is not None:
            self._nudge(Key("invite", event.subject))
        elif event.contact is None:
            return
        elif event.kind in _BEGINNING:
            self._roots.wake()
            self._start(Key("contact", event.contact))
            if event.kind is EventKind.CONTACT_UNBLOCKED and self._nursery is not None:
                self._nursery.start_soon(self._reopen, event.contact)
        elif event.kind in _PARTING:
            key = Key("contact", event.contact)
            scope = self._tasks.pop(key, None)
            if scope is not None:
                scope.cancel()
            self._drop(key)

    def _start(self, key: Key) -> None:
        if key in self._tasks:
            self._nudge(key)
        elif self._nursery is not None:
            scope = self._tasks[key] = trio.CancelScope()
            self._nursery.start_soon(self._seek, key, self._target(key), scope)

    async def _reopen(self, contact: int) -> None:
        """Whoever came through an invite is looked for where it goes on, however used up."""
        row = await patiently(self._context, lambda tx: contacts.get(tx, contact))
        if row is not None and row.invite is not None:
            self._start(Key("invite", row.invite))

    def _target(self, key: Key) -> Target:
        if key.kind == "invite":
            return OpenInvite(self._context, key.row)
        return Person(self._context, self._roots, self._warned, key.row)

    def _drop(self, key: Key) -> None:
        self._nudges.pop(key, None)
        self._leased.pop(key, None)
        self._meant.discard(key)

    async def _sweep(self) -> None:
        """Look again for contacts that have not been reached for long; not at once, for the node itself may be back."""
        await trio.sleep(_LOST_CHECK_AFTER_S)
        while True:
            try:
                matched = await self._context.db.run(lambda tx: contacts.everyone(tx, "matched"))
            except StoreError as error:
                log.warning("poll.failed", error=cause(error))
                matched = list[ContactRow]()
            for row in matched:
                if is_lost(row, self._context.now()):
                    for key in _keys(row):
                        if key not in self._tasks:
                            self._start(key)
            await trio.sleep(_LOST_CHECK_S)

    async def _seek(self, key: Key, target: Target, scope: trio.CancelScope) -> None:
        search = Search(PollSchedule(self._context.params))
        with scope:
            while True:
                nudge = self._nudges[key] = trio.Event()
                started = trio.current_time()
                if not await self._turn(key, target, search):
                    if nudge.is_set():
                        continue  # added again, or something came, while this search was about to end
                    self._tasks.pop(key, None)
                    self._drop(key)
                    return
                with trio.move_on_after(search.pause_s(self._context.jitter())):
                    await self._until_nudged(key, nudge, watching=not search.renewing)
                    meant = key in self._meant
                    self._meant.discard(key)
                    await trio.sleep_until(started + search.nudged(meant=meant))

    async def _until_nudged(self, key: Key, nudge: trio.Event, *, watching: bool) -> None:
        """Meanwhile the watches are kept up: of two people who are online the first must not wait for its next poll."""
        params = self._context.params
        while watching:
            with trio.move_on_after(params.watch_max_s * _LEASE_PART):
                await nudge.wait()
                return
            try:
                for loc in tuple(self._leased.get(key, ())):
                    await self._context.dht.watch(loc, params.watch_max_s)
            except NetError:
                break  # the DHT has ended, and so will this
        await nudge.wait()

    async def _turn(self, key: Key, target: Target, search: Search) -> bool:
        """Poll if it is time to; False when there is nothing more to look for."""
        search.slot_begins_at = search.renewal_at = float("inf")
        try:
            async with self._looking:
                renewing = await target.look()
            if renewing is None:
                return False
            search.turns_to(renewing=renewing)
            if search.renewing and not search.running and not await target.is_new_epoch():
                return True
            progress = await self._poll(key, target, search)
        except Exception as error:  # one target's search must not stop the others
            if isinstance(innermost(error), (NetError, StoreError, InternalError)):
                log.warning("poll.failed", error=cause(error))
            else:
                report_defect(error)
            progress = False
        search.polled(progress=progress)
        return True

    async def _poll(self, key: Key, target: Target, search: Search) -> bool:
        context = self._context
        places = await target.places()
        next_s = min((next_slot_s(p.state.root, int(context.now()), context.params) for p in places), default=0)
        search.slot_begins_at = trio.current_time() + next_s + _SPREAD_S * context.jitter()
        leased = self._leased[key] = set()

        def watched(loc: bytes, lease: bool) -> None:
            if len(self._watched) >= _WATCHED_MAX:
                self._watched.clear()  # only a push of a forgotten slot is lost, and the schedule reads it anyway
            self._watched[loc] = key
            if lease:
                leased.add(loc)

        progress = await self._poller.poll(target, places, search.turn, watched)
        due_s = await context.db.run(lambda tx: pairs.next_renewal_s(tx, leased))
        if due_s is not None:
            search.renewal_at = trio.current_time() + max(0.0, due_s - context.now())
        return progress


def _keys(row: ContactRow) -> list[Key]:
    """Where a contact is looked for: whoever came through an invite is, in its slots, however used up."""
    found = [Key("contact", row.id)]
    return found if row.invite is None else [*found, Key("invite", row.invite)]


def _everything(tx: Tx) -> list[Key]:
    people = [Key("contact", row.id) for row in contacts.everyone(tx)]
    return people + [Key("invite", row.id) for row in invites.everyone(tx)]
