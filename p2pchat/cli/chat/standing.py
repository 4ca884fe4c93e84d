"""How it stands, in one line each: with the contact, and with the daemon. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from prompt_toolkit.utils import get_cwidth

from p2pchat.api.errors import ApiError
from p2pchat.cli.chat.wrapping import NARROWEST, shortened
from p2pchat.cli.reading import clock, number, text

if TYPE_CHECKING:
    from p2pchat.cli.chat.talk import Talk

REMOVED: Final = "removed"
"""The state of a contact that is not there any more; the API has no word for it."""

_TRUST: Final = {"claimed": "claimed", "number_verified": "number verified", "in_person": "in person"}


def presence(contact: Mapping[str, object]) -> list[str]:
    """What stands beside the name, the most important first."""
    if contact.get("self") is True and text(contact, "state") != REMOVED:
        return ["for yourself"]
    match text(contact, "state"):
        case "matched":
            seen = contact.get("last_seen_ms")
            here = "online" if contact.get("online") is True else "offline"
            if here == "offline" and seen is not None:
                here = f"last seen {clock(seen, '%d %b %H:%M')}"
            trust = text(contact, "trust", "")
            return [here, _TRUST.get(trust, trust)]
        case "pending":
            return ["looked for" if contact.get("searching") is True else "not found"]
        case "request":
            return ["wants to be a contact"]
        case other:
            return [other]


def obstacle(contact: Mapping[str, object], command: str) -> str:
    """Why a text would not go to the contact, and what to do about it; empty where nothing is in its way."""
    contact_id = text(contact, "id")
    match text(contact, "state"):
        case "pending" if number(contact, "claimants") > 1:
            return f"Several claim to be this contact: {command} contacts show {contact_id}"
        case "pending" if contact.get("searching") is True:
            return "Not found yet: what you send waits."
        case "pending":
            return f"Nobody looks for this contact; what you send waits. To begin: {command} contacts find {contact_id}"
        case "request":
            return f"To answer: {command} contacts accept {contact_id}"
        case "blocked":
            return f"This contact is blocked. To change that: {command} contacts unblock {contact_id}"
        case state if state == REMOVED and contact.get("merged_into"):
            return f"This contact and another are one; it goes on with: {command} chat {text(contact, 'merged_into')}"
        case state if state == REMOVED:
            return "This contact was removed; nothing can be sent."
        case _:
            return ""


def trouble(error: ApiError, command: str) -> str:
    """Why the daemon does not serve, and what to do about it."""
    match error.error_name:
        case "NO_DAEMON":
            return f"No daemon answers; this goes on when one does: {command} daemon"
        case "LOCKED":
            return f"The profile is locked; this goes on after: {command} unlock"
        case name:
            return f"{name}: {error.message}"


def headline(contact: Mapping[str, object], problem: ApiError | None, columns: int, charset: str) -> str:
    """The line above the conversation: who, and whether they are there."""
    beside = presence(contact) if problem is None else ["locked" if problem.error_name == "LOCKED" else "not connected"]
    standing = "  ".join(filter(None, beside))
    name = shortened(text(contact, "name"), max(columns - get_cwidth(standing) - 4, NARROWEST), charset)
    return shortened(f" {name}  {standing}", columns, charset)


def status(talk: Talk, command: str) -> str:
    """The line below it: the most urgent of what there is to say."""
    if talk.problem is not None:
        return " ".join(filter(None, (talk.notice, trouble(talk.problem, command))))
    if talk.notice:
        return talk.notice
    if talk.unseen:
        return f"{talk.unseen} new below; Esc goes there."
    if talk.searching is not None:
        return "Up: older  Down: newer  Esc: done"
    if not talk.follows and not talk.empty:
        return "Esc goes to the newest message."
    return obstacle(talk.contact, command) or ("Nothing was said yet." if talk.empty else "/help tells the keys.")
