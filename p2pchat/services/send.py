"""Queue texts: the plaintext outbox rows and their events in one commit. Delivery is another verb.

What goes to oneself is delivered in that commit, and leaves for nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from p2pchat.api.text import is_unicode, utf8_bytes
from p2pchat.base.errors import UsageError
from p2pchat.core.events import EventKind
from p2pchat.core.wire import TEXT
from p2pchat.services.contacts import refuse_blocked
from p2pchat.services.context import Context, tell
from p2pchat.store import contacts, live, messages, notes
from p2pchat.store.contacts import SELF, ContactRow
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow


@dataclass(frozen=True, slots=True)
class Queued:
    """What a transaction has put into the outbox for one contact, in order: whoever can seals it in the same one."""

    contact: int
    rows: tuple[MessageRow, ...] = field(repr=False)


class Outbox:
    """What one transaction puts into the outbox: however many texts, it is a few statements.

    Args:
        online: whether a live stream to a contact is open; None: to nobody.

    Resource handling: :meth:`commit` is called once, after the last :meth:`put` and in the same transaction.
    """

    def __init__(self, tx: Tx, context: Context, online: Callable[[int], bool] | None = None) -> None:
        self._tx = tx
        self._online = online
        self._context = context
        self._next_id = messages.highest(tx) + 1
        self._rows: list[MessageRow] = []
        self._own: int | None = None  # the conversation with oneself, once something was put there
        self._next_n: dict[int, int] = {}

    def put(self, to: ContactRow, text: str, *, live_only: bool = False) -> MessageRow:
        """Put ``text`` into the outbox; toward a pending contact it waits for the match.

        Args:
            text: 1 to ``params.text_bytes`` bytes of UTF-8, every code point kept.
            live_only: it goes on a stream that is open now, or not at all.

        Raises:
            UsageError: BLOCKED; INVALID_PARAMS for an empty text or lone surrogates, TOO_LARGE; PEER_OFFLINE for
                ``live_only``, no stream is open. Nothing was put.
        """
        _check(to, text, self._context.params.text_bytes)
        own = to.state == SELF
        if live_only and not own and not self._is_online(to):
            sentence = "The contact is not connected now: nothing was sent, and nothing waits."
            raise UsageError(sentence, name="PEER_OFFLINE")
        if own:
            self._own = to.id
        n = self._next_n.get(to.id, to.next_n)
        self._next_n[to.id] = n + 1
        row = MessageRow(
            id=self._next_id + len(self._rows),
            contact=to.id,
            incoming=False,
            n=n,
            wire_id=self._context.message_id(),
            kind=TEXT,
            text=text,
            state="delivered" if own else "queued",
            reason=None,
            created_ms=self._tx.now_ms,
            sent_ms=None,
            delivered_ms=self._tx.now_ms if own else None,
            read_ms=None,
            live=live_only and not own,
        )
        self._rows.append(row)
        return row

    def _is_online(self, to: ContactRow) -> bool:
        return to.state == "matched" and self._online is not None and self._online(to.id)

    def commit(self) -> None:
        """Store what was put, and tell of it.

        Raises:
            StoreError: it could not be kept now.
        """
        if not self._rows:
            return
        self._tx.need_room()
        messages.queue(self._tx, self._rows)
        for contact, next_n in self._next_n.items():
            contacts.set_next_n(self._tx, contact, next_n)
        for (contact, alive), rows in groupby(self._rows, attrgetter("contact", "live")):
            self._tell(tuple(rows), contact, live_only=alive)

    def _tell(self, rows: tuple[MessageRow, ...], contact: int, *, live_only: bool) -> None:
        queued = [row.id for row in rows]
        if live_only:
            live.mark(self._tx, queued)
        if contact != self._own:
            tell(self._tx, EventKind.MESSAGE_QUEUED, queued, contact, live=live_only)
            self._tx.leave(Queued(contact, rows))
            return
        tell(self._tx, EventKind.MESSAGE_QUEUED, queued, None)
        notes.keep(self._tx, queued)
        tell(self._tx, EventKind.MESSAGE_DELIVERED, queued, None)


def _check(to: ContactRow, text: str, limit_bytes: int) -> None:
    refuse_blocked(to)
    if to.state == "request":
        raise UsageError("They asked to become a contact: accept it first.", data={"param": "to"})
    if not is_unicode(text):
        raise UsageError("The text is not valid Unicode.", data={"param": "text"})
    size = utf8_bytes(text)
    if size == 0:
        raise UsageError("The text is empty.", data={"param": "text"})
    if size > limit_bytes:
        raise UsageError(
            f"The text has {size} bytes; at most {limit_bytes} fit.",
            name="TOO_LARGE",
            data={"param": "text", "limit": limit_bytes},
        )
