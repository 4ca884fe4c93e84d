"""Mailboxes: who offers how much, and who has theirs where."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

import trio

from p2pchat.base.errors import P2PChatError
from p2pchat.services import mailboxes
from p2pchat.services.context import Context
from p2pchat.store import offer
from p2pchat.store.offer import Offer
from p2pchat.testing.cluster import Node
from simulate.oracle import name_of
from simulate.people import Person, Stage
from simulate.plan import HOUR_S, Act

_MAILBOX_S: Final = HOUR_S


class Holders(Stage):
    """Deeds about mailboxes."""

    async def _offer(self, person: Person, act: Act) -> None:
        if person.context is None:
            person.todo.append(act)
            return
        await self._heal_disk(person)
        await self._offers(person, int(act.value))

    async def _offers(self, person: Person, quota: int) -> None:
        """As ``mailbox offer``."""
        assert person.node is not None  # noqa: S101  whoever calls this has just looked
        assert person.context is not None  # noqa: S101
        device = self._oracle.devices[person.who][-1]
        await device.offers(max(quota, device.quota))  # which of the two it is, until that is written
        offered = Offer("anyone", quota) if quota else Offer("nobody")
        await self._written(person, lambda tx: offer.save(tx, offered))
        await device.offers(quota)
        await person.context.offered()

    async def _choose_mailboxes(self, person: Person, node: Node) -> None:
        """As ``mailbox use --auto``, some time after the device is new; from then on the node looks after them."""
        while person.node is node:
            await trio.sleep(_MAILBOX_S)
            context = person.context
            if context is None or person.node is not node:
                continue
            with suppress(P2PChatError):  # nobody was found, or the disk is full: again later, as a person would
                await self._settle(context, None)
                return

    async def _use(self, person: Person, act: Act) -> None:
        if person.context is None:
            person.todo.append(act)
        else:
            self._nursery.start_soon(self._use_friend, person.context, name_of(act.other))

    async def _use_friend(self, context: Context, name: str) -> None:
        """As ``mailbox use NAME``: it is asked for once."""
        with suppress(P2PChatError):  # not matched yet, or nothing is offered there now
            await self._settle(context, [name])

    async def _settle(self, context: Context, names: list[str] | None) -> None:
        settled = await mailboxes.request(context, names, auto=names is None)
        await context.db.run(partial(mailboxes.settle, context=context, settled=settled))
        await mailboxes.publish(context)
