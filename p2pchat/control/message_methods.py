"""``message.*``: send and read."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from p2pchat.api import calls, objects
from p2pchat.base.errors import UsageError
from p2pchat.control import render
from p2pchat.control.explain import explanation
from p2pchat.control.once import once, once_in
from p2pchat.control.progress import RANK, Progress
from p2pchat.control.replaced import refuse_if_replaced
from p2pchat.control.server import Connection
from p2pchat.services import contacts as book
from p2pchat.services import withdraw
from p2pchat.services.context import Context
from p2pchat.services.send import Outbox
from p2pchat.store import contacts, messages, meta
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow


class MessageMethods:
    """One method of the API each."""

    def __init__(self, context: Context, online: render.Online) -> None:
        self._context = context
        self._online = online
        self._progress = Progress(context.bus)

    async def send(self, params: calls.MessageSend, _: Connection) -> objects.Message:
        (queued,) = await self.send_all([params])
        if isinstance(queued, UsageError):
            raise queued
        if params.wait is None:
            return queued
        return await self._wait(queued, params.wait, params.timeout_ms)

    async def send_all(self, sent: Sequence[calls.MessageSend]) -> Sequence[objects.Message | UsageError]:
        """Queue what several calls send, in their order and in one transaction; one that is refused harms no other."""

        def queue(tx: Tx) -> list[objects.Message | UsageError]:
            refuse_if_replaced(meta.load_replaced(tx))
            outbox, known = Outbox(tx, self._context), dict[str, ContactRow]()
            queued = [self._queue(tx, outbox, known, each) for each in sent]
            outbox.commit()
            return queued

        return await self._context.db.run(queue)

    def _queue(
        self, tx: Tx, outbox: Outbox, known: dict[str, ContactRow], call: calls.MessageSend
    ) -> objects.Message | UsageError:
        def put(tx: Tx) -> objects.Message:
            to = known.get(call.to) or known.setdefault(call.to, book.resolve(tx, self._context, call.to))
            return self._message(outbox.put(to, call.text), to.uid.hex())

        try:
            return once_in(tx, "message.send", call, objects.Message, put)
        except UsageError as error:
            return error

    async def list(self, params: calls.MessageList, _: Connection) -> objects.Messages:
        def page(tx: Tx) -> objects.Messages:
            to = book.resolve(tx, self._context, params.to)
            if params.after is not None:
                rows = messages.page_after(tx, to.id, params.after, params.limit + 1, params.search)
            else:
                rows = messages.page(tx, to.id, params.before, params.limit + 1, params.search)
            shown: list[objects.Message] = []
            size = 0
            for row in rows[: params.limit]:
                message = self._message(row, to.uid.hex())
                size += render.size_of(message)
                if shown and size > render.PAGE_BYTES:
                    break
                shown.append(message)
            more = len(shown) < len(rows)
            following = shown[-1].position if more else None
            return objects.Messages(messages=shown if params.after is not None else shown[::-1], next=following)

        return await self._context.db.run(page)

    async def get(self, params: calls.MessageGet, _: Connection) -> objects.Message:
        return await self._context.db.run(lambda tx: self._found(tx, params.id))

    async def explain(self, params: calls.MessageGet, _: Connection) -> objects.Explanation:
        def look(tx: Tx) -> objects.Explanation:
            row, _ = self._row(tx, params.id)
            contact = contacts.get(tx, row.contact)
            assert contact is not None  # noqa: S101  a message has one
            attempts, life_ms = self._context.attempts, self._context.params.message_life_s * 1000
            return explanation(
                row,
                contact,
                attempts.of(contact.id),
                attempts.next_ms(contact.id),
                online=self._online(contact.id),
                now_ms=tx.now_ms,
                life_ms=life_ms,
                replaced_ms=self._context.replaced_ms,
            )

        return await self._context.db.run(look)

    async def cancel(self, params: calls.MessageChange, _: Connection) -> objects.Message:
        def effect(tx: Tx) -> objects.Message:
            row, owner = self._row(tx, params.id)
            return self._message(withdraw.cancel(tx, row), owner)

        return await once(self._context, "message.cancel", params, objects.Message, effect)

    async def delete(self, params: calls.MessageChange, _: Connection) -> objects.Deleted:
        def effect(tx: Tx) -> objects.Deleted:
            row, _ = self._row(tx, params.id)
            withdraw.delete(tx, row, params.id)
            return objects.Deleted(id=params.id)

        return await once(self._context, "message.delete", params, objects.Deleted, effect)

    def _found(self, tx: Tx, text: str) -> objects.Message:
        return self._message(*self._row(tx, text))

    def _row(self, tx: Tx, text: str) -> tuple[MessageRow, str]:
        """The message with that id, and its contact's."""
        row_id = render.message_row(self._context.profile.store_id, text)
        row = messages.get(tx, row_id) if row_id is not None else None
        owner = contacts.get(tx, row.contact) if row is not None else None
        if row is None or owner is None or row.state == "deleted":
            raise UsageError("No message has that id.", name="MESSAGE_NOT_FOUND")
        return row, owner.uid.hex()

    def _message(self, row: MessageRow, contact_uid: str) -> objects.Message:
        return render.message(row, contact_uid, self._context.profile.store_id)

    async def _wait(self, queued: objects.Message, state: str, timeout_ms: int) -> objects.Message:
        """The message once it has come as far as ``state``.

        Raises:
            UsageError: TIMEOUT (it stays queued and goes on), FORBIDDEN (this device was replaced), or that it ended
                otherwise.
        """
        told = queued
        with trio.move_on_after(timeout_ms / 1000):
            while RANK.get(told.state, -1) < RANK[state]:
                if told.state not in RANK:
                    raise UsageError(f"The message is {told.state}.", name="PEER_OFFLINE", data={"id": queued.id})
                edge = self._progress.edge(queued.position, state)
                told = await self._context.db.run(lambda tx: self._found(tx, queued.id))
                if RANK.get(told.state, -1) < RANK[state] and told.state in RANK:
                    refuse_if_replaced(self._context.replaced_ms)
                    await edge.wait()
            told.replayed = queued.replayed
            return told
        raise UsageError(
            f"The message is not {state} yet; it stays in the outbox and goes on.",
            name="TIMEOUT",
            data={"id": queued.id, "state": told.state},
        )
