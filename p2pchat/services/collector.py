"""Keeps the own mailboxes: visits every holder, and replaces one that is gone where the user leaves that to this node.

Each holder has an :class:`~p2pchat.services.errand.Errand`. How long a holder has been silent counts only while this
node is connected to anybody. What contacts are told of is published anew whenever it changes.

Source: PROTOCOL.md 6.1, 6.6.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog
import trio

from p2pchat.base.errors import StoreError
from p2pchat.base.ids import PeerId
from p2pchat.base.limits import MAILBOX_GONE_S, OWN_MAILBOXES
from p2pchat.core.mailbox import WAIT_MAX_S
from p2pchat.core.wire import Ack
from p2pchat.services.answers import Answers
from p2pchat.services.context import Context, nothing_to_tell
from p2pchat.services.defects import cause, report_defect
from p2pchat.services.errand import Errand
from p2pchat.services.holders import find
from p2pchat.store import meta, own_mailbox
from p2pchat.store.db import Tx
from p2pchat.store.own_mailbox import OwnMailbox

_CHECK_S: Final = 300.0
_UNUSED_S: Final = 3600.0  # where there is nothing to look after
_DEFECT_S: Final = 600.0
_SILENT_S: Final = 2.0 * WAIT_MAX_S
_FIND_MIN_S: Final = 60.0
_FIND_MAX_S: Final = 3600.0

log = structlog.get_logger()


class Collector:
    """All errands of the node.

    Args:
        acknowledge: sends acks on a stream of a contact, if one is open; whether it did.
        put: publishes the presence; whether that was done.
        nudge: the same, soon.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(
        self,
        context: Context,
        acknowledge: Callable[[int, Ack], Awaitable[bool]],
        put: Callable[[], Awaitable[bool]],
        nudge: Callable[[], None],
    ) -> None:
        self._context = context
        self._answers = Answers(context, acknowledge)
        self._put = put
        self._nudge = nudge
        self._errands: dict[int, tuple[Errand, trio.CancelScope]] = {}
        self._changed = trio.Event()
        self._find_at = float("-inf")
        self._find_pause_s = _FIND_MIN_S
        self._auto = False

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        self._context.tell_mailboxes = self.tell
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._answers.run)
                nursery.start_soon(self._keep_filled)
                task_status.started()
                await self._keep_visiting(nursery)
        finally:
            self._context.tell_mailboxes = nothing_to_tell

    async def _keep_visiting(self, nursery: trio.Nursery) -> None:
        looked = trio.current_time()
        while True:
            changed = self._changed
            try:
                await self._look(nursery, trio.current_time() - looked)
                looked = trio.current_time()
            except StoreError as error:  # a full disk, and space comes back
                log.warning("mailbox.store_failed", error=cause(error))
            with trio.move_on_after(_CHECK_S if self._errands else _UNUSED_S):
                await changed.wait()

    async def _keep_filled(self) -> None:
        while True:
            changed = self._changed
            try:
                if self._is_online() and trio.current_time() >= self._find_at:
                    await self._fill()
            except StoreError as error:  # as above
                log.warning("mailbox.store_failed", error=cause(error))
            with trio.move_on_after(_CHECK_S if self._auto else _UNUSED_S):
                await changed.wait()

    async def tell(self) -> bool:
        """The own mailboxes were changed: visits begin or end, and the presence is put; whether it was."""
        self._ring()
        return await self._put()

    def hurry(self) -> None:
        """This node is in the network again."""
        self._find_at = float("-inf")
        self._ring()
        for errand, _ in self._errands.values():
            errand.hurry()

    def _news(self) -> None:
        self._nudge()
        self._ring()

    def _ring(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _look(self, nursery: trio.Nursery, passed_s: float) -> None:
        silent = self._silent() if passed_s >= 1 and self._is_online() else []
        known = {each.id for each in await self._context.db.run(partial(_counted, silent=silent, passed_s=passed_s))}
        for mailbox in known - self._errands.keys():
            errand, scope = Errand(self._context, mailbox, self._answers.put, self._news), trio.CancelScope()
            self._errands[mailbox] = errand, scope
            nursery.start_soon(self._run, errand, scope)
        for mailbox in self._errands.keys() - known:
            self._errands.pop(mailbox)[1].cancel()

    async def _run(self, errand: Errand, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                try:
                    await errand.run()
                    return
                except Exception as error:  # a defect of ours ends this visit, not the node
                    report_defect(error)
                await trio.sleep(_DEFECT_S)

    def _is_online(self) -> bool:
        return bool(self._context.network.links())

    def _silent(self) -> list[int]:
        """Those whose holder does not answer, or not with what is wanted."""
        now = trio.current_time()
        return [
            mailbox
            for mailbox, (errand, _) in self._errands.items()
            if errand.refused or now - errand.heard > _SILENT_S
        ]

    async def _fill(self) -> None:
        """Find as many as are missing, or gone, where that is left to this node."""
        self._auto, missing, known = await self._context.db.run(_missing)
        if missing <= 0:
            return
        seed = self._context.profile.node_seed
        found = await find(self._context, known, missing)
        await self._context.db.run(partial(_replace, context=self._context, found=found, seed=seed))
        if found:
            self._news()
        self._find_pause_s = _FIND_MIN_S if found else min(2 * self._find_pause_s, _FIND_MAX_S)
        self._find_at = trio.current_time() + self._find_pause_s


def _counted(tx: Tx, silent: list[int], passed_s: float) -> list[OwnMailbox]:
    """All mailboxes, once it is noted which have been silent for ``passed_s`` seconds more."""
    own_mailbox.name_contacts(tx)
    for mailbox in silent:
        own_mailbox.failed(tx, mailbox, int(passed_s))
    return own_mailbox.everyone(tx)


def _missing(tx: Tx) -> tuple[bool, int, set[PeerId]]:
    """Whether this node chooses by itself, how many holders are to be found, and which are there."""
    if not own_mailbox.auto(tx):
        return False, 0, set()
    there = own_mailbox.in_use(tx)
    answering = [each for each in there if each.failed_s < MAILBOX_GONE_S]
    return True, OWN_MAILBOXES - len(answering), {each.peer for each in there}


def _replace(tx: Tx, context: Context, found: list[OwnMailbox], seed: bytes) -> None:
    """Keep what was found under the node key of ``seed``, and give up as many that are gone."""
    if own_mailbox.auto(tx) and meta.load_profile(tx).node_seed == seed:
        for each in found:
            own_mailbox.keep(tx, each)
    for surplus in own_mailbox.in_use(tx)[OWN_MAILBOXES:]:
        if surplus.failed_s >= MAILBOX_GONE_S:
            own_mailbox.give_up(tx, surplus.id, context.params)
