"""Private halves of what was given out in bundles. Deletion is deletion: ``secure_delete`` and the log's checkpoint."""

from __future__ import annotations

from p2pchat.base.ids import PeerId
from p2pchat.base.limits import PREKEYS, PREKEYS_PER_PEER
from p2pchat.core.crypto import x25519_pair
from p2pchat.core.prekeys import PrekeySecret, SignedPrekey, dump_prekey, load_prekey
from p2pchat.store.db import Tx

__all__ = ["add", "add_spk", "newest_spk", "prune", "take", "used"]


def newest_spk(tx: Tx) -> SignedPrekey | None:
    row = tx.one("SELECT made_s, secret FROM spk ORDER BY made_s DESC LIMIT 1")
    return None if row is None else SignedPrekey(x25519_pair(bytes(row[1])), row[0])


def add_spk(tx: Tx, spk: SignedPrekey) -> None:
    tx.execute("INSERT INTO spk VALUES (?, ?) ON CONFLICT DO NOTHING", (spk.made_s, spk.pair.secret))


def add(tx: Tx, secret: PrekeySecret, requester: PeerId) -> None:
    """Keep the private half of a bundle; committed before the bundle leaves. The oldest beyond the bounds go."""
    tx.execute(
        "INSERT INTO prekey (prekey_id, requester, secret, expires_s) VALUES (?, ?, ?, ?)",
        (secret.prekey_id, bytes(requester), dump_prekey(secret), secret.expires_s),
    )
    tx.execute(
        "DELETE FROM prekey WHERE requester = ?1 AND id NOT IN "
        "(SELECT id FROM prekey WHERE requester = ?1 ORDER BY id DESC LIMIT ?2)",
        (bytes(requester), PREKEYS_PER_PEER),
    )
    tx.execute("DELETE FROM prekey WHERE id <= (SELECT max(id) FROM prekey) - ?", (PREKEYS,))


def take(tx: Tx, prekey_id: bytes, now_s: int) -> PrekeySecret | None:
    row = tx.one("SELECT secret FROM prekey WHERE prekey_id = ? AND expires_s > ?", (prekey_id, now_s))
    return None if row is None else load_prekey(bytes(row[0]))


def used(tx: Tx, prekey_id: bytes) -> None:
    """A flight was accepted with it: gone in the same transaction."""
    tx.execute("DELETE FROM prekey WHERE prekey_id = ?", (prekey_id,))


def prune(tx: Tx, now_s: int, spk_before_s: int) -> None:
    tx.execute("DELETE FROM prekey WHERE expires_s <= ?", (now_s,))
    tx.execute("DELETE FROM spk WHERE made_s < ?", (spk_before_s,))
