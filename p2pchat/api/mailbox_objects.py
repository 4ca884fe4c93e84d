"""Objects of ``mailbox.*``: as those of :mod:`p2pchat.api.objects`."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType, field

from p2pchat.base.silent import Silent

MailboxState = Literal["asked", "granted", "failing", "ending"]
OfferedTo = Literal["contacts", "anyone", "nobody"]
WhyDeleted = Literal["fetched", "expired", "ended"]


class MailboxOffer(Silent, Struct, kw_only=True):
    """What this node offers others. ``quota``: bytes of all boxes; ``bytes`` in ``boxes`` for ``owners`` are held;
    ``invite``: the link with which anyone finds it."""

    for_: OfferedTo = field(name="for")
    quota: int
    bytes: int
    boxes: int
    owners: int
    invite: str | None
    replayed: bool | UnsetType = UNSET


class HeldMailbox(Silent, Struct, kw_only=True):
    """A mailbox of somebody's, ``id`` does not say whose. ``oldest_ms``: since when a box is in it; ``until_ms``: when
    the last one expires; ``seen_ms``: when its owner was there, to the hour."""

    id: str
    boxes: int
    bytes: int
    oldest_ms: int | None
    until_ms: int | None
    seen_ms: int


class HeldRecords(Silent, Struct, kw_only=True):
    """The records of others in the DHT that are kept here."""

    count: int
    bytes: int


class DeletedBoxes(Silent, Struct, kw_only=True):
    """What was deleted on one day (UTC, ``2026-11-22``): it was fetched, had expired, or its mailbox ended."""

    day: str
    why: WhyDeleted
    boxes: int
    bytes: int


class Transparency(Silent, Struct, kw_only=True):
    """What this node holds for others, and what a seizure of this machine reveals: without the passphrase
    (``locked_reveals``) and with it (``unlocked_reveals``). ``passphrase``: whether there is one."""

    mailboxes: list[HeldMailbox]
    boxes: int
    bytes: int
    records: HeldRecords
    deleted: list[DeletedBoxes]
    offer: MailboxOffer
    passphrase: bool
    locked_reveals: str
    unlocked_reveals: str


class Mailbox(Silent, Struct, kw_only=True):
    """Where others leave what is for this node while it is away. ``id``: the holder's PeerID; ``contact_id`` and
    ``name``: whose node that is, where it is a contact's; ``chosen``: by the user; ``quota``: bytes."""

    id: str
    contact_id: str | None
    name: str | None
    chosen: bool
    state: MailboxState
    granted_ms: int | None
    heard_ms: int | None
    quota: int | None


class Mailboxes(Silent, Struct, kw_only=True):
    """The mailboxes of this node. ``auto``: it chooses them by itself where the user has not."""

    auto: bool
    mailboxes: list[Mailbox]
    replayed: bool | UnsetType = UNSET
