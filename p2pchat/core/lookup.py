"""The walk toward a target, as a pure machine (PROTOCOL.md 3.7).

States of one peer:

=========  ==============================  =======================================
state      means                           leaves by
=========  ==============================  =======================================
``NEW``    known, not asked                ``next`` → ``WAIT``
``WAIT``   asked, holds one of α places    reply → ``OK``, slow → ``SLOW``, fail → ``FAIL``
``SLOW``   asked, holds no place any more  reply → ``OK``, fail → ``FAIL``
``OK``     answered                        –
``FAIL``   will not answer                 – (a late answer is ignored)
=========  ==============================  =======================================

Whose answer the end depends on, of the *live* (``NEW``, ``WAIT``, ``OK``), closest first:

========  =====================================  ===============================================================
rule      asks                                   against
========  =====================================  ===============================================================
closest   the k closest                          –
paths     the k/2 closest of each of two paths   one teller who leads the whole walk astray
region    all nearer than ``region``, if the     Sybils that crowd a target: they are nearer than all honest
          k-th is nearer than half of it         peers, but cannot make these fewer
prefix    in all three, 2 of one prefix at most  many peers of one owner: addresses are dearer than keys
========  =====================================  ===============================================================

- Whom the prefix rule passes over is asked only when nobody else is left to reach k, and is never counted.
- A peer is asked at most once, and never more than ``max_asked`` peers in all.
- Only peers that *count* (those that speak ``/p2pchat/records/1``) are among the k; others are asked on the way.
- With fewer than k answers the walk waits for the slow ones: the driver fails each of them at its hard deadline.
- The machine has no clock: the driver says when a peer is slow and when it has failed.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from p2pchat.base.errors import InternalError
from p2pchat.base.ids import PeerId

POSITION_BITS: Final = 256
_PATHS: Final = 2


def position(name: bytes) -> int:
    """Where a PeerID or a loc stands: SHA-256 as a 256-bit number. Source: PROTOCOL.md 3.7."""
    return int.from_bytes(hashlib.sha256(name).digest(), "big")


class State(Enum):
    """What is known of one peer in one walk."""

    NEW = 0
    WAIT = 1
    SLOW = 2
    OK = 3
    FAIL = 4


@dataclass(slots=True, eq=False)
class _Known:
    """One peer of the walk. ``prefix``: None counts singly."""

    peer: PeerId
    distance: int = field(repr=False)
    path: int
    prefix: bytes | None = field(repr=False)
    counts: bool
    state: State = State.NEW


class Lookup:
    """One walk.

    Args:
        target: the :func:`position` that is sought.
        k: how many answers end the walk.
        alpha: how many peers may hold a place at the same time.
        max_asked: how many peers are asked in all, whatever the replies tell.
        per_prefix: how many of one prefix may be among those the end depends on.
        region: the distance within which k storers are to be expected; 0 where that is not known.

    Source: PROTOCOL.md 3.7.
    """

    def __init__(
        self, target: int, *, k: int, alpha: int, max_asked: int, per_prefix: int = 2, region: int = 0
    ) -> None:
        self._target = target
        self._k = k
        self._alpha = alpha
        self._may_ask = max_asked
        self._per_prefix = per_prefix
        self._region = region
        self._order: list[tuple[int, _Known]] = []
        self._known: dict[PeerId, _Known] = {}
        self._dealt = 0
        self._places = 0
        self._needed: list[_Known] | None = None  # what the rules ask for, until something changes it

    def learn(
        self, peer: PeerId, *, prefix: bytes | None = None, teller: PeerId | None = None, counts: bool = True
    ) -> None:
        """A peer that may be asked; of a known one nothing changes.

        Args:
            peer: the peer.
            prefix: of the address at which it would be dialled; None counts singly.
            teller: the asked peer that told of it; None for those known at the start, closest first.
            counts: it may be one of the k.
        """
        if peer in self._known:
            return
        if teller is None:
            path = self._dealt % _PATHS
            self._dealt += 1
        else:
            path = self._asked(teller).path
        known = _Known(peer, position(peer) ^ self._target, path, prefix, counts)
        self._known[peer] = known
        insort(self._order, (known.distance, known))
        self._needed = None

    def next(self) -> list[PeerId]:
        """Whom to ask now, closest first; each is then waited for."""
        asked: list[PeerId] = []
        for known in self._depended_on():
            if known.state is not State.NEW:
                continue
            if self._places >= self._alpha or self._may_ask == 0:
                break
            known.state = State.WAIT
            self._places += 1
            self._may_ask -= 1
            asked.append(known.peer)
        if self._may_ask == 0:
            self._needed = None  # who is not asked by now never will be
        return asked

    def on_reply(self, peer: PeerId, *, prefix: bytes | None = None, counts: bool = True) -> None:
        """An asked peer answered; what it told follows through :meth:`learn`.

        Args:
            peer: the peer.
            prefix: of the address from which it answered; None counts singly.
            counts: it is a storer.
        """
        known = self._asked(peer)
        if not self._leave(known, State.OK):
            return
        if (known.prefix, known.counts) != (prefix, counts):
            known.prefix, known.counts = prefix, counts
            self._needed = None

    def on_slow(self, peer: PeerId) -> None:
        """The soft deadline of an asked peer passed: its place is free, its answer still counts."""
        known = self._asked(peer)
        if known.state is State.WAIT:
            self._leave(known, State.SLOW)

    def on_fail(self, peer: PeerId) -> None:
        """An asked peer will not answer."""
        self._leave(self._asked(peer), State.FAIL)

    @property
    def done(self) -> bool:
        """Whether the walk has ended: nothing it may still ask or wait for could change what it brings."""
        answers = 0
        for known in self._depended_on():
            if known.state is not State.OK:
                return False
            answers += known.counts
        return answers >= self._k or not any(known.state is State.SLOW for known in self._known.values())

    @property
    def is_crowded(self) -> bool:
        """Whether the storers that answered are so near that the region rule holds."""
        return self._reach_of(self._chosen()) > 0

    def answered(self) -> list[PeerId]:
        """The storers that the result rests on, closest first.

        They are the k closest that count and have answered, in a crowded walk all such in the region, and of one prefix
        no more than ``per_prefix``.
        """
        chosen = self._chosen()
        reach = self._reach_of(chosen)
        return [one.peer for index, one in enumerate(chosen) if index < self._k or one.distance < reach]

    def has_failed(self, peer: PeerId) -> bool:
        """Whether ``peer`` was asked in vain."""
        known = self._known.get(peer)
        return known is not None and known.state is State.FAIL

    def _chosen(self) -> list[_Known]:
        """Who counts and has answered, without those whom the prefix rule passes over."""
        tally = Counter[bytes]()
        found: list[_Known] = []
        for _, one in self._order:
            if one.state is State.OK and one.counts and self._takes(tally, one):
                found.append(one)
        return found

    def _reach_of(self, closest: list[_Known]) -> int:
        """How far the region rule reaches where these are the closest; 0 where it does not hold."""
        crowded = len(closest) >= self._k and closest[self._k - 1].distance < self._region // 2
        return self._region if crowded else 0

    def _depended_on(self) -> list[_Known]:
        """The live ones on whose answer the end depends by the four rules, closest first."""
        if self._needed is not None:
            return self._needed
        tallies = Counter[bytes](), Counter[bytes]()
        of_path = [0] * _PATHS
        half = self._k // _PATHS
        needed: list[_Known] = []
        closest: list[_Known] = []
        passed_over: list[_Known] = []
        reach = 0
        for distance, one in self._order:
            full = len(closest) >= self._k
            if full and distance >= reach and min(of_path) >= half:
                break
            if not self._is_live(one) or (full and distance >= reach and of_path[one.path] >= half):
                continue
            if not self._takes(tallies[one.counts], one):
                passed_over.append(one)
                continue
            needed.append(one)
            if one.counts:
                closest.append(one)
                of_path[one.path] += 1
                if len(closest) == self._k:
                    reach = self._reach_of(closest)
        missing = self._k - len(closest)
        for one in passed_over:
            if missing > 0:
                needed.append(one)
                missing -= one.counts
        self._needed = needed
        return needed

    def _takes(self, tally: Counter[bytes], one: _Known) -> bool:
        """Whether ``one`` has room under the prefix rule, which it then takes up."""
        if one.prefix is None:
            return True
        tally[one.prefix] += 1
        return tally[one.prefix] <= self._per_prefix

    def _is_live(self, one: _Known) -> bool:
        return one.state in (State.WAIT, State.OK) or (one.state is State.NEW and self._may_ask > 0)

    def _asked(self, peer: PeerId) -> _Known:
        known = self._known.get(peer)
        if known is None or known.state is State.NEW:
            raise InternalError("a peer that was never asked cannot answer, tell, be slow or fail")
        return known

    def _leave(self, one: _Known, to: State) -> bool:
        if one.state not in (State.WAIT, State.SLOW):
            return False
        if one.state is State.SLOW or to is not State.OK:
            self._needed = None
        self._places -= one.state is State.WAIT
        one.state = to
        return True
