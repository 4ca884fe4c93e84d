"""What several clients and a stream ask of the store at once is one commit: what one of them has left to be sealed
may be sealed, numbered anew or withdrawn by the next."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.limits import UNACKED_BYTES
from p2pchat.core.delivery import Window
from p2pchat.core.events import EventKind
from p2pchat.services import contacts as book
from p2pchat.services import deliver, withdraw
from p2pchat.services.context import Context
from p2pchat.services.deliver import Cursor, Outgoing
from p2pchat.services.send import Outbox, Queued
from p2pchat.store import messages
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import meet

pytestmark = pytest.mark.usefixtures("rare_pings")

Between = Callable[[Tx, Context, MessageRow], None]


async def apart(cluster: Cluster) -> tuple[Node, Node]:
    """Alice, and Bob who is down after they have talked: no stream looks for anything but when it is said here."""
    alice, bob = await meet(cluster)
    await alice.send("Bob", "before")

    async def arrived() -> bool:
        return await alice.outbox() == 0

    await eventually(arrived, within_s=60)
    await cluster.crash(bob)
    await trio.sleep(60)
    return alice, bob


async def queue_and_seal(alice: Node, texts: int, between: Between) -> tuple[list[MessageRow], Outgoing | None]:
    """Queue so many texts, let something else happen, and seal what was queued: one transaction."""
    assert alice.running is not None
    context = alice.running.context

    def commit(tx: Tx) -> tuple[list[MessageRow], Outgoing | None]:
        outbox = Outbox(tx, context)
        to = book.resolve(tx, context, "Bob")
        for number in range(texts):
            outbox.put(to, f"new {number}")
        outbox.commit()
        rows = [row for each in tx.left if isinstance(each, Queued) for row in each.rows]
        between(tx, context, rows[0])
        return rows, deliver.seal_queued(tx, context, to.id, rows, Cursor(), UNACKED_BYTES)

    return await alice.database.run(commit)


def look(tx: Tx, context: Context, row: MessageRow, room: int = UNACKED_BYTES) -> None:
    """A stream looks for what it may carry."""
    assert deliver.next_outgoing(tx, context, row.contact, Cursor(), Window(room)).envelopes


async def told_sent(alice: Node) -> list[int]:
    return [each for event in alice.events if event.kind is EventKind.MESSAGE_SENT for each in event.subjects]


async def agree(cluster: Cluster, bob: Node, alice: Node, *texts: str) -> None:
    """Bob comes back, and gets it all, in order and once; nothing is missing, and nothing waits."""
    await cluster.start(bob)

    async def arrived() -> bool:
        return await alice.outbox() == 0

    await eventually(arrived, within_s=3600)
    assert await bob.received("Alice") == ["before", *texts]
    assert [row.missing for row in await bob.conversation("Alice")] == [0] * (1 + len(texts))


async def test_what_a_stream_has_found_already_is_not_sealed_again(autojump_clock: MockClock) -> None:
    with fixed_schedule(0):
        async with Cluster.running() as cluster:
            alice, bob = await apart(cluster)
            (row,), outgoing = await queue_and_seal(alice, 1, look)
            assert outgoing is None
            assert (await told_sent(alice)).count(row.id) == 1
            await agree(cluster, bob, alice, "new 0")


async def test_nor_what_a_stream_has_found_a_part_of(autojump_clock: MockClock) -> None:
    def some(tx: Tx, context: Context, row: MessageRow) -> None:
        look(tx, context, row, room=1)

    with fixed_schedule(0):
        async with Cluster.running() as cluster:
            alice, bob = await apart(cluster)
            rows, outgoing = await queue_and_seal(alice, 300, some)
            assert outgoing is None
            sent = await told_sent(alice)
            assert max(sent.count(row.id) for row in rows) == 1
            await agree(cluster, bob, alice, *[f"new {number}" for number in range(300)])


async def test_what_was_numbered_anew_keeps_its_new_number(autojump_clock: MockClock) -> None:
    """Else a number would count as sealed that belongs to the next text, which would never leave."""
    with fixed_schedule(0):
        async with Cluster.running() as cluster:
            alice, bob = await apart(cluster)
            first = await alice.send("Bob", "taken back")

            def cancel(tx: Tx, context: Context, row: MessageRow) -> None:
                found = messages.get(tx, first.id)
                assert found is not None
                withdraw.cancel(tx, found)
                look(tx, context, row)

            _, outgoing = await queue_and_seal(alice, 1, cancel)
            assert outgoing is None
            await alice.send("Bob", "next")
            await agree(cluster, bob, alice, "new 0", "next")


async def test_what_was_taken_back_does_not_leave(autojump_clock: MockClock) -> None:
    def cancel(tx: Tx, context: Context, row: MessageRow) -> None:
        withdraw.cancel(tx, row)

    with fixed_schedule(0):
        async with Cluster.running() as cluster:
            alice, bob = await apart(cluster)
            (row,), outgoing = await queue_and_seal(alice, 1, cancel)
            assert outgoing is None
            assert row.id not in await told_sent(alice)
            await agree(cluster, bob, alice)
