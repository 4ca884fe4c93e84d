"""Why a message has not arrived, and what happens next: sentences as codes with their facts, and the words for them.

Rules:

- A sentence stands here once, in English, with its places unfilled; other languages translate what stands here.
- Facts are numbers and texts. One whose name ends in ``_ms`` is a length of time in milliseconds, and its place has the
  name without that: ``ago`` since something happened, ``until`` something does, ``left`` that something lasts.

Source: docs/CONTROL-API.md, "Objects".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

Fact = int | str

SAID: Final[Mapping[str, str]] = {
    "note": "It is a note of yours, and leaves this node for nowhere.",
    "here": "{name} sent it, and it is here.",
    "delivered": "It is on the disk of {name}'s node.",
    "read": "{name} has read it.",
    "cancelled": "You took it back before it left.",
    "failed": "It was not delivered: {reason}.",
    "unconfirmed": "No word came that it arrived: {reason}.",
    "may_have_arrived": "It had left, and may have arrived all the same.",
    "live.ended": "It was for the connection of that moment alone: {reason}.",
    "live.over": "It does not go again.",
    "live.may_have_arrived": "Should it turn out to have arrived, it is delivered.",
    "live.left": "It has left, and was not confirmed yet.",
    "live.waits": "It leaves as soon as {name} can take it.",
    "live.now": "It is for the connection to {name} of now alone: when that ends, it fails.",
    "claimed": "Several people claim to be {name}: choose one, with p2pchat contacts choose.",
    "not_looked_for": "Nobody looks for {name} now: begin with p2pchat contacts find.",
    "not_found": "{name} is not found yet: it waits until both of you have added the other and were online together.",
    "online": "{name} is connected; it leaves in a moment.",
    "online.left": "It has left, and {name}'s node has not confirmed it yet.",
    "online.again": "If the connection ends before that it goes again on the next one.",
    "away": "{name} cannot be reached now.",
    "away.left": "It has left once, and was not confirmed: it goes again.",
    "away.connection": "The last try, {ago}, was the connection: {why}",
    "away.address": "The last try, {ago}, was an address of {name}: {why}",
    "away.next": "The next try is {until}.",
    "away.at_once": "As soon as {name} comes online, or a new address is known, it goes at once.",
    "held": (
        "It is held, sealed, in a mailbox of {name}, for {left} more: {name} gets it there even if your node is off."
    ),
    "held.several": (
        "It is held, sealed, in {mailboxes} mailboxes of {name}, for {left} more: "
        "{name} gets it there even if your node is off."
    ),
    "held.no_more": "It was held in a mailbox of {name}, and is there no more.",
    "held.again": "It is left there again.",
    "held.nowhere": "No mailbox of {name} is known now.",
    "mailbox.none": "No mailbox of {name} is known, so it waits here: both of you have to be online together.",
    "mailbox.soon": "It is left in a mailbox of {name} as soon as one takes it; until then keep your node running.",
    "mailbox.refused": "The last try to leave it in a mailbox, {ago}, failed: {why}",
    "mailbox.other_refused": "The last try to leave it in the other mailbox, {ago}, failed: {why}",
    "replaced": "A newer device of yours is in use since {since}; {advice}.",
    "given_up": "It is given up {until}.",
}
"""Everything that can be said."""

LENGTHS: Final[Mapping[str, str]] = {
    "day": "{count} days",
    "hour": "{count} hours",
    "minute": "{count} minutes",
    "second": "{count} seconds",
    "moment": "a moment",
    "ago": "{length} ago",
    "until": "in {length}",
    "now": "now",
}
"""Lengths of time, and what they stand for."""

_PLACES: Final = ("ago", "until", "left")
_AS_IT_IS: Final = ("name", "since")  # facts that no language changes
_UNITS: Final = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"))


def in_words(code: str, facts: Mapping[str, Fact], translated: Callable[[str], str] = str) -> str:
    """A sentence. ``translated``: what stands here, and texts among the facts, in another language.

    Raises:
        KeyError: there is no such code, or a fact is missing: a daemon of another version.
    """
    places: dict[str, Fact] = {}
    for name, fact in facts.items():
        place = name.removesuffix("_ms")
        if isinstance(fact, int) and place in _PLACES:
            places[place] = _timed(place, fact, translated)
        else:
            places[name] = fact if isinstance(fact, int) or name in _AS_IT_IS else translated(fact)
    return translated(SAID[code]).format_map(places)


def _timed(place: str, ms: int, translated: Callable[[str], str]) -> str:
    if place == "until" and ms <= 0:
        return translated(LENGTHS["now"])
    unit_ms, unit = next(((ms_of, unit) for ms_of, unit in _UNITS if ms >= 1.9 * ms_of), (1, "moment"))
    # "36 hours", and "3 days" of which a second is over
    length = translated(LENGTHS[unit]).format(count=round(ms / unit_ms))
    return translated(LENGTHS[place]).format(length=length) if place in LENGTHS else length
