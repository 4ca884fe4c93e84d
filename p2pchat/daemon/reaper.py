"""What the kernel expects of process 1, which the daemon is in a container that has no other.

- A signal whose action is the default one does nothing to process 1: until the node has its own handlers, SIGTERM has
  to end the start.
- Orphans of the container, such as those of a command that was run in it, become its children, and stay as zombies
  until it takes their exit status.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final, NoReturn

import trio

FIRST_PROCESS: Final = 1
_OWN_S: Final = 1.0
"""Whoever waits for a child of our own has had its exit status by then. One that dies in this very second may be taken
from under it, which :mod:`subprocess` bears: it then reports 0, and no exit status of a child is used."""


def end_at_sigterm() -> None:
    """For the start of process 1: SIGTERM ends it with the status that a shell would report."""

    def end(number: int, _frame: object) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)


async def reap() -> None:
    """Take the exit status of whatever has died and nobody waits for, until cancelled."""
    with trio.open_signal_receiver(signal.SIGCHLD) as deaths:
        async for _ in deaths:
            await trio.sleep(_OWN_S)
            _take_all()


def _take_all() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return  # there is none
