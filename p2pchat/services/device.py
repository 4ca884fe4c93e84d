"""The own device: dated anew where a clock that was ahead has dated it, and replaced by a newer one of the same root
(PROTOCOL.md 1.2, 5.3).

A device that is dated in the future is refused by everybody whose clock is right until that time has come: for a year,
if the clock was a year ahead when the profile was made or restored. As long as nobody has agreed on anything with it,
it can be replaced by one that is dated now; what was published under it no storer has taken either.

A device that was replaced by another, which a backup has made elsewhere, is told so by whoever it writes to. From that
commit on it is in no network any more: :mod:`life` sees to that. Only who has the root key can bring it about.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec
import structlog

from p2pchat.base.errors import HandshakeError
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.keys import Identity, create_device, dump_identity, open_cert
from p2pchat.services.context import Context
from p2pchat.store import contacts, meta, pairs, sessions
from p2pchat.store.db import Tx

_epoch_ms: Final = msgspec.msgpack.Decoder(int)

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
    before = meta.load_before(tx)
    epoch_ms = max(tx.now_ms, before.epoch_ms + 1)
    dated_ms = context.identity.cert.epoch_ms
    # where the clock is behind now, a device cannot be dated before the ones that others have seen
    if dated_ms <= tx.now_ms + context.params.skew_s * 1000 or dated_ms <= epoch_ms or sessions.any_confirmed(tx):
        return None
    identity = create_device(context.identity.root.secret, context.entropy, epoch_ms)
    meta.save_profile(tx, msgspec.structs.replace(meta.load_profile(tx), identity=dump_identity(identity)))
    meta.save_before(tx, msgspec.structs.replace(before, given_up_ms=(*before.given_up_ms, dated_ms)))
    sessions.forget_all(tx)
    contacts.forget_flights(tx)
    pairs.forget_all_published(tx)
    return identity


def heed(tx: Tx, context: Context, raw: bytes) -> None:
    """Note that this device was replaced, if ``raw`` is the certificate of a newer one of its root.

    Raises:
        DecodeError: it is no certificate.

    Source: PROTOCOL.md 5.3.
    """
    try:
        cert = open_cert(raw, tx.now_ms)
    except HandshakeError:
        return  # forged, or one of two clocks is wrong: neither says anything of this device
    own = context.identity.cert
    if cert.root != own.root or cert.epoch_ms <= own.epoch_ms or meta.load_replaced(tx) is not None:
        return
    if cert.epoch_ms in meta.load_before(tx).given_up_ms:
        return  # this very profile was that device, by a clock that was ahead
    meta.save_replaced(tx, cert.epoch_ms)
    tx.emit(DomainEvent(EventKind.NODE_WARNING, detail=msgspec.msgpack.encode(cert.epoch_ms)))


def open_replacement(detail: bytes) -> int:
    """epoch_ms of the newer device, out of the event that tells of it."""
    return _epoch_ms.decode(detail)


def replaced_by(event: DomainEvent) -> int | None:
    """epoch_ms of the device that has replaced this one, if that is what ``event`` tells."""
    own = event.kind is EventKind.NODE_WARNING and event.subject is None  # else it is about a contact
    return open_replacement(event.detail) if own and event.detail else None
