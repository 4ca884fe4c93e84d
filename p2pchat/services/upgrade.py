"""Contacts that are reached through a relay are met directly where that is possible (PROTOCOL.md 7.4).

Rules:

- Who was connected to tries: first where the contact says that it listens, then half way, three times. Who has
  connected tries as well when nothing has come of that for a while: both may have connected at once.
- An attempt that ended before anybody knocked is followed by the next after a while: where two have just started, one
  may not know yet where it is seen.
- A series that came to nothing is repeated after 10 s, 30 s, 2 min, 5 min, 10 min and every 30 min, and at once after
  the network has changed.
- What runs on the relayed connection is not touched: :mod:`p2pchat.services.connect` moves when a better one is there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from p2pchat.base.errors import NetError, StoreError, UnsupportedProtocol
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.dcutr import DCUTR, Believe, Dcutr, Met, believed
from p2pchat.services.context import Context
from p2pchat.store import contact_peers

_ATTEMPTS: Final = 3
_AGAIN_S: Final = (10.0, 30.0, 120.0, 300.0, 600.0, 1_800.0)
_LEFT_TO_OTHER_S: Final = 15.0
_PAUSE_S: Final = 2.0
_SETTLE_S: Final = 0.5  # for the contact's first words, by which it is known
_LOOK_S: Final = 5.0
_IDLE_S: Final = 300.0
_TOGETHER_S: Final = 0.25  # who comes within this time is looked at together
_AT_ONCE: Final = 4

log = structlog.get_logger()


@dataclass(slots=True)
class _Plan:
    """When a peer is tried next, on trio's clock, and how many series came to nothing."""

    due: float
    failed: int = 0


class Upgrader:
    """Tries it with every contact that has but a relayed connection.

    Args:
        own: where this node could be met.
        met: see :class:`Dcutr`.
        believe: at which of a peer's addresses this node knocks.
    """

    def __init__(
        self, context: Context, own: Callable[[], tuple[Address, ...]], met: Met, believe: Believe = believed
    ) -> None:
        self._context = context
        self._dcutr = Dcutr(context.network, own, self._is_contact, met, believe, context.charges.refusals)
        self._plans: dict[PeerId, _Plan] = {}
        self._trying: set[PeerId] = set()  # who comes and goes is tried once at a time
        self._change = trio.Event()
        self._places = trio.Semaphore(_AT_ONCE)

    def hurry(self) -> None:
        """The network has changed: try everybody at once."""
        now = trio.current_time()
        for plan in self._plans.values():
            plan.due, plan.failed = now, 0
        self._change.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        network = self._context.network
        network.handle(DCUTR, self._dcutr.serve)
        network.watch(lambda _, connected: self._change.set() if connected else None)
        task_status.started()
        async with trio.open_nursery() as nursery:
            while True:
                self._change = trio.Event()
                due = self._replan()
                for peer, plan in self._plans.items():
                    if plan.due <= trio.current_time() and peer not in self._trying:
                        self._trying.add(peer)
                        nursery.start_soon(self._try, peer, plan)
                # a relayed connection may also be what is left when a direct one has ended, which nobody tells
                look_s = _LOOK_S if self._plans else _IDLE_S
                with trio.move_on_at(min(due, trio.current_time() + look_s)):
                    await self._change.wait()
                    if not self._plans:
                        await trio.sleep(_TOGETHER_S)

    def _replan(self) -> float:
        """Forget who is gone or met, note who is new; when the next one is due."""
        now = trio.current_time()
        relayed = {link.peer: link for link in self._context.network.links() if link.path == "relayed"}
        for peer in self._plans.keys() - relayed.keys():
            del self._plans[peer]
        for peer, link in relayed.items():
            if peer not in self._plans:
                self._plans[peer] = _Plan(now + (_SETTLE_S if link.inbound else _LEFT_TO_OTHER_S))
        waiting = (plan.due for peer, plan in self._plans.items() if peer not in self._trying and plan.due > now)
        return min(waiting, default=float("inf"))

    async def _try(self, peer: PeerId, plan: _Plan) -> None:
        async with self._places:
            if await self._is_contact(peer):
                await self._series(peer)
        plan.due = trio.current_time() + _AGAIN_S[min(plan.failed, len(_AGAIN_S) - 1)]
        plan.failed += 1
        self._trying.discard(peer)
        self._change.set()

    async def _series(self, peer: PeerId) -> None:
        with suppress(NetError):  # it listens nowhere that this node reaches: the other way is tried next
            await self._dcutr.reverse(peer)
            log.info("upgrade.reversed", peer=peer)
            return
        for _ in range(_ATTEMPTS):
            if not self._is_relayed(peer):
                return
            next_at = trio.current_time() + _PAUSE_S
            try:
                await self._dcutr.invite(peer)
            except UnsupportedProtocol:
                return
            except NetError as error:
                log.debug("upgrade.failed", peer=peer, error=error.error_name)
                await trio.sleep_until(next_at)
                continue
            log.info("upgrade.punched", peer=peer)
            return

    def _is_relayed(self, peer: PeerId) -> bool:
        return any(link.peer == peer and link.path == "relayed" for link in self._context.network.links())

    async def _is_contact(self, peer: PeerId) -> bool:
        try:
            return await self._context.db.run(lambda tx: contact_peers.is_of_matched(tx, peer))
        except StoreError as error:  # a full disk voids reads, too: it is tried another time
            log.warning("upgrade.store_failed", error=type(error).__name__)
            return False
