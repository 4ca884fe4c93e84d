"""Domain events: facts in the past tense, written in the same transaction as the change that they tell of.

The names are those of the control API; :mod:`p2pchat.control.render` turns them into API objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class EventKind(StrEnum):
    """Every kind of event. Those of ``peer``, ``discovery`` and ``mailbox`` are not stored."""

    MESSAGE_QUEUED = "message.queued"
    MESSAGE_SENT = "message.sent"
    MESSAGE_HELD = "message.held"
    MESSAGE_UNHELD = "message.unheld"
    MESSAGE_DELIVERED = "message.delivered"
    MESSAGE_READ = "message.read"
    MESSAGE_RECEIVED = "message.received"
    MESSAGE_EXPIRED = "message.expired"
    MESSAGE_FAILED = "message.failed"
    MESSAGE_CANCELLED = "message.cancelled"
    MESSAGE_DELETED = "message.deleted"
    CONTACT_ADDED = "contact.added"
    CONTACT_SOUGHT = "contact.sought"
    CONTACT_MATCHED = "contact.matched"
    CONTACT_CLAIMED = "contact.claimed"
    CONTACT_KEY_CHANGED = "contact.key_changed"
    CONTACT_VERIFIED = "contact.verified"
    CONTACT_PROOF_ASKED = "contact.proof_asked"
    CONTACT_PROOF_RESULT = "contact.proof_result"
    CONTACT_CHOSEN = "contact.chosen"
    CONTACT_MERGED = "contact.merged"
    CONTACT_EXPIRED = "contact.expired"
    CONTACT_BLOCKED = "contact.blocked"
    CONTACT_UNBLOCKED = "contact.unblocked"
    CONTACT_REMOVED = "contact.removed"
    CONTACT_REQUEST = "contact.request"
    INVITE_CREATED = "invite.created"
    INVITE_USED = "invite.used"
    INVITE_CLOSED = "invite.closed"
    PEER_ONLINE = "peer.online"
    PEER_OFFLINE = "peer.offline"
    DISCOVERY_PROGRESS = "discovery.progress"
    MAILBOX_DEPOSITED = "mailbox.deposited"
    MAILBOX_FETCHED = "mailbox.fetched"
    MAILBOX_DELETED = "mailbox.deleted"
    NODE_STARTED = "node.started"
    NODE_RENEWED = "node.renewed"
    NODE_LOCKED = "node.locked"
    NODE_UNLOCKED = "node.unlocked"
    NODE_WARNING = "node.warning"


@dataclass(frozen=True, slots=True)
class DomainEvent:
    """One fact.

    Args:
        kind: what happened.
        subject: row id of the message (``message.*``) or contact (``contact.*``, ``peer.*``); None for ``node.*``.
        detail: encoded further facts that a later look at the subject could not give; empty where there are none.
        contact: row id of the contact that it concerns; not stored, it routes the news within the process.
        more: how many facts follow that differ in ``subject`` alone, which is one higher each time.
        live: of messages that were queued for a live stream alone; not stored.
    """

    kind: EventKind
    subject: int | None = None
    detail: bytes = field(default=b"", repr=False)
    contact: int | None = None
    more: int = 0
    live: bool = False

    @property
    def subjects(self) -> range:
        """The row ids that it is about, of one that has a subject."""
        first = self.subject or 0
        return range(first, first + self.more + 1)
