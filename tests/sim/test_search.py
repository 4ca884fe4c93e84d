"""``message.search`` and ``message.list`` with ``search`` on a whole node, and the index that grows meanwhile."""

from __future__ import annotations

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pchat.api.objects import Message, Messages
from p2pchat.base.errors import StoreError, UsageError
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.dispatch import Methods
from p2pchat.services import find, index
from p2pchat.services.context import Context
from p2pchat.store import word_index, word_search
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow
from p2pchat.testing.cluster import Cluster, Node

CONNECTION = Connection(Channel.__new__(Channel))  # these methods do nothing with it
BOB, CAROL = "+821098765432", "+821055556666"


class Caller:
    """Calls the methods of Alice's node. Nobody else is there: what she writes waits."""

    def __init__(self, node: Node) -> None:
        assert node.running is not None
        self.node = node
        self.context = node.running.context
        self._dispatch = Methods(self.context, node.running.life.online, "default", 0.0)

    async def call(self, method: str, **params: object) -> msgspec.Struct:
        return await self._dispatch(method, params, CONNECTION)

    async def send(self, to: str, *texts: str) -> None:
        for text in texts:
            await self.node.send(to, text)

    async def page(self, method: str, **params: object) -> Messages:
        page = await self.call(method, **params)
        assert isinstance(page, Messages)
        return page

    async def search(self, text: str, **params: object) -> list[str]:
        return texts((await self.page("message.search", text=text, **params)).messages)

    async def indexed(self) -> int:
        return await self.context.db.run(word_index.indexed)


def texts(messages: list[Message]) -> list[str]:
    return [message.text for message in messages]


async def caller(cluster: Cluster) -> Caller:
    alice = await cluster.add("Alice", "+821012345678")
    await alice.add(BOB, "Bob")
    await alice.add(CAROL, "Carol")
    return Caller(alice)


