"""How it stands, in one line each: with the contact, and with the daemon. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from gettext import gettext as _
from typing import TYPE_CHECKING, Final

from prompt_toolkit.utils import get_cwidth

from p2pchat.api import language
from p2pchat.api.errors import ApiError
from p2pchat.cli.chat.wrapping import NARROWEST, shortened
from p2pchat.cli.reading import clock, number, text

if TYPE_CHECKING:
    from p2pchat.cli.chat.talk import Talk

REMOVED: Final = "removed"
"""The state of a contact that is not there any more; the API has no word for it."""


def presence(contact: Mapping[str, object]) -> list[str]:
    """What stands beside the name, the most important first."""
    if contact.get("self") is True and text(contact, "state") != REMOVED:
        return [_("for yourself")]
    match text(contact, "state"):
        case "matched":
            seen = contact.get("last_seen_ms")
            if contact.get("online") is True:
                here = _("online")
            elif seen is not None:
                here = _("last seen {time}").format(time=clock(seen, _("%d %b %H:%M")))
            else:
                here = _("offline")
            return [here, _trust(text(contact, "trust", ""))]
        case "pending":
            return [_("looked for") if contact.get("searching") is True else _("not found")]
        case "request":
            return [_("wants to be a contact")]
        case "blocked":
            return [_("blocked")]
        case state if state == REMOVED:
            return [_("removed")]
        case other:
            return [other]


def _trust(word: str) -> str:
    match word:
        case "claimed":
            return _("claimed")
        case "number_verified":
            return _("number verified")
        case "in_person":
            return _("in person")
        case _:
            return word


def obstacle(contact: Mapping[str, object], command: str) -> str:
    """Why a text would not go to the contact, and what to do about it; empty where nothing is in its way."""
    contact_id = text(contact, "id")
    match text(contact, "state"):
        case "pending" if number(contact, "claimants") > 1:
            said = _("Several claim to be this contact: {program} contacts show {contact}")
        case "pending" if contact.get("searching") is True:
            said = _("Not found yet: what you send waits.")
        case "pending":
            said = _("Nobody looks for this contact; what you send waits. To begin: {program} contacts find {contact}")
        case "request":
            said = _("To answer: {program} contacts accept {contact}")
        case "blocked":
            said = _("This contact is blocked. To change that: {program} contacts unblock {contact}")
        case state if state == REMOVED and contact.get("merged_into"):
            said = _("This contact and another are one; it goes on with: {program} chat {contact}")
            contact_id = text(contact, "merged_into")
        case state if state == REMOVED:
            said = _("This contact was removed; nothing can be sent.")
        case _:
            return ""
    return said.format(program=command, contact=contact_id)


def trouble(error: ApiError, command: str) -> str:
    """Why the daemon does not serve, and what to do about it."""
    match error.error_name:
        case "NO_DAEMON":
            return _("No daemon answers; this goes on when one does: {program} daemon").format(program=command)
        case "LOCKED":
            return _("The profile is locked; this goes on after: {program} unlock").format(program=command)
        case name:
            return f"{name}: {language.error(name, error.message)}"


def headline(contact: Mapping[str, object], problem: ApiError | None, columns: int, charset: str) -> str:
    """The line above the conversation: who, and whether they are there."""
    if problem is None:
        beside = presence(contact)
    else:
        beside = [_("locked") if problem.error_name == "LOCKED" else _("not connected")]
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
        return _("{count} new below; Esc goes there.").format(count=talk.unseen)
    if talk.searching is not None:
        return _("Up: older  Down: newer  Esc: done")
    if not talk.follows and not talk.empty:
        return _("Esc goes to the newest message.")
    return obstacle(talk.contact, command) or (_("Nothing was said yet.") if talk.empty else _("/help tells the keys."))
