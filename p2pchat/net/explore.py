"""Walks for peers: how the table is filled, kept fresh and measured (PROTOCOL.md 3.7).

Rules:

- The own neighbourhood and every row of the table are looked for once an hour, if no walk came there.
- Only walks toward keys that nobody could foresee tell how dense the network is.
- The closest storers stay connected.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.core.census import Census, key_between
from p2pchat.core.lookup import Lookup, position
from p2pchat.core.params import Params
from p2pchat.core.peers import PeerBook, PeerFacts, Speaks
from p2pchat.core.routing import RoutingTable
from p2pchat.net.kad import KadClient
from p2pchat.net.transport import Network
from p2pchat.net.walk import Answer, Walker


class Explorer:
    """Looks for peers.

    Args:
        network: tells who is connected, and dials.
        params: consensus constants.
        book, table: what is known.
        walker: makes the walks.
        kad: asks on the way.
        entropy: n → n random bytes, for keys.
        running: the nursery for attempts; raises NetError when the node has stopped.
    """

    def __init__(
        self,
        network: Network,
        params: Params,
        book: PeerBook,
        table: RoutingTable,
        walker: Walker,
        kad: KadClient,
        entropy: Callable[[int], bytes],
        running: Callable[[], trio.Nursery],
    ) -> None:
        self._own = network.peer_id
        self._network = network
        self._params = params
        self._book = book
        self._table = table
        self._walker = walker
        self._kad = kad
        self._entropy = entropy
        self._running = running
        self._census = Census(params.k)
        self._looked_for_self_at = float("-inf")

    async def begin(self) -> None:
        """Look for the own neighbourhood, and for another to compare it with.

        Raises:
            NetError: the node is stopping.
        """
        await _together(self._find_self, partial(self._sample, self._entropy(32)))

    async def run(self, keep_warm: Callable[[Iterable[PeerId]], None]) -> None:
        """Keep the table fresh and the closest connected until cancelled; ``keep_warm`` is told who they are."""
        while True:
            await trio.sleep(limits.REFRESH_CHECK_S)
            if self._table.usable(trio.current_time()):
                await self._keep_warm(keep_warm)
                try:
                    await self._refresh()
                except NetError:
                    continue  # only a walk that is being cancelled says so; the next sleep ends this task

    async def _keep_warm(self, keep_warm: Callable[[Iterable[PeerId]], None]) -> None:
        """Connect again to those of the closest storers to whom no connection leads.

        That it fails is not held against them: it may be our own network that is gone.
        """
        own = position(self._own)
        nearest = self._table.closest(own, limits.WARM_PEERS, trio.current_time(), storers_only=True)
        keep_warm(facts.peer for facts in nearest)
        connected = {link.peer for link in self._network.links()}

        async def dial(facts: PeerFacts) -> None:
            with trio.move_on_after(self._params.hard_s), suppress(NetError):
                await self._network.dial(facts.peer, facts.addresses)

        async with trio.open_nursery() as nursery:
            for facts in nearest:
                if facts.peer not in connected:
                    nursery.start_soon(dial, facts)

    async def _refresh(self) -> None:
        now = trio.current_time()
        if now - self._looked_for_self_at >= limits.REFRESH_AFTER_S:
            await self._find_self()
        for index in self._table.stale(now, limits.REFRESH_AFTER_S):
            key = self._table.refresh_key(index, self._entropy(32))
            if key is not None:
                await (self._sample if index <= limits.CENSUS_BUCKETS else self._find)(key)

    async def _sample(self, key: bytes) -> None:
        """See how far those closest to a ``key`` are that nobody could foresee."""
        answered, now = (await self._find(key)).answered(), trio.current_time()
        routers = sum(self._book.of(peer).speaks(now) is Speaks.KAD for peer in answered)
        self._census.note(position(key), answered, len(answered) - routers)

    async def _find_self(self) -> None:
        self._looked_for_self_at = trio.current_time()
        await self._find(self._own)

    async def _find(self, key: bytes) -> Lookup:
        async def ask(facts: PeerFacts) -> Answer:
            peers, host = await self._kad.find_node(facts.peer, facts.addresses, key)
            return Answer(peers, host, counts=True)

        return await self._walker.run(position(key), ask, self._running, storers_only=False)

    async def beside(self, target: int, region: int) -> list[PeerId]:
        """Peers in the half and the quarter of a crowded region that lie beside its target."""
        found: list[PeerId] = []

        async def look(key: bytes) -> None:
            found.extend((await self._find(key)).answered())

        halves = ((least, 2 * least) for least in (region // 2, region // 4))
        keys = [key_between(target, least, most, self._entropy(32)) for least, most in halves]
        await _together(*(partial(look, key) for key in keys if key is not None))
        return found

    def region(self) -> int:
        """The distance within which k storers are to be expected, wherever; 0 where fewer are known."""
        own = position(self._own)
        nearest = self._table.closest(own, 2 * self._params.k, trio.current_time(), storers_only=True)
        return self._census.region([facts.position ^ own for facts in nearest])


async def _together(*works: Callable[[], Awaitable[None]]) -> None:
    """All at once. Raises: NetError: one of them did, alone and not in a group."""
    failures: list[NetError] = []

    async def one(work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except NetError as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for work in works:
            nursery.start_soon(one, work)
    if failures:
        raise failures[0]
