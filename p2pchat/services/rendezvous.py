"""Two who both changed while they were apart find each other again, in slots of their session's rdv (PROTOCOL.md 3.4).

Whoever has made a presence that a contact has not acknowledged yet leaves its key where the contact, if it has changed
too, does the same: each walk there writes the own one and reads the other's. As long as only one of the two has changed
it still knows where the other is, and none of this is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog
import trio

from p2pchat.base.errors import P2PChatError
from p2pchat.core.presence import PresenceKey, encode_presence_key, presence_epoch
from p2pchat.core.rendezvous import encode_rendezvous, era_of, read_rendezvous, rendezvous_slots
from p2pchat.core.slots import Slot, own_writer
from p2pchat.services import announce, presence
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.services.places import idsec_of
from p2pchat.store import meetings
from p2pchat.store import presence as store
from p2pchat.store.db import Tx

_WALKS_AT_ONCE: Final = 4

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Meeting:
    """One slot of one contact; ``device_ms``: of the device at the other end."""

    contact: int
    device_ms: int
    slot: Slot = field(repr=False)
    publish: bool
    idsec: bytes = field(repr=False)
    given: PresenceKey = field(repr=False)


class Rendezvous:
    """Leaves keys for those who have not acknowledged the own presence, and takes theirs.

    Args:
        found: called when a contact's newer presence was found.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context, found: Callable[[int], None]) -> None:
        self._context = context
        self._found = found
        self._walking = trio.CapacityLimiter(_WALKS_AT_ONCE)

    async def run(self) -> None:
        """Until cancelled."""
        params = self._context.params
        pause_s, newest = float(params.rendezvous_after_s), 0
        while True:
            # whoever is online has acknowledged by then, and costs nobody a walk
            await trio.sleep(pause_s * (0.9 + 0.2 * self._context.jitter()))
            n = await self._meet()
            pause_s = params.rendezvous_after_s if n != newest else min(2 * pause_s, params.rendezvous_every_s)
            newest = n

    async def _meet(self) -> int:
        """Meet all who lack the newest own presence; its number, 0 where there is none."""
        try:
            newest, meetings = await self._context.db.run(partial(_meetings, self._context))
            async with trio.open_nursery() as nursery:
                for meeting in meetings:
                    nursery.start_soon(self._one, meeting)
        except P2PChatError as error:
            log.warning("rendezvous.failed", error=cause(error))
            return 0
        return newest

    async def _one(self, meeting: _Meeting) -> None:
        context, slot = self._context, meeting.slot
        try:
            async with self._walking:
                if meeting.publish:
                    result = await announce.publish_and_read(context, _draft(context, meeting), watch_s=0)
                else:
                    result = await context.dht.walk(slot.loc)
            keys = read_rendezvous(slot, result.records, meeting.idsec, int(context.now()), context.params)
            if any([await context.db.run(partial(_take, meeting, key)) for key in keys]):
                self._found(meeting.contact)
        except P2PChatError as error:  # one contact's slot must not keep the others from theirs
            log.warning("rendezvous.failed", error=cause(error))


def _draft(context: Context, meeting: _Meeting) -> announce.Draft:
    params = context.params
    return announce.Draft(
        loc=meeting.slot.loc,
        place=lambda _seq: meeting.slot,
        writer=own_writer(meeting.slot, meeting.idsec),
        data=encode_rendezvous(meeting.given),
        contact=meeting.contact,
        renew_s=(params.republish_min_s, params.republish_max_s),
    )


def _meetings(context: Context, tx: Tx) -> tuple[int, list[_Meeting]]:
    own = store.own(tx)
    if own is None:
        return 0, []
    params = context.params
    # not stepped with every week: the record would be another one each time
    given = own.given(max(own.epoch, presence_epoch(own.made_s, params)), params)
    found: list[_Meeting] = []
    for contact in store.without(tx, own.n):
        for each in meetings.of_contact(tx, contact):
            for slot, publish in rendezvous_slots(each.rdv, tx.now_s, params):
                idsec = idsec_of(context, era_of(slot, params), tx)
                found.append(_Meeting(contact, each.device_ms, slot, publish, idsec, given))
    return own.n, found


def _take(meeting: _Meeting, key: PresenceKey, tx: Tx) -> bool:
    before = store.held(tx, meeting.contact)
    presence.take(tx, meeting.contact, meeting.device_ms, encode_presence_key(key))
    return store.held(tx, meeting.contact) != before
