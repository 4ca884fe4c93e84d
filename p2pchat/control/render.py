"""Rows and domain events → API objects. The only place that knows both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

import msgspec

from p2pchat.api.objects import (
    Claimant,
    Contact,
    ContactState,
    Event,
    Holder,
    Import,
    Invite,
    Message,
    MessageState,
    Progress,
    Refusal,
    Trust,
)
from p2pchat.base.ids import PeerId
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.services.address_book import Outcome
from p2pchat.services.contacts import open_snapshot
from p2pchat.services.device import open_replacement
from p2pchat.services.holding import open_told
from p2pchat.services.prove import open_result
from p2pchat.services.steps import open_step
from p2pchat.store import contacts, custody, messages
from p2pchat.store.contacts import SELF, ContactRow
from p2pchat.store.db import Tx
from p2pchat.store.eventlog import EventRow
from p2pchat.store.invites import InviteRow
from p2pchat.store.messages import MessageRow

Online = Callable[[int], bool]

_STATE_OF = {
    EventKind.MESSAGE_QUEUED: "queued",
    EventKind.MESSAGE_SENT: "sent",
    EventKind.MESSAGE_HELD: "held",
    EventKind.MESSAGE_UNHELD: "held",
    EventKind.MESSAGE_DELIVERED: "delivered",
    EventKind.MESSAGE_READ: "read",
    EventKind.MESSAGE_RECEIVED: "received",
    EventKind.MESSAGE_EXPIRED: "expired",
    EventKind.MESSAGE_FAILED: "failed",
    EventKind.MESSAGE_CANCELLED: "cancelled",
}
_ARRIVED = frozenset((EventKind.MESSAGE_DELIVERED, EventKind.MESSAGE_READ, EventKind.MESSAGE_RECEIVED))
_ENDED = frozenset((EventKind.MESSAGE_EXPIRED, EventKind.MESSAGE_FAILED, EventKind.MESSAGE_CANCELLED))
_MAILBOX: Final = frozenset((EventKind.MAILBOX_DEPOSITED, EventKind.MAILBOX_FETCHED, EventKind.MAILBOX_DELETED))
_OVER: Final = frozenset(_STATE_OF[kind] for kind in _ENDED)
_OTHER_OF_MERGE: Final[dict[str, str]] = {
    EventKind.CONTACT_MERGED: "merged_id",
    EventKind.CONTACT_REMOVED: "merged_into",
}
"""Under which name an event has the other contact of a merge."""
PAGE_BYTES: Final = 4 << 20
"""Texts in one reply: far below what a frame can carry, however they are escaped in it."""

_NEWER_VERSION = "sent by a newer version"


def contact(row: ContactRow, online: Online) -> Contact:
    """A contact as it is now."""
    return Contact(
        id=row.uid.hex(),
        name=row.name,
        number=row.number,
        state=_shown(row.state),
        trust=cast("Trust", row.trust),
        claimants=row.claimants,
        online=row.state == SELF or online(row.id),
        last_seen_ms=row.last_seen_ms,
        searching=row.searching,
        receipts=row.receipts,
        self_=row.state == SELF,
    )


def _shown(state: str) -> ContactState:
    """Of a contact. Oneself is as good as matched."""
    return "matched" if state == SELF else cast("ContactState", state)


def imported(outcome: Outcome) -> Import:
    """What became of an address book."""
    refused = [Refusal(line=each.line, reason=each.reason) for each in outcome.refused]
    return Import(added=outcome.added, known=outcome.known, refused=refused)


def claimant(tx: Tx, found: contacts.Claimant, row: ContactRow) -> Claimant:
    """Somebody who claims to be the contact ``row``."""
    holder = contacts.by_root(tx, found.root)
    other = holder.uid.hex() if holder is not None and holder.id != row.id else None
    chosen = found.root == row.root
    return Claimant(id=found.root.hex(), first_seen_ms=found.first_seen_ms, chosen=chosen, contact_id=other)


def invite(row: InviteRow, link: str) -> Invite:
    """An invite as it is now."""
    return Invite(
        id=row.uid.hex(),
        invite=link,
        uses=row.uses,
        used=row.used,
        ask=row.ask,
        open=not row.closed,
        expires_ms=row.expires_s * 1000,
    )


def message_id(store_id: bytes, row_id: int) -> str:
    """A local message id: 32 hex digits."""
    return (store_id + row_id.to_bytes(8, "big")).hex()


def message_row(store_id: bytes, text: str) -> int | None:
    """The row that a local message id names, or None if it is none of this store."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    return int.from_bytes(raw[8:], "big") if len(raw) == 16 and raw[:8] == store_id and raw[8] < 128 else None


