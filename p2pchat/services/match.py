"""A contact who is looked for: where, for how long, and what becomes of what is found (PROTOCOL.md 3.3).

The reach is given only to the one claimant of a contact, and whose it was given to is written down with the decision:
first flights are accepted from that root alone. Who was added by an invite is known by its root from the beginning.
"""

from __future__ import annotations

from typing import Final

import structlog

from p2pchat.base.ids import RootKey
from p2pchat.core.events import EventKind
from p2pchat.core.invite import INVITED
from p2pchat.core.matching import Claimed, Finding, Impersonation, WalkKind, may_reach
from p2pchat.core.pair import PairState, dump_pair, waiting_in
from p2pchat.net.dht import WalkResult
from p2pchat.services.contacts import contact_event
from p2pchat.services.context import Context
from p2pchat.services.places import Place, invite_places, is_new_epoch, places_of
from p2pchat.services.roots import Roots
from p2pchat.services.steps import FOUND_BY, step_event
from p2pchat.store import contact_peers, contacts, pairs
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx

_EPOCHS_AFTER_MATCH: Final = 4
_QUIET_AFTER_INSTALL_S: Final = 72 * 3600
_LOST_AFTER_S: Final = 12 * 3600

log = structlog.get_logger()


def unheard_s(row: ContactRow, now: float) -> float:
    """For how long nothing came that only the contact can have sent; a clock that was ahead counts as long, too.

    That some stream is open says nothing: what is at its other end may have forgotten this node.
    """
    return abs(now - row.heard_ms / 1000)


def is_lost(row: ContactRow, now: float) -> bool:
    """Whether a matched contact has to be looked for again: it may have forgotten this node, and look for it, too."""
    return row.state == "matched" and unheard_s(row, now) > _LOST_AFTER_S


