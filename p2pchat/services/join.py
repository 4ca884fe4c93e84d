"""Get into the network, and back into it whenever this node stands alone (PROTOCOL.md 7).

Rules:

- That nobody answers is told where there was somebody else to ask and nobody is connected, after 1, 2, 4, 8 … tries in
  a row: a node that waits for others, as the first one does, has nothing to complain of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog
import trio

from p2pchat.base.errors import NetError, StoreError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.delivery import retry_after_s
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.store import meta

ALONE_CHECK_S: Final = 30.0

NodeAddress = tuple[PeerId, tuple[Address, ...]]

log = structlog.get_logger()


async def join(context: Context, configured: Sequence[NodeAddress], joined: Callable[[], None]) -> None:
    """Bootstrap from the configured nodes and those known from before, until cancelled.

    Args:
        joined: called whenever a node answered while this one stood alone.
    """
    tries = 0
    while True:
        changed = context.changes.edge()
        if context.dht.peers() == 0:
            tries = 0 if await _once(context, configured, joined) else tries + 1
            if tries and not tries & (tries - 1) and not context.network.links():
                log.warning("bootstrap.no_node_answered", count=tries)
        else:
            tries = 0  # somebody came
        pause = retry_after_s(tries, context.jitter(), context.params) if tries else ALONE_CHECK_S
        with trio.move_on_after(pause):
            await changed()
            tries = 0


async def _once(context: Context, configured: Sequence[NodeAddress], joined: Callable[[], None]) -> bool:
    """One attempt; True if there was nobody to ask, or somebody answered."""
    try:
        own = context.network.peer_id
        known = [each for each in (*configured, *await context.db.run(meta.load_known_peers)) if each[0] != own]
        if not known:
            return True
        count = await context.dht.bootstrap(known)
    except NetError:
        return False
    except StoreError as error:
        log.warning("bootstrap.failed", error=cause(error))
        return False
    log.info("bootstrap.done", count=count)
    joined()
    return True
