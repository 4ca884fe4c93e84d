"""Acks for what came in boxes: on a stream, or left in boxes, by tasks of their own (PROTOCOL.md 6.6).

Rules:

- No holder waits for a contact: what is to be acknowledged waits here, in memory, and within bounds. What does not fit,
  cannot be left, or waits when the node stops is gone: the contact's repetition is answered again.
- In boxes what had come before is acknowledged once a day, and so much of it in all: a holder that gives old boxes
  again does not fill the mailboxes of those who sent them.
- One contact takes one task, however long it or its mailboxes take.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from p2pchat.base.errors import StoreError
from p2pchat.core.params import DAY_S
from p2pchat.core.wire import Ack
from p2pchat.services.allowance import Allowance
from p2pchat.services.context import Context
from p2pchat.services.defects import cause, report_defect
from p2pchat.services.deposit import leave_acks
from p2pchat.services.unbox import Due

LEAVERS: Final = 4  # contacts for whom boxes are left at the same time
CONTACTS: Final = 256  # for whom something waits
ENTRIES: Final = 1_024  # that wait for one of them
REPEATS: Final = 4_096  # acknowledged in boxes within a day
_LEFT: Final = 2 * REPEATS  # eids whose ack went into a box
_LEAVE_S: Final = 180.0  # to read a presence, and for two mailboxes

log = structlog.get_logger()


class Answers:
    """What is to be acknowledged.

    Args:
        live: sends acks on a stream of a contact, if one is open; whether it did.

    Resource handling: everything leaves inside :meth:`run`.
    """

    def __init__(self, context: Context, live: Callable[[int, Ack], Awaitable[bool]]) -> None:
        self._context = context
        self._live = live
        self._waiting: dict[int, Due] = {}
        self._busy: set[int] = set()
        self._changed = trio.Event()
        self._turns = trio.CapacityLimiter(LEAVERS)
        self._left: OrderedDict[bytes, float] = OrderedDict()
        self._repeats = Allowance(REPEATS)

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._changed = trio.Event()
                for contact in self._waiting.keys() - self._busy:
                    self._busy.add(contact)
                    nursery.start_soon(self._answer, contact)
                await self._changed.wait()

    def put(self, contact: int, due: Due) -> None:
        """It leaves soon, on a stream of ``contact`` or else in boxes, as far as there is room for it."""
        if contact not in self._waiting and len(self._waiting) >= CONTACTS:
            return
        waiting = self._waiting.setdefault(contact, Due())
        waiting.add(due)
        waiting.cut(ENTRIES)
        self._changed.set()

    async def _answer(self, contact: int) -> None:
        """All that waits for ``contact``, and what comes to it meanwhile."""
        try:
            while (due := self._waiting.pop(contact, None)) is not None:
                await self._send(contact, due)
        except StoreError as error:  # a full disk: as if it could not be left
            log.warning("mailbox.store_failed", error=cause(error))
        except Exception as error:  # a defect of ours costs these acks, not the node
            report_defect(error)
        finally:
            self._busy.discard(contact)

    async def _send(self, contact: int, due: Due) -> None:
        entries = [*due.new.items(), *due.repeats.items()]
        bound = self._context.params.ack_entries
        for start in range(0, len(entries), bound):
            if not await self._live(contact, Ack(tuple(entries[start : start + bound]))):
                break
        else:
            return
        async with self._turns:
            boxed = self._boxed(due)
            with trio.move_on_after(_LEAVE_S):
                await leave_acks(self._context, contact, boxed)

    def _boxed(self, due: Due) -> list[tuple[bytes, bytes]]:
        """What goes into a box now, all that is new and what of the rest may go again."""
        repeats = {eid: ack for eid, ack in due.repeats.items() if self._may_repeat(eid)}
        kept = dict(list(repeats.items())[: max(0, self._repeats.left())])
        self._repeats.take(len(kept))
        boxed = [*due.new.items(), *kept.items()]
        for eid, _ in boxed:
            self._left[eid] = trio.current_time()
            self._left.move_to_end(eid)
        while len(self._left) > _LEFT:
            self._left.popitem(last=False)
        return boxed

    def _may_repeat(self, eid: bytes) -> bool:
        left_at = self._left.get(eid)
        return left_at is None or trio.current_time() - left_at >= DAY_S