def message(row: MessageRow, contact_uid: str, store_id: bytes, held: Sequence[tuple[PeerId, int]] = ()) -> Message:
    """A message as it is now.

    Args:
        held: who holds it, and until which unix second.
    """
    return Message(
        id=message_id(store_id, row.id),
        contact_id=contact_uid,
        direction="in" if row.incoming else "out",
        text=row.text or "",
        state=cast("MessageState", row.state),
        reason=_NEWER_VERSION if row.text is None else row.reason if row.state in _OVER else None,
        holders=[Holder(id=peer.hex(), until_ms=until_s * 1000) for peer, until_s in held],
        created_ms=row.created_ms,
        delivered_ms=row.delivered_ms,
        read_ms=row.read_ms,
        position=row.id,
        missing=row.missing,
    )


def size_of(data: Message | Contact | dict[str, object]) -> int:
    """Roughly what an object takes in a reply, in bytes before escaping."""
    return 512 + (len(data.text.encode()) if isinstance(data, Message) else 0)


def event(tx: Tx, row: EventRow, online: Online, store_id: bytes) -> Event:
    """A stored event, with its subject as it was then."""
    return Event(seq=row.seq, ts=row.ts_ms, type=row.kind, data=_data(tx, row, online, store_id))


def transient(tx: Tx, told: DomainEvent, online: Online) -> Event:
    """An event that is not stored: ``seq`` is null."""
    if told.kind in _MAILBOX:
        mailbox, boxes, size = open_told(told.detail)
        of_mailbox: dict[str, object] = {"mailbox": mailbox, "boxes": boxes, "bytes": size}
        return Event(seq=None, ts=tx.now_ms, type=told.kind.value, data=of_mailbox)
    if told.kind is EventKind.NODE_WARNING:
        return Event(seq=None, ts=tx.now_ms, type=told.kind.value, data={"disk": told.detail.decode()})
    row = contacts.get(tx, told.subject) if told.subject is not None else None
    data: Contact | dict[str, object] = contact(row, online) if row is not None else {}
    if isinstance(data, Contact) and told.kind is EventKind.DISCOVERY_PROGRESS:
        step, done, total = open_step(told.detail)
        data = Progress(**msgspec.structs.asdict(data), step=step, roots_done=done, roots_total=total)
    return Event(seq=None, ts=tx.now_ms, type=told.kind.value, data=data)


def _data(tx: Tx, row: EventRow, online: Online, store_id: bytes) -> Message | Contact | dict[str, object]:
    if row.kind.startswith("message.") and row.subject is not None:
        return _message_then(tx, row, row.subject, store_id)
    if row.kind == EventKind.NODE_WARNING and row.subject is None and row.detail is not None:
        return {"replaced_ms": open_replacement(row.detail)}
    if row.kind.startswith("invite.") and row.detail is not None:
        return {"id": row.detail.hex()}
    if row.detail is not None and row.subject is not None:
        if row.kind == EventKind.CONTACT_PROOF_RESULT:
            detail, ok = open_result(row.detail)
            told: dict[str, object] = msgspec.to_builtins(_contact_then(detail, row.kind, row.subject, online))
            return told | {"ok": ok}
        then = _contact_then(row.detail, row.kind, row.subject, online)
        return _with_other(then, row.detail, _OTHER_OF_MERGE[row.kind]) if row.kind in _OTHER_OF_MERGE else then
    return {}


def _contact_then(detail: bytes, kind: str, subject: int, online: Online) -> Contact:
    then = open_snapshot(detail)
    # events of before there was an import lack it: who was pending was looked for, until that ended
    assumed = then.state == "pending" and kind not in (EventKind.CONTACT_EXPIRED, EventKind.CONTACT_REMOVED)
    return Contact(
        id=then.uid.hex(),
        name=then.name,
        number=then.number,
        state=_shown(then.state),
        trust=cast("Trust", then.trust),
        claimants=then.claimants,
        online=then.state == SELF or online(subject),
        last_seen_ms=then.last_seen_ms,
        searching=assumed if then.searching is None else then.searching,
        receipts=then.receipts,
        self_=then.state == SELF,
    )


def _with_other(then: Contact, detail: bytes, field: str) -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(then)
    other = open_snapshot(detail).merged
    return told | {field: other.hex() if other is not None else None}


def _message_then(tx: Tx, row: EventRow, subject: int, store_id: bytes) -> Message | dict[str, object]:
    found = messages.get(tx, subject)
    owner = contacts.get(tx, found.contact) if found is not None else None
    if found is None or owner is None or found.state == "deleted":
        return {"id": message_id(store_id, subject)}  # it went with its contact, or by itself
    kind = EventKind(row.kind)
    held = custody.holders(tx, [found]).get(found.id, ()) if kind is EventKind.MESSAGE_HELD else ()
    told = message(found, owner.uid.hex(), store_id, held)
    if kind in _STATE_OF:
        told.state = cast("MessageState", _STATE_OF[kind])
        if kind not in _ARRIVED:
            told.delivered_ms = None
        if kind is not EventKind.MESSAGE_READ:
            told.read_ms = None
        if not found.incoming:
            told.reason = found.reason if kind in _ENDED else None
    return told
