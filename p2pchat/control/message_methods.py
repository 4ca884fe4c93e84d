"""``message.*``: send, read and find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from p2pchat.api import calls, objects
from p2pchat.base.errors import UsageError
from p2pchat.base.ids import PeerId
from p2pchat.control import render
from p2pchat.control.explain import explanation
from p2pchat.control.once import once, once_in
from p2pchat.control.progress import RANK, Progress
from p2pchat.control.replaced import refuse_if_replaced
from p2pchat.control.server import Connection
from p2pchat.services import contacts as book
from p2pchat.services import find, receipts, withdraw
from p2pchat.services.context import Context
from p2pchat.services.deposit import known_mailboxes
from p2pchat.services.send import Outbox
from p2pchat.store import contacts, custody, messages, meta
from p2pchat.store.contacts import SELF, ContactRow
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow
from p2pchat.store.word_search import Search

_PATIENCE_S: Final = 5.0


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

        known: dict[str, ContactRow] = {}

        def queue(tx: Tx) -> list[objects.Message | MessageRow | UsageError]:
            refuse_if_replaced(meta.load_replaced(tx))
            outbox = Outbox(tx, self._context, self._online)
            queued = [self._queue(tx, outbox, known, each) for each in sent]
            outbox.commit()
            return queued

        told = await self._context.db.run(queue)
        owners = {to.id: to.uid.hex() for to in known.values()}
        # here, while the store goes on with what others want
        queued = [self._message(each, owners[each.contact]) if isinstance(each, MessageRow) else each for each in told]
        with trio.move_on_after(_PATIENCE_S):  # whoever sends faster than the peer takes is answered more slowly
            for to in known.values() if any(each.wait in (None, "queued") for each in sent) else ():
                await self._context.has_room(to.id)  # who waits for more than that is slowed by it, in its own time
        return queued

    def _queue(
        self, tx: Tx, outbox: Outbox, known: dict[str, ContactRow], call: calls.MessageSend
    ) -> objects.Message | MessageRow | UsageError:
        def put(tx: Tx) -> MessageRow:
            to = known.get(call.to) or known.setdefault(call.to, book.resolve(tx, self._context, call.to))
            if to.state == SELF and call.wait == "read":
                raise UsageError("wait: nobody reads a note to yourself", data={"param": "wait"})
            return outbox.put(to, call.text, live_only=call.live_only)

        def shown(tx: Tx) -> objects.Message:
            row = put(tx)
            return self._message(row, known[call.to].uid.hex())

        try:
            if call.idempotency_key is None:
                return put(tx)
            return once_in(tx, "message.send", call, objects.Message, shown)
        except UsageError as error:
            return error

    async def list(self, params: calls.MessageList, _: Connection) -> objects.Messages:
        rising, position = params.after is not None, params.before if params.after is None else params.after
        if params.search is not None:
            query = find.query(params.search, "search")
            to = await self._context.db.run(lambda tx: book.resolve(tx, self._context, params.to).id)
            rows = await find.find(self._context, Search(query, to, rising), position, params.limit + 1)
            page = await self._context.db.run(lambda tx: self._page(tx, _as_now(tx, rows), params.limit))
        else:
            page = await self._context.db.run(lambda tx: self._page(tx, self._conversation(tx, params), params.limit))
        if not rising:
            page.messages.reverse()
        return page

    async def search(self, params: calls.MessageSearch, _: Connection) -> objects.Messages:
        query, to = find.query(params.text, "text"), params.to
        contact: int | None = None
        if to is not None:
            contact = await self._context.db.run(lambda tx: book.resolve(tx, self._context, to).id)
        rows = await find.find(self._context, Search(query, contact), params.before, params.limit + 1)
        return await self._context.db.run(lambda tx: self._page(tx, _as_now(tx, rows), params.limit))

    def _conversation(self, tx: Tx, params: calls.MessageList) -> Sequence[MessageRow]:
        to = book.resolve(tx, self._context, params.to)
        if params.after is not None:
            return messages.page_after(tx, to.id, params.after, params.limit + 1)
        return messages.page(tx, to.id, params.before, params.limit + 1)

    def _page(self, tx: Tx, rows: Sequence[MessageRow], limit: int) -> objects.Messages:
        """``rows``, one more than ``limit`` where another page follows, as far as a reply has room."""
        uids: dict[int, str] = {}
        held = custody.holders(tx, rows[:limit])
        shown: list[objects.Message] = []
        size = 0
        for row in rows[:limit]:
            if row.contact not in uids:
                owner = contacts.get(tx, row.contact)
                uids[row.contact] = owner.uid.hex() if owner is not None else ""
            if row.state == "deleted" or not uids[row.contact]:
                continue  # it went by itself, or with its contact, since it was found
            message = self._message(row, uids[row.contact], held.get(row.id, ()))
            size += render.size_of(message)
            if shown and size > render.PAGE_BYTES:
                return objects.Messages(messages=shown, next=shown[-1].position)
            shown.append(message)
        return objects.Messages(messages=shown, next=rows[limit - 1].id if len(rows) > limit else None)

    async def mark_read(self, params: calls.MessageMarkRead, _: Connection) -> objects.Message:
        def mark(tx: Tx) -> objects.Message:
            row, owner = self._row(tx, params.id)
            return self._message(receipts.mark_read(tx, self._context, row), owner)

        return await once(self._context, "message.mark_read", params, objects.Message, mark)

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
                held=custody.holders(tx, [row]).get(row.id, ()),
                mailboxes=known_mailboxes(tx, self._context, contact.id),
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
        row, owner = self._row(tx, text)
        return self._message(row, owner, custody.holders(tx, [row]).get(row.id, ()))

    def _row(self, tx: Tx, text: str) -> tuple[MessageRow, str]:
        """The message with that id, and its contact's."""
        row_id = render.message_row(self._context.profile.store_id, text)
        row = messages.get(tx, row_id) if row_id is not None else None
        owner = contacts.get(tx, row.contact) if row is not None else None
        if row is None or owner is None or row.state == "deleted":
            raise UsageError("No message has that id.", name="MESSAGE_NOT_FOUND")
        return row, owner.uid.hex()

    def _message(self, row: MessageRow, contact_uid: str, held: Sequence[tuple[PeerId, int]] = ()) -> objects.Message:
        return render.message(row, contact_uid, self._context.profile.store_id, held)

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
                    why = f": {told.reason}" if told.reason is not None else ""
                    sentence = f"The message is {told.state}{why}."
                    raise UsageError(sentence, name="PEER_OFFLINE", data={"id": queued.id})
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


def _as_now(tx: Tx, found: Sequence[MessageRow]) -> list[MessageRow]:
    """What was found in earlier transactions, as it is by now; one that is not there any more as it was."""
    return [messages.get(tx, row.id) or row for row in found]
