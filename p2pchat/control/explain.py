"""Why a message has not arrived, and what happens next: in fields, and in words that a newcomer understands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from p2pchat.api import objects
from p2pchat.api.explained import Fact, in_words
from p2pchat.api.replaced import ADVICE
from p2pchat.base.ids import PeerId
from p2pchat.base.limits import LIVE_S
from p2pchat.control.replaced import date_of
from p2pchat.net.addresses import classify, format_address
from p2pchat.services.attempts import Attempt
from p2pchat.store.contacts import SELF, ContactRow
from p2pchat.store.messages import MessageRow


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
        next_ms, words = None, [_say("replaced", since=date_of(replaced_ms), advice=ADVICE)]
    expires_ms = row.created_ms + life_ms if waits else None
    if expires_ms is not None:
        words.append(_say("given_up", until_ms=expires_ms - now_ms))
    return objects.Explanation(
        state=cast("objects.MessageState", row.state),
        reason=row.reason,
        tries=[_shown(attempt) for attempt in tries],
        holders=[objects.Holder(id=peer.hex(), until_ms=until_s * 1000) for peer, until_s in held],
        next_try_ms=next_ms,
        expires_ms=expires_ms,
        text=" ".join(each.text for each in words),
        sentences=words,
    )


def _shown(attempt: Attempt) -> objects.Try:
    address = attempt.address
    return objects.Try(
        at_ms=attempt.at_ms,
        address=None if address is None else format_address(address),
        path=None if address is None else classify(address),
        error=attempt.why,
    )


def _say(code: str, **facts: Fact) -> objects.Sentence:
    return objects.Sentence(code=code, facts=facts, text=in_words(code, facts))


def _ended(row: MessageRow, contact: ContactRow) -> list[objects.Sentence]:
    name = contact.name
    if contact.state == SELF:
        return [_say("note")]
    if row.incoming:
        return [_say("here", name=name)]
    match row.state:
        case "delivered":
            return [_say("delivered", name=name)]
        case "read":
            return [_say("read", name=name)]
        case "cancelled":
            return [_say("cancelled")]
        case "failed" if row.live:
            words = [_say("live.ended", reason=str(row.reason)), _say("live.over")]
            return words if row.sent_ms is None else [*words, _say("live.may_have_arrived")]
        case _:
            if row.sent_ms is not None:
                return [_say("unconfirmed", reason=str(row.reason)), _say("may_have_arrived")]
            return [_say("failed", reason=str(row.reason))]


def _waiting(
    row: MessageRow,
    contact: ContactRow,
    tries: tuple[Attempt, ...],
    next_ms: int | None,
    *,
    online: bool,
    now_ms: int,
) -> list[objects.Sentence]:
    name = contact.name
    if contact.state == "pending":
        return [_unfound(contact)]
    if row.live:
        went = _say("live.left") if row.state == "sent" else _say("live.waits", name=name)
        return [went, _say("live.now", name=name)]
    if online:
        if row.state == "queued":
            return [_say("online", name=name)]
        return [_say("online.left", name=name), _say("online.again")]
    words = [_say("away", name=name)]
    if row.state == "sent":
        words.append(_say("away.left"))
    dialled = [each for each in tries if not each.mailbox]
    if dialled:
        last = dialled[-1]
        ago_ms = now_ms - last.at_ms
        if last.address is None:
            words.append(_say("away.connection", ago_ms=ago_ms, why=last.why))
        else:
            words.append(_say("away.address", ago_ms=ago_ms, name=name, why=last.why))
    if next_ms is not None:
        words.append(_say("away.next", until_ms=next_ms - now_ms))
    words.append(_say("away.at_once", name=name))
    return words


def _boxes(
    row: MessageRow,
    name: str,
    tries: Sequence[Attempt],
    held: Sequence[tuple[PeerId, int]],
    mailboxes: int,
    now_ms: int,
) -> list[objects.Sentence]:
    """What mailboxes of an absent contact have to do with it.

    Args:
        tries: to leave it there, that failed, oldest first.
    """
    if held:
        left_ms = max(until_s for _, until_s in held) * 1000 - now_ms
        if len(held) == 1:
            words = [_say("held", name=name, left_ms=left_ms)]
        else:
            words = [_say("held.several", mailboxes=len(held), name=name, left_ms=left_ms)]
    elif row.state == "held":
        words = [_say("held.no_more", name=name)]
        words.append(_say("held.again") if mailboxes else _say("held.nowhere", name=name))
    elif not mailboxes:
        words = [_say("mailbox.none", name=name)]
    else:
        words = [_say("mailbox.soon", name=name)]
    if tries and mailboxes > len(held):
        failed = "mailbox.other_refused" if held else "mailbox.refused"
        words.append(_say(failed, ago_ms=now_ms - tries[-1].at_ms, why=tries[-1].why))
    return words


def _unfound(contact: ContactRow) -> objects.Sentence:
    if contact.claimants > 1 and contact.root is None:
        return _say("claimed", name=contact.name)
    return _say("not_found" if contact.searching else "not_looked_for", name=contact.name)
