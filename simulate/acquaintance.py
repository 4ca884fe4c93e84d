"""How people come to know each other, and part: numbers, links, other keys, blocks and what is deleted."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import trio

from p2pchat.base.errors import StoreError, UsageError
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.services import block, invites
from p2pchat.services import contacts as book
from p2pchat.services.context import Context
from p2pchat.store import contacts, presence
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Node
from simulate.oracle import name_of
from simulate.people import Person, Stage
from simulate.plan import DAY_S, Act

_ASKED_S: Final = 600.0
_NAMED_S: Final = 60.0
_INVITE_S: Final = 30 * int(DAY_S)


class Acquaintance(Stage):
    """Deeds about one of one's contacts."""

    async def _add(self, person: Person, act: Act) -> None:
        if person.context is None:
            person.todo.append(act)
            return
        await self._add_to_book(person, act.other)
        person.added.append(act.other)

    async def _invite(self, person: Person, act: Act) -> None:
        """Make a link for the other, who is given it by another way."""
        context = person.context
        if context is None:
            person.todo.append(act)
            return
        row = await self._written(person, lambda tx: invites.create(tx, context, 1, _INVITE_S, ask=False))
        self._invited[act.who, row.id] = act.other
        self._links[act.other, act.who] = invites.link(context, row)
        await self._redeem(self._people[act.other], Act(0.0, "redeem", act.other, act.who))

    async def _redeem(self, person: Person, act: Act) -> None:
        context = person.context
        if context is None:
            person.todo.append(act)
            return
        link, name = self._links[act.who, act.other], name_of(act.other)
        with suppress(UsageError):  # blocked meanwhile
            await self._written(person, lambda tx: invites.redeem(tx, context, link, name))
        for one, two in ((person, act.other), (self._people[act.other], act.who)):
            if two not in one.met:
                one.met.append(two)

    def _told(self, person: Person, node: Node, events: list[DomainEvent]) -> None:
        """What somebody's node has told them, and they do something about."""
        for event in events:
            if event.contact is None:
                continue
            if event.kind is EventKind.CONTACT_ADDED:
                self._nursery.start_soon(self._name, person, node, event.contact)
            elif event.kind in (EventKind.CONTACT_KEY_CHANGED, EventKind.CONTACT_CLAIMED):
                self._nursery.start_soon(self._settle_claims, person, node, event.contact)

    async def _name(self, person: Person, node: Node, contact: int) -> None:
        """Who has come by an invite gets the name of whom it was made for."""

        def name(tx: Tx) -> None:
            row = contacts.get(tx, contact)
            other = self._invited.get((person.who, row.invite)) if row is not None and row.invite is not None else None
            if row is not None and other is not None:
                contacts.set_name(tx, contact, name_of(other))

        while person.node is node:
            with suppress(StoreError):  # the disk is full: later
                await node.database.run(name)
                return
            await trio.sleep(_NAMED_S)

    async def _settle_claims(self, person: Person, node: Node, contact: int) -> None:
        """Whoever is told of another key asks the other by telephone, and names the one that they have now."""
        while person.node is node:
            await trio.sleep(_ASKED_S)
            context = person.context
            if context is None or person.node is not node:
                continue

            def choose(tx: Tx, context: Context = context) -> None:
                row = contacts.get(tx, contact)
                if row is None or row.state == "blocked":
                    return
                root = self._oracle.devices[int(row.name[1:])][-1].root
                claimed = {claimant.root for claimant in contacts.claimants(tx, contact)}
                if row.root != root and root in claimed and (row.root is not None or len(claimed) > 1):
                    book.choose(tx, context, row, root.hex())
                    self._oracle.keys.allow(person.who, row.name)
                    self._oracle.begins_anew(person.who, self._now_s())

            with suppress(StoreError):  # the disk is full: later
                await node.database.run(choose)
                return

    async def _remove(self, person: Person, act: Act) -> None:
        context = person.context
        if context is None:
            person.todo.append(act)
            return

        def work(tx: Tx) -> None:
            row = book.resolve(tx, context, name_of(act.other))
            self._oracle.remove(tx, act.who, act.other, row.id, self._now_s())
            book.remove(tx, context, row)

        with suppress(UsageError):  # not added yet
            await self._written(person, work)

    async def _add_again(self, person: Person, act: Act) -> None:
        if person.context is None:
            person.todo.append(act)
        elif (act.who, act.other) in self._oracle.removed:
            with suppress(UsageError):  # it came back from a backup, and was blocked
                await self._add_to_book(person, act.other)
            self._oracle.add_again(act.who, act.other, self._now_s())

    async def _block(self, person: Person, act: Act) -> None:
        """Where the node is down, or the other not added yet: when it is."""
        context = person.context
        if context is None:
            person.todo.append(act)
            return
        change = block.block if act.kind == "block" else block.unblock

        def work(tx: Tx) -> None:
            row = change(tx, context, book.resolve(tx, context, name_of(act.other)))
            if row.state == "request":  # of an invite, and never met
                invites.accept(tx, context, row)

        with suppress(UsageError):  # not added yet, or not blocked for that reason
            await self._written(person, work)
            if act.kind == "block":
                self._oracle.block(act.who, act.other, self._now_s())
            else:
                leads = await self._leads(context, act.other)
                self._oracle.unblock(act.who, act.other, self._now_s(), leads=leads)

    async def _leads(self, context: Context, other: int) -> bool:
        """Whether what a node keeps of somebody leads to where they are."""
        node = self._people[other].node
        if node is None or self._people[other].is_lost:
            return False

        def kept(tx: Tx) -> bytes | None:
            held = presence.held(tx, book.resolve(tx, context, name_of(other)).id)
            return held.key.loc if held is not None else None

        with self._readable():
            published = {each.loc for each in await node.database.run(presence.all_own)}
            return await context.db.run(kept) in published
