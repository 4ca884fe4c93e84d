"""The cache of nodes to start from next time; who has a place in it :mod:`p2pchat.core.peer_cache` decides."""

from __future__ import annotations

from collections.abc import Iterable

from p2pchat.base.ids import Address, PeerId
from p2pchat.core.peer_cache import CachedPeer
from p2pchat.store.db import Tx
from p2pchat.store.meta import decode_addresses, encode_addresses


def load(tx: Tx) -> list[CachedPeer]:
    """All of them, in no order."""
    rows = tx.all("SELECT peer, addresses, seen_s, since_s, failed_s, failures FROM known_peer")
    return [CachedPeer(PeerId(peer), decode_addresses(data), *rest) for peer, data, *rest in rows]


def save(tx: Tx, peers: Iterable[CachedPeer]) -> None:
    """These, and no others."""
    tx.execute("DELETE FROM known_peer")
    tx.many(
        "INSERT INTO known_peer (peer, addresses, seen_s, since_s, failed_s, failures) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                bytes(each.peer),
                encode_addresses(each.addresses),
                each.heard_s,
                each.since_s,
                each.failed_s,
                each.failures,
            )
            for each in peers
        ],
    )


def add(tx: Tx, peer: PeerId, addresses: tuple[Address, ...]) -> None:
    """One more, of which an invite tells: worth a try before all that were heard earlier."""
    tx.execute(
        "INSERT INTO known_peer (peer, addresses, seen_s, since_s) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "addresses = excluded.addresses, seen_s = excluded.seen_s, failed_s = 0, failures = 0",
        (bytes(peer), encode_addresses(addresses), tx.now_s, tx.now_s),
    )
