"""What must hold at the end, whatever happened: every text once, in order, everywhere, and told of once.

Pure: what was seen goes in, what is wrong comes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from tests.endure.schedule import NAMES

_SHOWN: Final = 5
_STAGES: Final = ("message.queued", "message.sent", "message.delivered")

Row = dict[str, Any]


@dataclass(slots=True)
class Seen:
    """What one side shows at the end.

    Args:
        texts: what it was told to send, in order.
        refused: the numbers of those for which there once was no space; they were sent again later.
        replies: the message that each was accepted as, by its number.
        history: the conversation, as ``message.list`` gives it.
        events: the whole log, as it was read while everything happened.
        outbox: how many messages it still has to deliver.
        complaints: error replies that nothing explains, ends that nobody brought about, defects in the log.
    """

    texts: Sequence[str]
    refused: set[int]
    replies: dict[int, Row]
    history: list[Row]
    events: list[Row]
    outbox: int
    complaints: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the verdict."""

    what: str
    count: int
    wrong: list[str]


def verdict(sides: tuple[Seen, Seen]) -> list[Check]:
    """Every check, of both sides and both directions."""
    return [check for index in (0, 1) for check in _of(NAMES[index], NAMES[1 - index], sides[index], sides[1 - index])]


def _of(name: str, to: str, writer: Seen, reader: Seen) -> Iterator[Check]:
    """What ``writer`` wrote, all the way, and what else it has to show."""
    texts = range(len(writer.texts))
    sent = [row for row in writer.history if row["direction"] == "out"]
    came = [row for row in reader.history if row["direction"] == "in"]
    yield Check(f"{name}'s texts accepted, each as one message", len(writer.replies), list(_accepted(texts, writer)))
    yield Check(f"in {name}'s history, once and in order", len(sent), list(_in_order(writer, sent)))
    yield Check("  delivered", len(sent), [f"{row['text'][:40]}: {row['state']}" for row in sent if not _arrived(row)])
    yield Check(f"in {to}'s history, the same in the same order", len(came), list(_same(sent, came)))
    told = [event for event in writer.events if event["type"] in _STAGES]
    yield Check("  queued, sent, delivered: told once each", len(told), list(_staged(sent, told)))
    heard = [event["data"] for event in reader.events if event["type"] == "message.received"]
    yield Check(f"  received: told once each, in order, to {to}", len(heard), list(_same(came, heard)))
    yield Check(f"{name}'s events, seq without a hole", len(writer.events), list(_counted(writer.events)))
    yield Check(f"{name}'s outbox", writer.outbox, ["not empty"] if writer.outbox else [])
    yield Check(f"{name}'s log, ends and errors", len(writer.complaints), writer.complaints)


def _accepted(texts: range, writer: Seen) -> Iterator[str]:
    for number in texts:
        if number not in writer.replies:
            yield f"text {number} was never accepted"
        elif writer.replies[number]["text"] != writer.texts[number]:
            yield f"text {number} was accepted as another"
    for message, times in Counter(reply["id"] for reply in writer.replies.values()).items():
        if times > 1:
            yield f"{times} texts became one message {message[:8]}"


def _in_order(writer: Seen, sent: list[Row]) -> Iterator[str]:
    """What was once refused stands where it was accepted in the end; all else in the order in which it was asked."""
    positions = [row["position"] for row in writer.history]
    if any(later <= earlier for earlier, later in pairwise(positions)):
        yield "positions do not rise"
    number_of = {reply["id"]: number for number, reply in writer.replies.items()}
    shown = Counter(row["id"] for row in sent)
    yield from (f"text {number} is lost" for message, number in number_of.items() if not shown[message])
    yield from (f"message {message[:8]} is there {times} times" for message, times in shown.items() if times > 1)
    yield from (f"{row['text'][:40]} was never accepted" for row in sent if row["id"] not in number_of)
    before = -1
    for row in sent:
        number = number_of.get(row["id"], before)
        if number in writer.refused:
            continue
        if number < before:
            yield f"text {number} stands after {before}"
        before = max(before, number)


def _arrived(row: Row) -> bool:
    return row["state"] == "delivered" and row["delivered_ms"] is not None


def _same(expected: list[Row], found: list[Row]) -> Iterator[str]:
    """Whether the texts are the same, in the same order."""
    asked, got = Counter(row["text"] for row in expected), Counter(row["text"] for row in found)
    yield from (f"lost, {times} times: {text[:40]}" for text, times in (asked - got).items())
    yield from (f"too many, {times} times: {text[:40]}" for text, times in (got - asked).items())
    for one, other in zip(expected, found, strict=False):
        if one["text"] != other["text"]:
            yield f"out of order from {other['text'][:40]} on"
            return


def _staged(sent: list[Row], told: list[Row]) -> Iterator[str]:
    """Each message has its three events, in their order."""
    stages: dict[str, list[str]] = {row["id"]: [] for row in sent}
    for event in told:
        stages.setdefault(event["data"]["id"], []).append(event["type"])
    for message, types in stages.items():
        if types != list(_STAGES):
            yield f"message {message[:8]}: {', '.join(types) or 'nothing'}"


def _counted(events: list[Row]) -> Iterator[str]:
    for expected, event in enumerate(events, 1):
        if event["seq"] != expected:
            yield f"seq {event['seq']} where {expected} was due"
            return
    unexpected = Counter(event["type"] for event in events) - Counter(
        {kind: len(events) for kind in (*_STAGES, "message.received")}
    )
    yield from (f"{times} × {kind}" for kind, times in unexpected.items() if kind.startswith("message."))


def table(checks: Sequence[Check]) -> list[str]:
    """The verdict, for a person."""
    lines: list[str] = []
    for check in checks:
        lines.append(f"{check.what:<52}{check.count:>8,}  {'WRONG' if check.wrong else 'ok'}")
        lines += [f"    {each}" for each in check.wrong[:_SHOWN]]
        if len(check.wrong) > _SHOWN:
            lines.append(f"    and {len(check.wrong) - _SHOWN} more")
    return lines
