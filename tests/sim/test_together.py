"""Texts that one client sends at once: one transaction, yet each is a message, an event and an answer of its own."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from p2pchat.api.objects import Message
from p2pchat.base.errors import StoreError, UsageError
from p2pchat.control.dispatch import Methods
from p2pchat.core.delivery import Window
from p2pchat.services import deliver
from p2pchat.services.context import Context
from p2pchat.store import eventlog, messages, meta
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node, eventually
from tests.sim.people import meet

ALICE, BOB, CAROL = "+821012345678", "+821098765432", "+821011112222"
COUNT = 300


def methods(node: Node) -> Methods:
    assert node.running is not None
    return Methods(node.running.context, node.running.life.online, "default", 0.0)


async def test_a_pile_of_texts_arrives_in_order_with_an_event_each(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        expected = [f"text {n}" for n in range(COUNT)]
        queued = await methods(alice).send_all([{"to": "Bob", "text": text} for text in expected])
        assert [each.text for each in queued if isinstance(each, Message)] == expected
        assert len({each.id for each in queued if isinstance(each, Message)}) == COUNT

        async def arrived() -> bool:
            return len(await told(bob, "message.received")) == COUNT

        await eventually(arrived)
        assert await told(bob, "message.received") == expected
        for kind in ("message.queued", "message.sent"):
            assert await told(alice, kind) == expected

        async def settled() -> bool:
            return await told(alice, "message.delivered") == expected

        await eventually(settled)


async def told(node: Node, kind: str) -> list[str | None]:
    def read(tx: Tx) -> list[str | None]:
        events = [event for event in eventlog.after(tx, 0, 10_000) if event.kind == kind]
        rows = [messages.get(tx, event.subject) for event in events if event.subject is not None]
        return [row.text for row in rows if row is not None]

    return await node.database.run(read)


async def test_each_is_refused_for_its_own_reason(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        await alice.add(BOB, "Bob")
        await alice.add(CAROL, "Carol")
        sent = await methods(alice).send_all(
            [
                {"to": "Bob", "text": "one"},
                {"to": "Nobody", "text": "two"},
                {"to": "Carol", "text": "three"},
                {"to": "Bob", "text": ""},
                {"to": "Bob", "text": "x" * 65_537},
                {"to": "Bob", "text": "four", "how": "fast"},
                {"to": "Bob", "text": "five"},
            ]
        )
        names = [each.error_name if isinstance(each, UsageError) else "" for each in sent]
        assert names == ["", "CONTACT_NOT_FOUND", "", "INVALID_PARAMS", "TOO_LARGE", "INVALID_PARAMS", ""]
        assert await told(alice, "message.queued") == ["one", "three", "five"]
        bob = await alice.contact("Bob")
        rows = await alice.database.run(lambda tx: messages.page(tx, bob.id, None, 10))
        assert [(row.text, row.n) for row in reversed(rows)] == [("one", 1), ("five", 2)]
        assert bob.next_n == 3


async def test_on_a_replaced_device_what_is_not_understood_is_told_so_nevertheless(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        await alice.add(BOB, "Bob")
        await alice.database.run(lambda tx: meta.save_replaced(tx, 1))
        good, bad = await methods(alice).send_all([{"to": "Bob", "text": "one"}, {"to": "Bob", "text": ""}])
        assert isinstance(good, UsageError)
        assert good.error_name == "FORBIDDEN"
        assert isinstance(bad, UsageError)
        assert bad.error_name == "INVALID_PARAMS"


async def test_a_key_that_stands_twice_in_a_pile_has_one_effect(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        await alice.add(BOB, "Bob")
        one: dict[str, object] = {"to": "Bob", "text": "one", "idempotency_key": "k"}
        first, again, other = await methods(alice).send_all([one, one, {**one, "text": "two"}])
        assert isinstance(first, Message)
        assert isinstance(again, Message)
        assert (again.id, again.replayed) == (first.id, True)
        assert isinstance(other, UsageError)
        assert other.error_name == "IDEMPOTENCY_CONFLICT"
        assert await told(alice, "message.queued") == ["one"]


async def test_a_disk_that_refuses_leaves_nothing_of_any(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        await alice.add(BOB, "Bob")

        def full(*_: object) -> None:
            raise StoreError("The disk is full.")

        one: dict[str, object] = {"to": "Bob", "text": "one", "idempotency_key": "k"}
        with monkeypatch.context() as patched:
            patched.setattr(messages, "queue", full)
            with pytest.raises(StoreError):
                await methods(alice).send_all([one, {"to": "Bob", "text": "two"}])
        assert await told(alice, "message.queued") == []
        (sent,) = await methods(alice).send_all([one])
        assert isinstance(sent, Message)
        assert not sent.replayed


async def test_texts_for_an_open_stream_are_sealed_with_their_commit_though_it_is_busy(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        looked: list[int] = []
        look = deliver.next_outgoing

        def counted(tx: Tx, context: Context, contact: int, cursor: deliver.Cursor, window: Window) -> deliver.Outgoing:
            found = look(tx, context, contact, cursor, window)
            looked.append(len(found.envelopes))
            return found

        monkeypatch.setattr(deliver, "next_outgoing", counted)
        async with trio.open_nursery() as nursery:
            for start in range(0, COUNT, 10):
                texts: list[dict[str, object]] = [{"to": "Bob", "text": f"text {n}"} for n in range(start, start + 10)]
                nursery.start_soon(methods(alice).send_all, texts)

        async def arrived() -> bool:
            return len(await told(bob, "message.received")) == COUNT

        await eventually(arrived)
        assert await told(bob, "message.received") == await told(alice, "message.queued")
        assert not any(looked)
