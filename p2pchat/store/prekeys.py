"""Private halves of what was given out in bundles, and the tags of the flights that were accepted with them.

A prekey of a *reusable* bundle (PROTOCOL.md 6.4) stays when a flight was accepted with it, until its time is over; no
other pushes it out, and a flight's replay tag stays as long as it does.

Deletion is deletion: see :mod:`p2pchat.store.erasable`, ``secure_delete`` and the log's checkpoint. A clock that was
ahead prolongs no life: what it has dated beyond the lives that there are goes, too.
"""

from __future__ import annotations

from typing import Final

from p2pchat.base.ids import PeerId
from p2pchat.base.limits import PREKEYS, PREKEYS_PER_PEER, REUSABLE_BUNDLES
from p2pchat.core.crypto import x25519_pair
from p2pchat.core.params import Params
from p2pchat.core.prekeys import PrekeySecret, SignedPrekey, dump_prekey, load_prekey
from p2pchat.store.db import Tx
from p2pchat.store.erasable import erasable, value_of

__all__ = [
    "accepted",
    "add",
    "add_reusable",
    "add_spk",
    "is_replayed",
    "newest_reusable",
    "newest_spk",
    "prune",
    "take",
]

_INTEGER_MAX: Final = (1 << 63) - 1


def newest_spk(tx: Tx, until_s: int) -> SignedPrekey | None:
    """The signed prekey that was made last, and not after unix second ``until_s``."""
    row = tx.one("SELECT made_s, secret FROM spk WHERE made_s <= ? ORDER BY made_s DESC LIMIT 1", (until_s,))
    return None if row is None else SignedPrekey(x25519_pair(bytes(row[1])), row[0])


def add_spk(tx: Tx, spk: SignedPrekey) -> None:
    # a table of one page: what is deleted there has never moved
    tx.execute("INSERT INTO spk VALUES (?, ?) ON CONFLICT DO NOTHING", (spk.made_s, spk.pair.secret))


def add(tx: Tx, secret: PrekeySecret, requester: PeerId) -> None:
    """Keep the private half of a bundle; committed before the bundle leaves. The oldest beyond the bounds go.

    Those that a contact's own node has asked for go last: whoever holds ask32 can ask under ever new PeerIDs, and
    pushes out what strangers have asked for.
    """
    tx.execute(
        "INSERT INTO prekey (prekey_id, requester, secret, expires_s) VALUES (?, ?, ?, ?)",
        (secret.prekey_id, bytes(requester), erasable(dump_prekey(secret)), secret.expires_s),
    )
    tx.execute(
        "DELETE FROM prekey WHERE requester = ?1 AND id NOT IN "
        "(SELECT id FROM prekey WHERE requester = ?1 ORDER BY id DESC LIMIT ?2)",
        (bytes(requester), PREKEYS_PER_PEER),
    )
    tx.execute(
        "DELETE FROM prekey WHERE NOT reusable AND (SELECT count(*) FROM prekey WHERE NOT reusable) > ?1 AND id NOT IN "
        "(SELECT id FROM prekey WHERE NOT reusable ORDER BY "
        "EXISTS (SELECT 1 FROM contact_peer WHERE peer = requester AND published) DESC, id DESC LIMIT ?1)",
        (PREKEYS,),
    )


def add_reusable(tx: Tx, secret: PrekeySecret) -> None:
    """Keep the private half of a bundle for mailboxes; committed before the bundle leaves. The oldest beyond the bound
    go, which partings by the hundred would reach.
    """
    tx.execute(
        "INSERT INTO prekey (prekey_id, requester, secret, expires_s, reusable) VALUES (?, x'', ?, ?, 1)",
        (secret.prekey_id, erasable(dump_prekey(secret)), secret.expires_s),
    )
    tx.execute(
        "DELETE FROM prekey WHERE reusable AND id NOT IN "
        "(SELECT id FROM prekey WHERE reusable ORDER BY id DESC LIMIT ?)",
        (REUSABLE_BUNDLES,),
    )


def newest_reusable(tx: Tx, since_s: int, params: Params) -> tuple[PrekeySecret, int] | None:
    """The bundle for mailboxes that was made last, since unix second ``since_s`` and not in the future; and when."""
    row = tx.one(
        "SELECT secret, expires_s FROM prekey WHERE reusable AND expires_s BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
        (since_s + params.spk_kept_s, tx.now_s + params.skew_s + params.spk_kept_s),
    )
    return None if row is None else (load_prekey(value_of(row[0])), row[1] - params.spk_kept_s)


def take(tx: Tx, prekey_id: bytes, now_s: int) -> PrekeySecret | None:
    row = tx.one("SELECT secret FROM prekey WHERE prekey_id = ? AND expires_s > ?", (prekey_id, now_s))
    return None if row is None else load_prekey(value_of(row[0]))


def accepted(tx: Tx, secret: PrekeySecret, tag: bytes, params: Params) -> None:
    """A flight was accepted with it: the one-time pair is gone in the same transaction, and its replay tag stays as
    long as the signed prekey, and what is reusable. Source: PROTOCOL.md 4.2, 6.4.

    Raises: the driver's IntegrityError on a repeat; ask :func:`is_replayed` in the same transaction first.
    """
    tx.execute("DELETE FROM prekey WHERE prekey_id = ? AND NOT reusable", (secret.prekey_id,))
    spk = tx.one("SELECT made_s FROM spk WHERE secret = ?", (secret.spk.secret,))
    until_s = secret.expires_s if spk is None else max(secret.expires_s, spk[0] + params.spk_kept_s)
    tx.execute("INSERT INTO replay_tag VALUES (?, ?)", (tag, until_s))


def is_replayed(tx: Tx, tag: bytes) -> bool:
    """Whether a flight with that tag was accepted."""
    return tx.one("SELECT 1 FROM replay_tag WHERE tag = ?", (tag,)) is not None


def prune(tx: Tx, params: Params, *, may_be_behind: bool = False) -> None:
    """Forget what has had its life.

    Args:
        may_be_behind: the clock; then what is ahead of it stays.
    """
    now_s, ahead_s = tx.now_s, _INTEGER_MAX - params.spk_kept_s if may_be_behind else tx.now_s + params.skew_s
    tx.execute(
        "DELETE FROM prekey WHERE expires_s NOT BETWEEN ? AND iif(reusable, ?, ?)",
        (now_s + 1, ahead_s + params.spk_kept_s, ahead_s + params.bundle_life_s),
    )
    tx.execute("DELETE FROM spk WHERE made_s NOT BETWEEN ? AND ?", (now_s - params.spk_kept_s, ahead_s))
    tx.execute("DELETE FROM replay_tag WHERE until_s NOT BETWEEN ? AND ?", (now_s, ahead_s + params.spk_kept_s))