async def test_a_message_is_found_at_once_and_the_newest_first(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await caller(cluster)
        await alice.send("Bob", "Über die Straße", "처음부터 👍")
        await alice.send("Carol", "uber alles", "나중부터")
        assert await alice.search("ÜBER") == ["uber alles", "Über die Straße"]
        assert await alice.search("부터") == ["나중부터", "처음부터 👍"]
        assert await alice.search("부") == ["나중부터", "처음부터 👍"]
        assert await alice.search("부터", to="Bob") == ["처음부터 👍"]
        assert await alice.search("👍") == ["처음부터 👍"]
        assert await alice.search("strass ub") == ["Über die Straße"]
        assert await alice.search("nothing") == []
        (found,) = (await alice.page("message.search", text="alles")).messages
        assert found == await alice.call("message.get", id=found.id)


async def test_pages_go_on_by_position_whether_the_index_is_there_or_not(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await caller(cluster)
        for number in range(150):
            await alice.send(
                "Bob" if number % 2 else "Carol", f"word{number} {'가나다' if number % 3 else '가나 나다'}"
            )
        for batches in range(3):
            assert await alice.indexed() == 64 * batches
            for query, wanted in (
                ("word", list(range(150))),
                ("가나다", [number for number in range(150) if number % 3]),
            ):
                found: list[str] = []
                before: int | None = (1 << 63) - 1
                while before is not None:
                    page = await alice.page("message.search", text=query, before=before, limit=7)
                    found += texts(page.messages)
                    before = page.next
                    assert (len(page.messages) == 7) or before is None
                assert [int(text.split()[0][4:]) for text in found] == wanted[::-1]
                await the_list_agrees(alice, query, [number for number in wanted if number % 2])
            await alice.context.db.run(word_index.add_batch)


async def the_list_agrees(alice: Caller, query: str, wanted: list[int]) -> None:
    back: list[str] = []
    before: int | None = (1 << 63) - 1
    while before is not None:
        page = await alice.page("message.list", to="Bob", search=query, before=before, limit=10)
        back = texts(page.messages) + back
        before = page.next
    on: list[str] = []
    after: int | None = 0
    while after is not None:
        page = await alice.page("message.list", to="Bob", search=query, after=after, limit=10)
        on += texts(page.messages)
        after = page.next
    assert [int(text.split()[0][4:]) for text in on] == wanted
    assert back == on


@pytest.mark.parametrize(("method", "param"), [("message.search", "text"), ("message.list", "search")])
async def test_in_punctuation_there_is_nothing_to_search_for(
    autojump_clock: MockClock, method: str, param: str
) -> None:
    async with Cluster.running() as cluster:
        alice = await caller(cluster)
        await alice.send("Bob", "...")
        for text in ("...", " ", "\0", "\u200d"):
            with pytest.raises(UsageError) as refusal:
                await alice.call(method, **{param: text, "to": "Bob"})
            assert (refusal.value.error_name, refusal.value.data) == ("INVALID_PARAMS", {"param": param})
        with pytest.raises(UsageError, match="No contact"):
            await alice.search("x", to="Nobody")


async def test_whatever_is_removed_while_a_search_goes_on_is_not_shown(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_search, "STEP_S", -1.0)  # a message a step
    async with Cluster.running() as cluster, trio.open_nursery() as nursery:
        alice = await caller(cluster)
        await alice.send("Bob", *["of Bob's"] * 20)
        await alice.send("Carol", *["of Carol's"] * 20)
        found: list[str] = []

        async def search() -> None:
            found.extend(await alice.search("of"))

        nursery.start_soon(search)
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        assert not found
        await alice.call("contacts.remove", to="Carol")
        await trio.sleep(1)
        assert found == ["of Bob's"] * 20


async def test_a_search_is_cut_off_when_the_node_is_locked(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Cluster.running() as cluster, trio.open_nursery() as nursery:
        alice = await caller(cluster)
        refused: list[str] = []

        async def search() -> None:
            with pytest.raises(UsageError) as refusal:
                await alice.search("x")
            refused.append(refusal.value.error_name)

        async def busy(_: object) -> None:
            await trio.sleep_forever()

        monkeypatch.setattr(alice.context.db, "run", busy)
        nursery.start_soon(search)
        await trio.testing.wait_all_tasks_blocked()
        await alice._dispatch.finish()
        assert refused == ["LOCKED"]


async def test_the_index_follows_in_quiet_moments(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster, trio.open_nursery() as nursery:
        alice = await caller(cluster)
        await alice.send("Bob", *map(str, range(100)))
        nursery.start_soon(index.run, alice.context)
        await trio.sleep(1)
        assert await alice.indexed() == 64
        await alice.send("Bob", *map(str, range(27)))
        await trio.sleep(3600)
        assert await alice.indexed() == 64  # one is missing
        await alice.send("Bob", "1")
        await trio.sleep(0.2)
        assert await alice.indexed() == 64
        await trio.sleep(0.2)
        assert await alice.indexed() == 128
        sent = [*range(100), *range(27), 1]
        assert await alice.search("1") == [str(number) for number in reversed(sent) if str(number)[0] == "1"]
        nursery.cancel_scope.cancel()


async def test_while_messages_come_and_go_a_batch_is_put_in_now_and_then(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster, trio.open_nursery() as nursery:
        alice = await caller(cluster)
        await alice.send("Bob", *["before"] * 640)
        nursery.start_soon(index.run, alice.context)
        for seconds in range(1, 8):
            for _ in range(1_000):
                await alice.send("Bob", "meanwhile")
                await trio.sleep(0.001)
            if seconds % 2:
                assert await alice.indexed() == 64 * (seconds // 2)
        await trio.sleep(5)
        assert await alice.indexed() == 7_640 // 64 * 64
        nursery.cancel_scope.cancel()


async def test_a_disk_that_refuses_is_tried_again(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Cluster.running() as cluster, trio.open_nursery() as nursery:
        alice = await caller(cluster)
        await alice.send("Bob", *map(str, range(64)))
        left = [2]

        def refuse(tx: Tx) -> bool:
            if left[0]:
                left[0] -= 1
                raise StoreError("The disk is full.")
            return original(tx)

        original = word_index.add_batch
        monkeypatch.setattr(word_index, "add_batch", refuse)
        nursery.start_soon(index.run, alice.context)
        await trio.sleep(110)
        assert await alice.indexed() == 0
        await trio.sleep(20)
        assert await alice.indexed() == 64
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("method", ["message.search", "message.list"])
async def test_what_is_deleted_between_two_steps_is_not_shown(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async with Cluster.running() as cluster:
        alice = await caller(cluster)
        await alice.send("Bob", "a word 1", "a word 2", "a word 3")
        params = {"text": "word"} if method == "message.search" else {"search": "word"}
        before = (await alice.page(method, to="Bob", limit=2, **params)).messages
        found, gone = find.find, min(before, key=lambda message: message.position)

        async def deleted_meanwhile(
            context: Context, search: word_search.Search, position: int | None, limit: int
        ) -> list[MessageRow]:
            rows = await found(context, search, position, limit)
            await alice.call("message.delete", id=gone.id)
            return rows

        monkeypatch.setattr(find, "find", deleted_meanwhile)
        page = await alice.page(method, to="Bob", limit=2, **params)
        assert page.messages == [message for message in before if message.id != gone.id]
        assert page.next is not None
