"""Order between two people: what was sent first stands first, however it comes and whatever the clocks say."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pchat.api.calls import MessageList
from p2pchat.api.objects import Event
from p2pchat.cli.chat.history import History
from p2pchat.cli.chat.rows import Row, row
from p2pchat.control import render
from p2pchat.control.message_methods import MessageMethods
from p2pchat.core.events import EventKind
from p2pchat.core.params import DAY_S
from p2pchat.core.wire import Batch
from p2pchat.core.words import Query
from p2pchat.services import find
from p2pchat.store import eventlog
from p2pchat.store.db import Tx
from p2pchat.store.word_search import Search
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.loss import Loss
from tests.sim.people import meet
from tests.sim.test_receipts import mark, told


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(5):
        yield


async def say(node: Node, name: str, *texts: str) -> None:
    """One at a time, each in an envelope of its own."""
    for text in texts:
        await node.send(name, text)
        await trio.sleep(1)


async def lose(loss: Loss, node: Node, name: str, *texts: str) -> None:
    """Say what does not arrive."""
    loss.all(Batch)
    await say(node, name, *texts)
    loss.nothing()


async def arrived(node: Node, name: str, *texts: str, within_s: float = 900) -> None:
    async def so() -> bool:
        return await node.received(name) == list(texts)

    await eventually(so, within_s=within_s)


async def missing(node: Node, name: str) -> dict[str, int]:
    return {found.text or "": found.missing for found in await node.conversation(name) if found.missing}


async def listed(node: Node, name: str) -> list[Row]:
    """What ``message.list`` tells, as the conversation in the terminal takes it."""
    assert node.running is not None
    methods = MessageMethods(node.running.context, lambda _: True)
    reply = await methods.list(MessageList(to=name), None)  # type: ignore[arg-type]
    return [found for each in msgspec.to_builtins(reply)["messages"] if (found := row(each)) is not None]


class Chat:
    """A conversation that is open in a terminal, and follows the events of the node."""

    def __init__(self, node: Node, rows: list[Row], seq: int) -> None:
        self._node = node
        self._seq = seq
        self._history = History()
        self._history.begin(rows, at_start=True, at_end=True)

    @classmethod
    async def opened(cls, node: Node, name: str) -> Chat:
        return cls(node, await listed(node, name), await node.database.run(eventlog.head))

    async def follow(self) -> list[Row]:
        """What is on it after the events so far."""

        def read(tx: Tx) -> list[Event]:
            store_id = self._node.profile.store_id
            return [render.event(tx, each, lambda _: True, store_id) for each in eventlog.after(tx, self._seq, 10_000)]

        for event in await self._node.database.run(read):
            assert event.seq is not None
            self._seq = event.seq
            if event.type.startswith("message."):
                found = row(msgspec.to_builtins(event.data))
                assert found is not None
                self._history.put(found)
        return self._history.rows


@pytest.mark.parametrize("path", ["the stream is another", "the session is another"])
async def test_one_that_was_lost_on_the_way_comes_to_its_place(
    autojump_clock: MockClock, loss: Loss, path: str
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await say(alice, "Bob", "one", "two")
        chat = await Chat.opened(bob, "Alice")
        await lose(loss, alice, "Bob", "three")
        await say(alice, "Bob", "four")
        await bob.send("Alice", "Did you say something?")
        await arrived(bob, "Alice", "one", "two", "four", within_s=60)
        assert await missing(bob, "Alice") == {"four": 1}
        assert await chat.follow() == await listed(bob, "Alice")
        if path == "the stream is another":
            cluster.network.kill_streams(alice.network, bob.network)
        else:
            await bob.database.run(lambda tx: tx.execute("DELETE FROM session"))
        await say(alice, "Bob", "five")
        await arrived(bob, "Alice", "one", "two", "three", "four", "five")
        assert await missing(bob, "Alice") == {}
        assert await chat.follow() == await listed(bob, "Alice")
        assert [each.text for each in await chat.follow()][-2:] == ["Did you say something?", "five"]
        received = [event for event in bob.events if event.kind is EventKind.MESSAGE_RECEIVED]
        assert sum(len(event.subjects) for event in received) == 5


async def test_what_is_lost_for_good_is_told_and_disturbs_nothing(autojump_clock: MockClock, loss: Loss) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await say(alice, "Bob", "one")
        await lose(loss, alice, "Bob", "two", "three")
        await alice.database.run(lambda tx: tx.execute("UPDATE message SET state = 'failed' WHERE state = 'sent'"))
        await alice.database.run(lambda tx: tx.execute("DELETE FROM envelope WHERE bytes IS NOT NULL"))
        await say(alice, "Bob", "four", "five")
        cluster.network.kill_streams(alice.network, bob.network)
        await say(alice, "Bob", "six")
        await arrived(bob, "Alice", "one", "four", "five", "six")
        assert await missing(bob, "Alice") == {"four": 2}


async def test_a_late_one_is_unread_until_it_is_read_and_is_found(autojump_clock: MockClock, loss: Loss) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await say(alice, "Bob", "one")
        await lose(loss, alice, "Bob", "two")
        await say(alice, "Bob", "three")
        await mark(bob, "Alice")
        await told(alice, "Bob", "read", "sent", "read", within_s=60)
        cluster.network.kill_streams(alice.network, bob.network)
        await arrived(bob, "Alice", "one", "two", "three")
        await told(alice, "Bob", "read", "delivered", "read", within_s=60)
        assert bob.running is not None
        assert [each.text for each in await find.find(bob.running.context, Search(Query.of("two")), None, 9)] == ["two"]
        await trio.sleep(60)
        assert [each.state for each in await bob.conversation("Alice")] == ["read", "received", "read"]
        await mark(bob, "Alice", 1)
        await told(alice, "Bob", "read", "read", "read", within_s=60)
        assert [each.state for each in await bob.conversation("Alice")] == ["read"] * 3


@pytest.mark.parametrize("ahead", [1, -1])
async def test_clocks_that_are_wrong_by_a_day_order_nothing(autojump_clock: MockClock, loss: Loss, ahead: int) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await say(alice, "Bob", "one")
        await say(bob, "Alice", "ONE")
        alice.now.skew_s, bob.now.skew_s = ahead * DAY_S, -ahead * DAY_S
        await lose(loss, alice, "Bob", "two")
        await say(alice, "Bob", "three")
        await say(bob, "Alice", "TWO")
        alice.now.skew_s, bob.now.skew_s = -ahead * DAY_S, ahead * DAY_S
        cluster.network.kill_streams(alice.network, bob.network)
        await say(alice, "Bob", "four")
        await say(bob, "Alice", "THREE")
        await arrived(bob, "Alice", "one", "two", "three", "four")
        await arrived(alice, "Bob", "ONE", "TWO", "THREE")
        assert [each.text for each in await bob.conversation("Alice")] == [
            *("one", "ONE", "two", "three", "TWO", "four", "THREE")
        ]
        assert await missing(bob, "Alice") == await missing(alice, "Bob") == {}
        assert await bob.outbox() == await alice.outbox() == 0


async def test_the_numbers_of_a_restored_device_are_its_own(autojump_clock: MockClock, loss: Loss) -> None:
    """It uses numbers again that the lost one has used after the backup."""
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await say(alice, "Bob", "one", "two")
        saved = await alice.backup()
        await say(alice, "Bob", "three", "four")
        await arrived(bob, "Alice", "one", "two", "three", "four", within_s=60)
        await cluster.crash(alice)
        again = await cluster.restore(alice, saved)
        await say(again, "Bob", "new three")
        await arrived(bob, "Alice", "one", "two", "three", "four", "new three")
        await lose(loss, again, "Bob", "new four")
        await say(again, "Bob", "new five")
        assert await missing(bob, "Alice") == {"new five": 1}
        cluster.network.kill_streams(again.network, bob.network)
        await arrived(bob, "Alice", "one", "two", "three", "four", "new three", "new four", "new five")
        assert await missing(bob, "Alice") == {}


async def test_a_restored_reader_is_told_of_what_the_lost_one_had(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await say(alice, "Bob", "one", "two")
        saved = await bob.backup()
        await say(alice, "Bob", "three", "four")
        await told(alice, "Bob", *["delivered"] * 4, within_s=60)
        await cluster.crash(bob)
        again = await cluster.restore(bob, saved)
        await say(alice, "Bob", "five")
        await arrived(again, "Alice", "one", "two", "five")
        assert await missing(again, "Alice") == {"five": 2}
