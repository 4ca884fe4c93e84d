"""Signs of life for systemd's watchdog, as long as the node can do what it is there for.

A sign is given by the trio loop, after the store's thread has answered: a loop or a writer that is stuck gives none,
and systemd starts the daemon anew (``WatchdogSec=``). A disk that refuses does answer: a restart would mend nothing.

Source: sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import trio

from p2pchat.daemon.system import sd_notify

_SIGNS: Final = 2
"""In the time that is allowed: what one takes, an answer of a busy store, is as long as the pause before it."""


def allowed_s(environ: Mapping[str, str] | None = None) -> float | None:
    """Within how many seconds systemd wants a sign of this process; None where it wants none."""
    environment = os.environ if environ is None else environ
    period_us = environment.get("WATCHDOG_USEC", "")
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(period_us) / 1e6 if period_us.isdecimal() and int(period_us) else None


async def reassure(answers: Callable[[], Awaitable[None]]) -> None:
    """Give signs of life until cancelled; returns at once where nobody wants them.

    Args:
        answers: returns as soon as whatever has to work has worked.
    """
    period_s = allowed_s()
    if period_s is None:
        return
    while True:
        await answers()
        sd_notify("WATCHDOG=1")
        await trio.sleep(period_s / _SIGNS)
