"""Presence: tell contacts where this node is reached, and learn where they are (PROTOCOL.md 3.4).

*Given* inside sessions: the first envelope that is sealed in a session with a matched contact carries the key of the
own presence. *Published* as one record for all of them. *Sought* when a contact cannot be reached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog
import trio

from p2pchat.base.errors import DecodeError, P2PChatError, PeerError
from p2pchat.base.ids import Address
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.presence import (
    PRESENCE_ADDRESSES,
    OwnPresence,
    Presence,
    Sighting,
    decode_presence_key,
    encode_presence,
    encode_presence_key,
    open_presence,
    presence_epoch,
)
from p2pchat.net.addresses import varied
from p2pchat.services import announce
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.store import contacts, pairs
from p2pchat.store import presence as store
from p2pchat.store.db import Tx
from p2pchat.store.presence import HeldPresence
from p2pchat.store.sessions import SessionRow

_CHECK_S: Final = 60.0  # how soon a changed address is noticed
_RETRY_S: Final = 600.0

log = structlog.get_logger()


# -- given -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """The item *presence* to seal, and the number of the own presence that it gives."""

    n: int
    body: bytes = field(repr=False)


def to_give(tx: Tx, context: Context, session: SessionRow) -> Given | None:
    """The own presence, if the contact is matched and this session has not carried it yet.

    Once a session, for whoever opens a new one may have lost everything.
    """
    contact = contacts.get(tx, session.contact)
    if contact is None or contact.state != "matched":
        return None
    known = store.own(tx)
    if known is not None and known.n <= session.presence_n:
        return None
    presence = own(tx, context)
    published = pairs.published(tx, presence.slot(tx.now_s, context.params).loc)
    # what stands there now must be readable, too
    seq = published.seq if published is not None else tx.now_s
    epoch = max(presence.epoch, presence_epoch(min(seq, tx.now_s), context.params))
    return Given(presence.n, encode_presence_key(presence.given(epoch, context.params)))


def own(tx: Tx, context: Context) -> OwnPresence:
    """The own presence; a new one where none is, or where a clock that was ahead has made the last one unusable."""
    params = context.params
    known = store.own(tx)
    week = presence_epoch(tx.now_s, params)
    if known is not None and week - params.presence_steps <= known.epoch <= week:
        published = pairs.published(tx, known.slot(tx.now_s, params).loc)
        if published is None or published.seq <= tx.now_s + params.skew_s:
            return known
    entropy = context.entropy
    new = OwnPresence(known.n + 1 if known is not None else 1, entropy.bytes(32), week, entropy.bytes(32))
    store.save_own(tx, new)
    store.forget_own_before(tx, new.n)
    return new


def forget_keys(tx: Tx, context: Context) -> None:
    """The own key of a week goes 72 h after it: who takes this disk reads nothing older."""
    known = store.own(tx)
    if known is not None:
        week = presence_epoch(tx.now_s - context.params.read_previous_s, context.params)
        if known.epoch < week <= known.epoch + context.params.presence_steps:
            store.save_own(tx, known.forget_before(week, context.params))


def take(tx: Tx, contact: int, device_ms: int, body: bytes) -> bool:
    """Keep the presence that ``contact`` gave, if it is newer; False if ``body`` is not of its form.

    Args:
        device_ms: epoch_ms of the device that gave it: a newer device's counts, then the higher number.
    """
    try:
        key = decode_presence_key(body)
    except DecodeError:
        return False  # kept by the caller, as an item of a newer version
    held = store.held(tx, contact)
    if held is None or (held.device_ms, held.key.n) < (device_ms, key.n):
        store.hold(tx, contact, HeldPresence(device_ms, 0, key))
    return True


# -- sought ------------------------------------------------------------------------------------------------------------


async def seek(context: Context, contact: int) -> bool | None:
    """Read where ``contact`` is reached now; whether that is new, or None if no other node has answered.

    False, too, if it has given no presence.

    Raises:
        NetError, StoreError: the walk or the store failed.
    """
    held = await context.db.run(lambda tx: store.held(tx, contact))
    if held is None:
        return False
    result = await context.dht.walk(held.key.loc, put=None, watch_s=0)
    sightings: list[Sighting] = []
    for raw in result.records:
        try:
            sightings.append(open_presence(held.key, raw, int(context.now()), context.params))
        except PeerError:
            continue  # whoever wrote it, it is not the contact's
    newest = max(sightings, key=lambda sighting: sighting.seq, default=None)
    if newest is None or newest.seq <= held.seq:
        return False if result.answered > 1 else None
    return await context.db.run(partial(_keep, contact, held, newest))


def _keep(contact: int, held: HeldPresence, newest: Sighting, tx: Tx) -> bool:
    if store.held(tx, contact) != held:
        return False  # given anew, or removed, meanwhile
    store.hold(tx, contact, replace(held, seq=newest.seq, key=newest.key))
    said = newest.presence
    return contacts.save_peer(tx, contact, said.peer_id, said.addresses, said.ask, newest.seq)


# -- published ---------------------------------------------------------------------------------------------------------


class Herald:
    """Keeps the own presence published, as soon as there is a contact to read it.

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
        """Put the record where it belongs, anew if it is time to; seconds until the next time."""
        context = self._context
        every_s = context.params.presence_every_s
        try:
            presence = await context.db.run(partial(_wanted, context))
            if presence is None:
                return every_s
            if self._told_n not in (None, presence.n):
                self._wake()
            self._told_n = presence.n
            result = await announce.publish_and_read(context, self._draft(presence), watch_s=0)
        except P2PChatError as error:
            log.warning("presence.failed", error=cause(error))
            return _RETRY_S
        # storers that this node does not know yet must not be without it for long
        return every_s + 1 if result.stored > 1 else _RETRY_S

    def _draft(self, presence: OwnPresence) -> announce.Draft:
        context, network = self._context, self._context.network
        addresses = varied(network.addresses(), PRESENCE_ADDRESSES)
        said = Presence(network.peer_id, context.profile.ask, presence.n, addresses)
        every_s = context.params.presence_every_s
        return announce.Draft(
            loc=presence.given(presence.epoch, context.params).loc,
            place=lambda seq: presence.slot(seq, context.params),
            writer=presence.gate(),
            data=encode_presence(said),
            contact=None,
            renew_s=(every_s, every_s),
        )


def _wanted(context: Context, tx: Tx) -> OwnPresence | None:
    return own(tx, context) if contacts.any_matched(tx) else None
