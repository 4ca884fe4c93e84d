"""Presence: tell contacts where this node is reached, and learn where they are (PROTOCOL.md 3.4).

*Given* inside sessions: the first envelope that is sealed in a session with a matched contact carries the key of the
own presence. *Sought* when a contact cannot be reached. It is published by :mod:`p2pchat.services.herald`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from p2pchat.base.errors import DecodeError, PeerError
from p2pchat.base.ids import PeerId
from p2pchat.base.limits import OWN_PRESENCES
from p2pchat.core.events import EventKind
from p2pchat.core.params import Params
from p2pchat.core.presence import (
    OwnPresence,
    Sighting,
    decode_presence_key,
    encode_presence_key,
    open_presence,
    presence_epoch,
)
from p2pchat.services.context import Context, tell
from p2pchat.store import contact_peers, contacts, custody, meta, own_mailbox, pairs
from p2pchat.store import presence as store
from p2pchat.store.db import Tx
from p2pchat.store.presence import HeldPresence
from p2pchat.store.sessions import SessionRow

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
    """The own presence; a new one where none is, where it is 28 days old, or where a clock that was ahead has made it
    unusable. The one before stays for another 30 days: who was away reads it still, and whoever knows no later ask32,
    as one who was restored, is let in by its own.
    """
    params = context.params
    known = store.own(tx)
    if known is None:
        return _make(tx, context, None, context.profile.ask)  # which a Reach of an earlier version may have told
    of_its_time = known.made_s - params.skew_s <= tx.now_s < known.made_s + params.presence_life_s
    if of_its_time and is_usable(tx, known, params):
        return known
    new = _make(tx, context, known, context.entropy.bytes(32))
    store.end_own(tx, new.n, tx.now_s + params.presence_kept_s)
    store.end_own(tx, new.n - OWN_PRESENCES + 1, tx.now_s)
    forget_ended(tx)
    own_mailbox.draw_tokens(tx, context.entropy, params.mailbox_key_kept_s - params.mailbox_key_life_s)
    return new


def is_usable(tx: Tx, known: OwnPresence, params: Params) -> bool:
    """Whether a record of it can be published now: its key is there, and the last one is not dated ahead."""
    week = presence_epoch(tx.now_s, params)
    if not week - params.presence_steps <= known.epoch <= week:
        return False
    published = pairs.published(tx, known.slot(tx.now_s, params).loc)
    return published is None or published.seq <= tx.now_s + params.skew_s


def replace_own(tx: Tx, context: Context) -> OwnPresence:
    """Another presence at once: every earlier one ends, with its ask32, and no token is good any more."""
    new = _make(tx, context, store.own(tx), context.entropy.bytes(32))
    store.end_own(tx, new.n, tx.now_s)
    forget_ended(tx)
    own_mailbox.draw_tokens(tx, context.entropy, 0)
    if own_mailbox.kept_keys(tx):
        own_mailbox.draw_key(tx, context.entropy, context.params)
    return new


def _make(tx: Tx, context: Context, before: OwnPresence | None, ask: bytes) -> OwnPresence:
    entropy, week = context.entropy, presence_epoch(tx.now_s, context.params)
    # after a restore contacts may hold one of the device before, and of theirs the higher number counts
    n = max(meta.load_before(tx).presence_n, before.n if before is not None else 0) + 1
    new = OwnPresence(n, entropy.bytes(32), week, entropy.bytes(32), ask, tx.now_s)
    store.add_own(tx, new)
    return new


def forget_ended(tx: Tx) -> None:
    """The presences whose end has come are published no more."""
    for ended in store.ended_own(tx):
        pairs.forget_published(tx, ended.loc)
        store.forget_own(tx, ended.n)


def forget_keys(tx: Tx, context: Context) -> None:
    """The own key of a week goes 72 h after it: who takes this disk reads nothing older."""
    for known in store.all_own(tx):
        week = presence_epoch(tx.now_s - context.params.read_previous_s, context.params)
        if known.epoch < week <= known.epoch + context.params.presence_steps:
            store.step_own(tx, known.forget_before(week, context.params))


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
    held, noted = await context.db.run(partial(_held, contact))
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
    if newest is None or newest.seq < held.seq or (newest.seq == held.seq and noted):
        return False if result.answered > 1 else None
    changed = await context.db.run(partial(_keep, contact, held, newest))
    if changed:
        context.nodes_changed()
    return changed


def _held(contact: int, tx: Tx) -> tuple[HeldPresence | None, bool]:
    """The presence that ``contact`` has given, and whether all of the record that was read of it is known."""
    held = store.held(tx, contact)
    return held, held is not None and store.told_of_mailboxes(tx, contact, held.seq)


def _keep(contact: int, held: HeldPresence, newest: Sighting, tx: Tx) -> bool:
    if store.held(tx, contact) != held:
        return False  # given anew, or removed, meanwhile
    store.hold(tx, contact, replace(held, seq=newest.seq, key=newest.key))
    said = newest.presence
    before = _admitting(tx, contact)
    store.note_mailboxes(tx, contact, newest.seq, said)
    named = [holder for holder, _ in before & _admitting(tx, contact)]
    tell(tx, EventKind.MESSAGE_UNHELD, custody.keep_only(tx, contact, named), contact)
    return contact_peers.save(tx, contact, said.peer_id, (*said.addresses, *said.circuits), said.ask, newest.seq)


def _admitting(tx: Tx, contact: int) -> set[tuple[PeerId, bytes]]:
    """Each holder of ``contact`` as far as is known, with its token: with another it may be another mailbox."""
    places = store.mailboxes_of(tx, contact)
    return set() if places is None else {(each.peer_id, each.token) for each in places.mailboxes}


def was_read(tx: Tx, contact: int) -> bool:
    """Whether a record of the presence that ``contact`` has given was read."""
    held = store.held(tx, contact)
    return held is not None and held.seq > 0
