"""Receipts through the control API: marking, waiting until something is read, and switching them off."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import UsageError
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.dispatch import Methods
from p2pchat.testing.cluster import Cluster, Node
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import meet

Object = dict[str, object]


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(5):
        yield


class Caller:
    """Calls the methods of a node."""

    def __init__(self, node: Node) -> None:
        assert node.running is not None
        self._methods = Methods(node.running.context, node.running.life.online, "default", 0.0)
        self._connection = Connection(Channel.__new__(Channel))  # these methods do nothing with it

    async def call(self, method: str, **params: object) -> Object:
        reply: Object = msgspec.to_builtins(await self._methods(method, params, self._connection))
        return reply

    async def refused(self, method: str, **params: object) -> UsageError:
        with pytest.raises(UsageError) as refused:
            await self.call(method, **params)
        return refused.value

    async def newest(self, to: str) -> Object:
        messages = (await self.call("message.list", to=to, limit=1))["messages"]
        assert isinstance(messages, list)
        return messages[0]  # type: ignore[no-any-return]

    async def told(self, *types: str) -> list[tuple[object, ...]]:
        """Of each event type and what it says of its message."""
        events = (await self.call("events.fetch", since=0, types=list(types)))["events"]
        assert isinstance(events, list)
        fields = ("id", "state", "delivered_ms", "read_ms")
        return [(event["type"], *(event["data"][field] for field in fields)) for event in events]


async def test_waiting_until_it_is_read(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = map(Caller, await meet(cluster))
        found: list[Object] = []

        async def send() -> None:
            found.append(await alice.call("message.send", to="Bob", text="Hello", wait="read", timeout_ms=600_000))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.sleep(60)
            assert found == []
            marked = await bob.call("message.mark_read", id=(await bob.newest("Alice"))["id"])
            assert marked["state"] == "read"
        (sent,) = found
        assert sent["state"] == "read"
        assert await alice.newest("Bob") == sent
        assert await bob.newest("Alice") == marked
        at_ms = sent["delivered_ms"]
        assert await alice.told("message.delivered", "message.read") == [
            ("message.delivered", sent["id"], "delivered", at_ms, None),
            ("message.read", sent["id"], "read", at_ms, sent["read_ms"]),
        ]
        assert await bob.told("message.received", "message.read") == [
            ("message.received", marked["id"], "received", marked["delivered_ms"], None),
            ("message.read", marked["id"], "read", marked["delivered_ms"], marked["read_ms"]),
        ]


async def test_what_cannot_be_marked(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = map(Caller, await meet(cluster))
        sent = await alice.call("message.send", to="Bob", text="Hello", wait="delivered")
        own = await alice.refused("message.mark_read", id=sent["id"])
        assert (own.error_name, own.data["param"]) == ("INVALID_PARAMS", "id")
        for unknown in ("ab" * 16, "ab", sent["id"]):
            assert (await bob.refused("message.mark_read", id=unknown)).error_name == "MESSAGE_NOT_FOUND"
        assert (await bob.newest("Alice"))["state"] == "received"


async def test_the_same_key_marks_once(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = map(Caller, await meet(cluster))
        await alice.call("message.send", to="Bob", text="Hello", wait="delivered")
        message_id = (await bob.newest("Alice"))["id"]
        first = await bob.call("message.mark_read", id=message_id, idempotency_key="k")
        await trio.sleep(60)
        assert await bob.call("message.mark_read", id=message_id, idempotency_key="k") == first | {"replayed": True}
        assert await bob.call("message.mark_read", id=message_id) == first
        assert len(await bob.told("message.read")) == 1


async def test_switching_them_off_and_on(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = map(Caller, await meet(cluster))
        assert (await bob.call("identity.show"))["receipts"] is True
        assert (await bob.call("contacts.get", to="Alice"))["receipts"] is None
        changed = await bob.call("identity.set", receipts=False, idempotency_key="k")
        assert changed == await bob.call("identity.show")
        assert changed["receipts"] is False
        assert (await bob.call("contacts.receipts", to="Alice", on=True))["receipts"] is True
        assert (await bob.call("contacts.receipts", to="Alice", on=False))["receipts"] is False
        assert (await bob.call("identity.set", receipts=False, idempotency_key="k"))["replayed"] is True
        sent = await alice.call("message.send", to="Bob", text="Hello", wait="delivered")
        await bob.call("message.mark_read", id=(await bob.newest("Alice"))["id"])
        await trio.sleep(60)
        assert (await alice.newest("Bob"))["state"] == "delivered"
        assert (await bob.call("contacts.receipts", to="Alice", on=None))["receipts"] is None
        await bob.call("identity.set", receipts=True)
        await alice.call("message.send", to="Bob", text="And you?", wait="delivered")
        await bob.call("message.mark_read", id=(await bob.newest("Alice"))["id"])
        await trio.sleep(5)
        assert (await alice.call("message.get", id=sent["id"]))["state"] == "read"
        for bad in ({"to": "Alice"}, {"to": "Alice", "on": "yes"}):
            assert (await bob.refused("contacts.receipts", **bad)).data["param"] == "on"
        assert (await bob.refused("identity.set")).data["param"] == "receipts"
