"""``message.send`` with ``wait`` on whole nodes: it is answered in time, and many waits at once cost little."""

from __future__ import annotations

import json

import pytest
import trio
from trio.testing import MockClock

from p2pchat.api.objects import Message
from p2pchat.base.errors import UsageError
from p2pchat.control.channel import GRACE_S, Channel, Connection
from p2pchat.control.dispatch import Methods
from p2pchat.control.message_methods import MessageMethods
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node, eventually

ALICE, BOB = "+821012345678", "+821098765432"
WAITS = 60


class Caller:
    """Calls the methods of a node."""

    def __init__(self, node: Node) -> None:
        assert node.running is not None
        self._dispatch = Methods(node.running.context, node.running.life.online, "default", 0.0)
        methods = self._dispatch.families["message"]
        assert isinstance(methods, MessageMethods)
        self._connection = Connection(Channel.__new__(Channel))  # these methods do nothing with it
        self.reads = 0
        self._look = methods._found
        methods._found = self._counted  # type: ignore[method-assign]

    async def send(self, text: str, wait: str) -> Message:
        params: dict[str, object] = {"to": "Bob", "text": text, "wait": wait, "timeout_ms": 60_000}
        sent = await self._dispatch("message.send", params, self._connection)
        assert isinstance(sent, Message)
        return sent

    async def remove_after(self, seconds: float) -> None:
        await trio.sleep(seconds)
        await self._dispatch("contacts.remove", {"to": "Bob"}, self._connection)

    def _counted(self, tx: Tx, text: str) -> Message:
        self.reads += 1
        return self._look(tx, text)


async def pair(cluster: Cluster) -> tuple[Node, Node]:
    alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
    await alice.add(BOB, "Bob")
    await bob.add(ALICE, "Alice")

    async def matched() -> bool:
        return (await alice.contact("Bob")).state == (await bob.contact("Alice")).state == "matched"

    await eventually(matched)
    return alice, bob


@pytest.mark.parametrize("wait", ["queued", "sent", "delivered"])
async def test_a_wait_is_answered_when_the_message_has_come_so_far(autojump_clock: MockClock, wait: str) -> None:
    ranks = ["queued", "sent", "delivered"]
    async with Cluster.running() as cluster:
        alice, _ = await pair(cluster)
        sent = await Caller(alice).send("hello", wait)
        assert ranks.index(sent.state) >= ranks.index(wait)
        assert (sent.delivered_ms is not None) == (sent.state == "delivered")


async def test_a_wait_for_more_than_happens_times_out(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await pair(cluster)
        with pytest.raises(UsageError) as caught:
            await Caller(alice).send("hello", "read")
        assert caught.value.error_name == "TIMEOUT"


async def test_a_wait_ends_when_the_contact_is_removed(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await pair(cluster)
        caller = Caller(alice)
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.remove_after, 5.0)
            with pytest.raises(UsageError) as caught:
                await caller.send("hello", "read")
        assert caught.value.error_name == "MESSAGE_NOT_FOUND"
        assert trio.current_time() - started < 10


async def test_many_waits_read_the_store_a_few_times_each(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await pair(cluster)
        caller = Caller(alice)
        found: list[str] = []

        async def one(number: int) -> None:
            found.append((await caller.send(str(number), "delivered")).state)

        async with trio.open_nursery() as nursery:
            for number in range(WAITS):
                nursery.start_soon(one, number)
        assert found == ["delivered"] * WAITS
        assert caller.reads <= 3 * WAITS


async def test_a_wait_ends_when_its_client_is_gone(autojump_clock: MockClock) -> None:
    """And the message stays: it goes on without it."""
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        await alice.add(BOB, "Bob")
        assert alice.running is not None
        methods = Methods(alice.running.context, alice.running.life.online, "default", 0.0)
        served, client = trio.socket.socketpair()
        params = {"to": "Bob", "text": "hello", "wait": "delivered", "timeout_ms": 86_400_000}
        request = {"jsonrpc": "2.0", "id": 1, "method": "message.send", "params": params}
        ended: list[float] = []

        async def serve() -> None:
            with served:
                await Channel(trio.SocketStream(served), methods).run()
            ended.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            await client.send(json.dumps(request).encode() + b"\n")
            await trio.sleep(3600)
            assert len(methods._waiting) == 1
            client.close()
            left = trio.current_time()
            await trio.sleep(60)
            assert ended == [pytest.approx(left + GRACE_S, abs=1)]
            assert not methods._waiting
        assert await alice.outbox() == 1
