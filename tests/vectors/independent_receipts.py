"""A second implementation of PROTOCOL.md 5.4, and the maker of receipts.json.

It is written from the document and shares no code with ``p2pchat``. Run it to write the vectors anew::

    python -m tests.vectors.independent_receipts
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Final

from tests.vectors.independent_discovery import Vectors, pack, seed

PATH: Final = Path(__file__).with_name("receipts.json")
SENT, ACKED, EXPIRED, QUEUED, READ = "sent", "delivered", "expired", "queued", "read"

Shown = list[tuple[int, str]]
"""What came, as it is shown: number and message_id, in hex."""


def name(n: int, start: str = "a") -> str:
    return (seed(f"start {start} of a store")[:8] + n.to_bytes(8, "big")).hex()


def placed(came: Shown) -> Shown:
    """What came, in that order, as it is shown: a missing one before the next higher number (PROTOCOL.md 5.6)."""
    shown: Shown = []
    for n, message_id in came:
        numbers = [number for number, _ in shown]
        higher = [number for number in numbers if number > n]
        at = numbers.index(min(higher)) if higher and n not in numbers else len(shown)
        shown.insert(at, (n, message_id))
    return shown


def receipt(shown: Shown) -> str:
    """The body for all of ``shown``."""
    run = 1
    for (later, _), (earlier, _) in zip(shown[::-1], shown[-2::-1], strict=False):
        if earlier + 1 != later or run == 255:
            break
        run += 1
    return pack([bytes.fromhex(shown[-1][1]), run]).hex()


class Sender:
    """Messages to one contact: [number, state, when it was acked]."""

    def __init__(self, messages: list[list[int | str | None]]) -> None:
        self.messages = [[int(str(n)), str(state), at] for n, state, at in messages]
        self.highest = 0

    def take(self, newest: str, run: int, at: int) -> None:
        known = {name(int(str(n))): (int(str(n)), state, acked) for n, state, acked in self.messages}
        if newest not in known or known[newest][1] == QUEUED:
            return
        top, _, acked = known[newest]
        limit = at if acked is None else int(str(acked))
        before, self.highest = self.highest, max(self.highest, top)
        for message in self.messages:
            n = int(str(message[0]))
            in_run = top - run < n <= top
            if n <= before - 255:
                continue
            if message[1] == SENT and in_run:
                message[1], message[2] = ACKED, at
            if message[1] == ACKED and n <= top and (in_run or int(str(message[2])) <= limit):
                message[1] = READ


def bodies() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    newest = bytes.fromhex(name(7))
    accepted: list[dict[str, object]] = [
        {"body": pack([newest, run]).hex(), "message_id": newest.hex(), "run": run} for run in (1, 2, 127, 128, 255)
    ]
    wrong: list[tuple[str, bytes]] = [
        ("run 0", pack([newest, 0])),
        ("run 256", pack([newest, 256])),
        ("run -1", pack([newest, -1])),
        ("run is nil", pack([newest, None])),
        ("run is true", pack([newest, True])),
        ("no run", pack([newest])),
        ("one field more", pack([newest, 1, 0])),
        ("an id of 15 bytes", pack([newest[1:], 1])),
        ("an id of 17 bytes", pack([newest + b"\0", 1])),
        ("an id that is text", pack(["a" * 16, 1])),
        ("the other way round", pack([1, newest])),
        ("run not in its shortest form", pack([newest]).replace(b"\x91", b"\x92", 1) + b"\xcc\x01"),
        ("the id not in its shortest form", b"\x92\xc5\0\x10" + newest + b"\x01"),
        ("a trailing byte", pack([newest, 1]) + b"\0"),
        ("empty", b""),
    ]
    return accepted, [{"name": case, "body": body.hex()} for case, body in wrong]


def told() -> list[dict[str, object]]:
    """What a reader says of what came, in the order in which it shows that."""
    orders: list[tuple[str, list[tuple[int, str]]]] = [
        ("one", [(9, "a")]),
        ("in order", [(n, "a") for n in range(1, 6)]),
        ("one is missing", [(n, "a") for n in (1, 2, 4, 5)]),
        ("one came late", [(n, "a") for n in (1, 2, 4, 3)]),
        ("one came late, and more after it", [(n, "a") for n in (1, 2, 4, 3, 5, 6)]),
        ("more than a run can say", [(n, "a") for n in range(1, 300)]),
        ("numbers of a device that was restored", [(1, "a"), (2, "a"), (3, "a"), (2, "b"), (3, "b")]),
    ]
    cases: list[dict[str, object]] = []
    for case, order in orders:
        came = [(n, name(n, start)) for n, start in order]
        cases.append({"name": case, "came": came, "body": receipt(placed(came))})
    return cases


def taken() -> list[dict[str, object]]:
    """What receipts make of a sender's messages: some by hand, the others drawn."""
    cases: list[tuple[str, list[list[int | str | None]], list[tuple[str, int]]]] = [
        ("all acked", [[n, ACKED, 5] for n in (1, 2, 3)], [(name(2), 1)]),
        ("acked one after the other", [[1, ACKED, 5], [2, ACKED, 6], [3, ACKED, 7]], [(name(3), 1)]),
        ("one came later", [[1, ACKED, 5], [2, ACKED, 9], [3, ACKED, 7]], [(name(3), 1), (name(3), 1)]),
        (
            "one came later and more after it",
            [[1, ACKED, 9], [2, ACKED, 7], [3, ACKED, 9]],
            [(name(2), 1), (name(3), 1)],
        ),
        ("none acked", [[n, SENT, None] for n in (1, 2, 3)], [(name(3), 2)]),
        ("a run beyond the first", [[n, SENT, None] for n in (1, 2)], [(name(2), 255)]),
        ("an older one after a newer", [[n, ACKED, 5] for n in (1, 2, 3)], [(name(3), 3), (name(1), 1)]),
        ("one that never left", [[1, ACKED, 5], [2, QUEUED, None]], [(name(2), 2)]),
        ("one that was not sent", [[1, ACKED, 5]], [(name(2), 2), (name(1, "b"), 1)]),
        ("one that has expired", [[1, ACKED, 5], [2, EXPIRED, None], [3, SENT, None]], [(name(2), 2), (name(3), 3)]),
    ]
    far: list[list[int | str | None]] = [[n, SENT if n in (44, 45, 46) else ACKED, 5] for n in range(1, 301)]
    for message in far[43:46]:
        message[2] = None
    cases.append(("missing far below what was read", far, [(name(300), 1), (name(46), 3), (name(300), 255)]))
    drawn = random.Random(6)
    for number in range(40):
        many: list[list[int | str | None]] = []
        for n in range(1, drawn.randint(2, 12)):
            state = drawn.choice([ACKED] * 6 + [SENT] * 3 + [EXPIRED, QUEUED])
            many.append([n, state, drawn.randint(1, 9) if state == ACKED else None])
        said = [(name(drawn.randint(1, 12)), drawn.choice([1, 1, 2, 3, 12])) for _ in range(drawn.randint(1, 5))]
        cases.append((f"drawn {number}", many, said))
    found: list[dict[str, object]] = []
    for case, messages, receipts in cases:
        sender, after = Sender(messages), []
        for at, (newest, run) in enumerate(receipts, 20):
            sender.take(newest, run, at)
            after.append([state for _, state, _ in sender.messages])
        ids = {str(n): name(int(str(n))) for n, _, _ in messages}
        found.append({"name": case, "messages": messages, "ids": ids, "receipts": receipts, "states": after})
    return found


def make() -> Vectors:
    """All vectors, the same at every run."""
    accepted, refused = bodies()
    made = {"body": accepted, "body_refused": refused, "told": told(), "taken": taken()}
    again: Vectors = json.loads(json.dumps(made))  # tuples as they come back from a file
    return again


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
