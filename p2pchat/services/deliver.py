"""Out: what waits for a contact becomes envelopes, and acks settle them.

Two rules carry the reliability of the whole: nothing leaves before its commit, and a retransmission is the stored
bytes. Every function with a ``tx`` is one transaction of the store; what it returns may leave after the commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Final

from p2pchat.base.ids import PeerId
from p2pchat.core.crypto import equal
from p2pchat.core.delivery import Window
from p2pchat.core.events import EventKind
from p2pchat.core.params import DAY_S
from p2pchat.core.session import choose_sending, seal
from p2pchat.core.wire import (
    OPEN,
    PRESENCE,
    READ,
    TAKES_READ,
    TEXT,
    Batch,
    Flight,
    Frame,
    Item,
    Text,
    encode_content,
    encode_text,
    pack_items,
)
from p2pchat.services import presence
from p2pchat.services.contacts import contact_event
from p2pchat.services.context import Context, tell
from p2pchat.store import contact_peers, contacts, custody, live, meetings, messages, notices, sessions
from p2pchat.store import presence as presence_store
from p2pchat.store.contact_peers import ContactPeer
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow
from p2pchat.store.notices import NoticeRow
from p2pchat.store.sessions import EnvelopeRow, SessionRow

_QUIET_MS: Final = DAY_S * 1000 // 3


@dataclass(slots=True)
class Cursor:
    """How far one stream has come: per session the last envelope that left on it, and the flights that flew.

    ``features``: what the peer said in Hello. ``began``: the highest row id of a message when it did, or a stream that
    it goes on for: what was queued before for a live stream alone is not for this one.
    """

    last: dict[int, int] = field(default_factory=dict[int, int])
    flown: set[int] = field(default_factory=set[int])
    features: int = 0
    began: int = 0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What may leave now.

    ``wants_session``: something (or the first hello) waits and no session can carry it. ``more``: something waits that
    could not leave with it. ``after``: the id of the last envelope that was unacknowledged when these were sealed.
    """

    frames: tuple[Frame, ...]
    envelopes: tuple[EnvelopeRow, ...]
    session: int | None
    wants_session: bool
    more: bool = False
    after: int = 0


def sending_session(tx: Tx, contact: int) -> SessionRow | None:
    """The session that this node sends on toward ``contact``. Source: PROTOCOL.md 4.6."""
    owner = contacts.get(tx, contact)
    rows = sessions.of_contact(tx, contact)
    chosen = choose_sending([row.session for row in rows], owner.epoch_ms if owner is not None else 0)
    return next((row for row in rows if row.session is chosen), None)


def begin(tx: Tx, cursor: Cursor, peer: PeerId) -> list[ContactPeer]:
    """A stream with ``peer`` begins; whose node that is, the proven first; several if somebody lies."""
    cursor.began = messages.highest(tx)
    return contact_peers.of_node(tx, peer)


def next_outgoing(tx: Tx, context: Context, contact: int, cursor: Cursor, window: Window) -> Outgoing:
    """The next envelopes for a stream: stored ones that it has not carried yet, else newly sealed ones.

    ``cursor`` and ``window`` are only read; :func:`left` advances them when the frames are on their way.
    """
    row = sending_session(tx, contact)
    if row is None:
        return Outgoing((), (), None, wants_session=True)
    after, most = cursor.last.get(row.id, 0), context.params.batch_envelopes
    stored = sessions.unacknowledged(tx, row.id, after, most, cursor.began)
    if stored:
        chosen, more = _within(stored, window), True
    else:
        room = window.room()
        items = context.params.content_items
        waiting = messages.unsealed(tx, row.contact, row.sealed_n, items, max(room, 1), cursor.began)
        chosen, more = _seal_waiting(tx, context, row, cursor, waiting, room, alone=window.idle)
        more = more or len(waiting) == items or room <= 0
    return Outgoing(_frames(row, chosen, cursor), tuple(chosen), row.id, wants_session=False, more=more)


