"""The walk toward a target, as a pure machine (PROTOCOL.md 3.7).

Rules:

=========  ==============================  =======================================
state      means                           leaves by
=========  ==============================  =======================================
``NEW``    known, not asked                ``next`` → ``WAIT``
``WAIT``   asked, holds one of α places    reply → ``OK``, slow → ``SLOW``, fail → ``FAIL``
``SLOW``   asked, holds no place any more  reply → ``OK``, fail → ``FAIL``
``OK``     answered                        –
``FAIL``   will not answer                 – (a late answer is ignored)
=========  ==============================  =======================================

- A peer is asked at most once, and never more than ``max_asked`` peers in all.
- Only peers that *count* (those that speak ``/p2pchat/records/1``) are among the k; others are asked on the way.
- The walk is done when the k closest that count and have neither failed nor gone slow have answered. With fewer than k
  answers it waits for the slow ones: the driver fails each of them at its hard deadline.
- The machine has no clock: the driver says when a peer is slow and when it has failed.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from enum import Enum
from typing import Final

from p2pchat.base.errors import InternalError
from p2pchat.base.ids import PeerId

POSITION_BITS: Final = 256


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


class Lookup:
    """One walk.

    Args:
        target: the :func:`position` that is sought.
        k: how many answers end the walk.
        alpha: how many peers may hold a place at the same time.
        max_asked: how many peers are asked in all, whatever the replies tell.

    Source: PROTOCOL.md 3.7.
    """

    def __init__(self, target: int, *, k: int, alpha: int, max_asked: int) -> None:
        self._target = target
        self._k = k
        self._alpha = alpha
        self._may_ask = max_asked
        self._order: list[tuple[int, PeerId]] = []
        self._states: dict[PeerId, State] = {}
        self._counting: set[PeerId] = set()
        self._places = 0

    def learn(self, peer: PeerId, *, counts: bool = True) -> None:
        """A peer that may be asked; of a known one nothing changes. ``counts``: it may be one of the k."""
        if peer in self._states:
            return
        self._states[peer] = State.NEW
        if counts:
            self._counting.add(peer)
        insort(self._order, (position(peer) ^ self._target, peer))

    def next(self) -> list[PeerId]:
        """Whom to ask now, closest first; each is then waited for."""
        asked: list[PeerId] = []
        answers_in_sight = 0
        for _, peer in self._order:
            state = self._states[peer]
            if state is State.NEW:
                if self._places >= self._alpha or self._may_ask == 0:
                    break
                self._states[peer] = State.WAIT
                self._places += 1
                self._may_ask -= 1
                asked.append(peer)
            elif state in (State.SLOW, State.FAIL):
                continue
            answers_in_sight += peer in self._counting
            if answers_in_sight >= self._k:
                break
        return asked

    def on_reply(self, peer: PeerId, *, counts: bool = True) -> None:
        """An asked peer answered; what it told follows through :meth:`learn`. ``counts``: it is a storer."""
        if self._leave(peer, State.OK):
            (self._counting.add if counts else self._counting.discard)(peer)

    def on_slow(self, peer: PeerId) -> None:
        """The soft deadline of an asked peer passed: its place is free, its answer still counts."""
        if self._asked(peer) is State.WAIT:
            self._leave(peer, State.SLOW)

    def on_fail(self, peer: PeerId) -> None:
        """An asked peer will not answer."""
        self._leave(peer, State.FAIL)

    @property
    def done(self) -> bool:
        """Whether the walk has ended: nothing it may still ask or wait for could change the k closest."""
        answers = 0
        for _, peer in self._order:
            state = self._states[peer]
            if state is State.WAIT or (state is State.NEW and self._may_ask > 0):
                return False
            answers += state is State.OK and peer in self._counting
            if answers >= self._k:
                return True
        return State.SLOW not in self._states.values()

    def answered(self) -> list[PeerId]:
        """The (at most k) closest peers that count and have answered, closest first."""
        found = [peer for _, peer in self._order if self._states[peer] is State.OK and peer in self._counting]
        return found[: self._k]

    def has_failed(self, peer: PeerId) -> bool:
        """Whether ``peer`` was asked in vain."""
        return self._states.get(peer) is State.FAIL

    def _asked(self, peer: PeerId) -> State:
        state = self._states.get(peer, State.NEW)
        if state is State.NEW:
            raise InternalError("a peer that was never asked cannot answer, be slow or fail")
        return state

    def _leave(self, peer: PeerId, to: State) -> bool:
        state = self._asked(peer)
        if state not in (State.WAIT, State.SLOW):
            return False
        self._places -= state is State.WAIT
        self._states[peer] = to
        return True
