"""Where others see this node, and whether they reach it: asked of those with whom it is connected (PROTOCOL.md 7.3).

Rules:

- Peers of different prefixes are asked, three at first; where those do not say the same, up to eight.
- What peers see is a candidate; so are the addresses of interfaces and of the router's mapping. Candidates are asked
  about; only what is confirmed is told to others as this node's.
- A NAT that lets in the hosts that were talked to lets in those to which this node has connected from where it listens,
  relays above all. That these reach it says nothing of strangers; that they do not, does.
- Asked again every quarter of an hour, sooner while it is undecided, and at once when an address has changed, or when
  the first peers are connected: until then it is not known where this node could be met.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.observations import Observations
from p2pchat.net.addresses import endpoint, is_global
from p2pchat.net.autonat import AUTONAT, AutonatServer, ask
from p2pchat.net.hearsay import network_of
from p2pchat.net.transport import Stream
from p2pchat.services.confirmations import CONFIRMATIONS, DENIALS, Confirmations
from p2pchat.services.context import Context

_EVERY_S: Final = 900.0
_UNDECIDED_S: Final = 5.0  # doubled up to _EVERY_S
_FIRST_S: Final = 0.2  # those with whom a node begins come together
_MET_S: Final = 15.0  # how soon who is newly connected is asked, while it is undecided
_TRIED: Final = 32  # connected peers that are tried in a round, most of which may not serve this

log = structlog.get_logger()


class Survey:
    """Asks, and draws the conclusions.

    Args:
        changed: called when this node has other addresses, or others can reach it no longer or again.

    ``observations``: where peers see it.
    """

    def __init__(self, context: Context, changed: Callable[[], None]) -> None:
        self._context = context
        self._changed = changed
        self._confirmations = Confirmations()
        self._hurry = trio.Event()
        self._is_urgent = False
        self._is_decided = False
        self._has_asked = False
        self.observations = Observations()

    def candidates(self) -> tuple[Address, ...]:
        """Where this node could be met: its own global addresses, and those at which it is seen."""
        own = self._context.network.addresses()
        seen = self.observations.candidates(trio.current_time())
        return tuple(dict.fromkeys((*seen, *filter(is_global, own))))

    def hurry(self) -> None:
        """The network has changed: ask at once."""
        self._is_urgent = True
        self._has_asked = False  # those who were there may be gone
        self._hurry.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer others, and ask them, until cancelled."""
        network = self._context.network
        network.handle(AUTONAT, AutonatServer(network, self._context.charges.refusals).serve)
        network.watch(self._met)
        task_status.started()
        undecided_s, own = _UNDECIDED_S, self._own()
        while True:
            self._hurry, self._is_urgent = trio.Event(), False
            before, own = own, self._own()
            if own != before:
                self.observations.clear()
                undecided_s = _UNDECIDED_S
            self._is_decided = await self._round(own)
            undecided_s = _UNDECIDED_S if self._is_decided else min(2 * undecided_s, _EVERY_S)
            every_s = _EVERY_S if self._is_decided else undecided_s
            if await self._until_due(every_s * (0.9 + 0.2 * self._context.jitter())):
                undecided_s = _UNDECIDED_S

    def _met(self, _: PeerId, connected: bool) -> None:
        if connected and not self._is_decided:
            self._hurry.set()

    async def _until_due(self, pause_s: float) -> bool:
        """Wait; whether the network has changed, or there is somebody to ask for the first time."""
        started = trio.current_time()
        with trio.move_on_after(pause_s):
            await self._hurry.wait()
            if not self._has_asked:  # this is the first who could be
                await trio.sleep(_FIRST_S)
                return True
            # who connects to many, none of which can tell, is not to ask at each
            await trio.sleep_until(started + (_UNDECIDED_S if self._is_urgent else min(pause_s, _MET_S)))
        return self._is_urgent

    def _own(self) -> tuple[Address, ...]:
        """The addresses that this node has by itself or by its router, without those that it has by this survey."""
        network = self._context.network
        network.tell("observed", ())
        own = network.addresses()
        network.tell("observed", self._confirmations.confirmed())
        return own

    async def _round(self, own: tuple[Address, ...]) -> bool:
        """Ask; whether enough have answered."""
        asked = await self._askable()
        try:
            seen = self.observations.candidates(trio.current_time())
            candidates = tuple(dict.fromkeys((*filter(is_global, own), *seen)))
            self._confirmations.keep(candidates)
            answered = await self._ask(asked[:DENIALS], candidates)
            if not self._agreed(candidates, answered):
                answered += await self._ask(asked[DENIALS:], candidates)
            self._conclude()
            return answered >= (CONFIRMATIONS if self._confirmations.confirmed() else DENIALS)
        finally:
            for stream, _ in asked:
                await stream.reset()

    def _agreed(self, candidates: tuple[Address, ...], answered: int) -> bool:
        tallies = [self._confirmations.tally(address) for address in candidates]
        return answered >= DENIALS and all(not confirming or not denying for confirming, denying in tallies)

    async def _askable(self) -> list[tuple[Stream, bytes]]:
        """Streams to peers of different prefixes that answer such questions, and what those see of this node."""
        network, found = self._context.network, dict[bytes, Stream]()
        peers = [link.peer for link in network.links() if link.path == "direct"]
        peers.sort(key=lambda _: self._context.jitter())
        self._has_asked = self._has_asked or bool(peers)

        async def one(peer: PeerId) -> None:
            with suppress(NetError):  # it does not serve this, or is gone: others do
                stream = await network.open(peer, AUTONAT)
                prefix = network_of(stream.remote_host)
                if prefix is None or prefix in found or len(found) >= limits.AUTONAT_ASKED:
                    await stream.reset()
                    return
                found[prefix] = stream
                seen = await network.seen_by(peer)
                if seen is not None and is_global(seen):
                    self.observations.note(prefix, endpoint(seen).kind, seen, trio.current_time())

        async with trio.open_nursery() as nursery:
            for peer in peers[:_TRIED]:
                nursery.start_soon(one, peer)
        # those whose word counts for more come first, as not all may be asked
        rows = sorted(found.items(), key=lambda row: network.has_opened(row[1].remote_host or ""))
        return [(stream, prefix) for prefix, stream in rows]

    async def _ask(self, asked: list[tuple[Stream, bytes]], candidates: tuple[Address, ...]) -> int:
        """How many have said whether they reach this node."""
        answered = 0

        async def one(stream: Stream, prefix: bytes) -> None:
            nonlocal answered
            # who is seen over IPv4 is dialled there alone, and the other way round
            kind = "ip6" if ":" in (stream.remote_host or "") else "ip4"
            fit = [address for address in candidates if endpoint(address).kind == kind]
            if not fit:
                return
            with suppress(NetError):  # it did not try, or is gone: that says nothing about this node
                reached = await ask(stream, self._context.network.peer_id, fit)
                if reached is not None and self._context.network.has_opened(stream.remote_host or ""):
                    return
                answered += 1
                now = trio.current_time()
                if reached is None:
                    self._confirmations.deny(fit, prefix, now)
                else:
                    self._confirmations.confirm(reached, prefix, now)

        async with trio.open_nursery() as nursery:
            for stream, prefix in asked:
                nursery.start_soon(one, stream, prefix)
        return answered

    def _conclude(self) -> None:
        network, before = self._context.network, (self._context.network.addresses(), self._context.network.standing)
        network.tell("observed", self._confirmations.confirmed())
        network.standing = self._confirmations.standing
        if before != (network.addresses(), network.standing):
            log.info("standing.changed", reason=network.standing)
            self._changed()
