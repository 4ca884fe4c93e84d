"""Fair turns: what this node does for strangers, so much a second, and first for whom it did least of it lately.

Whoever comes from where nobody else does waits for none of those who come in hundreds.

Rules:

- While there is enough nobody waits. Where somebody does, each turn goes to whoever comes from where fewest were given
  lately, and of those, as each owner of turns says, to the newest or to who has waited longest.
- Nothing is taken for who leaves before its turn.
- Where places are bounded, and all are taken, the oldest of where most wait loses its own.
- Who waits gives out the turns, one of them for all; when that one goes another goes on. There is no task for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core.allowance import Allowance, Allowances
from p2pchat.net.hearsay import prefix_of
from p2pchat.net.transport import Stream

RELAYED: Final = b"relayed"
"""The place that all share who come through relays."""
_LATELY: Final = 8  # one that has every eighth turn counts as one that had some lately
_LATELY_S: Final = 20.0  # after which it is forgotten; who shares a network with a flood that is over waits no longer


class TurnLost(NetError):
    """Its place was needed for others, or there was no turn in time."""


def places_of(stream: Stream) -> tuple[bytes, ...]:
    """From where the stranger at the other end of ``stream`` comes, the narrowest first.

    That is its prefix. Through a relay it is the relay's, whose word alone there is for who comes, and then
    :data:`RELAYED`: a stranger has as many PeerIDs there as it likes. Who was forwarded to this node without an address
    counts as through one relay more. Source: PROTOCOL.md 3.7.
    """
    if stream.remote_host is not None:
        return (prefix_of(stream.remote_host, stream.peer),)
    return b"relay" + (stream.relay or b""), RELAYED


@dataclass(eq=False, slots=True)
class _Turn:
    places: tuple[bytes, ...] = field(repr=False)
    cost_us: float
    news: trio.Event = field(default_factory=trio.Event)
    is_given: bool = False
    is_lost: bool = False


class FairTurns:
    """Those of one kind of work.

    Args:
        burst_us: so much is done at once, in microseconds.
        per_s_us: and so much a second in the long run.
        refusals: where it is counted, as ``kind``, who had to wait.
        newest_first: who came long ago may be one that never goes on; otherwise who has waited longest is first.
        most: how many may wait; None: others see to that.
    """

    def __init__(
        self,
        burst_us: float,
        per_s_us: float,
        refusals: Refusals,
        kind: Refusal,
        *,
        newest_first: bool = False,
        most: int | None = None,
    ) -> None:
        self._all = Allowance(burst_us, per_s_us, 0.0)
        # What a place has had lately is what it owes: nothing is saved up.
        self._had = Allowances[bytes](0.0, per_s_us / _LATELY, limits.ALLOWANCES)
        self._refusals = refusals
        self._kind = kind
        self._newest_first = newest_first
        self._most = most
        self._waiting: dict[tuple[bytes, ...], dict[_Turn, None]] = {}  # both oldest first
        self._count = 0
        self._giver: _Turn | None = None

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._count

    async def wait(self, places: Sequence[bytes], cost_us: float, is_gone: Callable[[], bool] = lambda: False) -> None:
        """Until one from ``places`` may have ``cost_us`` microseconds of this node.

        Args:
            is_gone: whether who waits has left; asked every ``limits.TURN_LOOK_S``.

        Raises:
            TurnLost: its place was needed.
            NetError: it has left.

        Concurrency: nothing is taken for who is cancelled.
        """
        if not self._count and not self._all.owed_s(trio.current_time()):
            self._take(places, cost_us)
            return
        self._refusals.note(self._kind)
        turn = _Turn(tuple(places), cost_us)
        self._enter(turn)
        try:
            while not turn.is_given:
                if turn.is_lost:
                    raise TurnLost("others needed the place of one who waited")
                if is_gone():
                    raise NetError("The peer has not waited for its turn.")
                await self._pause(turn)
        except BaseException:
            if turn.is_given:
                self.take_back(places, cost_us)
            raise
        finally:
            self._leave(turn)

    def take_back(self, places: Sequence[bytes], cost_us: float) -> None:
        """What was given was not used."""
        self._take(places, -cost_us)

    async def _pause(self, turn: _Turn) -> None:
        """Until there is news for ``turn``; one of those who wait gives out the next one meanwhile."""
        if self._giver is None:
            self._giver = turn
        owed_s = self._all.owed_s(trio.current_time()) if self._giver is turn else limits.TURN_LOOK_S
        with trio.move_on_after(min(owed_s, limits.TURN_LOOK_S)) as scope:
            await turn.news.wait()
        turn.news = trio.Event()
        if scope.cancelled_caught and self._count and self._giver is turn and owed_s <= limits.TURN_LOOK_S:
            self._give()

    def _give(self) -> None:
        turn = self._next()
        self._remove(turn)
        self._take(turn.places, turn.cost_us)
        turn.is_given = True
        turn.news.set()

    def _next(self) -> _Turn:
        least, had_s = next(iter(self._waiting)), math.inf
        for places in reversed(self._waiting) if self._newest_first else self._waiting:
            if (theirs_s := self._had_s(places)) < had_s:
                least, had_s = places, theirs_s
            if not had_s:
                break  # nobody had less: in a flood many wait, and few of them had something just now
        group = self._waiting[least]
        return next(reversed(group) if self._newest_first else iter(group))

    def _had_s(self, places: tuple[bytes, ...]) -> float:
        now = trio.current_time()
        return sum(self._had.owed_s(place, now) for place in places)

    def _take(self, places: Sequence[bytes], cost_us: float) -> None:
        now = trio.current_time()
        self._all.owe(cost_us, now)
        for place in places:
            if cost_us < 0 or self._had.owed_s(place, now) < _LATELY_S:
                self._had.owe(place, cost_us, now)

    def _enter(self, turn: _Turn) -> None:
        group = self._waiting.get(turn.places, {})
        group[turn] = None
        if self._newest_first:
            self._waiting.pop(turn.places, None)
        self._waiting[turn.places] = group
        self._count += 1
        if self._most is not None and self._count > self._most:
            loser = next(iter(self._waiting[max(self._waiting, key=lambda places: len(self._waiting[places]))]))
            self._remove(loser)
            loser.is_lost = True
            loser.news.set()

    def _remove(self, turn: _Turn) -> None:
        """It waits no longer. The others of its place are behind those of other places from now on."""
        group = self._waiting.pop(turn.places)
        del group[turn]
        self._count -= 1
        if group:
            self._waiting[turn.places] = group

    def _leave(self, turn: _Turn) -> None:
        if turn in self._waiting.get(turn.places, ()):
            self._remove(turn)
        if self._giver in (turn, None):  # None: it was about to go on
            self._giver = None
            for group in self._waiting.values():
                next(iter(group)).news.set()
                break


@dataclass(frozen=True, slots=True)
class Share:
    """So much at once, and so much a second in the long run, in microseconds."""

    burst_us: float
    per_s_us: float


class StrangersTurns:
    """What is set aside for all strangers, and what of it for all who come through relays.

    Args:
        all_, relayed: how much that is.
        refusals, kind, most: see :class:`FairTurns`.
    """

    def __init__(
        self, all_: Share, relayed: Share, refusals: Refusals, kind: Refusal, *, most: int | None = None
    ) -> None:
        self._of_all = FairTurns(all_.burst_us, all_.per_s_us, refusals, kind, most=most)
        self._of_relayed = FairTurns(relayed.burst_us, relayed.per_s_us, refusals, kind, most=most)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._of_all.waiting + self._of_relayed.waiting

    async def wait(self, stream: Stream, cost_us: float) -> None:
        """Until whoever is at the other end of ``stream`` has its turn. Raises and ends as :meth:`FairTurns.wait`."""
        places = places_of(stream)
        relay = places[:-1]
        if relay:
            await self._of_relayed.wait(relay, cost_us, lambda: stream.is_lost)
        try:
            await self._of_all.wait(places, cost_us, lambda: stream.is_lost)
        except BaseException:
            if relay:
                self._of_relayed.take_back(relay, cost_us)
            raise
