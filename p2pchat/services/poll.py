"""One poll: hello, card, reach, in all slots where somebody is looked for (PROTOCOL.md 3.3).

Every round's findings and states are one commit. What is published comes from :mod:`announce`, which also reads: one
walk does both.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import trio

from p2pchat.base.ids import RootKey
from p2pchat.core.discovery import REACH_ADDRESSES, Reach, encode_hello, encode_reach, make_card
from p2pchat.core.matching import Finding, Walk, WalkKind, made_progress, observe, walks
from p2pchat.core.pair import PairState
from p2pchat.net.dht import WalkResult
from p2pchat.net.whereabouts import reached_at
from p2pchat.services import announce, presence
from p2pchat.services.context import Context
from p2pchat.services.places import Place
from p2pchat.store.db import Tx

_WALKS_AT_ONCE: Final = 4


class Quest(Protocol):
    """Who is looked for, and what becomes of what is found."""

    @property
    def contact(self) -> int | None:
        """Whose the own records are in the store; None: nobody's yet."""
        ...

    @property
    def only(self) -> RootKey | None:
        """The one root that is answered at all in slots of an invite; None: whoever shows a hello gets a card."""
        ...

    async def reach_for(self, places: list[Place], coverage: list[WalkResult], /) -> frozenset[RootKey]:
        """To whom the reach may be given now; written down in the same breath."""
        ...

    def keep(self, places: list[Place], findings: list[Finding], tx: Tx, /) -> frozenset[int]:
        """Write a round; the contacts of whom it is new where they are reached."""
        ...

    def told(self, kind: WalkKind) -> None:
        """A round found something new."""
        ...


class Poller:
    """Makes polls, a few walks at a time.

    Args:
        reached: called when it was read where a contact is reached.
    """

    def __init__(self, context: Context, reached: Callable[[int], None]) -> None:
        self._context = context
        self._reached = reached
        self._walking = trio.CapacityLimiter(_WALKS_AT_ONCE)

    async def poll(self, quest: Quest, places: list[Place], turn: int, watched: Callable[[bytes, bool], None]) -> bool:
        """The three rounds; True if anything new was found.

        Args:
            watched: called with every loc before it is walked, and whether a watch is left there.
        """
        coverage: list[WalkResult] = []
        progress = False
        for kind in WalkKind:
            reach_for = await quest.reach_for(places, coverage) if coverage else frozenset[RootKey]()
            found = await self._round(quest, places, kind, turn, reach_for, coverage, watched)
            progress = progress or found
        return progress

    async def _round(
        self,
        quest: Quest,
        places: list[Place],
        kind: WalkKind,
        turn: int,
        reach_for: frozenset[RootKey],
        coverage: list[WalkResult],
        watched: Callable[[bytes, bool], None],
    ) -> bool:
        context = self._context
        now_s = int(context.now())
        results: list[tuple[Place, Walk, WalkResult]] = []

        async def one(place: Place, walk: Walk) -> None:
            async with self._walking:
                watched(walk.slot.loc, place.publish)
                watch_s = context.params.watch_max_s if place.publish else 0
                results.append((place, walk, await self._walk(quest.contact, place.state, walk, watch_s)))

        async with trio.open_nursery() as nursery:
            for place in places:
                only = quest.only if place.state.by_invite else None  # a pair's slot has no link that names a root
                for walk in walks(place.state, now_s, turn, reach_for, place.publish, context.params, only=only):
                    if walk.kind is kind:
                        nursery.start_soon(one, place, walk)
        if kind is WalkKind.HELLO:
            coverage.extend(result for _, _, result in results)
        own_root = RootKey(context.identity.root.public)
        findings: list[Finding] = []
        before = [place.state for place in places]
        for place, walk, result in results:
            place.state, found = observe(place.state, walk, result.records, now_s, own_root, context.params)
            findings += found
        for contact in await context.db.run(partial(quest.keep, places, findings)):
            self._reached(contact)
        progress = any(made_progress(old, place.state) for old, place in zip(before, places, strict=True))
        if progress:
            quest.told(kind)
        return progress

    async def _walk(self, contact: int | None, state: PairState, walk: Walk, watch_s: int) -> WalkResult:
        context = self._context
        if not walk.publish:
            return await context.dht.walk(walk.slot.loc, put=None, watch_s=watch_s)
        data = await self._content(state, walk, int(context.now()))
        slot, params = walk.slot, context.params
        renew_s, dated = (params.republish_min_s, params.republish_max_s), walk.kind is WalkKind.CARD
        draft = announce.Draft(slot.loc, lambda _seq: slot, walk.writer, data, contact, renew_s, dated)
        return await announce.publish_and_read(context, draft, watch_s)

    async def _content(self, state: PairState, walk: Walk, now_s: int) -> bytes:
        context = self._context
        if walk.kind is WalkKind.HELLO:
            return encode_hello(state.role, state.own.eph.public)
        if walk.kind is WalkKind.CARD:
            return make_card(context.identity, walk.slot, state.role, now_s)
        network = context.network
        ask = await context.db.run(lambda tx: presence.own(tx, context).ask)
        return encode_reach(Reach(network.peer_id, reached_at(network, REACH_ADDRESSES), ask))
