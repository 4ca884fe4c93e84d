"""Texts of a device in any order, with repeats, losses and a second device: they end in the order of their numbers."""

from __future__ import annotations

from contextlib import closing
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core.order import Gap
from p2pchat.core.words import Query
from p2pchat.store import messages, receipts, word_index, word_search
from p2pchat.store.db import Tx
from p2pchat.store.messages import Incoming
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import connect
from p2pchat.store.word_search import Search

BOB, CAROL = 1, 2
DEVICES = (1_000, 2_000)


def wire_id(device_ms: int, n: int) -> bytes:
    return device_ms.to_bytes(8, "big") + n.to_bytes(8, "big")


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[tuple[int, int]]]:
    """Envelopes of (device, number) in the order in which they come: in any order, some never, some twice, some of the
    first device only after the second's have begun to come."""
    parts: list[list[tuple[int, int]]] = []
    for device_ms in DEVICES[: draw(st.integers(1, 2))]:
        first = draw(st.integers(1, 30))
        numbers = draw(st.permutations(range(first, first + draw(st.integers(1, 40)))))
        lost = draw(st.sets(st.sampled_from(numbers), max_size=10))
        parts.append([(device_ms, n) for n in numbers if n not in lost])
    if len(parts) == 2 and parts[0]:
        late = draw(st.sets(st.sampled_from(parts[0]))) - {max(parts[0])}
        mixed = draw(st.permutations([*late, *parts[1]]))
        begun = next((index for index, each in enumerate(mixed) if each not in late), len(mixed))
        parts = [[each for each in parts[0] if each not in late], mixed[begun:], mixed[:begun]]
    arrived = [each for part in parts for each in part]
    arrived += draw(st.lists(st.sampled_from(arrived), max_size=5)) if arrived else []
    envelopes: list[list[tuple[int, int]]] = []
    for each in arrived:
        if envelopes and envelopes[-1][0][0] == each[0] and draw(st.booleans()):
            envelopes[-1].append(each)
        else:
            envelopes.append([each])
    return envelopes


@settings(deadline=None, max_examples=100)
@given(deliveries(), st.lists(st.sampled_from(["nothing", "another's", "read", "index"]), max_size=40))
def test_any_order_of_arrival_ends_in_the_order_of_numbers(
    envelopes: list[list[tuple[int, int]]], meanwhile: list[str]
) -> None:
    connection = connect(None, bytes(32))
    migrate(connection)
    with closing(connection), patch.object(word_index, "BATCH", 3):
        tx = Tx(connection, 1_800_000_000_000)
        for name in ("Bob", "Carol"):
            values = (name.encode().ljust(8), name)
            tx.execute("INSERT INTO contact (uid, name, state, trust) VALUES (?, ?, 'matched', 'claimed')", values)
        told: list[int] = []
        read: set[int] = set()
        for index, envelope in enumerate(envelopes):
            device_ms = envelope[0][0]
            texts = [Incoming(n, wire_id(device_ms, n), 1, f"text {device_ms} {n}", None, 1) for _, n in envelope]
            told += messages.receive(tx, BOB, device_ms, texts)
            match meanwhile.pop() if meanwhile else "nothing":
                case "another's":
                    n = index + 1
                    messages.receive(tx, CAROL, 3, [Incoming(n, wire_id(3, n), 1, "another's", None, 1)])
                case "read":
                    read.update(_read_half(tx))
                case "index":
                    while word_index.add_batch(tx):
                        pass
                case _:
                    pass
        rows = messages.page_after(tx, BOB, 0, 1_000)
        assert sorted(told) == [row.id for row in rows]
        assert read == {row.id for row in rows if row.state == "read"}
        came = {each for envelope in envelopes for each in envelope}
        _is_in_order(tx, came)
        for row in rows:
            assert row.id in _found(tx, row.text or "")


def _read_half(tx: Tx) -> list[int]:
    rows = messages.page_after(tx, BOB, 0, 1_000)
    upto = rows[len(rows) // 2].id
    changed = [row_id for row_id, _ in receipts.mark(tx, BOB, upto)]
    assert changed == [row.id for row in rows if row.state == "received" and row.id <= upto]
    return changed


def _found(tx: Tx, text: str) -> list[int]:
    found: list[int] = []
    position: int | None = None
    while True:
        step = word_search.step(tx, Search(Query.of(text), BOB), position, 1_000)
        found += [row.id for row in step.rows]
        position = step.position
        if position is None:
            return found


def _is_in_order(tx: Tx, came: set[tuple[int, int]]) -> None:
    """Each device's texts by number; what is missing is told before those that have one of theirs before the hole."""
    rows = messages.page_after(tx, BOB, 0, 1_000)
    assert len(rows) == len(came)
    for device_ms in DEVICES:
        shown = [(row.n, row.missing) for row in rows if row.wire_id == wire_id(device_ms, row.n)]
        expected = sorted(n for device, n in came if device == device_ms)
        assert shown == [
            (n, n - before - 1 if before is not None else 0)
            for before, n in zip([None, *expected], expected, strict=False)
        ]


@given(st.integers(1, 1 << 62), st.integers(0, 60), st.data())
def test_a_gap_comes_apart_without_loss(n0: int, length: int, data: st.DataObject) -> None:
    gap = Gap(1_000_000, n0, n0 + length, False, 0)
    places = {n: gap.place_of(n) for n in range(gap.n0, gap.n1 + 1)}
    left, came = [gap], set[int]()
    for n in data.draw(st.permutations(range(gap.n0, gap.n1 + 1))):
        (holding,) = [each for each in left if each.n0 <= n <= each.n1]
        assert holding.place_of(n) == places[n]
        left.remove(holding)
        left += holding.without(n)
        came.add(n)
        assert {each for part in left for each in range(part.n0, part.n1 + 1)} == places.keys() - came
        assert all(part.told == any(each < part.n0 for each in came) for part in left)
    assert left == []
