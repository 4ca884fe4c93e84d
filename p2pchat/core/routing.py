"""The routing table: which peers are asked first, and which are told to others (PROTOCOL.md 3.7).

Rules:

- Bucket i holds peers that share exactly i leading bits with this node: up to k of them and up to k spares.
- A peer enters only after it has answered or said what it serves, never because another told of it, and only with an
  address: one that nobody can dial is of no use to whoever is told of it.
- An old peer keeps its place against a new one, except that a resting one gives way to any, a peer that is no storer to
  a storer, and one of a prefix that has more than its room to one of another. A peer that fails gives its place to the
  newest spare; without one it stays, so that the loss of our own network empties no table.
- Resting peers, and those that serve neither protocol, are neither asked nor told.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from p2pchat.base.ids import PeerId
from p2pchat.core.lookup import POSITION_BITS, position
from p2pchat.core.params import Params
from p2pchat.core.peers import PeerFacts, Speaks

_REFRESH_TRIES: Final = 4_096  # finds a key for the first ten or so buckets; a deeper one lies among our neighbours


class _Bucket:
    __slots__ = ("peers", "refreshed_at", "spares")

    def __init__(self) -> None:
        self.peers: dict[PeerId, PeerFacts] = {}
        self.spares: dict[PeerId, PeerFacts] = {}
        self.refreshed_at = float("-inf")

    def __iter__(self) -> Iterator[PeerFacts]:
        return chain(self.peers.values(), self.spares.values())


class RoutingTable:
    """The peers of one node by distance. Times are seconds of one monotonic clock."""

    def __init__(self, own: PeerId, params: Params) -> None:
        self._own = own
        self._position = position(own)
        self._params = params
        self._buckets: list[_Bucket] = []  # grows to the deepest that ever had a peer

    def __iter__(self) -> Iterator[PeerFacts]:
        for bucket in self._buckets:
            yield from bucket

    def add(self, facts: PeerFacts, now: float) -> None:
        """A peer that has answered or said what it serves."""
        if facts.peer == self._own or facts.in_table or not facts.addresses or not self._is_usable(facts, now):
            return
        index = self._index(facts.position)
        self._buckets += (_Bucket() for _ in range(len(self._buckets), index + 1))
        bucket = self._buckets[index]
        facts.in_table = True
        if len(bucket.peers) < self._params.k:
            bucket.peers[facts.peer] = facts
            return
        loser = self._loser(bucket, facts, now)
        if loser is None:
            self._add_spare(bucket, facts)
            return
        del bucket.peers[loser.peer]
        bucket.peers[facts.peer] = facts
        self._add_spare(bucket, loser)

    def on_failure(self, facts: PeerFacts, now: float) -> None:
        """A peer rests or turned out to serve neither protocol: a spare takes its place."""
        if not facts.in_table:
            return
        bucket = self._buckets[self._index(facts.position)]
        if bucket.spares.pop(facts.peer, None) is not None:
            facts.in_table = False
            return
        heir = next((spare for spare in reversed(bucket.spares.values()) if self._is_usable(spare, now)), None)
        if heir is None and facts.speaks(now) is not Speaks.NEITHER:
            return
        del bucket.peers[facts.peer]
        facts.in_table = False
        if heir is not None:
            del bucket.spares[heir.peer]
            bucket.peers[heir.peer] = heir

    def closest(self, target: int, count: int, now: float, *, storers_only: bool = False) -> list[PeerFacts]:
        """The ``count`` usable peers closest to ``target``, closest first.

        Of one prefix there are ``params.storers_per_prefix`` at most, unless that leaves fewer than ``count``.
        """
        found: list[PeerFacts] = []
        passed_over: list[PeerFacts] = []
        tally = Counter[bytes]()
        for group in self._outward(target):
            usable = [
                facts
                for bucket in group
                for facts in bucket
                if self._is_usable(facts, now) and not (storers_only and facts.speaks(now) is not Speaks.RECORDS)
            ]
            usable.sort(key=lambda facts: facts.position ^ target)
            for facts in usable:
                (found if self._has_room(tally, facts) else passed_over).append(facts)
            if len(found) >= count:
                return found[:count]
        found += passed_over[: count - len(found)]
        return sorted(found, key=lambda facts: facts.position ^ target)

    def closer_storers(self, target: int, now: float, at_most: int) -> int:
        """How many usable storers are closer to ``target`` than this node; counting ends at ``at_most``.

        Of one prefix ``params.storers_per_prefix`` count: nobody talks this node out of its slots with many peers.
        """
        own_distance = self._position ^ target
        tally = Counter[bytes]()
        count = 0
        for bucket in self._buckets[self._index(target) :]:
            for facts in bucket:
                is_storer = facts.speaks(now) is Speaks.RECORDS and self._is_usable(facts, now)
                if is_storer and facts.position ^ target < own_distance:
                    count += self._has_room(tally, facts)
            if count >= at_most:
                return at_most
        return count

    def distance(self, target: int) -> int:
        """Of this node to ``target``."""
        return self._position ^ target

    def usable(self, now: float) -> list[PeerFacts]:
        """All peers that may be asked."""
        return [facts for facts in self if self._is_usable(facts, now)]

    def touch(self, target: int, now: float) -> None:
        """A walk toward ``target`` has begun: its bucket is fresh."""
        index = self._index(target)
        if index < len(self._buckets):
            self._buckets[index].refreshed_at = now

    def stale(self, now: float, after_s: float) -> list[int]:
        """The buckets, down to the deepest that had a peer, that no walk has touched for ``after_s``."""
        return [index for index, bucket in enumerate(self._buckets) if now - bucket.refreshed_at >= after_s]

    def refresh_key(self, index: int, seed: bytes) -> bytes | None:
        """A 32-byte key whose position lies in bucket ``index``, drawn from ``seed``; None where it is too deep."""
        for attempt in range(_REFRESH_TRIES):
            key = hashlib.sha256(seed + attempt.to_bytes(4, "big")).digest()
            if self._index(position(key)) == index:
                return key
        return None

    def _has_room(self, tally: Counter[bytes], facts: PeerFacts) -> bool:
        """Whether ``facts`` is among the first of its prefix, of which ``tally`` keeps count."""
        if facts.prefix is None:
            return True
        tally[facts.prefix] += 1
        return tally[facts.prefix] <= self._params.storers_per_prefix

    def _is_usable(self, facts: PeerFacts, now: float) -> bool:
        return not facts.is_resting(now) and facts.speaks(now) is not Speaks.NEITHER

    def _index(self, target: int) -> int:
        return min(POSITION_BITS - (self._position ^ target).bit_length(), POSITION_BITS - 1)

    def _outward(self, target: int) -> Iterator[list[_Bucket]]:
        """Groups of buckets, every peer of one closer to ``target`` than any of the next."""
        index = self._index(target)
        yield self._buckets[index : index + 1]
        yield self._buckets[index + 1 :]
        for bucket in reversed(self._buckets[:index]):
            yield [bucket]

    def _loser(self, bucket: _Bucket, newcomer: PeerFacts, now: float) -> PeerFacts | None:
        peers = bucket.peers.values()
        resting = next((facts for facts in peers if not self._is_usable(facts, now)), None)
        if resting is not None or newcomer.speaks(now) is not Speaks.RECORDS:
            return resting
        router = next((facts for facts in peers if facts.speaks(now) is not Speaks.RECORDS), None)
        if router is not None:
            return router
        *_, surplus = None, *self._surplus([*peers, newcomer])
        return None if surplus is newcomer else surplus

    def _surplus(self, peers: Iterable[PeerFacts]) -> list[PeerFacts]:
        """Those beyond the room of their prefix."""
        tally = Counter[bytes]()
        return [facts for facts in peers if not self._has_room(tally, facts)]

    def _add_spare(self, bucket: _Bucket, facts: PeerFacts) -> None:
        bucket.spares[facts.peer] = facts
        if len(bucket.spares) > self._params.k:
            surplus = [facts for facts in self._surplus(bucket) if facts.peer in bucket.spares]
            forgotten = surplus[-1] if surplus else next(iter(bucket.spares.values()))
            del bucket.spares[forgotten.peer]
            forgotten.in_table = False
