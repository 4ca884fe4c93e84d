"""What holders keep no more is told when that ends, not when somebody looks next (PROTOCOL.md 6.5).

Rules:

- While anything is held: at the end of the custody that ends next, and at least every 600 s, for the clock may have
  been set. One that is noted meanwhile lasts longer than that: less than half of what was asked for is none.
- While nothing is held nothing is looked at.
"""

from __future__ import annotations

from typing import Final

import structlog
import trio

from p2pchat.base.errors import StoreError
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.services.context import Context, tell
from p2pchat.services.defects import cause
from p2pchat.store import custody
from p2pchat.store.db import Tx

_LEAST_S: Final = 1.0
_CLOCK_S: Final = 600.0
_AGAIN_S: Final = 60.0  # after the disk refused

log = structlog.get_logger()


def end(tx: Tx) -> int | None:
    """Forget the custodies that are over, and tell of what nobody holds now; at which unix second the next ends."""
    for contact, ids in custody.end(tx).items():
        tell(tx, EventKind.MESSAGE_UNHELD, ids, contact)
    return custody.next_end(tx)


async def run(context: Context) -> None:
    """Until cancelled."""
    held = trio.Event()

    def heard(event: DomainEvent) -> None:
        if event.kind is EventKind.MESSAGE_HELD:
            held.set()

    unhook = context.bus.hook(heard)
    try:
        while True:
            held = trio.Event()
            try:
                next_s = await context.db.run(end)
            except StoreError as error:
                log.warning("custody.not_ended", error=cause(error))
                await trio.sleep(_AGAIN_S)
                continue
            if next_s is None:
                await held.wait()
            else:
                await trio.sleep(min(max(next_s - context.now(), _LEAST_S), _CLOCK_S))
    finally:
        unhook()
