"""Taking a message back before it has left, and forgetting one."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from p2pchat.api import objects
from p2pchat.base.errors import UsageError
from p2pchat.control import render
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.dispatch import Methods
from p2pchat.store import contacts, messages, sessions
from p2pchat.store.db import Tx
from p2pchat.store.messages import MessageRow
from p2pchat.testing.cluster import Cluster, Node, eventually
from tests.sim.people import ALICE, BOB, meet

CONNECTION = Connection(Channel.__new__(Channel))  # these methods do nothing with it


async def call(node: Node, method: str, **params: object) -> object:
    assert node.running is not None
    methods = Methods(node.running.context, node.running.life.online, "default", 0.0)
    return await methods(method, params, CONNECTION)


async def refused(node: Node, method: str, message: str) -> str:
    with pytest.raises(UsageError) as caught:
        await call(node, method, id=message)
    return caught.value.error_name


def shown_id(node: Node, row: MessageRow) -> str:
    assert node.running is not None
    return render.message_id(node.running.context.profile.store_id, row.id)


async def rows(node: Node, name: str) -> list[MessageRow]:
    contact = await node.contact(name)
    return (await node.database.run(lambda tx: messages.page(tx, contact.id, None, 100)))[::-1]


async def texts(node: Node, name: str) -> list[str | None]:
    return [row.text for row in await rows(node, name)]


async def told(node: Node, kind: str) -> list[object]:
    found = await call(node, "events.fetch", since=0, types=[kind])
    assert isinstance(found, objects.Events)
    return [event.data for event in found.events]


def reason_of(data: object) -> str | None:
    assert isinstance(data, objects.Message)
    return data.reason


async def test_what_is_cancelled_leaves_no_gap_in_the_numbers(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        cluster.network.cut(alice.network, bob.network)
        contact = await alice.contact("Bob")

        async def apart() -> bool:
            return alice.running is not None and not alice.running.life.online(contact.id)

        await eventually(apart)
        for n in range(4):
            await alice.send("Bob", f"text {n}")
        queued = [row for row in await rows(alice, "Bob") if row.state == "queued"]
        assert [row.text for row in queued] == [f"text {n}" for n in range(4)]
        for row in (queued[1], queued[3]):
            cancelled = await call(alice, "message.cancel", id=shown_id(alice, row))
            assert isinstance(cancelled, objects.Message)
            assert (cancelled.state, cancelled.reason) == ("cancelled", "cancelled by the user")
        again = await call(alice, "message.cancel", id=shown_id(alice, queued[1]))
        assert isinstance(again, objects.Message)
        assert again.state == "cancelled"
        assert [reason_of(data) for data in await told(alice, "message.cancelled")] == ["cancelled by the user"] * 2
        assert {reason_of(data) for data in await told(alice, "message.queued")} == {None}
        cluster.network.heal(alice.network, bob.network)
        await alice.send("Bob", "last")

        async def arrived() -> bool:
            return "last" in await texts(bob, "Alice")

        await eventually(arrived, within_s=3600)
        assert [(row.text, row.n) for row in await rows(bob, "Alice")] == [("text 0", 1), ("text 2", 2), ("last", 3)]


async def test_what_has_left_or_came_is_not_taken_back(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await alice.send("Bob", "hello")

        async def delivered() -> bool:
            return [row.state for row in await rows(alice, "Bob")] == ["delivered"]

        await eventually(delivered)
        (sent,), (came,) = await rows(alice, "Bob"), await rows(bob, "Alice")
        assert await refused(alice, "message.cancel", shown_id(alice, sent)) == "INVALID_PARAMS"
        assert await refused(bob, "message.cancel", shown_id(bob, came)) == "INVALID_PARAMS"
        assert await refused(alice, "message.cancel", "00" * 16) == "MESSAGE_NOT_FOUND"


async def test_what_is_on_its_way_is_not_forgotten_before_it_is_there(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await alice.send("Bob", "first")

        async def all_are(state: str) -> bool:
            return {row.state for row in await rows(alice, "Bob")} == {state}

        await eventually(lambda: all_are("delivered"))
        (first,) = await rows(alice, "Bob")
        await alice.database.run(lambda tx: tx.execute("UPDATE message SET state = 'sent' WHERE id = ?", (first.id,)))
        assert await refused(alice, "message.delete", shown_id(alice, first)) == "INVALID_PARAMS"
        assert await texts(alice, "Bob") == ["first"]
        assert await texts(bob, "Alice") == ["first"]


async def test_a_deleted_message_stays_away_when_it_comes_again(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await alice.send("Bob", "a secret")

        async def arrived() -> bool:
            return await texts(bob, "Alice") == ["a secret"]

        await eventually(arrived)
        (row,) = await rows(bob, "Alice")
        message = shown_id(bob, row)
        assert await call(bob, "message.delete", id=message) == objects.Deleted(id=message)
        assert await texts(bob, "Alice") == []
        assert await refused(bob, "message.get", message) == "MESSAGE_NOT_FOUND"
        assert await refused(bob, "message.delete", message) == "MESSAGE_NOT_FOUND"
        assert await told(bob, "message.received") == await told(bob, "message.deleted") == [{"id": message}]
        assert await texts(alice, "Bob") == ["a secret"]

        def unsettle(tx: Tx) -> None:  # as a state that was restored would: it goes out again, in a new session
            tx.execute("UPDATE message SET state = 'queued'")
            sessions.forget_all(tx)

        await alice.database.run(unsettle)
        await alice.send("Bob", "another")

        async def both() -> bool:
            return {row.state for row in await rows(alice, "Bob")} == {"delivered"}

        await eventually(both, within_s=3600)
        assert await texts(bob, "Alice") == ["another"]


async def test_what_is_queued_is_cancelled_when_it_is_deleted(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        await alice.add(BOB, "Bob")
        params: dict[str, object] = {"to": "Bob", "text": "a secret", "idempotency_key": "key"}
        sent = await call(alice, "message.send", **params)
        assert isinstance(sent, objects.Message)
        first = await call(alice, "message.delete", id=sent.id, idempotency_key="other")
        again = await call(alice, "message.delete", id=sent.id, idempotency_key="other")
        assert (first, again) == (objects.Deleted(id=sent.id), objects.Deleted(id=sent.id, replayed=True))
        assert await texts(alice, "Bob") == []

        def kept(tx: Tx) -> list[tuple[object, ...]]:
            return tx.all("SELECT text, body FROM message") + tx.all("SELECT result FROM idempotency")

        shown = repr(await alice.database.run(kept))
        assert shown.startswith("[(None, None), (b'")
        assert "a secret" not in shown
        assert await alice.database.run(messages.outbox_size) == 0
        bob = await alice.contact("Bob")
        assert await alice.database.run(lambda tx: contacts.take_n(tx, bob.id)) == 1


async def test_a_call_that_is_repeated_sends_nothing_again_after_the_message_was_deleted(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        params: dict[str, object] = {"to": "Bob", "text": "once", "idempotency_key": "key"}
        sent = await call(alice, "message.send", **params, wait="delivered")
        assert isinstance(sent, objects.Message)
        naming: dict[str, object] = {"to": "Bob", "text": f"as I said in {sent.id}", "idempotency_key": "other"}
        other = await call(alice, "message.send", **naming, wait="delivered")
        assert isinstance(other, objects.Message)
        await call(alice, "message.delete", id=sent.id)
        again = await call(alice, "message.send", **params)
        assert isinstance(again, objects.Message)
        assert (again.id, again.text, again.replayed) == (sent.id, "", True)
        named = await call(alice, "message.send", **naming)
        assert isinstance(named, objects.Message)
        assert (named.id, named.text, named.replayed) == (other.id, other.text, True)
        with pytest.raises(UsageError) as conflict:
            await call(alice, "message.send", **{**params, "text": "another"})
        assert conflict.value.error_name == "IDEMPOTENCY_CONFLICT"
        assert await texts(bob, "Alice") == ["once", naming["text"]]
