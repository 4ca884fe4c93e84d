"""The own device, where a clock that was ahead has dated it (PROTOCOL.md 1.2).

A device that is dated in the future is refused by everybody whose clock is right until that time has come: for a year,
if the clock was a year ahead when the profile was made or restored. As long as nobody has agreed on anything with it,
it can be replaced by one that is dated now; what was published under it no storer has taken either.
"""

from __future__ import annotations

from functools import partial

import msgspec
import structlog

from p2pchat.core.keys import Identity, create_device, dump_identity
from p2pchat.services.context import Context
from p2pchat.store import contacts, meta, pairs, sessions
from p2pchat.store.db import Tx

log = structlog.get_logger()


async def correct(context: Context) -> None:
    """Date the device anew, if it has to be.

    Raises:
        StoreError: the disk refused; nothing has changed.
    """
    identity = await context.db.run(partial(_dated_anew, context))
    if identity is not None:
        context.identity = identity
        context.profile = await context.db.run(meta.load_profile)
        log.warning("device.dated_anew")


def _dated_anew(context: Context, tx: Tx) -> Identity | None:
    epoch_ms = max(tx.now_ms, meta.load_before(tx).epoch_ms + 1)
    dated_ms = context.identity.cert.epoch_ms
    # where the clock is behind now, a device cannot be dated before the ones that others have seen
    if dated_ms <= tx.now_ms + context.params.skew_s * 1000 or dated_ms <= epoch_ms or sessions.any_confirmed(tx):
        return None
    identity = create_device(context.identity.root.secret, context.entropy, epoch_ms)
    meta.save_profile(tx, msgspec.structs.replace(meta.load_profile(tx), identity=dump_identity(identity)))
    sessions.forget_all(tx)
    contacts.forget_flights(tx)
    pairs.forget_all_published(tx)
    return identity
