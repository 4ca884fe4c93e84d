"""Messages for a live stream alone: to a contact who is connected now, or not at all (PROTOCOL.md 5.5).

- One is refused where no stream to the contact is open; nothing is stored then.
- It leaves in an envelope of its own, on a stream of the time at which it was queued. No later stream or session
  carries it, whatever the node has forgotten: :func:`p2pchat.services.deliver.next_outgoing` leaves it out. Nor does a
  mailbox: :attr:`p2pchat.store.messages.MessageRow.live` is what to ask.
- It fails when the last stream has ended, when it is not confirmed in ``LIVE_S``, and when the node has begun anew.
  Then its envelope is withheld for ever. It may have arrived all the same, and the reason says so; who learns later
  that it has says that it is delivered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import trio

from p2pchat.api.language import marked
from p2pchat.base.limits import LIVE_S
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.services.context import Context, tell
from p2pchat.services.disk import patiently
from p2pchat.store import live
from p2pchat.store.db import Tx


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a message failed, in words: of one that had not left, and of one that may have arrived."""

    queued: str = field(repr=False)
    sent: str = field(repr=False)


PARTED: Final = Ending(
    marked("the connection ended before it left"),
    marked("the connection ended before it was confirmed; it may have arrived"),
)
LATE: Final = Ending(
    marked("it could not leave within {seconds} seconds").format(seconds=f"{LIVE_S:.0f}"),
    marked("it was not confirmed within {seconds} seconds; it may have arrived").format(seconds=f"{LIVE_S:.0f}"),
)
STOPPED: Final = Ending(
    marked("this node stopped before it left"),
    marked("this node stopped before it was confirmed; it may have arrived"),
)


def end_all(tx: Tx, why: Ending, contact: int | None = None) -> None:
    """Everything unconfirmed fails, of one contact or of all."""
    _end(tx, live.all_unconfirmed(tx, contact), why)


def _end(tx: Tx, unconfirmed: Iterable[tuple[int, int, bool]], why: Ending) -> None:
    for message, contact, may_have_left in unconfirmed:
        live.fail(tx, message, why.sent if may_have_left else why.queued)
        tell(tx, EventKind.MESSAGE_FAILED, [message], contact)


class _Waiting(NamedTuple):
    """Messages that were queued together; ``due``: when they are late, on trio's clock."""

    due: float
    contact: int
    messages: range


class Live:
    """Ends what is not confirmed in time, or on the streams of its time.

    Args:
        online: whether a live stream to a contact is open.
        before: why what waits from before fails.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context, online: Callable[[int], bool], before: Ending = STOPPED) -> None:
        self._context = context
        self._before = before
        self._online = online
        self._waiting: deque[_Waiting] = deque()
        self._parted: list[range] = []
        self._wake = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. What waits from before fails at once, before there is a stream."""
        unhook = self._context.bus.hook(self._heard)
        try:
            await self._commit(lambda tx: end_all(tx, self._before))
            task_status.started()
            while True:
                self._wake = trio.Event()
                parted, self._parted = self._parted, []
                await self._end_these(parted, PARTED)
                late: list[range] = []
                while self._waiting and self._waiting[0].due <= trio.current_time():
                    late.append(self._waiting.popleft().messages)
                await self._end_these(late, LATE)
                with trio.move_on_at(self._waiting[0].due if self._waiting else float("inf")):
                    await self._wake.wait()
        finally:
            unhook()

    def parted(self, contact: int) -> None:
        """The last stream to ``contact`` has ended."""
        of_it = [waiting for waiting in self._waiting if waiting.contact == contact]
        if of_it:
            self._parted += [waiting.messages for waiting in of_it]
            self._waiting = deque(waiting for waiting in self._waiting if waiting.contact != contact)
            self._wake.set()

    def _heard(self, event: DomainEvent) -> None:
        if not event.live or event.contact is None:
            return
        self._waiting.append(_Waiting(trio.current_time() + LIVE_S, event.contact, event.subjects))
        if not self._online(event.contact):
            self.parted(event.contact)  # it ended while this was committed
        self._wake.set()

    async def _end_these(self, these: list[range], why: Ending) -> None:
        def end(tx: Tx) -> None:
            for messages in these:
                _end(tx, live.unconfirmed(tx, messages), why)

        if these:
            await self._commit(end)

    async def _commit(self, job: Callable[[Tx], None]) -> None:
        await patiently(self._context, job)  # nothing is carried later all the same
