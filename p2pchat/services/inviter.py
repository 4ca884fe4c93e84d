"""An open invite: whoever comes with its link is let in, as far as it reaches (PROTOCOL.md 3.5)."""

from __future__ import annotations

from p2pchat.base.ids import RootKey
from p2pchat.core.invite import INVITER
from p2pchat.core.matching import Claimed, Finding, WalkKind
from p2pchat.core.pair import dump_pair
from p2pchat.net.dht import WalkResult
from p2pchat.services import invites as verbs
from p2pchat.services.context import Context
from p2pchat.services.match import is_lost, keep_reach, unheard_s
from p2pchat.services.places import Place, invite_places
from p2pchat.store import contacts, invites
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.store.invites import InviteRow


class OpenInvite:
    """One invite, as a target of :class:`p2pchat.services.seek.Seeker`.

    Args:
        invite: its row.
    """

    contact = None
    only = None

    def __init__(self, context: Context, invite: int) -> None:
        self._context = context
        self._invite = invite
        self._row: InviteRow | None = None

    async def look(self) -> bool | None:
        """It is looked at until it is closed and everybody whom it let in is matched, or was sought for 28 days; and
        again while one of them is lost, who may have gone back to before the two had met.
        """
        now, life_s = self._context.now(), self._context.params.pending_life_s

        def look(tx: Tx) -> tuple[InviteRow | None, bool]:
            waiting = any(
                row.searching or (is_lost(row, now) and unheard_s(row, now) <= life_s)
                for row in contacts.of_invite(tx, self._invite)
            )
            return invites.get(tx, self._invite), waiting

        self._row, waiting = await self._context.db.run(look)
        return None if self._row is None or (self._row.closed and not waiting) else False

    async def is_new_epoch(self) -> bool:
        """See :class:`p2pchat.services.seek.Target`; so are the following."""
        return True

    async def places(self) -> list[Place]:
        if self._row is None:
            return []

        def kept(tx: Tx, era: int, epoch: int) -> bytes | None:
            return invites.slot(tx, self._invite, era, epoch)

        return await invite_places(self._context, self._row.secret, INVITER, kept)

    def told(self, kind: WalkKind) -> None:
        """What it finds becomes a contact, with an event of its own."""

    def keep(self, places: list[Place], findings: list[Finding], tx: Tx) -> frozenset[int]:
        row = invites.get(tx, self._invite)
        if row is None:
            return frozenset()
        for place in places:
            invites.save_slot(tx, row.id, place.era, place.epoch, dump_pair(place.state))
        # not only what is new: who found no room among the requests has it once another one is answered
        new = {finding.cert.root for finding in findings if isinstance(finding, Claimed)}
        certs = (candidate.cert for place in places for candidate in place.state.candidates)
        for root in dict.fromkeys(cert.root for cert in certs if cert is not None):
            verbs.let_in(tx, self._context, row, root, anew=root in new)
            row = invites.get(tx, self._invite) or row
        changed: set[int] = set()
        for contact in self._let_in(tx):
            for place in places:
                if keep_reach(tx, contact, place.state):
                    changed.add(contact.id)
        return frozenset(changed)

    async def reach_for(self, _places: list[Place], _coverage: list[WalkResult]) -> frozenset[RootKey]:
        def decide(tx: Tx) -> frozenset[RootKey]:
            return frozenset(row.root for row in self._let_in(tx) if row.root is not None)

        return await self._context.db.run(decide)

    def _let_in(self, tx: Tx) -> list[ContactRow]:
        return [row for row in contacts.of_invite(tx, self._invite) if row.state in ("pending", "matched")]
