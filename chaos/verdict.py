"""What must hold at the end, whatever happened: every text that was accepted is there once, in order, at both ends.

Pure: what was seen goes in, what is wrong comes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, permutations
from typing import Any, Final

from chaos.hellos import Hellos
from chaos.plan import SLOW_MS
from chaos.seen import Said, Seen

RSS_MB: Final = 150.0
TEXT_BYTES: Final = 8_192
"""What one text may add to one database: its row, its events, its place in the index; measured 2 to 3 KiB."""
BASE_BYTES: Final = 4 << 20
"""What a database may grow by without any text: sessions, records of the DHT, peers, the free pages of a vacuum."""
_HELLOS: Final = 8
"""Fewer answers say nothing about what is usual."""
_SHOWN: Final = 5
_WORDS: Final = 40

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the verdict."""

    what: str
    count: int
    wrong: list[str]


@dataclass(slots=True)
class Evidence:
    """Of all nodes together.

    Attributes:
        histories: (node, other) → the conversation as ``message.list`` gives it.
        outboxes: by node, how many messages are not delivered yet.
        explained: what ``message.explain`` says of those.
        logs: lines of the daemons' logs that tell of a defect, with the node.
        ends: daemons that ended by themselves, or not as they were told.
        rss_mb: by node, the most it had in memory while it answered.
        grown: by node, (bytes that the database has grown by, texts from or to it).
        swollen: what grew in a soak and should not have.
        hellos: how soon nodes answered while a disk was slow.
        restored: nodes that came back from a backup as new devices, once for each time: their messages have other ids.
        pretended: what was to happen and did not: then the rest shows less than it seems to.
    """

    histories: dict[tuple[int, int], list[Row]] = field(default_factory=dict[tuple[int, int], list[Row]])
    outboxes: list[int] = field(default_factory=list[int])
    explained: list[str] = field(default_factory=list[str])
    logs: list[str] = field(default_factory=list[str])
    ends: list[str] = field(default_factory=list[str])
    rss_mb: list[float] = field(default_factory=list[float])
    grown: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    swollen: list[str] = field(default_factory=list[str])
    hellos: Hellos = field(default_factory=Hellos)
    restored: list[int] = field(default_factory=list[int])
    pretended: list[str] = field(default_factory=list[str])


def verdict(seen: Seen, evidence: Evidence) -> list[Check]:
    """Every check; all is well where none has anything wrong."""
    said = seen.said
    texts = len(said)
    return [
        Check("texts accepted, each as one message", texts, list(_accepted(said))),
        Check("in the writers' logs once, delivered", texts, list(_written(seen, evidence))),
        Check("in the readers' logs, the same in the same order", texts, list(_read(seen, evidence))),
        Check("told of once: received, delivered", texts, list(_told(said))),
        Check("events: no gap, nothing that was never said", seen.events, list(_told_else(seen, evidence))),
        Check("outboxes empty", len(evidence.outboxes), _pending(evidence)),
        Check("daemons that ended by themselves", len(evidence.outboxes), evidence.ends),
        Check("defects in the logs", len(evidence.outboxes), evidence.logs),
        Check(f"memory below {RSS_MB:g} MB", len(evidence.rss_mb), list(_fat(evidence.rss_mb))),
        Check("databases grow with texts alone", len(evidence.grown), list(_grown(evidence.grown))),
        Check("nothing else grows in a soak", len(evidence.grown), evidence.swollen),
        Check("answers wait for no slow disk", len(evidence.hellos.slow_s), list(_late(evidence.hellos))),
        Check("what was planned did happen", texts, evidence.pretended),
    ]


def _accepted(said: Iterable[Said]) -> Iterator[str]:
    ids: dict[str, int] = {}
    for each in said:
        if each.id is None:
            yield f"text {each.number} of node {each.writer} was never accepted"
        elif each.id in ids:
            yield f"texts {ids[each.id]} and {each.number} became one message"
        else:
            ids[each.id] = each.number


def _between(seen: Seen) -> Iterator[tuple[int, int, list[Said]]]:
    for writer, reader in permutations(range(seen.nodes), 2):
        yield writer, reader, [each for each in seen.said if (each.writer, each.reader) == (writer, reader)]


