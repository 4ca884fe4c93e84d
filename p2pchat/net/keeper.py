"""This node as a storer: what it keeps, whom it tells of new entries (PROTOCOL.md 3.2, 3.7).

Rules:

- A put is considered before the entries are read.
- Newly accepted entries are pushed to those with a watch, except to the one who put them. A watcher that does not take
  its pushes loses all its watches: nothing is queued for it without bound.
- A put from another peer is refused when this node knows 40 storers closer to loc than itself, unless it is so near
  that only k are to be expected there: Sybils talk no storer out of its slots. The node's own put is not refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from p2pchat.core.lookup import position
from p2pchat.core.params import Params
from p2pchat.core.routing import RoutingTable
from p2pchat.core.storer import OWN_PREFIX, Put, Storer
from p2pchat.core.watches import Watches


class Watcher(Protocol):
    """Who is told of new entries; compared by identity."""

    def push(self, loc: bytes, record: bytes) -> bool:
        """Take a new entry; False when there is no room, which ends the watches. Must not block or raise."""
        ...


class Keeper:
    """The slots of one node.

    Args:
        storer: the entries.
        params: consensus constants.
        now: unix seconds, for the records; leases run on trio's clock.
        table: tells how many storers are closer to a loc.
        region: the distance within which k storers are to be expected, 0 where that is not known.
    """

    def __init__(
        self,
        storer: Storer,
        params: Params,
        now: Callable[[], float],
        table: RoutingTable,
        region: Callable[[], int],
    ) -> None:
        self._storer = storer
        self._watches = Watches[Watcher](params.watch_max_s)
        self._params = params
        self._now = now
        self._table = table
        self._region = region

    def put(self, loc: bytes, raw: bytes, *, prefix: bytes, by: Watcher) -> bool:
        """Keep a record if the rules allow it; whether it is here now.

        Args:
            loc: 32 bytes.
            raw: the record.
            prefix: of the peer who puts it, or ``OWN_PREFIX``.
            by: who is not told of it.
        """
        if prefix != OWN_PREFIX and self._is_far(loc):
            return False
        outcome = self._storer.put(loc, raw, prefix=prefix, now_s=int(self._now()))
        if outcome is Put.NEW:
            for watcher in self._watches.watchers(loc, trio.current_time()):
                if watcher is not by and not watcher.push(loc, raw):
                    self._watches.drop(watcher)
        return outcome is not Put.REFUSED

    def get(self, loc: bytes) -> tuple[bytes, ...]:
        """The entries of a slot, at most 16."""
        return self._storer.get(loc, int(self._now()))

    def watch(self, loc: bytes, watcher: Watcher, lease_s: int) -> int:
        """Push new entries of ``loc`` to ``watcher``; the seconds granted."""
        return self._watches.grant(loc, watcher, lease_s, trio.current_time())

    def leave(self, watcher: Watcher) -> None:
        """Forget the watches of ``watcher``."""
        self._watches.drop(watcher)

    def _is_far(self, loc: bytes) -> bool:
        target, bound = position(loc), self._params.refuse_beyond_closer
        if self._table.closer_storers(target, trio.current_time(), at_most=bound) < bound:
            return False
        return self._table.distance(target) >= self._region()
