"""Mailboxes for others: what the user offers is served, what is held is let go of in time (PROTOCOL.md 6.1).

Rules:

- The protocol is served only while something is offered, or boxes are held that were taken before: it is not told to
  others otherwise.
- Under another node key nothing is kept (:func:`p2pchat.store.mailbox.is_anew`).
- What expires is deleted on time, to the second where the node is awake; what a clock that was ahead has dated is
  brought back to what may be held.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final, NamedTuple

import structlog
import trio

from p2pchat.base.errors import StoreError
from p2pchat.core.crypto import ed25519_pair
from p2pchat.net.mailbox import MAILBOX
from p2pchat.net.transport import Stream
from p2pchat.services.context import Context, nobody_holds
from p2pchat.services.defects import cause
from p2pchat.services.desk import Desk
from p2pchat.services.holding import Holding, Tally
from p2pchat.services.mailbox_charges import MailboxCharges
from p2pchat.store import mailbox, offer
from p2pchat.store.db import Tx

_LEAST_S: Final = 1.0
_CLOCK_S: Final = 600.0  # it may have been set meanwhile
_OWNERS_S: Final = 3_600.0
_AGAIN_S: Final = 60.0  # after the disk refused

log = structlog.get_logger()


class _State(NamedTuple):
    """``serves``: whether anything is offered, or held."""

    serves: bool
    owners: int
    next_s: int | None


class Holder:
    """Holds for one life of the node.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settling = trio.Lock()
        self._changed = trio.Event()
        self._due_s: float | None = None  # when the next round is, on the node's clock
        self._is_offered = False
        self._holding = Holding(
            context,
            context.network.peer_id,
            ed25519_pair(context.profile.node_seed),
            MailboxCharges(trio.current_time, context.charges.refusals),
            Tally(context),
            changed=self._on_change,
        )

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        self._context.offered = self._settle
        try:
            pause_s = await self._round()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._holding.tally.run)
                task_status.started()
                while True:
                    await self._pause(pause_s)
                    pause_s = await self._round()
        finally:
            self._context.offered = nobody_holds
            self._context.network.unhandle(MAILBOX)

    async def _pause(self, pause_s: float | None) -> None:
        """Until something has to be done; None: until something changes."""
        changed = self._changed
        self._due_s = None if pause_s is None else self._context.now() + pause_s
        with trio.move_on_after(float("inf") if pause_s is None else pause_s):
            await changed.wait()

    async def _round(self) -> float | None:
        """Let go of what is over; after how many seconds that is to be looked at again, None for never."""
        self._changed = trio.Event()
        try:
            await self._let_go()
            state = await self._settle_and_tell()
        except StoreError as error:
            log.warning("mailboxes.not_kept", error=cause(error))
            return _AGAIN_S
        if state.next_s is not None:
            return min(max(state.next_s - self._context.now(), _LEAST_S), _CLOCK_S)
        return _OWNERS_S if state.serves or state.owners else None

    async def _let_go(self) -> None:
        context, run = self._context, self._context.db.run
        while not await run(partial(mailbox.is_anew, own=self._holding.own)):
            pass
        await run(partial(mailbox.redate, ttl_max_s=context.params.mailbox_ttl_max_s))
        while await run(self._expire):
            pass
        while await run(self._forget):
            pass

    def _expire(self, tx: Tx) -> bool:
        gone = mailbox.expire(tx)
        self._holding.depositors.remove(gone)
        return bool(gone)

    def _forget(self, tx: Tx) -> bool:
        """A part of a mailbox whose owner does not come any more."""
        unseen = mailbox.unseen(tx, tx.now_s - self._context.params.mailbox_forgotten_s)
        if unseen is not None:
            self._holding.depositors.remove(mailbox.end(tx, unseen))
        return unseen is not None

    # what is offered

    async def _settle(self) -> None:
        """Serve, or do not, as the user has said."""
        try:
            await self._settle_and_tell()
        finally:
            self._changed.set()

    async def _settle_and_tell(self) -> _State:
        async with self._settling:  # of two that look the later one decides
            offered, state = await self._context.db.run(_state)
            self._is_offered = offered
            if state.serves:
                self._context.network.handle(MAILBOX, self._serve)
            else:
                self._context.network.unhandle(MAILBOX)
            return state

    async def _serve(self, stream: Stream) -> None:
        await Desk(self._holding, stream).run()

    def _on_change(self, until: Iterable[int]) -> None:
        """Boxes came or went: look again, if that could make a difference."""
        sooner = any(self._due_s is None or each < self._due_s for each in until)
        if sooner or not self._is_offered:
            self._changed.set()


def _state(tx: Tx) -> tuple[bool, _State]:
    offered = offer.load(tx).to != "nobody"
    boxes, _ = mailbox.total(tx)
    return offered, _State(offered or boxes > 0, mailbox.count(tx), mailbox.next_expiry(tx))
