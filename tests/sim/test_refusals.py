"""What the services refuse of what a user asks for: by its name, and nothing has changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import ContactId
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.dispatch import Methods
from p2pchat.services import block, contacts, invites
from p2pchat.services.context import Context
from p2pchat.store import contacts as rows
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node
from tests.sim.mailboxes import context_of
from tests.sim.people import ALICE, BOB, meet

CAROL = "+821055555555"


def methods_of(node: Node) -> Methods:
    assert node.running is not None
    return Methods(node.running.context, node.running.life.online, "default", 0.0)


async def refused(node: Node, ask: Callable[[Tx, Context], object]) -> UsageError:
    """What is said to it; the book is as before."""

    def book(tx: Tx) -> list[ContactRow]:
        return rows.everyone(tx)

    context, before = context_of(node), await node.database.run(book)
    with pytest.raises(UsageError) as error:
        await node.database.run(lambda tx: ask(tx, context))
    assert await node.database.run(book) == before
    return error.value


@pytest.mark.parametrize(
    ("text", "name"),
    [("", "INVALID_PARAMS"), ("half of \ud83d", "INVALID_PARAMS"), ("é" * 32_769, "TOO_LARGE")],
)
async def test_a_text_that_is_none(autojump_clock: MockClock, text: str, name: str) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        await alice.add(BOB, "Bob")
        with pytest.raises(UsageError) as error:
            await alice.send("Bob", text)
        assert (error.value.error_name, (error.value.data or {})["param"]) == (name, "text")
        assert await alice.texts_sent("Bob") == []
        await alice.send("Bob", "é" * 32_768)


async def test_a_node_without_a_number_looks_for_nobody_by_number(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice")
        said = await refused(alice, lambda tx, context: contacts.add(tx, context, BOB, "Bob"))
        assert (said.error_name, said.data) == ("INVALID_PARAMS", {"param": "number"})


async def test_who_is_found_and_is_added_again_has_the_new_name_and_is_not_looked_for(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await meet(cluster)
        before = await alice.contact("Bob")
        again = await alice.add(BOB, "Robert")
        assert (again.id, again.name, again.state) == (before.id, "Robert", "matched")
        assert again.pending_until_s == before.pending_until_s


async def test_whom_a_merge_can_be_of(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await meet(cluster)
        bob, carol = await alice.contact("Bob"), await alice.add(CAROL, "Carol")
        nameless = await alice.database.run(lambda tx: rows.add(tx, ContactId(b"nameless"), "N", None, None))
        said = await refused(alice, lambda tx, context: contacts.merge(tx, context, bob, carol))
        assert (said.error_name, said.message) == (
            "INVALID_PARAMS",
            "to: has a number, and a contact has one",
        )
        said = await refused(alice, lambda tx, context: contacts.merge(tx, context, carol, bob))
        assert said.message == "to: is not settled itself; name the one that is matched"
        by_invite = replace(bob, number=None)
        said = await refused(alice, lambda tx, context: contacts.merge(tx, context, by_invite, nameless))
        assert said.message == "other: must be one that was added by number"


async def test_what_is_not_there(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        bob = await alice.add(BOB, "Bob")
        said = await refused(alice, lambda tx, _: invites.revoke(tx, "00" * 8))
        assert (said.error_name, said.data) == ("INVALID_PARAMS", {"param": "id"})
        said = await refused(alice, lambda tx, context: block.unblock(tx, context, bob))
        assert said.data == {"param": "to"}
        with pytest.raises(UsageError, match="none of this connection"):
            await methods_of(alice)(
                "events.unsubscribe", {"subscription": "none"}, Connection(Channel.__new__(Channel))
            )


async def test_a_context_that_has_ended_holds_no_secret_any_more(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        context = context_of(await cluster.add("Alice", ALICE))
        await cluster.crash(cluster.nodes["Alice"])
        await trio.testing.wait_all_tasks_blocked()
        context.forget()
        context.forget()  # a second time there is nothing left
        for name in ("db", "identity", "profile", "network", "dht"):
            assert not hasattr(context, name)
