"""The types of events, and what each carries. docs/CONTROL-API.md and ``rpc.discover`` are made of this table.

The kinds themselves are those of :mod:`p2pchat.core.events`, which no client imports; a test holds the two together.
"""

from __future__ import annotations

from types import UnionType
from typing import Final, NamedTuple

from msgspec import Struct

from p2pchat.api.objects import Contact, Deleted, Message, Progress


class EventSpec(NamedTuple):
    """Types that carry the same. ``data`` says it (Markdown); ``carries``: the object, None where it is a small one of
    its own or one of several; ``stored``: whether such an event is in the log, and has a ``seq``."""

    types: tuple[str, ...]
    data: str
    carries: type[Struct] | UnionType | None = None
    stored: bool = True


EVENTS: Final = (
    EventSpec(
        (
            "message.queued",
            "message.sent",
            "message.delivered",
            "message.read",
            "message.received",
            "message.failed",
            "message.expired",
            "message.cancelled",
        ),
        "the `Message` as it was then; of a message that is gone, its id alone",
        Message | Deleted,
    ),
    EventSpec(
        ("message.held", "message.unheld"),
        "the `Message` as it was then: a first mailbox has it; the last one keeps it no longer, is the contact's no "
        "longer, or keeps it for a device that the contact has replaced, and no ack came: `state` is still held, "
        "`holders` is empty, and it is left again. Each `message.unheld` may have a next `message.held`. Of a message "
        "that is gone, its id alone",
        Message | Deleted,
    ),
    EventSpec(("message.deleted",), '`{"id": …}`: it is gone from this node', Deleted),
    EventSpec(
        (
            "contact.added",
            "contact.sought",
            "contact.matched",
            "contact.claimed",
            "contact.key_changed",
            "contact.chosen",
            "contact.expired",
            "contact.request",
            "contact.blocked",
            "contact.unblocked",
        ),
        "the `Contact` as it was then",
        Contact,
    ),
    EventSpec(
        ("contact.merged",),
        "the `Contact` that stays, and `merged_id`: the id of the one that went into it, whose messages are its own "
        "from now on",
        Contact,
    ),
    EventSpec(
        ("contact.removed",),
        "the `Contact` as it was then, and `merged_into`: the id of the one into which it went (its `contact.merged` "
        "follows), null where it was removed with its messages",
        Contact,
    ),
    EventSpec(("invite.created", "invite.used", "invite.closed"), '`{"id": …}`, that of the `Invite`'),
    EventSpec(("contact.verified",), "the `Contact`, whose number was proven or who was compared in person", Contact),
    EventSpec(("contact.proof_asked",), "the `Contact` that asks for a proof of this profile's number", Contact),
    EventSpec(
        ("contact.proof_result",),
        "the `Contact`, and `ok`: whether a proof that it gave was right, or a proof that was given to it, as it says",
        Contact,
    ),
    EventSpec(("peer.online", "peer.offline"), "the `Contact`", Contact, stored=False),
    EventSpec(("discovery.progress",), "`Progress`: something new was found for a contact", Progress, stored=False),
    EventSpec(
        ("mailbox.deposited", "mailbox.fetched", "mailbox.deleted"),
        '`{"mailbox": …, "boxes": …, "bytes": …}`: so many boxes of somebody\'s mailbox here, by the `id` of its '
        "`HeldMailbox`, of the last second or so together",
        stored=False,
    ),
    EventSpec(
        ("node.started",), "`{}`: the daemon was started; if locked, it is told when the profile is first opened"
    ),
    EventSpec(("node.locked", "node.unlocked"), "`{}`: by the methods of those names"),
    EventSpec(
        ("node.renewed",),
        "`{}`: this node has another node key from now on, so that its `peer_id` and its addresses are others; the "
        "node itself tells its contacts",
    ),
    EventSpec(
        ("node.warning",),
        "the `Contact` that it concerns: somebody else publishes under the user's own role; or "
        '`{"replaced_ms": …}`: this device was replaced, see above; or, not stored (`seq` null), `{"disk": …}`: '
        "`Status.disk` is another",
    ),
)
