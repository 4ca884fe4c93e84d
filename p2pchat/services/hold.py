"""The records that this node keeps in the DHT, on disk: they survive a restart (PROTOCOL.md 3.2).

Rules:

- The storer decides, the file follows: what changed is noted, and its state when the batch is written is what counts.
  A node that is killed loses what changed within the last batch; other storers have it too.
- Rows of our own database are not checked again, but they come in as a put does: expiry, slot rule and quotas hold, and
  what was put meanwhile and is newer stays. What does not come in leaves the file.
- Under another node key nothing of it is kept: who serves what another node served is known to be the same.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Final

import structlog
import trio

from p2pchat.base.errors import StoreError
from p2pchat.core.storer import Held
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.store import held
from p2pchat.store.held import Key

_EVERY_S: Final = 30.0
_EXPIRY_S: Final = 600.0  # how soon what has expired leaves the file, where nothing else changes
_MANY: Final = 1_024  # changes that do not wait that long
_ROWS: Final = 64  # at a time: neither the loop nor other transactions wait for more

log = structlog.get_logger()


class Hold:
    """Joins the storer of one life of the node with the database."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._storer = context.dht.storer
        self._storer.on_change = self._on_change
        self._changed: dict[Key, None] = {}
        self._restoring: Key | None = None
        self._some = trio.Event()
        self._many = trio.Event()

    async def run(self) -> None:
        """Load what is on disk, then write what changes, until cancelled."""
        try:
            await self.load()
        except StoreError as error:
            log.warning("hold.not_loaded", error=cause(error))
        while True:
            with trio.move_on_after(_EXPIRY_S):
                await self._some.wait()
                with trio.move_on_after(_EVERY_S):
                    await self._many.wait()
            await self.save()

    async def save(self) -> None:
        """Write what has changed; what the disk refuses stays noted for the next time."""
        self._storer.expire(int(self._context.now()))
        self._some, self._many = trio.Event(), trio.Event()
        while keys := list(islice(self._changed, _ROWS)):
            for key in keys:
                del self._changed[key]
            entries = {key: self._storer.entry(*key) for key in keys}
            kept = [entry for entry in entries.values() if entry is not None]
            gone = [key for key, entry in entries.items() if entry is None]
            try:
                await self._context.db.run(partial(held.save, entries=kept, gone=gone))
            except StoreError as error:
                self._changed.update(dict.fromkeys(keys))
                self._some.set()
                log.warning("hold.not_saved", error=cause(error))
                return

    async def load(self) -> None:
        """Give the storer what is on disk, a few rows at a time."""
        own = self._context.network.peer_id
        await self._context.db.run(partial(held.begin, own=own))
        last, rows = await self._context.db.run(partial(held.page, after=0, count=_ROWS))
        while rows:
            for row in rows:
                self._restore(row)
            last, rows = await self._context.db.run(partial(held.page, after=last, count=_ROWS))

    def _restore(self, row: Held) -> None:
        key = self._restoring = row.loc, row.writer
        self._storer.restore(row, int(self._context.now()))
        self._restoring = None
        if self._storer.entry(*key) is None:
            self._changed[key] = None
            self._some.set()

    def _on_change(self, loc: bytes, writer: bytes) -> None:
        if (loc, writer) == self._restoring:
            return  # it is in the file as it is
        self._changed[loc, writer] = None
        self._some.set()
        if len(self._changed) >= _MANY:
            self._many.set()
