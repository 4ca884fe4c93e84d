"""Roots of pairs (PROTOCOL.md 3.1): derived in the background, one at a time, kept for their era.

Rules:

- What is waited for comes first: the roots of this era, and of the next one from 2 h before it. Those who were asked
  for together are a group; the smallest group goes first, then the latest. So one person who is added overtakes an
  address book, and the order is the same after a restart.
- In the last days of an era the roots of the next one follow, some minutes apart: of everybody who will be looked for
  then, and of those who are matched, who may have to be found again. Nobody waits at the boundary, and no machine is
  busy with it.
- A root that cannot be derived is tried again after a minute; whoever waits for it waits on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

import structlog
import trio

from p2pchat.base.errors import InternalError, StoreError
from p2pchat.core.params import DAY_S
from p2pchat.core.slots import active_eras
from p2pchat.core.slots import era as era_of
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.services.steps import step_event
from p2pchat.store import contacts, pairs
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.store.pairs import Rootless

AHEAD_S: Final = 3 * DAY_S
"""How long before they are published under the first root of the next era is derived."""

APART_S: Final = 300.0
"""The most between two of them."""

_LOOK_S: Final = 3600.0
_RETRY_S: Final = 60.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Job:
    """A root to derive. ``ahead``: nobody waits for it yet, so it has ``pause_s`` time."""

    wanted: Rootless
    era: int
    ahead: bool = False
    pause_s: float = 0.0


class Roots:
    """Derives what is missing; whoever needs a root waits for it here.

    Args:
        derived: called with a contact whose root of the coming era was derived after it was asked for.

    Resource handling: what derives runs inside :meth:`run`.
    """

    def __init__(self, context: Context, derived: Callable[[int], None]) -> None:
        self._context = context
        self._own = context.profile.number
        self._derived = derived
        self._woken = trio.Event()
        self._waiting: WeakValueDictionary[tuple[int, int], trio.Event] = WeakValueDictionary()
        self._asked: set[tuple[int, int]] = set()  # (contact, era): of matched contacts nothing else says who waits
        self._counts = (0, 0)

    @property
    def counts(self) -> tuple[int, int]:
        """How many roots of those who are looked for are there in this era, and how many it will be."""
        return self._counts

    async def root(self, row: ContactRow, era: int) -> bytes:
        """R of the pair, as soon as it is derived."""
        while True:
            ready = self._waiting.setdefault((row.id, era), trio.Event())
            known = await self.known(row, era, ask=True)
            if known is not None:
                return known
            await ready.wait()

    async def known(self, row: ContactRow, era: int, *, ask: bool) -> bytes | None:
        """R of the pair if it is there; if it is not, ``ask`` has it derived."""
        own, number = self._own, row.number or ""
        found = await self._context.db.run(lambda tx: pairs.root(tx, row.id, own, number, era))
        if found is None and ask:
            self._asked.add((row.id, era))
            self.wake()
        return found

    def wake(self) -> None:
        """Who is looked for has changed: the order may have, too."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        while self._own:
            woken = self._woken = trio.Event()
            try:
                asked = frozenset(self._asked)
                job, self._counts = await self._context.db.run(partial(self._next, asked))
                if job is None:
                    self._asked -= asked  # whoever was left is looked for no more
                if job is None or job.pause_s:
                    with trio.move_on_after(job.pause_s if job is not None else _LOOK_S):
                        await woken.wait()
                        continue
                if job is not None:
                    await self._derive(job)
            except (InternalError, StoreError) as error:
                log.warning("root.failed", error=cause(error))
                await trio.sleep(_RETRY_S)

    async def _derive(self, job: _Job) -> None:
        context, contact, number, era = self._context, job.wanted.contact, job.wanted.number, job.era
        root = await context.deriver.derive(self._own, number, era)

        def save(tx: Tx) -> bool:
            if contacts.get(tx, contact) is None:
                return False  # removed meanwhile
            pairs.save_root(tx, contact, self._own, number, era, root)
            return True

        self._asked.discard((contact, era))
        if not await context.db.run(save):
            return
        ready = self._waiting.pop((contact, era), None)
        if ready is not None:
            ready.set()
        if job.ahead:
            return
        if era != era_of(int(context.now()), context.params):
            self._derived(contact)
        elif job.wanted.until_s:
            done, total = self._counts
            self._counts = (min(done + 1, total), total)
            context.bus.transient(step_event(contact, "root", self._counts))

    # -- which one ------------------------------------------------------------------------------------------------

    def _next(self, asked: frozenset[tuple[int, int]], tx: Tx) -> tuple[_Job | None, tuple[int, int]]:
        """What to derive now, and :attr:`counts`. Concurrency: it runs on the store's thread."""
        now_s = int(self._context.now())
        needed: list[tuple[int, Rootless]] = []
        counts: list[tuple[int, int]] = []
        for era, publish in active_eras(now_s, self._context.params):
            if publish:
                sought, total = pairs.rootless(tx, self._own, era, now_s)
                counts.append((total - len(sought), total))
                needed += ((era, each) for each in (*sought, *self._matched(tx, era, asked)))
        if not needed:
            return self._ahead(tx, now_s), counts[0]
        together = Counter(each.until_s for _, each in needed)
        era, first = min(
            needed, key=lambda each: (each[0], together[each[1].until_s], -each[1].until_s, each[1].contact)
        )
        return _Job(first, era), counts[0]

    def _matched(self, tx: Tx, era: int, asked: frozenset[tuple[int, int]]) -> list[Rootless]:
        if not any(of == era for _, of in asked):
            return []
        return [each for each in pairs.rootless_matched(tx, self._own, era) if (each.contact, era) in asked]

    def _ahead(self, tx: Tx, now_s: int) -> _Job | None:
        params = self._context.params
        era = era_of(now_s, params) + 1
        needed_s = era * params.era_s - params.publish_next_s
        if now_s < needed_s - AHEAD_S:
            return None
        missing = pairs.rootless(tx, self._own, era, needed_s)[0] + pairs.rootless_matched(tx, self._own, era)
        if not missing:
            return None
        return _Job(missing[0], era, ahead=True, pause_s=min(APART_S, max(0, needed_s - now_s) / len(missing)))
