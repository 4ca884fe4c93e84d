"""What time does: messages expire, prekeys and replay tags go, era secrets step on, the log of events is bounded
(:mod:`p2pchat.services.retention`)."""

from __future__ import annotations

from typing import Final

import structlog
import trio

from p2pchat.base.errors import StoreError
from p2pchat.core.events import EventKind
from p2pchat.core.params import DAY_S
from p2pchat.core.slots import era
from p2pchat.services import custodies, device, invites, peer_cache, presence, prove, receipts
from p2pchat.services.contacts import contact_event
from p2pchat.services.context import Context, tell
from p2pchat.services.defects import cause
from p2pchat.services.deliver import sending_session
from p2pchat.services.retention import bound_log
from p2pchat.store import (
    ahead,
    contacts,
    idempotency,
    messages,
    meta,
    own_mailbox,
    pairs,
    prekeys,
    sessions,
)
from p2pchat.store.db import Tx

_EVERY_S: Final = 900.0
_IDEMPOTENCY_KEPT_S: Final = 7 * DAY_S

log = structlog.get_logger()


async def run(context: Context) -> None:
    """Every quarter of an hour, from the start on, until cancelled."""
    while True:
        try:
            await context.db.run(lambda tx: upkeep(tx, context))
            await device.correct(context)
            await bound_log(context.db)
        except StoreError as error:
            log.warning("upkeep.failed", error=cause(error))
        await peer_cache.remember(context)
        await trio.sleep(_EVERY_S)


async def run_alone(context: Context) -> None:
    """As :func:`run`, of a device that is in no network any more: keys end with their time there, too."""
    while True:
        try:
            await context.db.run(lambda tx: upkeep(tx, context))
            await bound_log(context.db)
        except StoreError as error:
            log.warning("upkeep.failed", error=cause(error))
        await trio.sleep(_EVERY_S)


def upkeep(tx: Tx, context: Context) -> None:
    """One round but for the event log, in one transaction."""
    params = context.params
    _forgive_clock(tx, context)
    expired = messages.expire(tx, tx.now_ms - params.message_life_s * 1000)
    for contact, ids in expired.items():
        tell(tx, EventKind.MESSAGE_EXPIRED, ids, contact)
    if expired:
        sessions.withhold_expired(tx)
    for contact in contacts.overdue(tx):
        contacts.set_pending_until(tx, contact, None)
        tx.emit(contact_event(tx, EventKind.CONTACT_EXPIRED, contact))
    invites.upkeep(tx)
    custodies.end(tx)
    presence.forget_ended(tx)
    presence.forget_keys(tx, context)
    prove.forget(tx, context)
    receipts.forget(tx, context)
    may_be_behind = ahead.may_be_behind(tx, params)
    prekeys.prune(tx, params, may_be_behind=may_be_behind)
    own_mailbox.prune(tx, params, may_be_behind=may_be_behind)
    sessions.prune_received(tx, tx.now_s)
    sending = (sending_session(tx, contact.id) for contact in contacts.everyone(tx))
    sessions.prune(tx, tx.now_s - params.session_kept_s, {session.id for session in sending if session is not None})
    idempotency.prune(tx, tx.now_s - _IDEMPOTENCY_KEPT_S)
    this_era = era(tx.now_s, params)
    if tx.now_s - this_era * params.era_s > params.idsec_kept_s:
        pairs.forget_idsec(tx, this_era)
        pairs.prune(tx, this_era)
    pairs.prune_published(tx, tx.now_s - params.record_ttl_s - params.epoch_s)


def _forgive_clock(tx: Tx, context: Context) -> None:
    """What seems to be older than this device was dated by a clock that had not been set: its life begins now.

    In a profile that was restored it may be as old as it seems, if it can have lived when the last device was made.
    """
    born_ms, before_ms = context.identity.cert.epoch_ms, meta.load_before(tx).epoch_ms
    oldest_ms = before_ms - context.params.message_life_s * 1000 if before_ms else born_ms
    if tx.now_ms >= born_ms:
        messages.redate(tx, oldest_ms)
        contacts.redate(tx, oldest_ms // 1000, tx.now_s + context.params.pending_life_s)
