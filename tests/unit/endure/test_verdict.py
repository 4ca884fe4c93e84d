"""The verdict of ``scripts/endure`` finds each thing that must not be, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.endure.verdict import Check, Seen, table, verdict

Sides = tuple[Seen, Seen]


def side(name: str, other: str) -> Seen:
    """One who sent three texts and got three."""
    texts = [f"{name} {number}" for number in range(3)]
    out = [message(f"{name}-{number}", "out", text, 2 * number) for number, text in enumerate(texts)]
    come = [message(f"{name}-of-{other}-{number}", "in", f"{other} {number}", 2 * number + 1) for number in range(3)]
    history = sorted(out + come, key=lambda row: row["position"])
    told = [(kind, row) for row in out for kind in ("queued", "sent", "delivered")]
    told += [("received", row) for row in come]
    events: list[dict[str, Any]] = [{"seq": 1, "type": "node.started", "data": {}}]
    events += [{"seq": seq, "type": f"message.{kind}", "data": row} for seq, (kind, row) in enumerate(told, 2)]
    return Seen(texts, set(), dict(enumerate(deepcopy(out))), history, events, 0)


def message(name: str, direction: str, text: str, position: int) -> dict[str, Any]:
    state = "delivered" if direction == "out" else "received"
    return {
        "id": name, "direction": direction, "text": text, "position": position, "state": state, "delivered_ms": 1
    }  # fmt: skip


def sides() -> Sides:
    return side("a", "b"), side("b", "a")


def wrong(seen: Sides) -> list[str]:
    return [each for check in verdict(seen) for each in check.wrong]


def of(seen: Seen, kind: str, which: int = 0) -> dict[str, Any]:
    return [event for event in seen.events if event["type"] == f"message.{kind}"][which]


def lose_at_the_writer(seen: Sides) -> None:
    del seen[0].history[2]


def lose_at_the_reader(seen: Sides) -> None:
    del seen[1].history[3]


def double_at_the_reader(seen: Sides) -> None:
    seen[1].history.append(message("b-of-a-0-again", "in", "a 0", 99))


def swap_at_the_reader(seen: Sides) -> None:
    rows = seen[1].history
    rows[1]["text"], rows[3]["text"] = rows[3]["text"], rows[1]["text"]


def swap_at_both(seen: Sides) -> None:
    swap_at_the_reader(seen)
    rows = seen[0].history
    rows[0], rows[2] = rows[2], rows[0]
    rows[0]["position"], rows[2]["position"] = 0, 2


def stand_still(seen: Sides) -> None:
    seen[0].history[2]["position"] = 1


def never_accept(seen: Sides) -> None:
    del seen[0].replies[1]


def accept_two_as_one(seen: Sides) -> None:
    seen[0].replies[1]["id"] = seen[0].replies[0]["id"]


def accept_as_another(seen: Sides) -> None:
    seen[0].replies[1]["text"] = "another"


def leave_one_sent(seen: Sides) -> None:
    seen[0].history[0]["state"] = "sent"


def tell_once_too_often(seen: Sides) -> None:
    of(seen[0], "sent")["type"] = "message.queued"


def tell_in_another_order(seen: Sides) -> None:
    sent, delivered = of(seen[0], "sent"), of(seen[0], "delivered")
    sent["type"], delivered["type"] = delivered["type"], sent["type"]


def tell_of_nothing(seen: Sides) -> None:
    of(seen[0], "delivered")["data"] = {"id": "nobody"}


def do_not_tell_the_reader(seen: Sides) -> None:
    of(seen[1], "received")["type"] = "contact.added"


def tell_the_reader_twice(seen: Sides) -> None:
    of(seen[1], "received", 1)["data"] = of(seen[1], "received", 0)["data"]


def skip_a_number(seen: Sides) -> None:
    seen[0].events[-1]["seq"] += 1


def expire_one(seen: Sides) -> None:
    seen[0].events.append({"seq": len(seen[0].events) + 1, "type": "message.expired", "data": {}})


def keep_one_in_the_outbox(seen: Sides) -> None:
    seen[0].outbox = 1


def complain(seen: Sides) -> None:
    seen[0].complaints.append("defect")


BROKEN: list[Callable[[Sides], None]] = [
    lose_at_the_writer,
    lose_at_the_reader,
    double_at_the_reader,
    swap_at_the_reader,
    swap_at_both,
    stand_still,
    never_accept,
    accept_two_as_one,
    accept_as_another,
    leave_one_sent,
    tell_once_too_often,
    tell_in_another_order,
    tell_of_nothing,
    do_not_tell_the_reader,
    tell_the_reader_twice,
    skip_a_number,
    expire_one,
    keep_one_in_the_outbox,
    complain,
]


def test_what_is_right_is_not_complained_about() -> None:
    checks = verdict(sides())
    assert wrong(sides()) == []
    assert [check.count for check in checks] == 2 * [3, 3, 3, 3, 9, 3, 13, 0, 0]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("other_way", [False, True])
def test_what_is_wrong_is_found_on_either_side(broken: Callable[[Sides], None], other_way: bool) -> None:
    seen = sides()
    broken((seen[1], seen[0]) if other_way else seen)
    assert wrong(seen) != []


def test_only_what_was_refused_may_stand_elsewhere() -> None:
    seen = sides()
    swap_at_both(seen)
    assert wrong(seen) == ["text 0 stands after 1"]
    seen[0].refused.add(0)
    assert wrong(seen) == []


def test_the_table_says_what_is_wrong_and_not_all_of_it() -> None:
    lines = table([Check("good", 2_000, []), Check("bad", 1, [f"text {number} is lost" for number in range(7)])])
    assert lines[0].split() == ["good", "2,000", "ok"]
    assert lines[1].split() == ["bad", "1", "WRONG"]
    assert lines[2].strip() == "text 0 is lost"
    assert lines[-1].strip() == "and 2 more"
    assert len(lines) == 8
