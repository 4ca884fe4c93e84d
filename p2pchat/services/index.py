"""Keep the index of words near the end of the messages, when the store has nothing else to do.

Rules:

- Messages are put in by batches; less than one waits for others, and is read by whoever searches.
- In quiet moments the store works on the index half of the time, until nothing is left or a message comes or goes.
  While there is no quiet moment, one batch is put in every ``_PATIENCE_S``.
"""

from __future__ import annotations

from typing import Final

import structlog
import trio

from p2pchat.base.errors import StoreError
from p2pchat.core.events import DomainEvent
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.store import word_index

_QUIET_S: Final = 0.25
_PATIENCE_S: Final = 2.0
_AFTER_FAILURE_S: Final = 60.0
_PAUSE_S: Final = 0.002

log = structlog.get_logger()


async def run(context: Context) -> None:
    """From the start on, until cancelled."""
    news = _News()
    unhook = context.bus.hook(news.heard)
    try:
        while True:
            await news.quiet()
            counted = news.counted
            try:
                await _catch_up(context, news)
            except StoreError as error:
                log.warning("index.failed", error=cause(error))
                await trio.sleep(_AFTER_FAILURE_S)
            else:
                await news.after(counted)
    finally:
        unhook()


async def _catch_up(context: Context, news: _News) -> None:
    while True:
        counted, began = news.counted, trio.current_time()
        if not await context.db.run(word_index.add_batch):
            return
        await trio.sleep(max(_PAUSE_S, trio.current_time() - began))
        if news.counted != counted:
            await news.quiet()


class _News:
    """What is told of messages. ``counted``: how many events so far."""

    def __init__(self) -> None:
        self.counted = 0
        self._next = trio.Event()

    def heard(self, event: DomainEvent) -> None:
        """A hook of the bus."""
        if event.kind.startswith("message."):
            self.counted += 1
            self._next.set()
            self._next = trio.Event()

    async def after(self, counted: int) -> None:
        """Until there were more than ``counted``."""
        if self.counted == counted:
            await self._next.wait()

    async def quiet(self) -> None:
        """Until there was none for a while, or for long enough."""
        with trio.move_on_after(_PATIENCE_S):
            counted = -1
            while counted != self.counted:
                counted = self.counted
                await trio.sleep(_QUIET_S)
