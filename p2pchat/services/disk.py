"""What the node does about its disk: it says what is wrong, and goes on, unless the database is damaged.

A node whose database is damaged ends at once: after the first page that does not open SQLCipher opens no other either,
and what it would take from others now it could not keep (docs/adr/0009).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import structlog
import trio

from p2pchat.base.errors import Corrupt, StoreError
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.store.db import Database, Job
from p2pchat.store.disk import DAMAGED, DiskState

T = TypeVar("T")

_AGAIN_S: Final = 10.0
_WRITABLE: Final = ("ok", "slow")

log = structlog.get_logger()


async def watch(context: Context, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Tell of every change of the disk's state, until cancelled.

    Raises:
        Corrupt: the database is damaged; nothing was written since.
    """
    damaged = trio.Event()

    def tell(state: DiskState) -> None:
        if state == "ok":
            log.info("disk.well")
        else:
            log.warning("disk.trouble", reason=state)
        context.bus.transient(DomainEvent(EventKind.NODE_WARNING, detail=state.encode()))
        if state == "damaged":
            damaged.set()

    unwatch = context.db.watch_disk(tell)
    try:
        if context.db.disk != "ok":
            tell(context.db.disk)
        task_status.started()
        await damaged.wait()
    finally:
        unwatch()
    raise Corrupt(DAMAGED)


@contextmanager
def recovering(database: Database, then: Callable[[], None]) -> Iterator[None]:
    """For the block: call ``then`` whenever the disk takes again what it had refused."""
    refused = False

    def look(state: DiskState) -> None:
        nonlocal refused
        before, refused = refused, state not in _WRITABLE
        if before and not refused:
            then()

    unwatch = database.watch_disk(look)
    try:
        yield
    finally:
        unwatch()


async def patiently(context: Context, job: Job[T]) -> T:
    """Run ``job`` until the disk allows it: for what a node cannot go on without, and which can be run again.

    Raises:
        P2PChatError: what the job raised, if that was not the disk's.
    """
    while True:
        try:
            return await context.db.run(job)
        except StoreError as error:  # a full disk voids reads, too, and space comes back
            log.warning("disk.awaited", error=cause(error))
            await trio.sleep(_AGAIN_S)
