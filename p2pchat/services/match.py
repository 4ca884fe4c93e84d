"""Look for contacts in the DHT until they are matched: the shell around the matching machine (PROTOCOL.md 3.3).

A *poll* of a contact is three rounds (hello, card, reach) over all its active slots; every round's findings and states
are one commit. What is published comes from :mod:`announce`, which also reads: one walk does both.

The reach is given only to the one claimant of a contact, and whose it was given to is written down with the decision:
first flights are accepted from that root alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import structlog
import trio

from p2pchat.base.errors import InternalError, NetError, StoreError
from p2pchat.base.ids import RootKey
from p2pchat.core.discovery import Reach, encode_hello, encode_reach, make_card
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.matching import (
    Claimed,
    Finding,
    Impersonation,
    PollSchedule,
    Walk,
    WalkKind,
    made_progress,
    may_reach,
    observe,
    walks,
)
from p2pchat.core.pair import PairState, dump_pair, waiting_in
from p2pchat.net.dht import WalkResult
from p2pchat.services import announce
from p2pchat.services.contacts import contact_event
from p2pchat.services.context import Context
from p2pchat.services.defects import cause, innermost, report_defect
from p2pchat.services.places import Place, is_new_epoch, places_of
from p2pchat.services.search import Search
from p2pchat.store import contacts, pairs
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx

_WALKS_AT_ONCE: Final = 4
_EPOCHS_AFTER_MATCH: Final = 4
_QUIET_AFTER_INSTALL_S: Final = 72 * 3600
_WATCHED_MAX: Final = 20_000

log = structlog.get_logger()


class Seeker:
    """Looks for every pending contact, each in a task of its own.

    Args:
        reached: called when it was read where a contact is reached.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context, reached: Callable[[int], None]) -> None:
        self._context = context
        self._reached = reached
        self._nursery: trio.Nursery | None = None
        self._tasks: dict[int, trio.CancelScope] = {}
        self._nudges: dict[int, trio.Event] = {}
        self._watched: dict[bytes, int] = {}
        self._warned: set[int] = set()
        self._meant: set[int] = set()  # nudged for a reason of their own
        self._walking = trio.CapacityLimiter(_WALKS_AT_ONCE)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._context.bus.hook(self._news)
            try:
                for row in await self._context.db.run(lambda tx: contacts.everyone(tx)):
                    self._start(row.id)
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None  # news may still come while the rest of the node ends

    def nudge_all(self) -> None:
        """The network has changed for the better: the schedule of everyone not found yet starts again."""
        for nudge in self._nudges.values():
            nudge.set()

    def pushed(self, loc: bytes, _record: bytes) -> None:
        """A storer tells of a new entry in a watched slot: read it now."""
        contact = self._watched.get(loc)
        if contact is not None and contact in self._nudges:
            self._nudge(contact)

    def _nudge(self, contact: int) -> None:
        self._meant.add(contact)
        self._nudges[contact].set()

    def _news(self, event: DomainEvent) -> None:
        if event.contact is None:
            return
        if event.kind is EventKind.CONTACT_ADDED:
            self._start(event.contact)
        elif event.kind is EventKind.CONTACT_REMOVED:
            scope = self._tasks.pop(event.contact, None)
            if scope is not None:
                scope.cancel()

    def _start(self, contact: int) -> None:
        if contact in self._tasks:
            self._nudge(contact)
        elif self._nursery is not None:
            scope = self._tasks[contact] = trio.CancelScope()
            self._nursery.start_soon(self._seek, contact, scope)

    async def _seek(self, contact: int, scope: trio.CancelScope) -> None:
        search = Search(PollSchedule(self._context.params))
        with scope:
            while True:
                nudge = self._nudges[contact] = trio.Event()
                started = trio.current_time()
                if not await self._turn(contact, search):
                    if nudge.is_set():
                        continue  # added again, or something came, while this search was about to end
                    self._tasks.pop(contact, None)
                    self._nudges.pop(contact, None)
                    return
                with trio.move_on_after(search.pause_s(self._context.jitter())):
                    await nudge.wait()
                    meant = contact in self._meant
                    self._meant.discard(contact)
                    await trio.sleep_until(started + search.nudged(meant=meant))

    async def _turn(self, contact: int, search: Search) -> bool:
        """Poll if it is time to; False when there is nothing more to look for."""
        try:
            row = await self._sought(contact)
            if row is None:
                return False
            search.renewing = row.state == "matched"
            if search.renewing and not search.running and not await is_new_epoch(self._context, row):
                return True
            progress = await self._poll(row, search.turn)
        except Exception as error:  # one contact's search must not stop the others
            if isinstance(innermost(error), (NetError, StoreError, InternalError)):
                log.warning("poll.failed", error=cause(error))
            else:
                report_defect(error)
            progress = False
        search.polled(progress=progress)
        return True

    async def _sought(self, contact: int) -> ContactRow | None:
        """The contact while there is something to look for (PROTOCOL.md 3.3).

        It is pending; or it is matched, but nobody has read where it is reached; or it was matched in the last four
        epochs and its number is not verified: an impostor may have come first, or the contact may have to match anew.
        """
        params = self._context.params

        def look(tx: Tx) -> ContactRow | None:
            row = contacts.get(tx, contact)
            if row is None or row.number is None or not self._context.profile.number:
                return None
            if row.state == "pending":
                return row if row.pending_until_s is not None else None
            known = any(peer.published for peer in contacts.peers(tx, contact))
            fresh = row.matched_s is not None and tx.now_s < row.matched_s + _EPOCHS_AFTER_MATCH * params.epoch_s
            return row if row.state == "matched" and (not known or (fresh and row.trust == "claimed")) else None

        return await self._context.db.run(look)

    # -- one poll ---------------------------------------------------------------------------------------------------

    async def _poll(self, row: ContactRow, turn: int) -> bool:
        """The three rounds; True if anything new was found."""
        places = await places_of(self._context, row)
        coverage: list[WalkResult] = []
        progress = False
        for kind in WalkKind:
            reach_for = await self._reach_for(row.id, places, coverage)
            found = await self._round(row.id, places, kind, turn, reach_for, coverage)
            progress = progress or found
        return progress

    async def _round(
        self,
        contact: int,
        places: list[Place],
        kind: WalkKind,
        turn: int,
        reach_for: frozenset[RootKey],
        coverage: list[WalkResult],
    ) -> bool:
        context = self._context
        now_s = int(context.now())
        results: list[tuple[Place, Walk, WalkResult]] = []

        async def one(place: Place, walk: Walk) -> None:
            async with self._walking:
                results.append((place, walk, await self._walk(contact, place, walk)))

        async with trio.open_nursery() as nursery:
            for place in places:
                for walk in walks(place.state, now_s, turn, reach_for, place.publish, context.params):
                    if walk.kind is kind:
                        nursery.start_soon(one, place, walk)
        if kind is WalkKind.HELLO:
            coverage.extend(result for _, _, result in results)
        own_root = RootKey(context.identity.root.public)
        findings: list[Finding] = []
        before = [place.state for place in places]
        for place, walk, result in results:
            place.state, found = observe(place.state, walk, result.records, now_s, own_root, context.params)
            findings += found
        if await context.db.run(partial(self._keep, contact, places, findings)):
            self._reached(contact)
        progress = any(made_progress(old, place.state) for old, place in zip(before, places, strict=True))
        if progress:
            context.bus.transient(DomainEvent(EventKind.DISCOVERY_PROGRESS, contact, contact=contact))
        return progress

    async def _walk(self, contact: int, place: Place, walk: Walk) -> WalkResult:
        context = self._context
        watch_s = context.params.watch_max_s if place.publish else 0
        if len(self._watched) >= _WATCHED_MAX:
            self._watched.clear()  # only a push of a forgotten slot is lost, and the schedule reads it anyway
        self._watched[walk.slot.loc] = contact
        if not walk.publish:
            return await context.dht.walk(walk.slot.loc, put=None, watch_s=watch_s)
        known = await context.db.run(lambda tx: pairs.published(tx, walk.slot.loc))
        now_s = int(context.now())
        data = self._content(place.state, walk, now_s)
        if walk.kind is WalkKind.CARD and known is not None and known.republish_s > now_s:
            data = known.data  # a card carries a time, but it is renewed with its record only
        return await announce.publish_and_read(context, contact, walk.slot, walk.writer, data, watch_s)

    def _content(self, state: PairState, walk: Walk, now_s: int) -> bytes:
        context = self._context
        if walk.kind is WalkKind.HELLO:
            return encode_hello(state.role, state.own.eph.public)
        if walk.kind is WalkKind.CARD:
            return make_card(context.identity, walk.slot, state.role, now_s)
        network = context.network
        return encode_reach(Reach(network.peer_id, network.addresses(), context.profile.ask))

    # -- what is known ----------------------------------------------------------------------------------------------

    def _keep(self, contact: int, places: Iterable[Place], findings: list[Finding], tx: Tx) -> bool:
        """Write a round: states, claimants, where a contact is reached; whether the last is new."""
        row = contacts.get(tx, contact)
        if row is None:
            return False  # removed meanwhile
        own, number = self._context.profile.number, row.number or ""
        for place in places:
            pairs.save_slot(tx, contact, own, number, place.era, place.epoch, dump_pair(place.state))
        for finding in findings:
            if isinstance(finding, Claimed):
                self._claimed(tx, row, finding)
        if any(isinstance(finding, Impersonation) for finding in findings):
            self._warn(tx, contact)
        changed = False
        for place in places:
            changed |= self._keep_reach(tx, row, place.state)
        return changed

    def _warn(self, tx: Tx, contact: int) -> None:
        """Once a contact and start; not at all while the earlier self of a reinstalled node still stands there."""
        age_ms = tx.now_ms - self._context.identity.cert.epoch_ms
        if contact in self._warned or age_ms < _QUIET_AFTER_INSTALL_S * 1000:
            return
        self._warned.add(contact)
        log.warning("discovery.impersonation")
        tx.emit(contact_event(tx, EventKind.NODE_WARNING, contact))

    def _claimed(self, tx: Tx, row: ContactRow, finding: Claimed) -> None:
        if contacts.add_claimant(tx, row.id, finding.cert.root, finding.cert.raw):
            kind = EventKind.CONTACT_CLAIMED if row.root is None else EventKind.CONTACT_KEY_CHANGED
            tx.emit(contact_event(tx, kind, row.id))

    def _keep_reach(self, tx: Tx, row: ContactRow, state: PairState) -> bool:
        """Where the contact is reached counts once it is settled who the contact is, however early it was read."""
        changed = False
        for candidate in state.candidates:
            cert, reach = candidate.cert, candidate.reach
            if cert is not None and reach is not None and cert.root == row.root:
                changed |= contacts.save_peer(tx, row.id, reach.peer_id, reach.addresses, reach.ask)
        return changed

    async def _reach_for(self, contact: int, places: list[Place], coverage: list[WalkResult]) -> frozenset[RootKey]:
        """To whom the reach may be given now; written down as the contact's root in the same breath."""
        params = self._context.params
        if not coverage:
            return frozenset()
        least = min(coverage, key=lambda result: result.answered)
        waiting = waiting_in((place.state for place in places), int(self._context.now()))

        def decide(tx: Tx) -> frozenset[RootKey]:
            row = contacts.get(tx, contact)
            if row is None:
                return frozenset()
            claimants = frozenset(contacts.claimants(tx, contact))
            # this node is one of the storers that answered, and not among those that it knows
            known = least.known + 1
            given = may_reach(claimants, row.root, least.answered, least.failed, known, params, waiting=waiting)
            if row.root is None and len(given) == 1:
                contacts.set_root(tx, contact, next(iter(given)), 0)
            return given

        return await self._context.db.run(decide)
