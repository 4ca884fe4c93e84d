"""Grants: what a holder is told of a mailbox, tokens and bundle (PROTOCOL.md 6.2, 6.4).

The private halves of the bundle, and the tokens, are on disk before they leave; contacts are told of a token when its
holder has granted it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from p2pchat.base.errors import NetError
from p2pchat.core.mailbox import Grant, Granted, seal_bundle, token_hash
from p2pchat.core.params import DAY_S
from p2pchat.core.prekeys import PrekeySecret, SignedPrekey, is_of, make_reusable_bundle, make_signed_prekey
from p2pchat.net.mailbox import Visit
from p2pchat.services import presence
from p2pchat.services.context import Context
from p2pchat.store import meta, own_mailbox, prekeys
from p2pchat.store.db import Tx
from p2pchat.store.own_mailbox import OwnMailbox

UNSIGNED: Final = bytes(64)  # in the place of a signature, until a visit makes it
_INTEGER_MAX: Final = (1 << 63) - 1  # what a column holds; the wire has 64 bits


async def ask(context: Context, visit: Visit, mailbox: OwnMailbox) -> OwnMailbox:
    """Ask a holder for a mailbox that is not here yet; what it has granted, for :func:`own_mailbox.keep`.

    Raises:
        NetError: the holder is gone, or refused.
        DecodeError: it sent what is malformed.
    """
    request = await context.db.run(lambda tx: _request(tx, context, mailbox))
    said = await visit.ask_as(mailbox.owner(), request, Granted)
    return replace(mailbox, quota=min(said.quota_bytes, _INTEGER_MAX))


async def renew(context: Context, visit: Visit, mailbox: int, *, force: bool) -> bool:
    """Tell the holder of ``mailbox`` what is due; whether contacts are to be told something new.

    Args:
        force: even if nothing is due.

    Raises: as :func:`ask`.
    """
    prepared = await context.db.run(lambda tx: _due(tx, context, mailbox, force=force))
    if prepared is None:
        return False
    known, request = prepared
    said = await visit.ask_as(known.owner(), request, Granted)
    quota = min(said.quota_bytes, _INTEGER_MAX)
    return await context.db.run(partial(own_mailbox.granted, sent=known, quota=quota))


def _due(tx: Tx, context: Context, mailbox: int, *, force: bool) -> tuple[OwnMailbox, Grant] | None:
    _, made_s = _bundle(tx, context)  # which may draw tokens anew
    known = own_mailbox.get(tx, mailbox)
    if known is None or not (force or own_mailbox.is_due(known, made_s, tx.now_s, context.params)):
        return None
    return known, _request(tx, context, known)


def _request(tx: Tx, context: Context, mailbox: OwnMailbox) -> Grant:
    if meta.load_profile(tx).node_seed != context.profile.node_seed:
        raise NetError("the node key is another by now")  # what is asked for under this one would link the two
    secret, _ = _bundle(tx, context)
    key = presence.own(tx, context).bundle_key()
    sealed = seal_bundle(secret.bundle, key, context.entropy.bytes(24))
    hashes = tuple(map(token_hash, mailbox.tokens(tx.now_s)))
    return Grant(mailbox.owner().public, hashes, sealed, UNSIGNED)


def _bundle(tx: Tx, context: Context) -> tuple[PrekeySecret, int]:
    """The bundle for mailboxes, and when it was made: a new one every day, with another presence, or as another device.

    Source: PROTOCOL.md 6.4.
    """
    since_s = max(tx.now_s - DAY_S + 1, presence.own(tx, context).made_s)
    known = prekeys.newest_reusable(tx, since_s, context.params)
    if known is not None and is_of(known[0].bundle, context.identity):
        return known
    secret = make_reusable_bundle(context.identity, _spk(tx, context), context.entropy, tx.now_s, context.params)
    prekeys.add_reusable(tx, secret)
    return secret, tx.now_s


def _spk(tx: Tx, context: Context) -> SignedPrekey:
    """One that is made now, so that it is gone 22 days from now like all else of the bundle."""
    newest = prekeys.newest_spk(tx, tx.now_s + context.params.skew_s)
    if newest is not None and newest.made_s == tx.now_s:
        return newest
    spk = make_signed_prekey(context.entropy, tx.now_s)
    prekeys.add_spk(tx, spk)
    return spk