def seal_queued(
    tx: Tx, context: Context, contact: int, queued: Sequence[MessageRow], cursor: Cursor, limit_bytes: int
) -> Outgoing | None:
    """Seal what this transaction has queued, as far as ``limit_bytes`` unacknowledged ones allow.

    What is for a live stream alone, and what follows it, is left to the stream: it shall not wait there once sealed.

    None: something that was queued before waits still, some are not as they were queued, or nothing can be sealed now;
    whoever looks next does it.

    Concurrency: ``cursor`` is that of a stream which goes on meanwhile; whether the result continues what is on it is
    for :func:`continues` to say.
    """
    row = sending_session(tx, contact)
    if row is None or queued[0].n <= row.sealed_n or messages.wait_between(tx, contact, row.sealed_n, queued[0].n):
        return None
    if not messages.are_queued(tx, queued):
        return None  # a later job of this transaction has sealed, withdrawn or renumbered some
    now = list(takewhile(lambda message: not message.live, queued))
    if not now:
        return None
    flying, after = sessions.in_flight(tx, row.id)
    chosen, more = _seal_waiting(tx, context, row, cursor, now, limit_bytes - flying, alone=not flying)
    if not chosen:
        return None
    more = more or len(now) < len(queued)
    return Outgoing(_frames(row, chosen, cursor), tuple(chosen), row.id, wants_session=False, more=more, after=after)


def seal_for_boxes(tx: Tx, context: Context, row: SessionRow, limit_bytes: int) -> list[EnvelopeRow]:
    """Seal what waits for a contact who is away, up to ``limit_bytes`` or one larger envelope, to be left at mailboxes.

    Neither what is for a live stream alone, nor a receipt: no Hello has said that it would be understood.
    """
    highest, items = messages.highest(tx), context.params.content_items
    waiting = messages.unsealed(tx, row.contact, row.sealed_n, items, limit_bytes, highest)
    return _seal_waiting(tx, context, row, Cursor(), waiting, limit_bytes, alone=True)[0] if waiting else []


def has_left(cursor: Cursor, outgoing: Outgoing) -> bool:
    """Whether the first of ``outgoing``, of which there is one, is on the stream already."""
    assert outgoing.session is not None  # noqa: S101  what holds envelopes has one
    return outgoing.envelopes[0].id <= cursor.last.get(outgoing.session, 0)


def continues(cursor: Cursor, outgoing: Outgoing) -> bool:
    """Whether all that goes before ``outgoing``, which :func:`seal_queued` has sealed, is on the stream."""
    assert outgoing.session is not None  # noqa: S101  as above
    return outgoing.after <= cursor.last.get(outgoing.session, 0)


def left(cursor: Cursor, window: Window, outgoing: Outgoing) -> None:
    """Note that ``outgoing`` is on the stream."""
    if outgoing.session is None or not outgoing.envelopes:
        return
    cursor.last[outgoing.session] = outgoing.envelopes[-1].id
    if any(isinstance(frame, Flight) for frame in outgoing.frames):
        cursor.flown.add(outgoing.session)
    for envelope in outgoing.envelopes:
        # one without messages may stay unanswered: whoever has forgotten this node answers none
        window.left(envelope.eid, len(envelope.envelope) if envelope.n1 else 0)


def _within(stored: list[EnvelopeRow], window: Window) -> list[EnvelopeRow]:
    chosen: list[EnvelopeRow] = []
    room = window.room()
    for envelope in stored:
        size = len(envelope.envelope)
        if size > room and not (window.idle and not chosen):
            break
        chosen.append(envelope)
        room -= size
    return chosen


def _seal_waiting(
    tx: Tx,
    context: Context,
    row: SessionRow,
    cursor: Cursor,
    waiting: Sequence[MessageRow],
    room: int,
    *,
    alone: bool,
) -> tuple[list[EnvelopeRow], bool]:
    """Seal what waits, up to ``room`` bytes: new ratchet state and envelope bytes in this transaction.

    Args:
        alone: nothing is in flight; a first envelope may then be larger.

    Returns:
        The envelopes, and whether more waits.
    """
    sealed_rows: list[EnvelopeRow] = []
    texts = iter(waiting)
    given = presence.to_give(tx, context, row)
    told = [each for each in notices.unsealed(tx, row.contact, row.id) if _takes(cursor, each)]
    items = [Item(context.message_id(), PRESENCE, given.body)] if given is not None else []
    items += [Item(notice.wire_id, notice.kind, notice.body) for notice in told]
    items += [_item(message) for message in waiting]
    if len(items) == 1 and items[0].kind == READ and sessions.unacknowledged(tx, row.id, 0, 1):
        return [], True  # while one is on its way the next replaces it, however often something is read
    if not items and _is_unsure(tx, context, row):
        items.append(Item(context.message_id(), OPEN, b""))
    groups = pack_items(items, alone={message.wire_id for message in waiting if message.live})
    for group in groups:
        size = sum(len(item.body) for item in group)
        if len(sealed_rows) == context.params.batch_envelopes or (size > room and not (alone and not sealed_rows)):
            break
        presence_n = given.n if given is not None and group[0].kind == PRESENCE else 0
        members = list(islice(texts, sum(item.kind == TEXT for item in group)))
        n0, n1 = (members[0].n, members[-1].n) if members else (0, 0)
        live_one = members[0].id if members and members[0].live else None
        session, sealed = seal(row.session, encode_content(group), context.entropy, context.params)
        row = sessions.save(tx, row, session, n1, presence_n)
        sealed_rows.append(sessions.add_envelope(tx, row, sealed, n0, n1, presence_n, live_one))
        if told:
            notices.sealed(tx, row.contact, [item.message_id for item in group], sealed_rows[-1].id)
        room -= len(sealed.envelope)
        first = [message.id for message in members if message.state == "queued"]
        if first:
            messages.mark_sent(tx, row.contact, n0, n1)
            tell(tx, EventKind.MESSAGE_SENT, first, row.contact)
    if sealed_rows:
        context.addressed.add(row.contact)
    return sealed_rows, len(sealed_rows) < len(groups)


