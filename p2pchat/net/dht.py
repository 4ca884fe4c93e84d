"""The DHT of one node: routing, walking, storing and watching put together (PROTOCOL.md 3.2, 3.7).

Rules:

- The own node is a storer like any other: it is put to and read first, so that two nodes alone suffice, and one.
- Records that peers hand over are validated before anything else sees them.
- Only :class:`NetError` and cancellation leave the calls; whatever a peer does ends in what is known of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError, UnsupportedProtocol
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.refusals import Refusals
from p2pchat.core.dht_wire import ToldPeer
from p2pchat.core.findings import Findings, WalkResult, newest_of_each_writer
from p2pchat.core.lookup import Lookup, position
from p2pchat.core.params import Params
from p2pchat.core.peers import PeerBook, PeerFacts, Speaks, first_of_prefixes
from p2pchat.core.record import check_record
from p2pchat.core.routing import RoutingTable
from p2pchat.core.storer import OWN_PREFIX, Check, Storer
from p2pchat.net.explore import Explorer
from p2pchat.net.hearsay import telling
from p2pchat.net.kad import KAD, KadClient, KadServer
from p2pchat.net.keeper import Keeper, Watcher
from p2pchat.net.meeting import Meetings
from p2pchat.net.pace import Pace
from p2pchat.net.records import RECORDS, RecordsClient, RecordsServer
from p2pchat.net.told import Told
from p2pchat.net.transport import Network, Stream
from p2pchat.net.walk import Answer, Walker

__all__ = ["Dht", "WalkResult"]


class Dht:
    """One node's part in the DHT.

    Args:
        network: the node's end of the network; both protocols are registered there by :meth:`run`.
        params: consensus constants.
        now: the node's clock, unix seconds.
        check: validation of a record; by default that of PROTOCOL.md 3.2.
        entropy: n → n random bytes, for the keys of bucket refreshes.
        refusals: where it is counted what others were refused.

    ``storer`` is what it keeps. ``on_push`` is called with (loc, record) for each new valid entry of a watched slot,
    once a record; it must neither block nor raise.
    """

    def __init__(
        self,
        network: Network,
        params: Params,
        now: Callable[[], float],
        *,
        check: Check | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        refusals: Refusals | None = None,
    ) -> None:
        own = network.peer_id
        self._refusals = refusals or Refusals()
        self.on_push: Callable[[bytes, bytes], None] = _ignore
        self._own = own
        self._network = network
        self._params = params
        self._now = now
        self._check: Check = check or partial(check_record, params=params)
        self._book = PeerBook()
        self._table = RoutingTable(own, params)
        self.storer = Storer(own, params, self._check)
        self._meetings = Meetings(network, params, self._book, self._table)
        self._walker = Walker(own, params, self._book, self._table, self._meetings.meet)
        self._records = RecordsClient(network, self._on_remote_push)
        self._kad = KadClient(network)
        self._explorer = Explorer(
            network, params, self._book, self._table, self._walker, self._kad, entropy, self._running
        )
        self._keeper = Keeper(self.storer, params, now, self._table, self._explorer.region)
        self._local = _LocalWatcher(self._tell)
        self._told = Told()
        self._walks = trio.Semaphore(limits.WALKS)
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve both protocols and keep the table fresh until cancelled; the other calls need this running."""
        async with trio.open_nursery() as nursery:
            for part in (self._records, self._kad, self._meetings):
                await nursery.start(part.run)
            self._nursery = nursery
            pace, refusals, meet = Pace(self._refusals), self._refusals, self._meetings.meet
            storers, closest = (partial(self._neighbours, storers_only=only) for only in (True, False))
            records = RecordsServer(self._keeper, storers, meet, pace, refusals)
            kad = KadServer(closest, meet, pace)
            self._network.handle(RECORDS, records.serve, public_only=True)
            self._network.handle(KAD, kad.serve, public_only=True)
            try:
                task_status.started()
                await self._explorer.run(self._records.keep_warm)
            finally:
                self._nursery = None

    # peers

    async def bootstrap(self, peers: Sequence[tuple[PeerId, tuple[Address, ...]]]) -> int:
        """Contact ``peers``, then look for the own neighbourhood; how many of them take part in the DHT.

        Once one has answered the others are given up after ``limits.BOOTSTRAP_GRACE_S``.

        Raises:
            NetError: none does.
        """
        answered = 0

        async def contact(peer: PeerId, addresses: tuple[Address, ...]) -> None:
            nonlocal answered
            if await self._meetings.contact(peer, addresses):
                answered += 1
                scope = nursery.cancel_scope
                scope.deadline = min(scope.deadline, trio.current_time() + limits.BOOTSTRAP_GRACE_S)

        async with trio.open_nursery() as nursery:
            for peer, addresses in peers:
                if peer != self._own:
                    nursery.start_soon(contact, peer, addresses)
        if answered == 0:
            raise NetError("none of the known peers answered")
        await self._explorer.begin()
        return answered

    def add_peer(self, peer: PeerId, addresses: Sequence[Address]) -> None:
        """Contact a peer of which the user or the local network told, in the background."""
        if peer != self._own:
            self._meetings.contact_soon(peer, addresses)

    async def contact(self, peer: PeerId, addresses: Sequence[Address]) -> bool:
        """:meth:`add_peer`, and whether it takes part in the DHT."""
        return peer != self._own and await self._meetings.contact(peer, addresses)

    def peers(self) -> int:
        """How many peers of the routing table are alive: those that did not fail when last asked."""
        return sum(not facts.is_suspect for facts in self._table.usable(trio.current_time()))

    def known_peers(self) -> tuple[tuple[PeerId, tuple[Address, ...]], ...]:
        """Peers for the next start, the most promising first, at most ``limits.PEERS_CACHED``."""
        now = trio.current_time()

        def promise(facts: PeerFacts) -> tuple[bool, bool]:
            return facts.is_resting(now), facts.speaks(now) is not Speaks.RECORDS

        best = sorted(self._table, key=promise)[: limits.PEERS_CACHED]
        return tuple((facts.peer, facts.addresses) for facts in best)

    def failing(self, peers: Iterable[PeerId]) -> frozenset[PeerId]:
        """Those of ``peers`` that did not answer when they were last asked."""
        facts = map(self._book.get, peers)
        return frozenset(each.peer for each in facts if each is not None and each.is_suspect)

    def _neighbours(self, key: bytes, stream: Stream, *, storers_only: bool) -> tuple[ToldPeer, ...]:
        k = self._params.k
        closest = self._table.closest(position(key), k + 1, trio.current_time(), storers_only=storers_only)
        host = stream.remote_host
        told = (telling(host, facts.peer, facts.addresses) for facts in closest if facts.peer != stream.peer)
        return tuple(peer for peer in told if peer is not None)[:k]

    def _running(self) -> trio.Nursery:
        if self._nursery is None:
            raise NetError("the DHT is not running")
        return self._nursery

    # slots

    async def walk(self, loc: bytes, *, put: bytes | None = None, get: bool = True, watch_s: int = 0) -> WalkResult:
        """Put to, read from and watch the slot ``loc`` (32 bytes) at its storers, in one walk.

        Args:
            loc: of the slot.
            put: a record, 969 bytes, that each storer asked may keep.
            get: whether the entries are wanted.
            watch_s: for how many seconds, at most 3,600, new entries are wanted through :attr:`on_push`; asked of the
                own node and 4 of its storers. Asking again prolongs it.

        Raises:
            NetError: the DHT is not running.

        Concurrency: at most ``limits.WALKS`` at a time, further ones wait. A cancelled walk may have stored.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._running()
        findings = Findings()
        own_stored = put is not None and self._keeper.put(loc, put, prefix=OWN_PREFIX, by=self._local)
        watch_s = min(watch_s, self._params.watch_max_s)
        self._watch_here(loc, watch_s)
        async with self._walks:
            ask = partial(self._ask, loc, put, get, findings)
            region = self._explorer.region()
            survey = partial(self._explorer.beside, position(loc), region)
            machine = await self._walker.run(
                position(loc), ask, self._running, storers_only=True, region=region, survey=survey
            )
            if watch_s:
                await self._watch_at(_spread(machine.answered()), loc, watch_s, get, findings)
        if get:
            findings.add_records(self._keeper.get(loc))
        result = self._result(loc, machine, findings, own_stored)
        for record in (*result.records, *((put,) if put is not None else ())):
            self._told.note(loc, record)  # a push need not tell it again
        return result

    async def watch(self, loc: bytes, watch_s: int) -> None:
        """Prolong the watch of a slot that was walked, at the own node and 4 of its storers, without a walk.

        Entries that are there and were not told yet come through :attr:`on_push`.

        Raises:
            NetError: the DHT is not running.

        Concurrency: counts as a walk.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._running()
        watch_s = min(watch_s, self._params.watch_max_s)
        self._watch_here(loc, watch_s)
        findings = Findings()
        async with self._walks:
            closest = self._table.closest(position(loc), self._params.k, trio.current_time(), storers_only=True)
            await self._watch_at(_spread([facts.peer for facts in closest]), loc, watch_s, True, findings)
        for record in findings.records(loc, self._check, int(self._now())):
            self._tell(loc, record)

    def _watch_here(self, loc: bytes, watch_s: int) -> None:
        self._keeper.watch(loc, self._local, watch_s)
        if watch_s:
            now = trio.current_time()
            self._told.lease(loc, now + watch_s, now)

    async def _ask(self, loc: bytes, put: bytes | None, get: bool, findings: Findings, facts: PeerFacts) -> Answer:
        """Ask a storer about the slot, or for the way a peer that is none."""
        peer, addresses = facts.peer, facts.addresses
        if facts.speaks(trio.current_time()) is not Speaks.KAD:
            try:
                reply, host = await self._records.ask(peer, addresses, loc, put=put, get=get)
            except UnsupportedProtocol:
                facts.on_speaks(Speaks.KAD, trio.current_time(), self._params)
            else:
                facts.on_speaks(Speaks.RECORDS, trio.current_time(), self._params)
                findings.add(peer, reply)
                return Answer(reply.peers, host, counts=True)
        peers, host = await self._kad.find_node(peer, addresses, loc)
        return Answer(peers, host, counts=False)

    async def _watch_at(
        self, storers: Iterable[PeerId], loc: bytes, watch_s: int, get: bool, findings: Findings
    ) -> None:
        """Ask again with a watch; the entries come too, so that none falls between walk and watch."""

        async def watch(facts: PeerFacts) -> Answer:
            reply, host = await self._records.ask(facts.peer, facts.addresses, loc, put=None, get=get, watch_s=watch_s)
            findings.add(facts.peer, reply)
            return Answer(reply.peers, host, counts=True)

        async with trio.open_nursery() as nursery:
            for peer in storers:
                nursery.start_soon(self._walker.attempt, self._book.of(peer), watch)

    def _result(self, loc: bytes, machine: Lookup, findings: Findings, own_stored: bool) -> WalkResult:
        now = trio.current_time()
        target, k = position(loc), self._params.k
        answered = machine.answered()
        known = {facts.peer: facts for facts in self._table if facts.speaks(now) is Speaks.RECORDS}
        known.update((peer, self._book.of(peer)) for peer in answered)
        by_distance = sorted(known.values(), key=lambda facts: facts.position ^ target)
        nearest = list(islice(first_of_prefixes(by_distance, self._params.storers_per_prefix), k))
        return findings.result(
            own_stored=own_stored,
            answered=answered,
            known=len(nearest),
            failed=sum(facts.is_resting(now) or machine.has_failed(facts.peer) for facts in nearest),
            records=findings.records(loc, self._check, int(self._now())),
            params=self._params,
        )

    def _on_remote_push(self, loc: bytes, raw: bytes) -> None:
        if self._told.has(loc, raw):
            return  # before the signatures are checked
        for record in newest_of_each_writer(loc, (raw,), self._check, int(self._now())):
            self._tell(loc, record)

    def _tell(self, loc: bytes, record: bytes) -> None:
        if self._told.note(loc, record):
            self.on_push(loc, record)


class _LocalWatcher(Watcher):
    """This node's own watches at its own keeper."""

    def __init__(self, tell: Callable[[bytes, bytes], None]) -> None:
        self._tell = tell

    def push(self, loc: bytes, record: bytes) -> bool:
        """See :class:`Watcher`."""
        self._tell(loc, record)
        return True


def _spread(storers: Sequence[PeerId]) -> list[PeerId]:
    """Those that are watched, evenly from the closest on: who is nearer than all honest ones holds not every watch."""
    count = min(limits.WATCHES_PER_WALK, len(storers))
    return [storers[index * len(storers) // count] for index in range(count)]


def _ignore(_loc: bytes, _record: bytes) -> None:
    """What is pushed before anyone has asked to be told."""
