"""``contacts.safety``, ``contacts.verify`` and ``contacts.sms_proof``: how sure it is who a contact is."""

from __future__ import annotations

from p2pchat.api import calls, objects
from p2pchat.base.ids import RootKey
from p2pchat.control import render
from p2pchat.control.once import once
from p2pchat.control.server import Connection
from p2pchat.core.verify import safety_number
from p2pchat.services import contacts as book
from p2pchat.services import prove, verify
from p2pchat.services.context import Context
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx


class VerifyMethods:
    """One method of the API each."""

    def __init__(self, context: Context, online: render.Online) -> None:
        self._context = context
        self._online = online

    async def safety(self, params: calls.ContactsGet, _: Connection) -> objects.Safety:
        def find(tx: Tx) -> tuple[ContactRow, RootKey]:
            row = book.resolve_other(tx, self._context, params.to)
            return row, verify.root_of(tx, row)

        row, root = await self._context.db.run(find)
        number = safety_number(verify.own_root(self._context), root)
        return objects.Safety(id=row.uid.hex(), safety_number=number, qr=verify.shown_link(self._context, root))

    async def verify(self, params: calls.ContactsVerify, _: Connection) -> objects.Contact:
        def confirm(tx: Tx) -> objects.Contact:
            row = book.resolve_other(tx, self._context, params.to)
            return self._contact(verify.confirm(tx, self._context, row, params.safety_number, params.scanned))

        return await once(self._context, "contacts.verify", params, objects.Contact, confirm)

    async def sms_proof(self, params: calls.ContactsSmsProof, _: Connection) -> objects.SmsProof | objects.Contact:
        code = params.code
        return await (self._ask(params) if code is None else self._prove(params, code))

    async def _ask(self, params: calls.ContactsSmsProof) -> objects.SmsProof:
        told: list[tuple[int, str]] = []  # beside the reply, which an idempotency key keeps

        def ask(tx: Tx) -> objects.SmsProof:
            row = book.resolve_other(tx, self._context, params.to)
            asked = prove.ask(tx, self._context, row)
            told.append((row.id, asked.sms))
            return objects.SmsProof(id=row.uid.hex(), text=None, expires_ms=asked.until_s * 1000)

        reply = await once(self._context, "contacts.sms_proof", params, objects.SmsProof, ask)
        for contact, sms in told:
            reply.text = sms
            self._context.bus.wake(contact)
        return reply

    async def _prove(self, params: calls.ContactsSmsProof, code: str) -> objects.Contact:
        told: list[int] = []

        def answer(tx: Tx) -> objects.Contact:
            row = book.resolve_other(tx, self._context, params.to)
            prove.prove(tx, self._context, row, code)
            told.append(row.id)
            return self._contact(row)

        reply = await once(self._context, "contacts.sms_proof", params, objects.Contact, answer)
        for contact in told:
            self._context.bus.wake(contact)
        return reply

    def _contact(self, row: ContactRow) -> objects.Contact:
        return render.contact(row, self._online)
