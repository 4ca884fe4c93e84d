"""``contacts.*``: the address book."""

from __future__ import annotations

from collections.abc import Callable

from p2pchat.api import calls, objects
from p2pchat.control import render
from p2pchat.control.once import once
from p2pchat.control.server import Connection
from p2pchat.control.verify_methods import VerifyMethods
from p2pchat.core.invite import decode_invite
from p2pchat.services import address_book, block, invites, receipts
from p2pchat.services import contacts as book
from p2pchat.services.context import Context
from p2pchat.store import contacts, notes
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx


class ContactMethods(VerifyMethods):
    """One method of the API each."""

    async def add(self, params: calls.ContactsAdd, _: Connection) -> objects.Contact:
        def add(tx: Tx) -> objects.Contact:
            if params.invite is not None:
                return self._contact(invites.redeem(tx, self._context, params.invite, params.name))
            return self._contact(book.add(tx, self._context, params.number or "", params.name))

        added = await once(self._context, "contacts.add", params, objects.Contact, add)
        if params.invite is not None:
            invite = decode_invite(params.invite)
            self._context.dht.add_peer(invite.peer_id, invite.addresses)
        return added

    async def accept(self, params: calls.ContactsAnswer, _: Connection) -> objects.Contact:
        def accept(tx: Tx) -> objects.Contact:
            row = book.by_id(tx, params.id)
            return self._contact(invites.accept(tx, self._context, row))

        return await once(self._context, "contacts.accept", params, objects.Contact, accept)

    async def refuse(self, params: calls.ContactsAnswer, _: Connection) -> objects.Contact:
        def refuse(tx: Tx) -> objects.Contact:
            row = book.by_id(tx, params.id)
            invites.refuse(tx, row)
            return self._contact(row)

        return await once(self._context, "contacts.refuse", params, objects.Contact, refuse)

    async def import_(self, params: calls.ContactsImport, _: Connection) -> objects.Import:
        raw = ((entry.line, entry.name, entry.number) for entry in params.entries)
        entries = await address_book.read(self._context.profile, raw)
        return await once(
            self._context,
            "contacts.import",
            params,
            objects.Import,
            lambda tx: render.imported(address_book.add_all(tx, self._context, entries)),
        )

    async def find(self, params: calls.ContactsFind, _: Connection) -> objects.Contacts:
        def find(tx: Tx) -> objects.Contacts:
            found = address_book.find(tx, self._context, params.to)
            return objects.Contacts(contacts=[self._contact(row) for row in found])

        return await once(self._context, "contacts.find", params, objects.Contacts, find)

    async def list(self, params: calls.ContactsList, _: Connection) -> objects.Contacts:
        def everyone(tx: Tx) -> list[ContactRow]:
            own = notes.conversation(tx) if params.state in (None, "matched") else None
            return [*([own] if own is not None else []), *contacts.everyone(tx, params.state)]

        return objects.Contacts(contacts=[self._contact(row) for row in await self._context.db.run(everyone)])

    async def get(self, params: calls.ContactsGet, _: Connection) -> objects.Contact:
        return self._contact(await self._context.db.run(lambda tx: book.resolve(tx, self._context, params.to)))

    async def rename(self, params: calls.ContactsRename, _: Connection) -> objects.Contact:
        def rename(tx: Tx) -> objects.Contact:
            return self._contact(book.rename(tx, book.resolve_other(tx, self._context, params.to), params.name))

        return await once(self._context, "contacts.rename", params, objects.Contact, rename)

    async def claimants(self, params: calls.ContactsGet, _: Connection) -> objects.Claimants:
        def claimants(tx: Tx) -> objects.Claimants:
            row = book.resolve_other(tx, self._context, params.to)
            found = [render.claimant(tx, known, row) for known in contacts.claimants(tx, row.id)]
            return objects.Claimants(claimants=found, waiting=book.count_waiting(tx, row))

        return await self._context.db.run(claimants)

    async def choose(self, params: calls.ContactsChoose, _: Connection) -> objects.Contact:
        def choose(tx: Tx) -> objects.Contact:
            row = book.resolve_other(tx, self._context, params.to)
            return self._contact(book.choose(tx, self._context, row, params.claimant))

        return await once(self._context, "contacts.choose", params, objects.Contact, choose)

    async def merge(self, params: calls.ContactsMerge, _: Connection) -> objects.Contact:
        def merge(tx: Tx) -> objects.Contact:
            row = book.resolve_other(tx, self._context, params.to)
            other = book.resolve_other(tx, self._context, params.other, "other")
            return self._contact(book.merge(tx, self._context, row, other))

        return await once(self._context, "contacts.merge", params, objects.Contact, merge)

    async def receipts(self, params: calls.ContactsReceipts, _: Connection) -> objects.Contact:
        def switch(tx: Tx) -> objects.Contact:
            row = book.resolve_other(tx, self._context, params.to)
            return self._contact(receipts.switch(tx, row, params.on))

        return await once(self._context, "contacts.receipts", params, objects.Contact, switch)

    async def remove(self, params: calls.ContactsRemove, _: Connection) -> objects.Contact:
        def remove(tx: Tx) -> objects.Contact:
            row = book.resolve(tx, self._context, params.to)
            book.remove(tx, self._context, row)
            return self._contact(row)

        return await once(self._context, "contacts.remove", params, objects.Contact, remove)

    async def block(self, params: calls.ContactsBlock, _: Connection) -> objects.Contact:
        return await self._on_one("contacts.block", params, block.block)

    async def unblock(self, params: calls.ContactsBlock, _: Connection) -> objects.Contact:
        return await self._on_one("contacts.unblock", params, block.unblock)

    async def _on_one(
        self, method: str, params: calls.ContactsBlock, verb: Callable[[Tx, Context, ContactRow], ContactRow]
    ) -> objects.Contact:
        def effect(tx: Tx) -> objects.Contact:
            return self._contact(verb(tx, self._context, book.resolve_other(tx, self._context, params.to)))

        return await once(self._context, method, params, objects.Contact, effect)
