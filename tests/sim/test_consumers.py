"""Consumers on whole nodes: through restarts, locks and backups, and subscriptions that are overtaken or not read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from p2pchat.api import objects
from p2pchat.base.errors import P2PChatError, UsageError
from p2pchat.base.limits import EVENTS_PAGE_BYTES
from p2pchat.control.channel import Connection
from p2pchat.control.dispatch import Methods
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.services import retention
from p2pchat.services.retention import bound_log
from p2pchat.store import consumers, eventlog
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node
from tests.sim.calling import call, methods, refused, send


class Client(Connection):
    """A client's connection, whose reader the test holds up; ``told``: the seqs that it has read."""

    def __init__(self) -> None:
        self.told: list[int | None] = []
        self.ended_with: str | None = None
        self.followers: list[Callable[[], Awaitable[None]]] = []
        self.reads = trio.Event()
        self.reads.set()

    async def notify(self, method: str, params: object) -> None:
        await self.reads.wait()
        assert isinstance(params, objects.EventNotification)
        self.told.append(params.seq)

    def after_reply(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        async def follow() -> None:
            try:
                await task(*args)
            except P2PChatError as error:
                self.ended_with = error.error_name

        self.followers.append(follow)


@asynccontextmanager
async def subscribed(node: Node, client: Client, **params: object) -> AsyncIterator[int]:
    """The cursor of a subscription, which runs until the end of the block."""
    found = await methods(node)("events.subscribe", params, client)
    assert isinstance(found, objects.Subscription)
    async with trio.open_nursery() as nursery:
        for follower in client.followers:
            nursery.start_soon(follower)
        await trio.testing.wait_all_tasks_blocked()
        yield found.cursor
        nursery.cancel_scope.cancel()


async def fetched(node: Node, since: object, **params: object) -> list[int | None]:
    """The seqs of what a fetch replies."""
    found = await call(node, "events.fetch", since=since, **params)
    assert isinstance(found, objects.Events)
    return [event.seq for event in found.events]


async def ack(node: Node, seq: int, name: str = "bot") -> objects.Consumer:
    found = await call(node, "events.ack", consumer=name, seq=seq)
    assert isinstance(found, objects.Consumer)
    return found


async def note(node: Node, count: int, text: str = "x") -> int:
    """Notes to oneself, two events each; the seq of the last."""
    for _ in range(count):
        await send(node, "self", text)
    return await head(node)


async def head(node: Node) -> int:
    return await node.database.run(eventlog.head)


async def a_week_later(node: Node) -> None:
    """And what upkeep does then."""
    node.now.skew_s += 8 * 86_400
    await bound_log(node.database)


async def known(node: Node) -> list[tuple[str, int]]:
    found = await call(node, "events.consumers")
    assert isinstance(found, objects.Consumers)
    return [(each.name, each.seq) for each in found.consumers]


async def test_a_consumer_goes_on_where_it_was_whatever_becomes_of_the_daemon(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        node = await cluster.add("Alice")
        bot = {"consumer": "bot", "start": 0}
        last = await note(node, 3)
        assert await fetched(node, bot) == list(range(1, last + 1))
        assert await fetched(node, bot) == list(range(1, last + 1)), "reading is not having done with it"
        await ack(node, last - 2)
        await cluster.crash(node)
        await cluster.start(node)
        assert await known(node) == [("bot", last - 2)]
        client = Client()
        async with subscribed(node, client, since=bot) as cursor:
            assert cursor == last - 2
            newest = await note(node, 1)
            await trio.sleep(1)
            assert client.told == list(range(last - 1, newest + 1))
            assert await ack(node, newest) == await ack(node, newest - 1)
        assert await fetched(node, bot) == []
        forgotten = await call(node, "events.forget", consumer="bot")
        assert isinstance(forgotten, objects.Consumer)
        assert forgotten.seq == newest
        assert await fetched(node, {"consumer": "bot"}) == []
        assert await known(node) == [("bot", newest)]


async def test_several_read_as_one_and_each_is_told_everything(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        node = await cluster.add("Alice")
        one, other = Client(), Client()
        began = await head(node)
        async with subscribed(node, one, since={"consumer": "bot"}), subscribed(node, other, since={"consumer": "bot"}):
            last = await note(node, 2)
            await ack(node, last)
            await trio.sleep(1)
            assert one.told == other.told == list(range(began + 1, last + 1))


async def test_of_two_types_a_consumer_may_ask_for_one(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        node = await cluster.add("Alice")
        began = await head(node)
        await note(node, 2)
        queued = {"since": {"consumer": "bot", "start": began}, "types": ["message.queued"]}
        first, second = await fetched(node, **queued)
        await ack(node, first or 0)
        assert await fetched(node, **queued) == [second]
        rows = await node.database.run(consumers.everyone)
        assert [row.types for row in rows] == [("message.queued",)]


@pytest.mark.parametrize("since", [{"since": 1}, {"since": {"consumer": "bot", "start": 1}}], ids=["seq", "consumer"])
async def test_a_stuck_subscriber_that_is_overtaken_is_told_so_and_misses_nothing_silently(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, since: dict[str, object]
) -> None:
    monkeypatch.setattr(retention, "EVENTS_KEPT", 10)
    async with Cluster.running() as cluster:
        node = await cluster.add("Alice")
        client = Client()
        await note(node, 5)
        client.reads = trio.Event()
        async with subscribed(node, client, **since):
            held = await head(node)  # its page ends here
            await note(node, 20)
            await a_week_later(node)
            oldest = await node.database.run(eventlog.oldest)
            assert oldest > held + 1
            client.reads.set()
            await trio.sleep(1)
            assert client.told == list(range(2, held + 1))
            assert client.ended_with == "CURSOR_EXPIRED"
        again = await refused(node, "events.subscribe", **since)
        assert (again.error_name, again.data) == ("CURSOR_EXPIRED", {"oldest": oldest})


async def test_a_consumer_that_was_passed_says_where_it_goes_on(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "EVENTS_KEPT", 10)
    async with Cluster.running() as cluster:
        node = await cluster.add("Alice")
        bot = {"consumer": "bot", "start": 0}
        assert await fetched(node, bot) == []
        last = await note(node, 20)
        await bound_log(node.database)
        assert len(await fetched(node, bot)) == last, "it was made within a week"
        await a_week_later(node)
        hello = await call(node, "node.hello")
        assert isinstance(hello, objects.Hello)
        assert (hello.head, hello.oldest) == (last, last - 9)
        for _ in range(2):
            error = await refused(node, "events.fetch", since=bot)
            assert (error.error_name, error.data) == ("CURSOR_EXPIRED", {"oldest": hello.oldest})
        await ack(node, hello.oldest - 1)
        assert await fetched(node, bot) == list(range(hello.oldest, hello.head + 1))


async def test_a_subscription_holds_one_page_of_texts(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        node = await cluster.add("Alice")
        text = "x" * 60_000
        began = await note(node, 1)
        last = await note(node, 20, text)
        rendered: list[int] = []
        subscriptions = methods(node)
        events = subscriptions._events._subscriptions
        page = events._page

        def counted(*arguments: object) -> object:
            cursor, found, at_end = page(*arguments)  # type: ignore[arg-type]
            rendered.append(len(found))
            return cursor, found, at_end

        events._page = counted  # type: ignore[method-assign,assignment]
        client = Client()
        client.reads = trio.Event()
        await subscriptions("events.subscribe", {"since": began}, client)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.followers[0])
            await trio.sleep(3600)
            assert rendered == [EVENTS_PAGE_BYTES // len(text) + 1]
            client.reads.set()
            await trio.sleep(1)
            assert client.told == list(range(began + 1, last + 1))
            nursery.cancel_scope.cancel()


async def test_a_restored_profile_knows_no_consumer_and_no_seq_of_before(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        node = await cluster.add("Alice", "+821012345678")
        last = await note(node, 30)
        await ack_new(node, last)
        records = await node.backup()
        await cluster.crash(node)
        again = await cluster.restore(node, records)
        assert await known(again) == []
        assert await head(again) < last
        for since in (last, {"consumer": "bot", "start": last}):
            error = await refused(again, "events.subscribe", since=since)
            assert (error.error_name, error.data) == ("CURSOR_EXPIRED", {"oldest": 1})
        assert await fetched(again, {"consumer": "bot", "start": 0}) == list(range(1, await head(again) + 1))


async def ack_new(node: Node, seq: int) -> None:
    await fetched(node, {"consumer": "bot", "start": 0}, limit=1)
    await ack(node, seq)


async def test_while_a_node_is_being_locked_a_consumer_is_kept(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        node = await cluster.add("Alice")
        client = Client()
        served: Methods = methods(node)
        found = await served("events.subscribe", {"since": {"consumer": "bot", "start": 0}}, client)
        assert isinstance(found, objects.Subscription)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.followers[0])
            await trio.sleep(1)
            await served.finish()
            await served.end_subscriptions()
        assert client.ended_with == "LOCKED"
        with pytest.raises(UsageError, match="nobody has that name"):
            await ack(node, 1, "another")
        assert await known(node) == [("bot", 0)]


async def test_a_seq_with_types_outlives_what_others_do_to_the_log(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "EVENTS_KEPT", 4)
    async with Cluster.running() as cluster:
        node = await cluster.add("Alice")
        began, client = await head(node), Client()
        quiet = {"since": began, "types": ["contact.removed", "node.*"]}
        async with subscribed(node, client, **quiet):
            await note(node, 10)
            await bound_log(node.database)
            assert await node.database.run(eventlog.oldest) > began + 1
            await node.database.run(lambda tx: tx.emit(DomainEvent(EventKind.NODE_STARTED)))
            await trio.sleep(1)
            assert client.told == await fetched(node, began, types=["node.*"])
            assert len(client.told) == 1
        again = Client()
        async with subscribed(node, again, **quiet):
            await trio.sleep(1)
            assert again.told == client.told
        assert (await refused(node, "events.subscribe", since=began)).error_name == "CURSOR_EXPIRED"


async def test_a_place_is_of_one_log(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        node = await cluster.add("Alice")
        last = await note(node, 3)
        hello = await call(node, "node.hello")
        assert isinstance(hello, objects.Hello)
        assert (hello.head, hello.oldest) == (last, 1)
        saved = await node.backup()
        await cluster.crash(node)
        await cluster.start(node)
        assert await fetched(node, last - 1, log=hello.log) == [last]
        async with subscribed(node, Client(), since=last, log=hello.log):
            pass
        await cluster.crash(node)
        again = await cluster.restore(node, saved)
        await note(again, 3)
        for method in ("events.subscribe", "events.fetch"):
            for since in (1, {"consumer": "bot"}):
                error = await refused(again, method, since=since, log=hello.log)
                assert (error.error_name, error.data) == ("CURSOR_EXPIRED", {"oldest": 1})
        other = await methods(again)("events.subscribe", {"since": 1}, Client())
        assert isinstance(other, objects.Subscription)
        assert other.log not in ("", hello.log)
        assert await fetched(again, 1, log=other.log, limit=1) == [2]


async def test_hello_says_what_the_log_has_after_every_commit(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "EVENTS_KEPT", 5)
    async with Cluster.running() as cluster:
        node = await cluster.add("Alice")
        ends = node.database.log

        async def is_exact() -> bool:
            return (ends.head, ends.oldest) == await node.database.run(
                lambda tx: (eventlog.head(tx), eventlog.oldest(tx))
            )

        def fails(tx: Tx) -> None:
            tx.emit(DomainEvent(EventKind.NODE_STARTED))
            raise UsageError("no")

        for _ in range(3):
            await note(node, 4)
            assert await is_exact()
            with pytest.raises(UsageError):
                await node.database.run(fails)
            await node.database.run(lambda tx: tx.emit(DomainEvent(EventKind.MESSAGE_READ, 1, more=3)))
            assert await is_exact()
            await bound_log(node.database)
            assert await is_exact()
        node.now.skew_s += 40 * 86_400
        await bound_log(node.database)
        assert await is_exact()
        assert ends.oldest == ends.head + 1
