"""How peers come into the routing table: by saying themselves what they serve and where they listen (PROTOCOL.md 3.7).

Rules:

- A peer is asked that (identify) when the user or the local network names it, when it first answers, and when it opens
  a stream of ours while it is unknown or resting: who knocks is alive, and may have come back at another address.
- How many are asked at once is bounded, and how many wait for it: a stranger beyond that is met another time.
- A peer that serves neither protocol uses the DHT without taking part: it is not asked and not told of.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.params import Params
from p2pchat.core.peers import PeerBook, Speaks
from p2pchat.core.routing import RoutingTable
from p2pchat.net.addresses import dialable
from p2pchat.net.hearsay import fit_to_dial, network_to_dial
from p2pchat.net.kad import KAD
from p2pchat.net.records import RECORDS
from p2pchat.net.transport import Network


class Meetings:
    """Asks peers about themselves and writes it down.

    Args:
        network: where they are dialled and asked.
        params: consensus constants.
        book: what is known of each peer.
        table: where those who take part are entered.
    """

    def __init__(self, network: Network, params: Params, book: PeerBook, table: RoutingTable) -> None:
        self._network = network
        self._params = params
        self._book = book
        self._table = table
        self._places = trio.Semaphore(limits.IDENTIFIES)
        self._meeting: set[PeerId] = set()
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Meet peers in the background until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None  # whoever asks while the node takes another key has nobody to ask

    def meet(self, peer: PeerId) -> None:
        """A peer answered or opened a stream: ask it in the background, unless it has said what it serves."""
        now = trio.current_time()
        facts = self._book.get(peer)
        if facts is not None and not facts.is_resting(now):
            speaks = facts.speaks(now)
            takes_part = facts.in_table and speaks is not Speaks.UNKNOWN
            if facts.has_said and (takes_part or speaks is Speaks.NEITHER):
                return
        if self._nursery is None or peer in self._meeting or len(self._meeting) >= limits.IDENTIFIES_WAITING:
            return
        self._meeting.add(peer)
        self._nursery.start_soon(self._identify, peer)

    def contact_soon(self, peer: PeerId, addresses: Sequence[Address]) -> None:
        """:meth:`contact` in the background."""
        if self._nursery is not None:
            self._nursery.start_soon(self.contact, peer, addresses)

    async def contact(self, peer: PeerId, addresses: Sequence[Address]) -> bool:
        """Dial a peer of which the user or the local network told; whether it is in the table now."""
        facts = self._book.of(peer)
        known = tuple(filter(dialable, addresses))  # a link holds any bytes at all
        facts.on_addresses(known, own=True, prefix=network_to_dial(known))
        try:
            async with self._places:
                await self._network.dial(peer, facts.addresses)
        except NetError:
            facts.on_failure(trio.current_time(), self._params)
            self._table.on_failure(facts, trio.current_time())
            return False
        await self._identify(peer)
        return facts.in_table

    async def _identify(self, peer: PeerId) -> None:
        try:
            async with self._places:
                asked_at = trio.current_time()
                addresses, protocols = await self._network.learn(peer)
        except NetError:
            return  # met another time
        finally:
            self._meeting.discard(peer)
        now = trio.current_time()
        facts = self._book.of(peer)
        fit = fit_to_dial(addresses)
        facts.on_addresses(fit, own=True, prefix=network_to_dial(fit))
        facts.on_speaks(_speaks(protocols), now, self._params, said=True)
        if facts.srtt is None:
            facts.on_answer(now - asked_at)  # two round trips and no walk's, but better than none
        facts.on_alive()
        if facts.speaks(now) is Speaks.NEITHER:
            self._table.on_failure(facts, now)
        else:
            self._table.add(facts, now)


def _speaks(protocols: frozenset[str]) -> Speaks:
    if RECORDS in protocols:
        return Speaks.RECORDS
    return Speaks.KAD if KAD in protocols else Speaks.NEITHER
