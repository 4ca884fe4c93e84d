"""Why a message has not arrived, and what happens next: in fields, and in words that a newcomer understands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from p2pchat.api import objects
from p2pchat.base.ids import PeerId
from p2pchat.base.limits import LIVE_S
from p2pchat.control.replaced import in_words
from p2pchat.net.addresses import classify, format_address
from p2pchat.services.attempts import Attempt
from p2pchat.store.contacts import SELF, ContactRow
from p2pchat.store.messages import MessageRow

_UNITS: Final = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"))


def explanation(
    row: MessageRow,
    contact: ContactRow,
    tries: tuple[Attempt, ...],
    next_ms: int | None,
    *,
    online: bool,
    now_ms: int,
    life_ms: int,
    replaced_ms: int | None = None,
    held: Sequence[tuple[PeerId, int]] = (),
    mailboxes: int = 0,
) -> objects.Explanation:
    """What is known of a message.

    Args:
        tries: to reach the contact, that failed, oldest first.
        next_ms: when the next one is, unix ms; None where there is a connection, or none is due.
        life_ms: after which a message that waits expires.
        replaced_ms: when the device was made that has replaced this one.
        held: who holds it, and until which unix second.
        mailboxes: of the contact that are known.
    """
    waits = row.state in ("queued", "sent", "held")
    tries = tries if waits and contact.state == "matched" else ()
    next_ms = next_ms if waits and contact.state == "matched" and not online else None
    if row.live:
        tries, next_ms, life_ms = (), None, int(LIVE_S * 1000)
    words = _waiting(row, contact, tries, next_ms, online=online, now_ms=now_ms) if waits else _ended(row, contact)
    if waits and not (online or row.live) and contact.state == "matched":
        boxes = _boxes(row, contact.name, [each for each in tries if each.mailbox], held, mailboxes, now_ms)
        words[1:1] = boxes  # behind "cannot be reached now": what comes of it, before how it is tried
    if waits and replaced_ms is not None:
        next_ms, words = None, [f"{in_words(replaced_ms)}."]
    expires_ms = row.created_ms + life_ms if waits else None
    if expires_ms is not None:
        words.append(f"It is given up {_until(expires_ms - now_ms)}.")
    return objects.Explanation(
        state=cast("objects.MessageState", row.state),
        reason=row.reason,
        tries=[_shown(attempt) for attempt in tries],
        holders=[objects.Holder(id=peer.hex(), until_ms=until_s * 1000) for peer, until_s in held],
        next_try_ms=next_ms,
        expires_ms=expires_ms,
        text=" ".join(words),
    )


def _shown(attempt: Attempt) -> objects.Try:
    address = attempt.address
    return objects.Try(
        at_ms=attempt.at_ms,
        address=None if address is None else format_address(address),
        path=None if address is None else classify(address),
        error=attempt.why,
    )


def _ended(row: MessageRow, contact: ContactRow) -> list[str]:
    name = contact.name
    if contact.state == SELF:
        return ["It is a note of yours, and leaves this node for nowhere."]
    if row.incoming:
        return [f"{name} sent it, and it is here."]
    match row.state:
        case "delivered":
            return [f"It is on the disk of {name}'s node."]
        case "read":
            return [f"{name} has read it."]
        case "cancelled":
            return ["You took it back before it left."]
        case "failed" if row.live:
            words = [f"It was for the connection of that moment alone: {row.reason}.", "It does not go again."]
            return words if row.sent_ms is None else [*words, "Should it turn out to have arrived, it is delivered."]
        case _:
            if row.sent_ms is not None:
                return [
                    f"No word came that it arrived: {row.reason}.",
                    "It had left, and may have arrived all the same.",
                ]
            return [f"It was not delivered: {row.reason}."]


def _waiting(
    row: MessageRow,
    contact: ContactRow,
    tries: tuple[Attempt, ...],
    next_ms: int | None,
    *,
    online: bool,
    now_ms: int,
) -> list[str]:
    name = contact.name
    if contact.state == "pending":
        return [_unfound(contact)]
    if row.live:
        went = "has left, and was not confirmed yet" if row.state == "sent" else f"leaves as soon as {name} can take it"
        return [f"It {went}.", f"It is for the connection to {name} of now alone: when that ends, it fails."]
    if online:
        if row.state == "queued":
            return [f"{name} is connected; it leaves in a moment."]
        return [
            f"It has left, and {name}'s node has not confirmed it yet.",
            "If the connection ends before that it goes again on the next one.",
        ]
    words = [f"{name} cannot be reached now."]
    if row.state == "sent":
        words.append("It has left once, and was not confirmed: it goes again.")
    dialled = [each for each in tries if not each.mailbox]
    if dialled:
        last = dialled[-1]
        what = "the connection" if last.address is None else f"an address of {name}"
        words.append(f"The last try, {_ago(now_ms - last.at_ms)}, was {what}: {last.why}")
    if next_ms is not None:
        words.append(f"The next try is {_until(next_ms - now_ms)}.")
    words.append(f"As soon as {name} comes online, or a new address is known, it goes at once.")
    return words


def _boxes(
    row: MessageRow,
    name: str,
    tries: Sequence[Attempt],
    held: Sequence[tuple[PeerId, int]],
    mailboxes: int,
    now_ms: int,
) -> list[str]:
    """What mailboxes of an absent contact have to do with it.

    Args:
        tries: to leave it there, that failed, oldest first.
    """
    if held:
        who = "a mailbox" if len(held) == 1 else f"{len(held)} mailboxes"
        left = _length(max(until_s for _, until_s in held) * 1000 - now_ms)
        words = [
            f"It is held, sealed, in {who} of {name}, for {left} more: {name} gets it there even if your node is off."
        ]
    elif row.state == "held":
        words = [f"It was held in a mailbox of {name}, and is there no more."]
        words.append("It is left there again." if mailboxes else f"No mailbox of {name} is known now.")
    elif not mailboxes:
        words = [f"No mailbox of {name} is known, so it waits here: both of you have to be online together."]
    else:
        words = [f"It is left in a mailbox of {name} as soon as one takes it; until then keep your node running."]
    if tries and mailboxes > len(held):
        one = "the other mailbox" if held else "a mailbox"
        words.append(f"The last try to leave it in {one}, {_ago(now_ms - tries[-1].at_ms)}, failed: {tries[-1].why}")
    return words


def _unfound(contact: ContactRow) -> str:
    if contact.claimants > 1 and contact.root is None:
        return f"Several people claim to be {contact.name}: choose one, with p2pchat contacts choose."
    if not contact.searching:
        return f"Nobody looks for {contact.name} now: begin with p2pchat contacts find."
    return f"{contact.name} is not found yet: it waits until both of you have added the other and were online together."


def _until(ms: int) -> str:
    return f"in {_length(ms)}" if ms > 0 else "now"


def _ago(ms: int) -> str:
    return f"{_length(ms)} ago"


def _length(ms: int) -> str:
    for unit_ms, word in _UNITS:
        if ms >= 1.9 * unit_ms:  # "36 hours", and "3 days" of which a second is over
            return f"{round(ms / unit_ms)} {word}s"
    return "a moment"
