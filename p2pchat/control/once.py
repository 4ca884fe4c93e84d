"""A method that changes the store runs once for its idempotency key, in one transaction with it.

On a device that was replaced nothing changes any more: that is looked at in the same transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from p2pchat.api import calls, objects
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
    objects.MailboxOffer,
    objects.Message,
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


def once_in(tx: Tx, method: str, params: calls.Mutation, kind: type[R], effect: Callable[[Tx], R]) -> R:
    """The same within a transaction that has looked whether the device was replaced.

    Raises:
        UsageError: IDEMPOTENCY_CONFLICT; nothing was done.
    """
    key = params.idempotency_key
    if key is None:
        return effect(tx)
    fields = msgspec.structs.asdict(params) | {"idempotency_key": None, "wait": None, "timeout_ms": None}
    for name in _ADDED:
        if not fields.get(name):
            fields.pop(name, None)
    digest = hashlib.blake2b(msgspec.msgpack.encode((method, fields), order="sorted"), digest_size=32).digest()
    known = idempotency.recall(tx, key, digest)
    if known is not None:
        repeated = msgspec.json.decode(known, type=kind)
        repeated.replayed = True
        return repeated
    result = effect(tx)
    idempotency.remember(tx, key, digest, msgspec.json.encode(result))
    return result
