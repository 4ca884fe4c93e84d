"""What nodes do again and again, done rarely: so that weeks of a network pass in minutes.

Upkeep is no part of the protocol: the constants that both ends share stay as they are (:class:`~p2pchat.core.params.
Params`). What is made rarer is how soon a silent death is noticed and how often tables are looked over.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Final
from unittest.mock import patch

import trio

from p2pchat.base import limits
from p2pchat.net.explore import Explorer
from p2pchat.net.mailbox import Visit
from p2pchat.services import collector, desk, herald, hold, join, link, readings, standing, upkeep
from p2pchat.services.errand import Errand
from p2pchat.store.own_mailbox import OwnMailbox

_HOUR_S: Final = 3_600.0
_LISTED_S: Final = 2 * _HOUR_S
"""Between two looks into a mailbox that is empty. An owner that is always listening costs more wake-ups than all else
together; what waits arrives later for it, and not otherwise."""

_round = Errand._round  # pyright: ignore[reportPrivateUsage]


@contextmanager
def rare_upkeep() -> Generator[None]:
    """Pings every hour, tables and mailboxes looked over about as often, for what is run inside."""
    with ExitStack() as stack:
        for module, name, value in (
            (link, "HEARTBEAT_S", _HOUR_S),
            (link, "SILENCE_S", 2 * _HOUR_S),
            (limits, "REFRESH_CHECK_S", _HOUR_S),
            (limits, "REFRESH_AFTER_S", 24 * _HOUR_S),
            (limits, "WARM_PEERS", 8),
            (limits, "BOOTSTRAP_WAVE", 6),
            (hold, "_EVERY_S", _HOUR_S / 12),
            (join, "ALONE_CHECK_S", _HOUR_S / 2),
            (herald, "_CHECK_S", _HOUR_S / 3),
            (collector, "_CHECK_S", 2 * _HOUR_S),
            (collector, "_SILENT_S", 3 * _LISTED_S),
            (readings, "_MIN_S", _HOUR_S),
            (standing, "_UNDECIDED_S", 6 * _HOUR_S),
            (standing, "_EVERY_S", 6 * _HOUR_S),
            (standing, "_MET_S", 6 * _HOUR_S),
            (upkeep, "_EVERY_S", 2 * _HOUR_S),
            (desk, "MAILBOX_LOOK_S", _HOUR_S),
            (desk, "MAILBOX_IDLE_S", 2 * _LISTED_S),
        ):
            stack.enter_context(patch.object(module, name, value))
        stack.enter_context(patch.object(link, "_PINGS_A_PROBE", 1))
        stack.enter_context(patch.object(Errand, "_round", _seldom))
        stack.enter_context(patch.object(Explorer, "region", _nowhere))
        yield


async def _seldom(errand: Errand, there: Visit, mailbox: OwnMailbox, after: int) -> int:
    last = await _round(errand, there, mailbox, after)
    is_idle = errand._idle > 0  # pyright: ignore[reportPrivateUsage]
    if last == after and not is_idle:  # it was empty, and the holder has waited with the answer
        await trio.sleep(_LISTED_S)
    return last


def _nowhere(_: Explorer) -> int:
    """No region is expected to have k storers: so small a network has no crowd, and every third walk looked for one."""
    return 0