def _takes(cursor: Cursor, notice: NoticeRow) -> bool:
    """Whether the peer knows items of that type: it would show others to its user."""
    return notice.kind != READ or bool(cursor.features & TAKES_READ)


def _is_unsure(tx: Tx, context: Context, row: SessionRow) -> bool:
    """Whether nothing came of the contact for eight hours, or nothing was sealed for it since the start: an empty item
    asks for an ack, for the Nack that heals, or for word that this device was replaced.
    """
    contact = contacts.get(tx, row.contact)
    return (
        contact is not None
        and contact.state == "matched"
        and not (row.contact in context.addressed and 0 <= tx.now_ms - contact.heard_ms <= _QUIET_MS)
        and not sessions.unacknowledged(tx, row.id, 0, 1)
    )


def _item(message: MessageRow) -> Item:
    text = Text(message.n, message.created_ms, message.text or "")
    return Item(message.wire_id, TEXT, encode_text(text))


def _frames(row: SessionRow, envelopes: list[EnvelopeRow], cursor: Cursor) -> tuple[Frame, ...]:
    if not envelopes:
        return ()
    flight = row.session.flight
    rest = [envelope.envelope for envelope in envelopes]
    frames: list[Frame] = []
    if flight is not None and not row.session.confirmed and row.id not in cursor.flown:
        part = (flight.ephemeral, flight.kem_ciphertext, flight.prekey_id, flight.sender)
        frames.append(Flight(*part, rest.pop(0)))
    if rest:
        frames.append(Batch(tuple(rest)))
    return tuple(frames)


def settle(tx: Tx, entries: Iterable[tuple[bytes, bytes]], *, there: bool = True) -> list[bytes]:
    """Take the acks that prove themselves; the eids that were settled. A wrong one is ignored (PROTOCOL.md 5.2).

    Args:
        entries: (eid16, ack16), of one frame or of several.
        there: see :func:`contacts.heard`.
    """
    settled: list[bytes] = []
    for eid, proof in entries:
        known = sessions.sent(tx, eid)
        if known is None:
            settled.append(eid)  # settled before, by another path: it only frees the window
            continue
        if not equal(known.ack, proof):
            continue
        sessions.settle(tx, known.id)
        notices.settle(tx, known.id)
        if known.held:
            custody.forget(tx, known.id)
        settled.append(eid)
        _confirm(tx, known.session, known.contact)
        if known.presence_n:
            presence_store.acknowledged(tx, known.contact, known.presence_n)
            meetings.forget(tx, known.contact)
        delivered = messages.mark_delivered(tx, known.contact, known.n0, known.n1)
        if known.live is not None:
            delivered = delivered or live.prove(tx, known.live)
        tell(tx, EventKind.MESSAGE_DELIVERED, delivered, known.contact)
        contacts.heard(tx, known.contact, there=there)
    return settled


def _confirm(tx: Tx, session: int, contact: int) -> None:
    """A valid ack counts as something received: the flight need not fly again, and the contact is matched."""
    row = sessions.get(tx, session)
    if row is not None and not row.session.confirmed:
        sessions.save(tx, row, row.session.confirm())
    match(tx, contact)


def match(tx: Tx, contact: int) -> None:
    """Something authenticated was received from ``contact``: it is matched (PROTOCOL.md 3.3)."""
    row = contacts.get(tx, contact)
    if row is not None and row.state == "pending":
        contacts.set_matched(tx, contact)
        tx.emit(contact_event(tx, EventKind.CONTACT_MATCHED, contact))
