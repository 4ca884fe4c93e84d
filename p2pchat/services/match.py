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
from p2pchat.core.slots import next_slot_s
from p2pchat.net.dht import WalkResult
from p2pchat.services import announce, presence
from p2pchat.services.contacts import contact_event
from p2pchat.services.context import Context
from p2pchat.services.defects import cause, innermost, report_defect
from p2pchat.services.places import Place, is_new_epoch, places_of
from p2pchat.services.roots import Roots
from p2pchat.services.search import Search
from p2pchat.services.steps import FOUND_BY, step_event
from p2pchat.store import contacts, pairs
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx

_WALKS_AT_ONCE: Final = 4
_LEASE_PART: Final = 0.8  # of a watch's lease, after which it is renewed
_SPREAD_S: Final = 6000.0  # a new era begins for all: not everybody shall begin it in the same second
_EPOCHS_AFTER_MATCH: Final = 4
_QUIET_AFTER_INSTALL_S: Final = 72 * 3600
_WATCHED_MAX: Final = 20_000
_LOST_AFTER_S: Final = 72 * 3600
_LOST_CHECK_AFTER_S: Final = 600.0
_LOST_CHECK_S: Final = 6 * 3600.0

_BEGINNING: Final = {
    EventKind.CONTACT_ADDED,
    EventKind.CONTACT_SOUGHT,
    EventKind.CONTACT_CHOSEN,
    EventKind.CONTACT_UNBLOCKED,
}
_PARTING: Final = {EventKind.CONTACT_REMOVED, EventKind.CONTACT_BLOCKED}

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
        self._leased: dict[int, set[bytes]] = {}  # what was watched in the last poll of a contact
        self._warned: set[int] = set()
        self._meant: set[int] = set()  # nudged for a reason of their own
        self._walking = trio.CapacityLimiter(_WALKS_AT_ONCE)
        self._roots = Roots(context, self._nudge)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            unhook = self._context.bus.hook(self._news)
            try:
                nursery.start_soon(self._roots.run)
                for row in await self._context.db.run(lambda tx: contacts.everyone(tx)):
                    self._start(row.id)
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
        contact = self._watched.get(loc)
        if contact is not None and contact in self._nudges:
            self._nudge(contact)

    def _drop(self, contact: int) -> None:
        self._nudges.pop(contact, None)
        self._leased.pop(contact, None)
        self._meant.discard(contact)

    def _nudge(self, contact: int) -> None:
        nudge = self._nudges.get(contact)
        if nudge is not None:  # else its task is about to begin, and with a poll
            self._meant.add(contact)
            nudge.set()

    def _news(self, event: DomainEvent) -> None:
        if event.contact is None:
            return
        if event.kind in _BEGINNING:
            self._roots.wake()
            self._start(event.contact)
        elif event.kind in _PARTING:
            scope = self._tasks.pop(event.contact, None)
            if scope is not None:
                scope.cancel()
            self._drop(event.contact)

    def _start(self, contact: int) -> None:
        if contact in self._tasks:
            self._nudge(contact)
        elif self._nursery is not None:
            scope = self._tasks[contact] = trio.CancelScope()
            self._nursery.start_soon(self._seek, contact, scope)

    async def _sweep(self) -> None:
        """Look again for contacts that have not been reached for long; not at once, for the node itself may be back."""
        await trio.sleep(_LOST_CHECK_AFTER_S)
        while True:
            try:
                matched = await self._context.db.run(lambda tx: contacts.everyone(tx, "matched"))
            except StoreError as error:
                log.warning("poll.failed", error=cause(error))
                matched = []
            for row in matched:
                if row.id not in self._tasks and self._unheard_s(row) > _LOST_AFTER_S:
                    self._start(row.id)
            await trio.sleep(_LOST_CHECK_S)

    def _unheard_s(self, row: ContactRow) -> float:
        """For how long nothing came that only the contact can have sent; a clock that was ahead counts as long, too.

        That some stream is open says nothing: what is at its other end may have forgotten this node.
        """
        return abs(self._context.now() - row.heard_ms / 1000)

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
                    self._drop(contact)
                    return
                with trio.move_on_after(search.pause_s(self._context.jitter())):
                    await self._until_nudged(contact, nudge, watching=not search.renewing)
                    meant = contact in self._meant
                    self._meant.discard(contact)
                    await trio.sleep_until(started + search.nudged(meant=meant))

    async def _until_nudged(self, contact: int, nudge: trio.Event, *, watching: bool) -> None:
        """Meanwhile the watches are kept up: of two people who are online the first must not wait for its next poll."""
        params = self._context.params
        while watching:
            with trio.move_on_after(params.watch_max_s * _LEASE_PART):
                await nudge.wait()
                return
            try:
                for loc in tuple(self._leased.get(contact, ())):
                    await self._context.dht.watch(loc, params.watch_max_s)
            except NetError:
                break  # the DHT has ended, and so will this
        await nudge.wait()

    async def _turn(self, contact: int, search: Search) -> bool:
        """Poll if it is time to; False when there is nothing more to look for."""
        search.slot_begins_at = float("inf")
        try:
            sought = await self._sought(contact)
            if sought is None:
                return False
            row, renewing = sought
            search.turns_to(renewing=renewing)
            if search.renewing and not search.running and not await is_new_epoch(self._context, self._roots, row):
                return True
            progress = await self._poll(row, search)
        except Exception as error:  # one contact's search must not stop the others
            if isinstance(innermost(error), (NetError, StoreError, InternalError)):
                log.warning("poll.failed", error=cause(error))
            else:
                report_defect(error)
            progress = False
        search.polled(progress=progress)
        return True

    async def _sought(self, contact: int) -> tuple[ContactRow, bool] | None:
        """The contact while there is something to look for, and whether once an epoch is enough (PROTOCOL.md 3.3).

        It is pending; or it is matched, but nobody has read where it is reached, or it was not reached for days; or it
        was matched in the last four epochs and its number is not verified: an impostor may have come first, or the
        contact may have to match anew. The last is what once an epoch is enough for.
        """
        params = self._context.params

        def look(tx: Tx) -> tuple[ContactRow, bool] | None:
            row = contacts.get(tx, contact)
            if row is None or row.number is None or not self._context.profile.number:
                return None
            if row.state == "pending":
                return (row, False) if row.pending_until_s is not None else None
            if row.state != "matched":
                return None
            if self._unheard_s(row) > params.pending_life_s:
                return row, True  # as long as one that was never found: from then on once an epoch
            if self._unheard_s(row) > _LOST_AFTER_S or not any(peer.published for peer in contacts.peers(tx, contact)):
                return row, False
            fresh = row.matched_s is not None and tx.now_s < row.matched_s + _EPOCHS_AFTER_MATCH * params.epoch_s
            return (row, True) if fresh and row.trust == "claimed" else None

        return await self._context.db.run(look)

    # -- one poll ---------------------------------------------------------------------------------------------------

    async def _poll(self, row: ContactRow, search: Search) -> bool:
        """The three rounds; True if anything new was found."""
        context = self._context
        places = await places_of(context, self._roots, row)
        next_s = min((next_slot_s(p.state.root, int(context.now()), context.params) for p in places), default=0)
        search.slot_begins_at = trio.current_time() + next_s + _SPREAD_S * context.jitter()
        self._leased[row.id] = set()
        coverage: list[WalkResult] = []
        progress = False
        for kind in WalkKind:
            reach_for = await self._reach_for(row.id, places, coverage)
            found = await self._round(row.id, places, kind, search.turn, reach_for, coverage)
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
            context.bus.transient(step_event(contact, FOUND_BY[kind], self._roots.counts))
        return progress

    async def _walk(self, contact: int, place: Place, walk: Walk) -> WalkResult:
        context = self._context
        watch_s = context.params.watch_max_s if place.publish else 0
        if len(self._watched) >= _WATCHED_MAX:
            self._watched.clear()  # only a push of a forgotten slot is lost, and the schedule reads it anyway
        self._watched[walk.slot.loc] = contact
        if watch_s:
            self._leased.setdefault(contact, set()).add(walk.slot.loc)
        if not walk.publish:
            return await context.dht.walk(walk.slot.loc, put=None, watch_s=watch_s)
        known = await context.db.run(lambda tx: pairs.published(tx, walk.slot.loc))
        now_s = int(context.now())
        data = await self._content(place.state, walk, now_s)
        if walk.kind is WalkKind.CARD and known is not None and known.republish_s > now_s:
            data = known.data  # a card carries a time, but it is renewed with its record only
        slot, params = walk.slot, context.params
        renew_s = (params.republish_min_s, params.republish_max_s)
        draft = announce.Draft(slot.loc, lambda _seq: slot, walk.writer, data, contact, renew_s)
        return await announce.publish_and_read(context, draft, watch_s)

    async def _content(self, state: PairState, walk: Walk, now_s: int) -> bytes:
        context = self._context
        if walk.kind is WalkKind.HELLO:
            return encode_hello(state.role, state.own.eph.public)
        if walk.kind is WalkKind.CARD:
            return make_card(context.identity, walk.slot, state.role, now_s)
        network = context.network
        ask = await context.db.run(lambda tx: presence.own(tx, context).ask)
        return encode_reach(Reach(network.peer_id, network.addresses(), ask))

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
                seq = candidate.reach_seq
                changed |= contacts.save_peer(tx, row.id, reach.peer_id, reach.addresses, reach.ask, seq)
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
            claimants = frozenset(claimant.root for claimant in contacts.claimants(tx, contact))
            # this node is one of the storers that answered, and not among those that it knows
            known = least.known + 1
            given = may_reach(claimants, row.root, least.answered, least.failed, known, params, waiting=waiting)
            if row.root is None and len(given) == 1:
                contacts.set_root(tx, contact, next(iter(given)), 0)
            return given

        return await self._context.db.run(decide)
