"""Errands: this node's visits to one holder (PROTOCOL.md 6.6).

Grant when it is due, then List, Fetch, Ack, again and again. What was fetched is on disk before the holder is told that
it can go; the ack to whoever sent it leaves by itself.

A holder is trusted with nothing: what it lists, gives or says to be deleted decides only what is asked next. Of what
was told to be deleted only that is repeated, whatever brought nothing new is followed by a longer pause, and beyond
what may be of no use in a day nothing is fetched.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Final

import structlog
import trio

from p2pchat.base.errors import DecodeError, NetError, PeerError, StoreError
from p2pchat.base.limits import MAILBOX_GONE_S, MAILBOX_USELESS_BYTES
from p2pchat.core.delivery import retry_after_s
from p2pchat.core.mailbox import (
    ANSWER_MAX_BYTES,
    FETCHED,
    LISTED,
    WAIT_MAX_S,
    Ack,
    Acked,
    Boxed,
    End,
    Ended,
    Fetch,
    Fetched,
    List,
    Listed,
    Listing,
    Reason,
)
from p2pchat.net.mailbox import MailboxRefused, Visit, visit
from p2pchat.services import grants
from p2pchat.services.allowance import Allowance
from p2pchat.services.context import Context
from p2pchat.services.defects import cause
from p2pchat.services.holders import follow
from p2pchat.services.unbox import Acks, Due, unbox
from p2pchat.store import contact_peers, own_mailbox
from p2pchat.store.db import Tx
from p2pchat.store.own_mailbox import OwnMailbox

_WAITED_S: Final = 20.0  # a visit in which no List took as long, and which brought nothing new, counts as a failure
_REFUSED_S: Final = 600.0
_NOTED_EVERY_S: Final = 240.0
_PAUSE_MIN_S: Final = 0.05
_PAUSE_MAX_S: Final = 30.0
_FETCH_BYTES: Final = ANSWER_MAX_BYTES - 4_096
_UNACKED_BYTES: Final = 8 * 1024 * 1024  # fetched before the holder is told
_UNACKED: Final = 1_024
_DONE: Final = 8_192  # numbers that are remembered to be done with

Acknowledge = Callable[[int, Due], None]

log = structlog.get_logger()


class Errand:
    """The visits to the holder of one mailbox.

    Args:
        mailbox: its row id.
        acknowledge: called with a contact and what is to be acknowledged to it.
        changed: called when the own mailboxes are others, or contacts are to be told something new.

    Attributes:
        heard: when the holder last answered, on trio's clock.
        refused: it does not renew the mailbox; what it still holds is fetched.

    What was of no use is counted in memory alone: none of it before this errand.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context, mailbox: int, acknowledge: Acknowledge, changed: Callable[[], None]) -> None:
        self.heard = trio.current_time()
        self.refused = False
        self._context = context
        self._id = mailbox
        self._acknowledge = acknowledge
        self._changed = changed
        self._noted = float("-inf")
        self._done: OrderedDict[Listing, None] = OrderedDict()
        self._idle = 0  # answers in a row that brought nothing new
        self._useless = Allowance(MAILBOX_USELESS_BYTES)
        self._useful = False
        self._doubtful = False  # whether the mailbox is there: Grant says it anew
        self._grant_at = float("-inf")
        self._hurry = trio.Event()

    def hurry(self) -> None:
        """There is a new reason to try: this node is in the network again."""
        self._hurry.set()

    async def run(self) -> None:
        """Until the mailbox is given up, or cancelled."""
        tries = 0
        while True:
            self._hurry = trio.Event()
            self._useful, pause_s = False, 0.0
            began = trio.current_time()
            try:
                known, moved = await self._context.db.run(self._refreshed)
                if moved:
                    self._changed()
                if known is None or await self._visit(known):
                    return
            except MailboxRefused as refusal:
                pause_s = min(refusal.retry_s, _REFUSED_S)
                log.debug("mailbox.refused", reason=refusal.reason.name)
            except (NetError, PeerError, StoreError) as error:
                log.debug("mailbox.visit_ended", error=cause(error))
                if self.heard <= began and await self._follow():
                    self._changed()
            if self._has_enough():
                await self._rest()
            tries = 0 if self._useful else tries + 1
            with trio.move_on_after(max(pause_s, retry_after_s(tries, self._context.jitter(), self._context.params))):
                await self._hurry.wait()

    async def _follow(self) -> bool:
        """Whether another node of the contact whose node does not answer holds instead."""
        try:
            return await follow(self._context, self._id)
        except StoreError as error:  # tried again at the next failure
            log.warning("mailbox.store_failed", error=cause(error))
            return False

    async def _rest(self) -> None:
        """Leave a holder alone that has given too much of no use: it counts as gone until it is heard again."""
        try:
            await self._context.db.run(partial(own_mailbox.failed, mailbox=self._id, seconds=MAILBOX_GONE_S))
            self._changed()
        except StoreError as error:  # it is left alone all the same
            log.warning("mailbox.store_failed", error=cause(error))
        await trio.sleep(self._useless.free_in_s(ANSWER_MAX_BYTES))

    def _has_enough(self) -> bool:
        """Whether another answer could be more of no use than there may be."""
        return self._useless.left() < ANSWER_MAX_BYTES

    def _refreshed(self, tx: Tx) -> tuple[OwnMailbox | None, bool]:
        """The mailbox, and whether its holder has moved: a contact's node says where it is."""
        known = own_mailbox.get(tx, self._id)
        if known is None or known.contact is None:
            return known, False
        for node in contact_peers.of_contact(tx, known.contact):
            if node.peer == known.peer and node.published and node.addresses not in ((), known.addresses):
                own_mailbox.set_addresses(tx, self._id, node.addresses)
                return own_mailbox.get(tx, self._id), True
        return known, False

    async def _visit(self, known: OwnMailbox) -> bool:
        """Stay with the holder as long as that is of use; whether there is no mailbox there any more."""
        async with visit(self._context.network, known.peer, known.addresses) as there:
            after = 0
            while True:
                mailbox = await self._context.db.run(partial(own_mailbox.get, mailbox=self._id))
                if mailbox is None:
                    return True
                if mailbox.ends_s is not None and mailbox.ends_s <= self._context.now():
                    await there.ask_as(mailbox.owner(), End(mailbox.owner().public, grants.UNSIGNED), Ended)
                    await self._context.db.run(partial(own_mailbox.forget, mailbox=self._id))
                    return True
                await self._grant(there)
                after = await self._round(there, mailbox, after)
                if self._has_enough():
                    return False

    async def _grant(self, there: Visit) -> None:
        if trio.current_time() < self._grant_at:
            return
        try:
            news = await grants.renew(self._context, there, self._id, force=self._doubtful)
        except MailboxRefused as refusal:
            self._grant_at = trio.current_time() + _REFUSED_S
            self.refused = refusal.reason is Reason.REFUSED
            news = self.refused and await self._context.db.run(partial(own_mailbox.refused, mailbox=self._id))
        else:
            self._doubtful = self.refused = False
        if news:
            self._changed()

    async def _round(self, there: Visit, mailbox: OwnMailbox, after: int) -> int:
        """One List and what follows; after which number the next one asks."""
        owner = mailbox.owner()
        began = trio.current_time()
        request = List(owner.public, after, WAIT_MAX_S, grants.UNSIGNED)
        try:
            listed = await there.ask_as(owner, request, Listed, WAIT_MAX_S)
        except MailboxRefused:
            self._doubtful = True  # it may have forgotten it
            raise
        finally:
            self._useful = self._useful or trio.current_time() - began >= _WAITED_S
        await self._note_heard()
        new = await self._empty(there, mailbox, listed.boxes, after) if listed.boxes else False
        self._useful = self._useful or new
        waited = not listed.boxes and trio.current_time() - began >= WAIT_MAX_S / 2
        if not listed.boxes or not new:
            await self._pause(idle=not waited)
        return listed.boxes[-1].number if listed.boxes else after

    async def _pause(self, *, idle: bool) -> None:
        """After an answer: the more of them in a row were idle, the longer."""
        self._idle = self._idle + 1 if idle else 0
        if idle:
            await trio.sleep(min(_PAUSE_MAX_S, _PAUSE_MIN_S * 2.0 ** min(self._idle, 16)))

    async def _note_heard(self) -> None:
        self.heard = trio.current_time()
        if not self.refused and self.heard - self._noted >= _NOTED_EVERY_S:
            self._noted = self.heard
            await self._context.db.run(partial(own_mailbox.heard, mailbox=self._id))

    async def _empty(self, there: Visit, mailbox: OwnMailbox, listed: Sequence[Listing], after: int) -> bool:
        """Take what is listed; whether any of it was new."""
        numbers = [after, *(each.number for each in listed)]
        if any(higher <= lower for lower, higher in pairwise(numbers)):
            raise DecodeError("the numbers of boxes do not rise")
        by_number = {each.number: each for each in listed}
        done = [each for each in listed if each in self._done]
        waiting = [each for each in listed if each not in self._done]
        acks: Acks = {}
        new, fetched_bytes = False, 0
        while waiting and not self._has_enough():
            boxes, waiting = await self._fetch(there, mailbox, waiting)
            taken = await self._take(boxes, acks)
            new = new or taken
            done += [by_number[each.number] for each in boxes]
            fetched_bytes += sum(len(each.box) for each in boxes)
            if not taken or fetched_bytes >= _UNACKED_BYTES or sum(map(len, acks.values())) >= _UNACKED:
                await self._finish(there, mailbox, acks, done)
                acks, done, fetched_bytes = {}, [], 0
            del boxes  # a megabyte that nothing needs while this waits
            await self._pause(idle=not taken)
        await self._finish(there, mailbox, acks, done)
        return new

    async def _take(self, boxes: Sequence[Boxed], acks: Acks) -> bool:
        """Take what is in ``boxes``, with ``acks`` for it; whether any of it was new."""
        if not boxes:
            return False
        sealed = [each.box for each in boxes]
        taken = await self._context.db.run(partial(unbox, context=self._context, boxes=sealed))
        self._useless.take(taken.useless_bytes)
        for contact, due in taken.acks.items():
            acks.setdefault(contact, Due()).add(due)
        for contact in taken.begun:
            self._context.bus.wake(contact)
        return taken.new

    async def _fetch(
        self, there: Visit, mailbox: OwnMailbox, waiting: list[Listing]
    ) -> tuple[tuple[Boxed, ...], list[Listing]]:
        """The next boxes, and what is to be asked for after them."""
        asked: list[int] = []
        room = _FETCH_BYTES
        for each in waiting[:FETCHED]:
            room -= each.size
            if asked and room < 0:
                break
            asked.append(each.number)
        request = Fetch(mailbox.owner().public, tuple(asked), grants.UNSIGNED)
        boxes = (await there.ask_as(mailbox.owner(), request, Fetched)).boxes
        self.heard = trio.current_time()
        places = iter(asked)
        if not all(each.number in places for each in boxes):
            raise DecodeError("boxes that were not asked for, or not in that order")
        if not boxes:
            return (), waiting[len(asked) :]  # none of them is there any more
        return boxes, waiting[asked.index(boxes[-1].number) + 1 :]

    async def _finish(self, there: Visit, mailbox: OwnMailbox, acks: Acks, done: Sequence[Listing]) -> None:
        """Have it acknowledged to those who sent, and let the holder delete."""
        for contact, due in acks.items():
            self._acknowledge(contact, due)
        for start in range(0, len(done), LISTED):
            boxes = done[start : start + LISTED]
            numbers = tuple(each.number for each in boxes)
            await there.ask_as(mailbox.owner(), Ack(mailbox.owner().public, numbers, grants.UNSIGNED), Acked)
            self._done.update(dict.fromkeys(boxes))
        while len(self._done) > _DONE:
            self._done.popitem(last=False)
