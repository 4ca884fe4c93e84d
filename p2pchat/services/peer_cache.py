"""Keeps the cache of nodes to start from next time (:mod:`p2pchat.core.peer_cache` says whom)."""

from __future__ import annotations

from collections.abc import Callable, Collection

import structlog

from p2pchat.base.errors import StoreError
from p2pchat.base.ids import PeerId
from p2pchat.core.peer_cache import CachedPeer, kept
from p2pchat.net.hearsay import network_to_dial
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.store import known_peers
from p2pchat.store.db import Tx

log = structlog.get_logger()


async def remember(context: Context) -> None:
    """Write down which nodes answer now; none known keeps those of before as they are."""
    known = context.dht.known_peers()
    silent = context.dht.failing(peer for peer, _ in known)
    heard = {peer: addresses for peer, addresses in known if peer not in silent}
    if not heard:
        return

    def write(tx: Tx) -> None:
        rows = {row.peer: row for row in known_peers.load(tx)}
        for peer, addresses in heard.items():
            row = rows.get(peer) or CachedPeer(peer, addresses, tx.now_s, tx.now_s)
            rows[peer] = row.on_heard(addresses, tx.now_s)
        known_peers.save(tx, kept(rows.values(), network_to_dial, tx.now_s))

    await _run(context, write)


async def note_failures(context: Context, asked: Collection[PeerId]) -> None:
    """Somebody has answered: of those who were asked at the same time and did not, that is written down."""
    silent = context.dht.failing(asked)

    def write(tx: Tx) -> None:
        rows = [row.on_failure(tx.now_s) if row.peer in silent else row for row in known_peers.load(tx)]
        known_peers.save(tx, kept(rows, network_to_dial, tx.now_s))

    if silent:
        await _run(context, write)


async def _run(context: Context, write: Callable[[Tx], None]) -> None:
    try:
        await context.db.run(write)
    except StoreError as error:
        log.warning("peers.not_remembered", error=cause(error))