def _written(seen: Seen, evidence: Evidence) -> Iterator[str]:
    """By node: what was accepted stands in its log once, and nothing else, in the order in which it was accepted."""
    for writer, reader, texts in _between(seen):
        rows = evidence.histories.get((writer, reader), [])
        if any(later["position"] <= earlier["position"] for earlier, later in pairwise(rows)):
            yield f"node {writer}: positions do not rise"
        sent = [row for row in rows if row["direction"] == "out"]
        asked = [each for each in texts if each.id is not None]
        who = f"node {writer} to {reader}"
        yield from _differences(who, [each.text for each in asked], [row["text"] for row in sent])
        if writer not in evidence.restored and [each.id for each in asked] != [row["id"] for row in sent]:
            yield f"{who}: not under the ids that were replied"
        for row in sent:
            if row["state"] != "delivered" or row["delivered_ms"] is None:
                yield f"node {writer} to {reader}: {row['text'][:40]}: {row['state']}"


def _read(seen: Seen, evidence: Evidence) -> Iterator[str]:
    for writer, reader, _ in _between(seen):
        sent = [row["text"] for row in evidence.histories.get((writer, reader), []) if row["direction"] == "out"]
        came = [row["text"] for row in evidence.histories.get((reader, writer), []) if row["direction"] == "in"]
        yield from _differences(f"node {reader} from {writer}", sent, came)


def _differences(who: str, expected: Sequence[str], found: Sequence[str]) -> Iterator[str]:
    asked, got = Counter(expected), Counter(found)
    yield from (f"{who}: lost: {each[:_WORDS]}" for each in asked - got)
    yield from (f"{who}: too many: {each[:_WORDS]}" for each in got - asked)
    if asked == got:
        for one, other in zip(expected, found, strict=True):
            if one != other:
                yield f"{who}: {other[:_WORDS]} stands where {one[:_WORDS]} was due"
                return


def _told_else(seen: Seen, evidence: Evidence) -> Iterator[str]:
    """A new device of somebody has another key, of which each of the others is told once."""
    yield from seen.complaints
    if seen.keys_changed > len(evidence.restored) * (seen.nodes - 1):
        yield f"{seen.keys_changed} × contact.key_changed, and {len(evidence.restored)} nodes were restored"


def _told(said: Iterable[Said]) -> Iterator[str]:
    for each in said:
        for name, times in (("received", len(each.received_s)), ("delivered", len(each.delivered_s))):
            if times != 1:
                yield f"text {each.number}, node {each.writer} to {each.reader}: {times} × {name}"


def _pending(evidence: Evidence) -> list[str]:
    counts = [f"node {node}: {count}" for node, count in enumerate(evidence.outboxes) if count]
    return [*counts, *evidence.explained]


def _fat(rss_mb: Sequence[float]) -> Iterator[str]:
    yield from (f"node {node}: {most:.0f} MB" for node, most in enumerate(rss_mb) if most >= RSS_MB)


def _grown(grown: Sequence[tuple[int, int]]) -> Iterator[str]:
    for node, (size, texts) in enumerate(grown):
        if size > BASE_BYTES + TEXT_BYTES * texts:
            yield f"node {node}: {size:,} bytes more for {texts:,} texts"


def _late(hellos: Hellos) -> Iterator[str]:
    """An answer that waited for a commit would be later by the least that one takes longer, as a rule."""
    if len(hellos.slow_s) >= _HELLOS and hellos.slow_ms > hellos.usual_ms + SLOW_MS[0]:
        yield f"{hellos}"


def first_wrong(checks: Sequence[Check]) -> str | None:
    """The first violation, in words."""
    return next((f"{check.what}: {check.wrong[0]}" for check in checks if check.wrong), None)


def table(checks: Sequence[Check]) -> list[str]:
    """For a person."""
    lines: list[str] = []
    for check in checks:
        lines.append(f"{check.what:<58}{check.count:>8,}  {'WRONG' if check.wrong else 'ok'}")
        lines += [f"    {each}" for each in check.wrong[:_SHOWN]]
        if len(check.wrong) > _SHOWN:
            lines.append(f"    and {len(check.wrong) - _SHOWN} more")
    return lines