class Person:
    """One contact, as a target of :class:`p2pchat.services.seek.Seeker`.

    Args:
        warned: contacts about whom there was an impersonation warning since the start.
        contact: its row.
    """

    def __init__(self, context: Context, roots: Roots, warned: set[int], contact: int) -> None:
        self.contact = contact
        self.only: RootKey | None = None
        self._context = context
        self._roots = roots
        self._warned = warned
        self._row: ContactRow | None = None

    async def look(self) -> bool | None:
        """It is looked for while it is pending; or it is matched, but the user asked to, nobody has read where it is
        reached, or it was not heard for half a day; or it was matched in the last four epochs and its number is not
        verified: an impostor may have come first, or the contact may have to match anew. The last is what once an epoch
        is enough for.
        """
        self._row = row = await self._context.db.run(lambda tx: contacts.get(tx, self.contact))
        if row is None:
            return None
        self.only = row.root if row.invite_secret is not None else None
        if row.state == "pending":
            sought = row.pending_until_s is not None and (self._by_number(row) or row.invite_secret is not None)
            return False if sought else None
        by_number, by_invite = self._by_number(row), row.invite_secret is not None
        if row.state != "matched" or not (by_number or by_invite):
            return None
        params, now = self._context.params, self._context.now()
        if self._is_wanted(row):
            return False
        if unheard_s(row, now) > params.pending_life_s:
            # as long as one that was never found: from then on once an epoch, or in an invite's slots no more
            return True if by_number else None
        if not by_number:
            return False if is_lost(row, now) else None
        if is_lost(row, now) or not await self._context.db.run(self._is_published):
            return False
        fresh = row.matched_s is not None and now < row.matched_s + _EPOCHS_AFTER_MATCH * params.epoch_s
        return True if fresh and row.trust == "claimed" else None

    def _by_number(self, row: ContactRow) -> bool:
        return row.number is not None and bool(self._context.profile.number)

    def _by_invite(self, row: ContactRow) -> bool:
        return row.state == "pending" or self._is_wanted(row) or is_lost(row, self._context.now())

    def _is_wanted(self, row: ContactRow) -> bool:
        """Whether the user asked for it although it is matched."""
        return row.pending_until_s is not None and self._context.now() < row.pending_until_s

    def _is_published(self, tx: Tx) -> bool:
        return any(peer.published for peer in contact_peers.of_contact(tx, self.contact))

    async def is_new_epoch(self) -> bool:
        """See :class:`p2pchat.services.seek.Target`; so are the following."""
        return self._row is not None and await is_new_epoch(self._context, self._roots, self._row)

    async def places(self) -> list[Place]:
        row = self._row
        if row is None:
            return []
        found: list[Place] = []
        if row.invite_secret is not None and self._by_invite(row):
            secret = row.invite_secret

            def kept(tx: Tx, era: int, epoch: int) -> bytes | None:
                return pairs.slot(tx, self.contact, "", "", era, epoch)

            found += await invite_places(self._context, secret, INVITED, kept)
        if self._by_number(row):
            found += await places_of(self._context, self._roots, row)
        return found

    def told(self, kind: WalkKind) -> None:
        self._context.bus.transient(step_event(self.contact, FOUND_BY[kind], self._roots.counts))

    def keep(self, places: list[Place], findings: list[Finding], tx: Tx) -> frozenset[int]:
        row = contacts.get(tx, self.contact)
        if row is None or row.state == "blocked":
            return frozenset()  # removed meanwhile
        for place in places:
            by_invite = place.state.by_invite
            own, number = ("", "") if by_invite else (self._context.profile.number, row.number or "")
            pairs.save_slot(tx, row.id, own, number, place.era, place.epoch, dump_pair(place.state))
        for finding in findings:
            if isinstance(finding, Claimed) and self.only in (None, finding.cert.root):
                self._claimed(tx, row, finding)
        if self.only is None and any(isinstance(finding, Impersonation) for finding in findings):
            self._warn(tx)
        changed = [keep_reach(tx, row, place.state) for place in places]
        return frozenset((row.id,)) if any(changed) else frozenset()

    def _warn(self, tx: Tx) -> None:
        """Once a contact and start; not at all while the earlier self of a reinstalled node still stands there."""
        age_ms = tx.now_ms - self._context.identity.cert.epoch_ms
        if self.contact in self._warned or age_ms < _QUIET_AFTER_INSTALL_S * 1000:
            return
        self._warned.add(self.contact)
        log.warning("discovery.impersonation")
        tx.emit(contact_event(tx, EventKind.NODE_WARNING, self.contact))

    def _claimed(self, tx: Tx, row: ContactRow, finding: Claimed) -> None:
        root = finding.cert.root
        if contacts.add_claimant(tx, row.id, root, finding.cert.raw) and root != row.root:
            kind = EventKind.CONTACT_CLAIMED if row.root is None else EventKind.CONTACT_KEY_CHANGED
            tx.emit(contact_event(tx, kind, row.id))

    async def reach_for(self, places: list[Place], coverage: list[WalkResult]) -> frozenset[RootKey]:
        params = self._context.params
        least = min(coverage, key=lambda result: result.answered)
        waiting = waiting_in((place.state for place in places), int(self._context.now()))

        def decide(tx: Tx) -> frozenset[RootKey]:
            row = contacts.get(tx, self.contact)
            if row is None or row.state == "blocked":
                return frozenset()
            claimants = frozenset(claimant.root for claimant in contacts.claimants(tx, row.id))
            # this node is one of the storers that answered, and not among those that it knows
            known = least.known + 1
            given = may_reach(claimants, row.root, least.answered, least.failed, known, params, waiting=waiting)
            if row.root is None and len(given) == 1:
                root = next(iter(given))
                if contacts.by_root(tx, root) is not None:
                    return frozenset()  # another contact already: whether the two are one the user decides
                contacts.set_root(tx, row.id, root, 0)
            return given

        return await self._context.db.run(decide)


def keep_reach(tx: Tx, row: ContactRow, state: PairState) -> bool:
    """Where the contact is reached counts once it is settled who the contact is, however early it was read."""
    changed = False
    for candidate in state.candidates:
        cert, reach = candidate.cert, candidate.reach
        if cert is not None and reach is not None and cert.root == row.root:
            seq = candidate.reach_seq
            changed |= contact_peers.save(tx, row.id, reach.peer_id, reach.addresses, reach.ask, seq)
    return changed
