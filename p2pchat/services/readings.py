"""When a contact's presence is read (PROTOCOL.md 3.4).

- While it is away: when it could not be dialled, at once, then after 1 min, doubling to 6 h; sooner when there is
  something to send, the second time at once: two who start together each read what the other has told before.
- While it is here: a minute after it came, ever more rarely until there is a record, and then as often as one is
  written. So its mailboxes are known when it is away, also to a node that was off as long as the last record stood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog
import trio

from p2pchat.base.errors import NetError, StoreError
from p2pchat.services import presence
from p2pchat.services.context import Context
from p2pchat.services.defects import cause

_MIN_S: Final = 60.0
_MAX_S: Final = 6 * 3600.0
_HURRY_S: Final = 10.0  # a message to send does not wait longer for a reading
_SOON_S: Final = 2.0  # nor this long for the second one
_AT_ONCE: Final = 4

log = structlog.get_logger()


@dataclass(slots=True)
class Readings:
    """When a contact's presence is read next, on trio's clock: ever more rarely, unless nobody answered."""

    count: int = 0
    last_at: float = float("-inf")
    next_at: float = float("-inf")

    @property
    def due(self) -> bool:
        return trio.current_time() >= self.next_at

    def due_after(self) -> float:
        """Seconds until the next one; infinite where it is due already and only waits for a reason."""
        wait_s = self.next_at - trio.current_time()
        return wait_s if wait_s > 0 else float("inf")

    def hurry(self) -> None:
        """There is a new reason for one."""
        self.next_at = min(self.next_at, self.last_at + (_SOON_S if self.count == 1 else _HURRY_S))

    def read(self, jitter: float, *, counts: bool) -> None:
        if not counts:
            return  # it stays due, for the next dial that fails
        self.last_at = trio.current_time()
        pause_s = min(_MAX_S, _MIN_S * 2.0 ** min(self.count, 16))
        self.next_at = self.last_at + pause_s * (0.8 + 0.4 * jitter)
        self.count += 1


class Reader:
    """Reads presences, a few at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turns = trio.CapacityLimiter(_AT_ONCE)

    async def seek(self, contact: int, readings: Readings) -> bool:
        """Whether its presence says where ``contact`` is, and that is new."""
        found = await self._read(contact)
        readings.read(self._context.jitter(), counts=found is not None)
        return bool(found)

    async def follow(self, contact: int) -> None:
        """Read it from time to time, until cancelled: for as long as ``contact`` is here."""
        pause_s = _MIN_S
        while True:
            await trio.sleep(pause_s * (0.8 + 0.4 * self._context.jitter()))
            answered = await self._read(contact) is not None
            if answered and await self._knows(contact):
                pause_s = float(self._context.params.presence_every_s)
            else:
                pause_s = min(_MAX_S, 2 * pause_s)

    async def _read(self, contact: int) -> bool | None:
        try:
            async with self._turns:
                return await presence.seek(self._context, contact)
        except (NetError, StoreError) as error:
            log.debug("presence.not_read", error=cause(error))
            return None

    async def _knows(self, contact: int) -> bool:
        try:
            return await self._context.db.run(lambda tx: presence.was_read(tx, contact))
        except StoreError as error:
            log.debug("presence.not_read", error=cause(error))
            return False
