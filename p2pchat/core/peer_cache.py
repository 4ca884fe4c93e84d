"""The nodes from which this one starts next time: who is kept, and who is asked first (PROTOCOL.md 7.6).

Rules:

- A failure counts only where another node answered in the same attempt (else it is this node that is offline), and once
  a day. Whoever has failed on :data:`GIVEN_UP_AFTER` days without an answer in between is forgotten.
- Who was heard over a longer time is worth more: a flood of nodes that are all new pushes out none that were there last
  week. A quarter of the places goes to those heard last, so that a network that grows is known.
- Of one prefix a few are kept, of those that count singly (private addresses, names) half of the places at most.
- Ages are measured against the last answer of any: time for which this node was off makes nobody older.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from typing import Final

from p2pchat.base import limits
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.params import DAY_S

GIVEN_UP_AFTER: Final = 5
UNHEARD_S: Final = 90 * DAY_S

Prefix = Callable[[Sequence[Address]], bytes | None]
"""The prefix that addresses share with others of their owner; None counts singly."""


@dataclass(frozen=True, slots=True)
class CachedPeer:
    """One node. Times are unix seconds: ``heard_s`` it last answered or an invite named it, ``since_s`` the first such
    time, ``failed_s`` the last failure that counted (0: none since), ``failures`` on how many days."""

    peer: PeerId
    addresses: tuple[Address, ...] = field(repr=False)
    heard_s: int
    since_s: int
    failed_s: int = 0
    failures: int = 0

    @property
    def tenure(self) -> int:
        """For how long it was heard, in doublings of a day."""
        return (max(self.heard_s - self.since_s, 0) // DAY_S).bit_length()

    def on_heard(self, addresses: tuple[Address, ...], now_s: int) -> CachedPeer:
        """It answers, at ``addresses``."""
        return CachedPeer(self.peer, addresses, now_s, min(self.since_s, now_s))

    def on_failure(self, now_s: int) -> CachedPeer:
        """It did not answer while another did."""
        if self.failures and 0 <= now_s - self.failed_s < DAY_S:
            return self
        return replace(self, failed_s=now_s, failures=self.failures + 1)


def kept(
    peers: Iterable[CachedPeer], prefix: Prefix, now_s: int, places: int = limits.PEERS_CACHED
) -> list[CachedPeer]:
    """Those of ``peers``, each of another PeerID, that have a place."""
    known = [_of_the_past(peer, now_s) for peer in peers if peer.failures < GIVEN_UP_AFTER and peer.addresses]
    last_s = max((peer.heard_s for peer in known), default=0)
    known = [peer for peer in known if last_s - peer.heard_s < UNHEARD_S]
    tally = Counter[bytes | None]()
    chosen: dict[PeerId, CachedPeer] = {}
    for order, share in ((_worth, places - places // 4), (_news, places)):
        for peer in sorted((peer for peer in known if peer.peer not in chosen), key=order, reverse=True):
            if len(chosen) >= share:
                break
            network = prefix(peer.addresses)
            if tally[network] < (places // 2 if network is None else limits.CACHED_PER_PREFIX):
                tally[network] += 1
                chosen[peer.peer] = peer
    return list(chosen.values())


def in_order(peers: Sequence[CachedPeer]) -> list[CachedPeer]:
    """In the order in which they are asked: the last heard and the longest known by turns, those that failed last."""
    longest, newest = sorted(peers, key=_worth, reverse=True), sorted(peers, key=_news, reverse=True)
    mixed = chain.from_iterable(zip_longest(newest, longest))
    return list({peer.peer: peer for peer in mixed if peer is not None}.values())


def handed_over(peers: Sequence[CachedPeer], prefix: Prefix, count: int) -> list[CachedPeer]:
    """``count`` of them at most, in the order in which they would be asked, a few of each prefix."""
    tally = Counter[bytes | None]()
    chosen: list[CachedPeer] = []
    for peer in in_order(peers):
        network = prefix(peer.addresses)
        tally[network] += network is not None
        if tally[network] <= limits.EXPORTED_PER_PREFIX:
            chosen.append(peer)
    return chosen[:count]


def with_named(
    peers: Iterable[CachedPeer],
    named: Iterable[tuple[PeerId, tuple[Address, ...]]],
    prefix: Prefix,
    now_s: int,
    places: int = limits.PEERS_CACHED,
) -> list[CachedPeer]:
    """Those of ``peers`` that have a place, as they are, and of those that somebody has named who still finds one.

    Whoever is named counts as heard before the one that was heard longest ago: later, too, nobody makes room for it.
    """
    chosen = {peer.peer: peer for peer in kept(peers, prefix, now_s, places)}
    tally = Counter(prefix(peer.addresses) for peer in chosen.values())
    heard_s = min((peer.heard_s - 1 for peer in chosen.values()), default=now_s)
    for each, addresses in named:
        network = prefix(addresses)
        has_room = tally[network] < (places // 2 if network is None else limits.CACHED_PER_PREFIX)
        if each not in chosen and has_room and len(chosen) < places:
            tally[network] += 1
            chosen[each] = CachedPeer(each, addresses, heard_s, heard_s)
    return list(chosen.values())


def _worth(peer: CachedPeer) -> tuple[int, int, int, bytes]:
    return -peer.failures, peer.tenure, peer.heard_s, _lot(peer)


def _news(peer: CachedPeer) -> tuple[int, int, bytes]:
    return -peer.failures, peer.heard_s, _lot(peer)


def _lot(peer: CachedPeer) -> bytes:
    """Among equals: not by distance, which would keep the neighbourhood alone."""
    return hashlib.sha256(b"lot" + peer.peer).digest()


def _of_the_past(peer: CachedPeer, now_s: int) -> CachedPeer:
    """As it may be: a clock that was ahead made nobody last longer than the others."""
    if peer.heard_s <= now_s:
        return peer
    return replace(peer, heard_s=now_s, since_s=min(peer.since_s, now_s))
