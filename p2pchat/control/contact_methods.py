"""``contacts.*``: the address book."""

from __future__ import annotations

from collections.abc import Callable

from p2pchat.api import calls, objects
from p2pchat.control import render
from p2pchat.control.once import once
from p2pchat.control.server import Connection
from p2pchat.control.verify_methods import VerifyMethods
from p2pchat.services import block
from p2pchat.services import contacts as book
from p2pchat.services.context import Context
from p2pchat.store import contacts
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx


class ContactMethods(VerifyMethods):
    """One method of the API each."""

    async def add(self, params: calls.ContactsAdd, _: Connection) -> objects.Contact:
        return await once(
            self._context,
            "contacts.add",
            params,
            objects.Contact,
            lambda tx: self._contact(book.add(tx, self._context, params.number, params.name)),
        )

    async def list(self, params: calls.ContactsList, _: Connection) -> objects.Contacts:
        rows = await self._context.db.run(lambda tx: contacts.everyone(tx, params.state))
        return objects.Contacts(contacts=[self._contact(row) for row in rows])

    async def get(self, params: calls.ContactsGet, _: Connection) -> objects.Contact:
        return self._contact(await self._context.db.run(lambda tx: book.resolve(tx, self._context, params.to)))

    async def rename(self, params: calls.ContactsRename, _: Connection) -> objects.Contact:
        def rename(tx: Tx) -> objects.Contact:
            return self._contact(book.rename(tx, book.resolve(tx, self._context, params.to), params.name))

        return await once(self._context, "contacts.rename", params, objects.Contact, rename)

    async def claimants(self, params: calls.ContactsGet, _: Connection) -> objects.Claimants:
        def claimants(tx: Tx) -> objects.Claimants:
            row = book.resolve(tx, self._context, params.to)
            found = contacts.claimants(tx, row.id)
            return objects.Claimants(claimants=[render.claimant(known, row) for known in found])

        return await self._context.db.run(claimants)

    async def choose(self, params: calls.ContactsChoose, _: Connection) -> objects.Contact:
        def choose(tx: Tx) -> objects.Contact:
            row = book.resolve(tx, self._context, params.to)
            return self._contact(book.choose(tx, self._context, row, params.claimant))

        return await once(self._context, "contacts.choose", params, objects.Contact, choose)

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
            return self._contact(verb(tx, self._context, book.resolve(tx, self._context, params.to)))

        return await once(self._context, method, params, objects.Contact, effect)
