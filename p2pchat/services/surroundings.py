"""Notices that the network around this machine has changed, and has the node act on it (PROTOCOL.md 7.7).

Rules:

- A change is another address, another way out, or a sleep. Whatever else the kernel tells costs a look.
- First the connections that are dead are closed, since who dials takes one that is there; then the services are told.
- Changes that come meanwhile are one change afterwards: however many there are, connections are looked through every
  ``limits.CHECK_S`` at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
import trio

from p2pchat.base import limits
from p2pchat.net.interfaces import Interfaces, SystemInterfaces
from p2pchat.net.lan import Lan, ZeroconfLan
from p2pchat.services.changes import Change
from p2pchat.services.context import Context

_TICK_S: Final = 2.0
_SLEPT_S: Final = 5.0  # by which a tick came late; a busy machine is not

log = structlog.get_logger()


def clock_s() -> float:
    """Seconds on a clock that goes on while the machine sleeps."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if boottime is None else time.clock_gettime(boottime)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around the node, but for its network end. ``clock_s``: see :func:`clock_s`."""

    interfaces: Interfaces = field(default_factory=SystemInterfaces)
    lan: Lan = field(default_factory=ZeroconfLan)
    clock_s: Callable[[], float] = clock_s


class Lookout:
    """Watches over them.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context, surroundings: Surroundings) -> None:
        self._context = context
        self._surroundings = surroundings
        self._change = Change()
        self._news = trio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_interfaces)
            nursery.start_soon(self._watch_clock)
            while True:
                await self._news.wait()
                change, self._change, self._news = self._change, Change(), trio.Event()
                await self._context.network.check(limits.CHECK_S)
                log.info(
                    "network.changed", reason="the machine slept" if change.slept else "other interfaces or routes"
                )
                self._context.changes.tell(change)

    async def _watch_interfaces(self) -> None:
        interfaces = self._surroundings.interfaces
        with interfaces.watching() as wait:
            known = interfaces.read()
            while True:
                await wait()
                await trio.sleep(limits.SETTLE_S)  # an interface that comes up says so in many messages
                now = interfaces.read()
                if now != known:
                    known = now
                    self._note(Change(moved=True))

    async def _watch_clock(self) -> None:
        at = self._surroundings.clock_s()
        while True:
            await trio.sleep(_TICK_S)
            before, at = at, self._surroundings.clock_s()
            if at - before > _TICK_S + _SLEPT_S:
                self._note(Change(slept=True))

    def _note(self, change: Change) -> None:
        self._change = self._change.and_then(change)
        self._news.set()
