"""A method that changes the store runs once for its idempotency key, in one transaction with it.

On a device that was replaced nothing changes any more: that is looked at in the same transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from p2pchat.api import calls, handover, mailbox_objects, objects, settings
from p2pchat.control.replaced import refuse_if_replaced
from p2pchat.services.context import Context
from p2pchat.store import idempotency, meta
from p2pchat.store.db import Tx

R = TypeVar(
    "R",
    objects.Contact,
    objects.Contacts,
    objects.Deleted,
    objects.Identity,
    objects.Import,
    objects.Invite,
    mailbox_objects.MailboxOffer,
    mailbox_objects.Mailboxes,
    objects.Message,
    objects.Rule,
    handover.NodesTaken,
    settings.Setting,
    objects.SmsProof,
)

_ADDED: Final = ("live_only",)
"""Parameters that calls of earlier versions, whose keys are kept, did not have: where they say nothing, neither do they
in the digest."""


async def once(context: Context, method: str, params: calls.Mutation, kind: type[R], effect: Callable[[Tx], R]) -> R:
    """Run ``effect`` once for its idempotency key, in one transaction with it."""

    def effected(tx: Tx) -> R:
        refuse_if_replaced(meta.load_replaced(tx))
        return once_in(tx, method, params, kind, effect)

    return await context.db.run(effected)


async def repeated(context: Context, method: str, params: calls.Mutation, kind: type[R]) -> R | None:
    """The result of an earlier call with this idempotency key: for a method that does much before its transaction.

    Raises:
        UsageError: IDEMPOTENCY_CONFLICT.
    """
    return await context.db.run(lambda tx: _recall(tx, method, params, kind))


def once_in(tx: Tx, method: str, params: calls.Mutation, kind: type[R], effect: Callable[[Tx], R]) -> R:
    """The same within a transaction that has looked whether the device was replaced.

    Raises:
        UsageError: IDEMPOTENCY_CONFLICT; nothing was done.
    """
    known = _recall(tx, method, params, kind)
    if known is not None:
        return known
    result = effect(tx)
    if params.idempotency_key is not None:
        idempotency.remember(tx, params.idempotency_key, _digest(method, params), msgspec.json.encode(result))
    return result


def _recall(tx: Tx, method: str, params: calls.Mutation, kind: type[R]) -> R | None:
    if params.idempotency_key is None:
        return None
    known = idempotency.recall(tx, params.idempotency_key, _digest(method, params))
    if known is None:
        return None
    result = msgspec.json.decode(known, type=kind)
    result.replayed = True
    return result


def _digest(method: str, params: calls.Mutation) -> bytes:
    fields = msgspec.structs.asdict(params) | {"idempotency_key": None, "wait": None, "timeout_ms": None}
    for name in _ADDED:
        if not fields.get(name):
            fields.pop(name, None)
    return hashlib.blake2b(msgspec.msgpack.encode((method, fields), order="sorted"), digest_size=32).digest()
