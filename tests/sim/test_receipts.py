"""Receipts between two people: what is read is told once and in time, to whom it may be told and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import UsageError
from p2pchat.core.events import EventKind
from p2pchat.core.receipt import Read, encode_read
from p2pchat.core.wire import READ, TAKES_DEVICE, Ack, Batch, Item, decode_content
from p2pchat.services import block, link, receipts, receive
from p2pchat.services import contacts as book
from p2pchat.services.connect import Connector
from p2pchat.store import contacts, notices
from p2pchat.store import receipts as store
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow
from p2pchat.store.notices import NoticeRow
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.loss import Loss
from tests.sim.people import ALICE, BOB, is_matched, meet
from tests.sim.test_merge import claimed, merge, met_by_invite


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(11):
        yield


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Item]:
    """The receipts in all envelopes that anybody opened."""
    found: list[Item] = []

    def decode(content: bytes) -> tuple[Item, ...]:
        items = decode_content(content)
        found.extend(item for item in items if item.kind == READ)
        return items

    monkeypatch.setattr(receive, "decode_content", decode)
    return found


async def mark(node: Node, name: str, nth: int = -1) -> MessageRow:
    """The user of ``node`` has read the ``nth`` message that came from ``name``."""
    assert node.running is not None
    context = node.running.context
    message = [row for row in await node.conversation(name) if row.incoming][nth]
    return await node.database.run(lambda tx: receipts.mark_read(tx, context, message))


async def switch(node: Node, name: str, on: bool | None) -> None:
    contact = await node.contact(name)
    await node.database.run(lambda tx: receipts.switch(tx, contact, on))


async def states(node: Node, name: str) -> list[str]:
    """Of the messages that were sent to ``name``."""
    return [row.state for row in await node.conversation(name) if not row.incoming]


async def told(node: Node, name: str, *expected: str, within_s: float = 900) -> float:
    async def so() -> bool:
        return await states(node, name) == list(expected)

    return await eventually(so, within_s=within_s)


async def waiting(node: Node) -> int:
    return await node.database.run(lambda tx: len(tx.all("SELECT 1 FROM notice WHERE kind = ?", (READ,))))


def events(node: Node, kind: EventKind) -> list[int]:
    return [subject for event in node.events if event.kind is kind for subject in event.subjects]


async def chat(cluster: Cluster, count: int = 3) -> tuple[Node, Node]:
    """Alice and Bob, and so many messages from Alice that have arrived."""
    alice, bob = await meet(cluster)
    for number in range(count):
        await alice.send("Bob", f"text {number}")
    await told(alice, "Bob", *["delivered"] * count, within_s=60)
    await trio.sleep(5)
    return alice, bob


async def test_what_is_read_is_told_at_once_and_once_a_message(autojump_clock: MockClock, taken: list[Item]) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await chat(cluster)
        marked = await mark(bob, "Alice", 1)
        assert (marked.state, marked.read_ms) == ("read", int(cluster.now() * 1000))
        assert await told(alice, "Bob", "read", "read", "delivered", within_s=5) < 1
        read = [row for row in await alice.conversation("Bob") if row.state == "read"]
        assert all(row.read_ms is not None and row.read_ms >= (marked.read_ms or 0) for row in read)
        assert len(taken) == 1
        assert len(taken[0].body) <= 40
        for node, name in ((alice, "Bob"), (bob, "Alice")):
            ids = [row.id for row in await node.conversation(name)]
            assert events(node, EventKind.MESSAGE_READ) == ids[:2]
        await mark(bob, "Alice", 1)
        await mark(bob, "Alice", 0)
        await trio.sleep(60)
        assert len(taken) == 1
        assert await waiting(bob) == 0
        await mark(bob, "Alice")
        await told(alice, "Bob", "read", "read", "read", within_s=5)
        assert events(alice, EventKind.MESSAGE_READ) == [row.id for row in await alice.conversation("Bob")]


async def test_ones_own_message_is_not_marked(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await chat(cluster, 1)
        assert alice.running is not None
        context = alice.running.context
        (own,) = await alice.conversation("Bob")
        with pytest.raises(UsageError) as refused:
            await alice.database.run(lambda tx: receipts.mark_read(tx, context, own))
        assert (refused.value.error_name, refused.value.data) == ("INVALID_PARAMS", {"param": "id"})


async def test_it_goes_with_the_answer_or_alone_and_is_not_shown(autojump_clock: MockClock, taken: list[Item]) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await chat(cluster, 1)
        cluster.network.cut(alice.network, bob.network)
        await trio.sleep(60)
        await mark(bob, "Alice")
        await bob.send("Alice", "answer")
        cluster.network.heal(alice.network, bob.network)
        await told(alice, "Bob", "read")
        await told(bob, "Alice", "delivered")
        assert await alice.received("Bob") == ["answer"]
        assert [row.kind for row in await alice.conversation("Bob")] == [1, 1]
        assert len(taken) == 1


async def test_nobody_is_dialled_for_it(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    hurried: list[int] = []
    hurry = Connector.hurry

    def noted(self: Connector, contact: int) -> None:
        hurried.append(contact)
        hurry(self, contact)

    async with Cluster.running() as cluster:
        alice, bob = await chat(cluster, 1)
        await cluster.crash(alice)
        await trio.sleep(3600)
        monkeypatch.setattr(Connector, "hurry", noted)
        await mark(bob, "Alice")
        await trio.sleep(5)
        assert hurried == []
        assert await waiting(bob) == 1
        await cluster.start(alice)
        await told(alice, "Bob", "read")
        await trio.sleep(60)
        assert await waiting(bob) == 0


async def test_while_one_is_on_its_way_the_next_replaces_it(autojump_clock: MockClock, taken: list[Item]) -> None:
    """A program that marks each message by itself does not send an envelope for each."""
    async with Cluster.running() as cluster:
        alice, bob = await chat(cluster, 50)
        cluster.network.stall(alice.network, bob.network)
        for nth in range(50):
            await mark(bob, "Alice", nth)
            await trio.sleep(0.1)
        cluster.network.heal(alice.network, bob.network)
        await told(alice, "Bob", *["read"] * 50, within_s=60)
        assert len(taken) == 2


@pytest.mark.parametrize("kind", [Batch, Ack], ids=["the receipts are lost", "their acks are lost"])
async def test_lost_and_repeated(autojump_clock: MockClock, loss: Loss, kind: type[Batch | Ack]) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await chat(cluster)
        loss.in_order = True
        loss.first(2, kind)
        await mark(bob, "Alice", 0)
        await trio.sleep(5)
        await mark(bob, "Alice", 1)
        await trio.sleep(5)
        loss.nothing()
        cluster.network.kill_streams(alice.network, bob.network)
        await told(alice, "Bob", "read", "read", "delivered")
        await eventually(lambda: _none_waits(bob), within_s=900)
        assert loss.count > 0
        assert events(alice, EventKind.MESSAGE_READ) == [row.id for row in await alice.conversation("Bob")][:2]


async def _none_waits(node: Node) -> bool:
    return await waiting(node) == 0


async def test_a_receipt_before_the_ack_delivers_too_and_the_message_is_shown_once(
    autojump_clock: MockClock, loss: Loss
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await trio.sleep(60)
        loss.all(Ack)
        for number in range(3):
            await alice.send("Bob", f"text {number}")
        await trio.sleep(5)
        assert len(await bob.received("Alice")) == 3
        await mark(bob, "Alice", 1)
        await told(alice, "Bob", "read", "read", "sent", within_s=5)
        ids = [row.id for row in await alice.conversation("Bob")]
        assert events(alice, EventKind.MESSAGE_DELIVERED) == events(alice, EventKind.MESSAGE_READ) == ids[:2]
        assert await alice.outbox() == 1
        loss.nothing()
        cluster.network.kill_streams(alice.network, bob.network)
        await told(alice, "Bob", "read", "read", "delivered")
        assert events(alice, EventKind.MESSAGE_DELIVERED) == ids
        assert await bob.received("Alice") == [f"text {number}" for number in range(3)]


@pytest.mark.parametrize("who", ["reader", "sender", "both"])
async def test_it_survives_a_crash_of_either(autojump_clock: MockClock, who: str) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await chat(cluster)
        cluster.network.cut(alice.network, bob.network)
        await mark(bob, "Alice")
        crashed = [node for node, part in ((alice, "sender"), (bob, "reader")) if who in (part, "both")]
        for node in crashed:
            await cluster.crash(node)
        cluster.network.heal(alice.network, bob.network)
        await trio.sleep(5)
        for node in crashed:
            await cluster.start(node)
        await told(alice, "Bob", "read", "read", "read")


# -- to whom ---------------------------------------------------------------------------------------------------------


async def test_an_earlier_version_is_sent_none_until_it_knows_them(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, taken: list[Item]
) -> None:
    """It would show the item to its user, as one of a newer version."""
    with monkeypatch.context() as earlier:
        earlier.setattr(link, "FEATURES", TAKES_DEVICE)
        async with Cluster.running() as cluster:
            alice, bob = await chat(cluster)
            await mark(bob, "Alice")
            await bob.send("Alice", "answer")
            await trio.sleep(600)
            assert taken == []
            assert await states(alice, "Bob") == ["delivered"] * 3
            assert await waiting(bob) == 1
            await cluster.crash(alice)
            earlier.undo()
            await cluster.start(alice)
            await told(alice, "Bob", "read", "read", "read")
            assert await alice.received("Bob") == ["answer"]


@pytest.mark.parametrize("side", ["reader", "sender"])
async def test_switched_off_for_one_it_is_neither_sent_nor_taken(
    autojump_clock: MockClock, taken: list[Item], side: str
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await chat(cluster)
        node, name = (bob, "Alice") if side == "reader" else (alice, "Bob")
        await switch(node, name, False)
        await mark(bob, "Alice", 0)
        await trio.sleep(60)
        assert await states(alice, "Bob") == ["delivered"] * 3
        assert len(taken) == (side == "sender")  # who has them on does not know of it
        assert await waiting(bob) == 0
        await switch(node, name, None)
        await trio.sleep(60)
        assert await states(alice, "Bob") == ["delivered"] * 3  # what was read meanwhile is not told
        await mark(bob, "Alice", 1)
        await told(alice, "Bob", "read", "read", "delivered", within_s=5)


async def test_switched_off_while_it_waits_it_is_withdrawn(autojump_clock: MockClock, taken: list[Item]) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await chat(cluster)
        await cluster.crash(alice)
        await trio.sleep(60)
        await mark(bob, "Alice")
        await switch(bob, "Alice", False)
        await cluster.start(alice)
        await trio.sleep(900)
        assert taken == []
        assert await states(alice, "Bob") == ["delivered"] * 3


async def test_switched_off_for_all_with_one_exception(autojump_clock: MockClock, taken: list[Item]) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await chat(cluster)
        await bob.send("Alice", "answer")
        await told(bob, "Alice", "delivered", within_s=60)
        await bob.database.run(lambda tx: store.set_for_all(tx, on=False))
        await mark(bob, "Alice", 0)
        await mark(alice, "Bob")
        await trio.sleep(60)
        assert len(taken) == 1  # Alice's, which Bob does not take
        assert await states(alice, "Bob") == ["delivered"] * 3
        assert await states(bob, "Alice") == ["delivered"]
        await switch(bob, "Alice", True)
        await mark(bob, "Alice", 1)
        await told(alice, "Bob", "read", "read", "delivered", within_s=5)


async def test_none_to_who_is_blocked_or_looked_for_again(autojump_clock: MockClock, taken: list[Item]) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await chat(cluster)
        await cluster.crash(alice)
        await trio.sleep(60)
        await mark(bob, "Alice", 0)
        row = await bob.contact("Alice")
        assert bob.running is not None
        context = bob.running.context
        await bob.database.run(lambda tx: block.block(tx, context, row))
        assert await waiting(bob) == 0
        assert (await mark(bob, "Alice", 1)).state == "read"
        assert await waiting(bob) == 0
        await bob.database.run(lambda tx: block.unblock(tx, context, contacts.get(tx, row.id) or row))
        assert (await mark(bob, "Alice", 2)).state == "read"
        assert await waiting(bob) == 0
        await cluster.start(alice)
        await trio.sleep(600)
        assert taken == []


# -- a contact that lies, and devices that were lost -----------------------------------------------------------------


async def put(node: Node, to: str, body: bytes) -> None:
    """Have ``node`` send a receipt of our making."""
    assert node.running is not None
    context = node.running.context
    contact = await node.contact(to)
    notice = NoticeRow(READ, context.message_id(), body)
    await node.database.run(lambda tx: notices.put(tx, contact.id, notice, 1 << 40))
    context.bus.wake(contact.id)


async def test_a_lying_contact_marks_only_what_was_sent_to_it(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await chat(cluster)
        carol = await cluster.add("Carol", "+821055555555")
        await carol.add("+821012345678", "Alice")
        await alice.add("+821055555555", "Carol")
        await eventually(lambda: is_matched(carol, "Alice"), within_s=60)
        await alice.send("Carol", "for Carol")
        await told(alice, "Carol", "delivered", within_s=60)
        for row in await alice.conversation("Bob"):
            await put(carol, "Alice", encode_read(Read(row.wire_id, 255)))
            await eventually(lambda: _none_waits(carol), within_s=60)
        for unknown in (bytes(16), b"\xff" * 16):
            await put(carol, "Alice", encode_read(Read(unknown, 1)))
            await eventually(lambda: _none_waits(carol), within_s=60)
        assert await states(alice, "Bob") == ["delivered"] * 3
        assert await states(alice, "Carol") == ["delivered"]
        assert events(alice, EventKind.MESSAGE_READ) == []


async def test_what_went_to_somebody_else_is_not_read_by_who_was_chosen_instead(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await chat(cluster)
        carol = await cluster.add("Carol", "+821055555555")
        await carol.add("+821012345678", "Alice")
        assert alice.running is not None
        assert carol.running is not None
        context, root = alice.running.context, carol.running.context.identity.root.public.hex()
        await alice.add("+821055555555", "Carol")
        await eventually(lambda: is_matched(alice, "Carol"), within_s=60)
        (for_bob, *_) = await alice.conversation("Bob")
        bob = await alice.contact("Bob")

        def become(tx: Tx) -> None:
            book.remove(tx, context, book.resolve(tx, context, "Carol"))
            book.choose(tx, context, bob, root)

        await alice.database.run(become)
        # Carol knows the id, and acks nothing that went to Bob
        await alice.database.run(lambda tx: receipts.take(tx, bob.id, Read(for_bob.wire_id, 255)))
        assert await states(alice, "Bob") == ["delivered"] * 3


async def test_what_went_to_another_contact_is_not_read_by_the_one_whom_it_is_merged_with(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await met_by_invite(cluster, numbers=(ALICE, BOB))
        await alice.add(BOB, "Bob mobile")
        await bob.add(ALICE, "Alice mobile")
        await alice.send("Bob mobile", "for another")
        await alice.database.run(lambda tx: tx.execute("UPDATE message SET state = 'delivered', delivered_ms = 1"))
        await eventually(lambda: claimed(alice, "Bob mobile"), within_s=3600)
        await merge(alice, "Bob", "Bob mobile")
        await alice.send("Bob", "for Bob")
        await told(alice, "Bob", "delivered", "delivered", within_s=60)
        await mark(bob, "Alice")
        await told(alice, "Bob", "delivered", "read", within_s=60)


async def test_junk_is_kept_as_of_a_newer_version_and_marks_nothing(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await chat(cluster, 1)
        (row,) = await alice.conversation("Bob")
        await put(bob, "Alice", encode_read(Read(row.wire_id, 1)) + b"\0")
        await eventually(lambda: _none_waits(bob), within_s=60)
        assert await states(alice, "Bob") == ["delivered"]
        assert [(row.kind, row.text) for row in await alice.conversation("Bob") if row.incoming] == [(READ, None)]
        assert (await mark(alice, "Bob")).state == "read"


async def test_a_sender_that_was_restored_takes_receipts_for_what_it_has(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await chat(cluster)
        await mark(bob, "Alice", 0)
        await told(alice, "Bob", "read", "delivered", "delivered", within_s=60)
        saved = await alice.backup()
        await alice.send("Bob", "after the backup")
        await told(alice, "Bob", "read", "delivered", "delivered", "delivered", within_s=60)
        await cluster.crash(alice)
        again = await cluster.restore(alice, saved)
        assert await states(again, "Bob") == ["read", "delivered", "delivered"]
        await mark(bob, "Alice")  # of which the new device knows nothing
        await eventually(lambda: _none_waits(bob), within_s=900)
        assert await states(again, "Bob") == ["read", "delivered", "delivered"]
        await again.send("Bob", "the same number again")
        await told(again, "Bob", "read", "delivered", "delivered", "delivered")
        await mark(bob, "Alice")
        await told(again, "Bob", *["read"] * 4)
        numbers = [row.n for row in await bob.conversation("Alice")]
        assert numbers[-1] == numbers[-2]


async def test_a_reader_that_was_restored_goes_on(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await chat(cluster)
        await mark(bob, "Alice", 1)
        await told(alice, "Bob", "read", "read", "delivered", within_s=60)
        was = await bob.conversation("Alice")
        await switch(bob, "Alice", True)
        await bob.database.run(lambda tx: store.set_for_all(tx, on=False))
        saved = await bob.backup()
        await cluster.crash(bob)
        again = await cluster.restore(bob, saved)
        assert [row.read_ms for row in await again.conversation("Alice")] == [row.read_ms for row in was]
        assert (await again.contact("Alice")).receipts is True
        assert await again.database.run(store.for_all) is False
        await mark(again, "Alice")
        await told(alice, "Bob", "read", "read", "read")
        assert len(events(again, EventKind.MESSAGE_READ)) == 1
