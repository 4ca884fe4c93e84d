"""Drives the lookup machine: asks peers, keeps the deadlines, writes down what each attempt shows (PROTOCOL.md 3.7).

Rules:

- Each attempt is a task of its own under the hard deadline; it outlives the walk, so that a silent peer is found out
  even when the walk did not wait for it.
- A failed attempt makes the peer rest; an unsupported protocol does not. Resting peers are not learnt from replies.
- What peers tell of others enters the walk and the book, never the routing table.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError, PeerError, UnsupportedProtocol
from p2pchat.base.ids import PeerId
from p2pchat.core.dht_wire import ToldPeer
from p2pchat.core.lookup import Lookup
from p2pchat.core.params import Params
from p2pchat.core.peers import PeerBook, PeerFacts, Speaks
from p2pchat.core.routing import RoutingTable
from p2pchat.net.hearsay import network_of, network_to_dial, told_peer

_TELLING_ANSWERS: Final = 5  # of a walk: from so many on they say how long one takes now
_BEYOND_K: Final = 40  # of the closest known a third may have died: where few are left, k must be found elsewhere


@dataclass(frozen=True, slots=True)
class Answer:
    """What one peer said. ``host``: IP literal from which, None when relayed; ``counts``: it is a storer."""

    peers: tuple[ToldPeer, ...] = field(repr=False)
    host: str | None = field(repr=False)
    counts: bool


Ask = Callable[[PeerFacts], Awaitable[Answer]]
"""Asks one peer; raises NetError or PeerError."""


class _Asked(NamedTuple):
    """Whom the walk waits for, and since when."""

    facts: PeerFacts
    at: float


@dataclass(slots=True)
class _Walk:
    machine: Lookup
    ask: Ask
    storers_only: bool
    is_cancelled: bool = False
    waiting: dict[PeerId, _Asked] = field(default_factory=dict[PeerId, _Asked])
    answers_s: list[float] = field(default_factory=list[float])  # how long each took, ascending
    news: trio.Event = field(default_factory=trio.Event)

    def usual_s(self) -> float:
        """How long an answer takes in this walk, their median; infinite before it can be told."""
        count = len(self.answers_s)
        return self.answers_s[count // 2] if count >= _TELLING_ANSWERS else float("inf")


class Walker:
    """Runs walks over one book and table.

    Args:
        own: this node's PeerID, which is never asked.
        params: consensus constants.
        book: what is known of each peer.
        table: where a walk begins.
        on_met: called with each peer that has answered.
    """

    def __init__(
        self, own: PeerId, params: Params, book: PeerBook, table: RoutingTable, on_met: Callable[[PeerId], None]
    ) -> None:
        self._own = own
        self._params = params
        self._book = book
        self._table = table
        self._on_met = on_met

    async def run(
        self,
        target: int,
        ask: Ask,
        running: Callable[[], trio.Nursery],
        *,
        storers_only: bool,
        region: int = 0,
        survey: Callable[[], Awaitable[Iterable[PeerId]]] | None = None,
    ) -> Lookup:
        """Walk toward ``target`` until the machine is done.

        Args:
            target: the position sought.
            ask: how a peer is asked.
            running: the nursery for attempts, which end by themselves within the hard deadline; raises NetError
                when the node has stopped.
            storers_only: peers known to be no storers are asked, but are not among the k.
            region: the distance within which k storers are to be expected; 0 where that is not known.
            survey: looks for peers beside a crowded target: the closest to it would tell of the crowd alone.

        Raises:
            NetError: the node is stopping or has stopped.
        """
        now = trio.current_time()
        self._table.touch(target, now)
        params = self._params
        machine = Lookup(
            target,
            k=params.k,
            alpha=params.alpha,
            max_asked=limits.PEERS_ASKED,
            per_prefix=params.storers_per_prefix,
            region=region,
        )
        walk = _Walk(machine, ask, storers_only)
        for index, facts in enumerate(self._table.closest(target, limits.PEERS_ASKED, now)):
            if index < params.k + _BEYOND_K or facts.position ^ target < region:
                self._learn(walk, facts, now)
        await self._finish(walk, running)
        if survey is not None and machine.is_crowded:
            for peer in await survey():
                self._learn(walk, self._book.of(peer), trio.current_time())
            await self._finish(walk, running)
        return machine

    async def _finish(self, walk: _Walk, running: Callable[[], trio.Nursery]) -> None:
        while True:
            await trio.lowlevel.checkpoint_if_cancelled()  # whoever ends with the node has not failed
            self._ask_next(walk, running())
            if walk.machine.done:  # looked at after asking: the last whom nobody waits for may just have been asked
                return
            usual_s = walk.usual_s()
            deadlines = (self._soft_deadline(asked, usual_s) for asked in walk.waiting.values())
            with trio.move_on_at(min(deadlines, default=float("inf"))):
                await walk.news.wait()
            walk.news = trio.Event()
            self._mark_slow(walk)
            if walk.is_cancelled:
                raise NetError("the node is stopping")

    async def attempt(self, facts: PeerFacts, ask: Ask) -> Answer | None:
        """Ask one peer under the hard deadline and write down how it went; None: it did not answer."""
        asked_at = trio.current_time()
        answer: Answer | None = None
        try:
            with trio.move_on_after(self._params.hard_s):
                answer = await ask(facts)
        except UnsupportedProtocol:
            self._on_unsupported(facts, trio.current_time())
            return None
        except (NetError, PeerError):
            pass  # the peer failed, which is what this returns and writes down
        now = trio.current_time()
        if answer is None:
            facts.on_failure(now, self._params)
            self._table.on_failure(facts, now)
            return None
        facts.on_answer(now - asked_at)
        facts.on_prefix(network_of(answer.host))
        self._on_met(facts.peer)
        return answer

    def _on_unsupported(self, facts: PeerFacts, now: float) -> None:
        if facts.speaks(now) is not Speaks.RECORDS:  # a storer that serves no kad wire is a storer still
            facts.on_speaks(Speaks.NEITHER, now, self._params)
            self._table.on_failure(facts, now)

    def _ask_next(self, walk: _Walk, nursery: trio.Nursery) -> None:
        now = trio.current_time()
        while batch := walk.machine.next():
            for peer in batch:
                facts = self._book.of(peer)
                if facts.soft_deadline_s(self._params) > 0:
                    walk.waiting[peer] = _Asked(facts, now)
                else:
                    walk.machine.on_slow(peer)
                nursery.start_soon(self._ask, walk, facts)

    async def _ask(self, walk: _Walk, facts: PeerFacts) -> None:
        answer: Answer | None = None
        asked_at = trio.current_time()
        try:
            answer = await self.attempt(facts, walk.ask)
        except trio.Cancelled:
            walk.is_cancelled = True
            raise
        finally:
            walk.waiting.pop(facts.peer, None)
            if answer is None:
                walk.machine.on_fail(facts.peer)
            else:
                insort(walk.answers_s, trio.current_time() - asked_at)
                walk.machine.on_reply(facts.peer, prefix=facts.prefix, counts=answer.counts)
                self._learn_told(walk, facts.peer, answer)
            walk.news.set()

    def _learn_told(self, walk: _Walk, teller: PeerId, answer: Answer) -> None:
        now = trio.current_time()
        for told in answer.peers:
            known = told_peer(answer.host, told)
            if known is None or known[0] == self._own:
                continue
            peer, addresses = known
            facts = self._book.of(peer)
            if not facts.is_resting(now):
                facts.on_addresses(addresses, own=False, prefix=network_to_dial(addresses))
                self._learn(walk, facts, now, teller)

    def _learn(self, walk: _Walk, facts: PeerFacts, now: float, teller: PeerId | None = None) -> None:
        speaks = facts.speaks(now)
        if facts.addresses and speaks is not Speaks.NEITHER:
            counts = not (walk.storers_only and speaks is Speaks.KAD)
            walk.machine.learn(facts.peer, prefix=facts.prefix, teller=teller, counts=counts)

    def _mark_slow(self, walk: _Walk) -> None:
        now, usual_s = trio.current_time(), walk.usual_s()
        for asked in [asked for asked in walk.waiting.values() if self._soft_deadline(asked, usual_s) <= now]:
            del walk.waiting[asked.facts.peer]
            walk.machine.on_slow(asked.facts.peer)
            asked.facts.on_late()

    def _soft_deadline(self, asked: _Asked, usual_s: float) -> float:
        return asked.at + asked.facts.soft_deadline_s(self._params, usual_s)
