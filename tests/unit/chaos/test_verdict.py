"""The verdict of ``scripts/chaos`` finds each thing that must not be, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from chaos.hellos import Hellos
from chaos.plan import SLOW_MS
from chaos.seen import Said, Seen
from chaos.verdict import BASE_BYTES, RSS_MB, TEXT_BYTES, Evidence, first_wrong, table, verdict

NODES = 3
EACH = 3


def text_of(number: int) -> str:
    return f"t1 {number} word "


def heard() -> Seen:
    """Everybody wrote three texts to everybody."""
    seen = Seen("t1", NODES)
    for writer, reader in permutations(range(NODES), 2):
        for _ in range(EACH):
            number = len(seen.said)
            seen.said.append(Said(number, writer, reader, text_of(number), 1, 1.0, 1.1, f"id-{number}", [1.3], [1.2]))
    return seen


def row(said: Said, direction: str, position: int) -> dict[str, Any]:
    state = "delivered" if direction == "out" else "received"
    name = said.id if direction == "out" else f"came-{said.number}"
    return {
        "id": name, "direction": direction, "text": said.text, "position": position, "state": state, "delivered_ms": 1
    }  # fmt: skip


def found(seen: Seen) -> Evidence:
    evidence = Evidence(outboxes=[0] * NODES, rss_mb=[90.0] * NODES, grown=[(50_000, 12)] * NODES)
    evidence.hellos.usual_s += [0.002] * 8
    for one, other in permutations(range(NODES), 2):
        out = [row(said, "out", said.number) for said in seen.said if (said.writer, said.reader) == (one, other)]
        come = [row(said, "in", said.number) for said in seen.said if (said.writer, said.reader) == (other, one)]
        evidence.histories[one, other] = sorted([*out, *come], key=lambda each: each["position"])
    return evidence


def wrong(seen: Seen, evidence: Evidence) -> list[str]:
    return [f"{check.what}: {each}" for check in verdict(seen, evidence) for each in check.wrong]


Break = Callable[[Seen, Evidence], object]


def drop(evidence: Evidence, node: int, other: int, direction: str) -> None:
    rows = evidence.histories[node, other]
    rows.remove(next(row for row in rows if row["direction"] == direction))


def double(evidence: Evidence) -> None:
    rows = evidence.histories[1, 0]
    rows.append({**next(row for row in rows if row["direction"] == "in"), "position": 99})


def swap(evidence: Evidence) -> None:
    rows = [row for row in evidence.histories[1, 0] if row["direction"] == "in"]
    one, other = dict(rows[0]), dict(rows[1])
    rows[0]["text"], rows[1]["text"] = other["text"], one["text"]  # type: ignore[index]


def stray(evidence: Evidence) -> None:
    evidence.histories[2, 1].append(
        {"id": "x", "direction": "in", "text": "never", "position": 99, "state": "received", "delivered_ms": 1}
    )


def undelivered(evidence: Evidence) -> None:
    next(row for row in evidence.histories[0, 1] if row["direction"] == "out")["state"] = "held"  # type: ignore[index]


def change_keys(seen: Seen, evidence: Evidence) -> None:
    evidence.restored.append(0)
    seen.keys_changed = NODES


BREAKS: dict[str, Break] = {
    "was never accepted": lambda seen, _: setattr(seen.said[0], "id", None),
    "not under the ids": lambda seen, _: setattr(seen.said[0], "id", "another"),
    "became one message": lambda seen, _: setattr(seen.said[0], "id", seen.said[1].id),
    "node 0 to 1: lost": lambda _, evidence: drop(evidence, 0, 1, "out"),
    "node 1 from 0: lost": lambda _, evidence: drop(evidence, 1, 0, "in"),
    "node 1 from 0: too many": lambda _, evidence: double(evidence),
    "stands where": lambda _, evidence: swap(evidence),
    "node 2 from 1: too many: never": lambda _, evidence: stray(evidence),
    ": held": lambda _, evidence: undelivered(evidence),
    "positions do not rise": lambda _, evidence: evidence.histories[0, 1].reverse(),
    "2 × received": lambda seen, _: seen.said[0].received_s.append(2.0),
    "0 × delivered": lambda seen, _: seen.said[0].delivered_s.clear(),
    "3 × contact.key_changed, and 1 nodes": lambda seen, evidence: change_keys(seen, evidence),
    "a complaint": lambda seen, _: seen.complaints.append("a complaint"),
    "node 1: 3": lambda _, evidence: evidence.outboxes.__setitem__(1, 3),
    "it ended": lambda _, evidence: evidence.ends.append("it ended"),
    "a defect": lambda _, evidence: evidence.logs.append("a defect"),
    f"node 2: {RSS_MB:.0f} MB": lambda _, evidence: evidence.rss_mb.__setitem__(2, RSS_MB),
    "bytes more for 12 texts": lambda _, evidence: evidence.grown.__setitem__(
        0, (BASE_BYTES + 12 * TEXT_BYTES + 1, 12)
    ),
    "node.hello takes 60 ms there, 2 ms elsewhere": lambda _, evidence: evidence.hellos.slow_s.extend([0.06] * 8),
    "nothing happened": lambda _, evidence: evidence.pretended.append("nothing happened"),
}


def test_where_all_is_well_nothing_is_wrong() -> None:
    seen = heard()
    checks = verdict(seen, found(seen))
    assert first_wrong(checks) is None
    assert all(line.endswith("  ok") for line in table(checks))


@pytest.mark.parametrize("words", BREAKS)
def test_each_thing_that_must_not_be_is_found(words: str) -> None:
    seen = heard()
    evidence = found(seen)
    BREAKS[words](seen, evidence)
    assert any(words in each for each in wrong(seen, evidence))
    told = first_wrong(verdict(seen, evidence))
    assert told is not None
    assert any("WRONG" in line for line in table(verdict(seen, evidence)))


@pytest.mark.parametrize("slow_s", [[SLOW_MS[0] / 1000] * 20, [2.0] * 7, [0.003] * 11 + [2.0] * 9])
def test_answers_that_are_late_now_and_then_or_as_late_elsewhere_have_not_waited_for_the_disk(
    slow_s: list[float],
) -> None:
    seen = heard()
    evidence = found(seen)
    evidence.hellos = Hellos(slow_s, [0.002] * 20)
    assert wrong(seen, evidence) == []


def test_what_a_node_tells_is_taken_for_the_text_that_it_is() -> None:
    seen = Seen("t1", 2, [Said(0, 0, 1, text_of(0))])
    for seq, node, kind in ((1, 0, "held"), (2, 0, "delivered"), (1, 1, "received")):
        seen.note(node, {"seq": seq, "type": f"message.{kind}", "data": {"text": text_of(0)}}, 5.0)
    seen.note(0, {"seq": None, "type": "peer.online", "data": {}}, 5.0)
    assert (seen.complaints, seen.cursors, seen.events) == ([], [2, 1], 3)
    assert (seen.said[0].held, seen.said[0].delivered_s, seen.said[0].received_s) == (1, [5.0], [5.0])


@pytest.mark.parametrize(
    ("node", "event"),
    [
        (1, {"seq": 2, "type": "node.started", "data": {}}),
        (0, {"seq": 1, "type": "message.received", "data": {"text": text_of(0)}}),
        (1, {"seq": 1, "type": "message.received", "data": {"text": "t1 0 other"}}),
        (1, {"seq": 1, "type": "message.received", "data": {"text": "t1 9 word "}}),
        (1, {"seq": 1, "type": "message.received", "data": {"text": "t2 0 word "}}),
        (0, {"seq": 1, "type": "message.expired", "data": {"id": "x"}}),
        (0, {"seq": 1, "type": "contact.claimed", "data": {}}),
    ],
    ids=["a gap", "at the writer", "another text", "no such number", "another run", "expired", "claimed"],
)
def test_what_must_not_be_told_is_a_complaint(node: int, event: dict[str, Any]) -> None:
    seen = Seen("t1", 2, [Said(0, 0, 1, text_of(0))])
    seen.note(node, event, 5.0)
    assert len(seen.complaints) == 1


def test_a_restored_node_has_other_ids_and_its_contacts_are_told_once() -> None:
    seen = heard()
    evidence = found(seen)
    for said in seen.said:
        said.id = f"new-{said.number}" if said.writer == 1 else said.id
    for node in (0, 2):
        seen.note(node, {"seq": 1, "type": "contact.key_changed", "data": {}}, 5.0)
    evidence.restored.append(1)
    assert wrong(seen, evidence) == []


def test_a_node_that_was_restored_tells_from_the_beginning() -> None:
    seen = Seen("t1", 2)
    for seq in (1, 2, 3):
        seen.note(1, {"seq": seq, "type": "node.started", "data": {}}, 5.0)
    assert seen.forget(1) == 3
    seen.note(1, {"seq": 1, "type": "node.started", "data": {}}, 6.0)
    assert seen.complaints == []
