"""``message.explain``: each way in which a message may not have arrived, and what is said of it."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from p2pchat.api import objects
from p2pchat.control import render
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.dispatch import Methods
from p2pchat.core.params import DAY_S
from p2pchat.services import contacts as book
from p2pchat.services import receipts
from p2pchat.store import contacts, messages
from p2pchat.testing.cluster import Cluster, Node, eventually
from tests.sim.people import ALICE, BOB, meet
from tests.sim.relays import meet_through_relays

CONNECTION = Connection(Channel.__new__(Channel))  # these methods do nothing with it


async def explained(node: Node, name: str) -> objects.Explanation:
    """The newest message of a conversation."""
    assert node.running is not None
    methods = Methods(node.running.context, node.running.life.online, "default", 0.0)
    contact = await node.contact(name)
    (row,) = await node.database.run(lambda tx: messages.page(tx, contact.id, None, 1))
    message = render.message_id(node.running.context.profile.store_id, row.id)
    found = await methods("message.explain", {"id": message}, CONNECTION)
    assert isinstance(found, objects.Explanation)
    return found


async def test_a_contact_who_is_not_found(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        row = await alice.add(BOB, "Bob")
        sent = await alice.send("Bob", "hello")
        found = await explained(alice, "Bob")
        assert (found.state, found.reason, found.tries, found.next_try_ms) == ("queued", None, [], None)
        assert found.expires_ms == sent.created_ms + 30 * DAY_S * 1000
        assert "Bob is not found yet" in found.text
        assert "It is given up in 29 days." in found.text or "It is given up in 30 days." in found.text
        await alice.database.run(lambda tx: contacts.set_pending_until(tx, row.id, None))
        assert "Nobody looks for Bob" in (await explained(alice, "Bob")).text


async def test_a_contact_who_is_out_of_reach_and_then_is_not(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        cluster.network.cut(alice.network, bob.network)
        contact = await alice.contact("Bob")

        async def apart() -> bool:
            return alice.running is not None and not alice.running.life.online(contact.id)

        await eventually(apart)
        await alice.send("Bob", "hello")

        async def tried() -> bool:
            found = await explained(alice, "Bob")
            return bool(found.tries) and found.next_try_ms is not None

        await eventually(tried)
        found = await explained(alice, "Bob")
        assert found.state == "queued"
        assert found.tries[-1].path == "lan"
        assert found.tries[-1].address is not None
        assert found.next_try_ms is not None
        assert found.next_try_ms > found.tries[-1].at_ms
        assert "Bob cannot be reached now." in found.text
        assert found.tries[-1].error in found.text
        assert "The next try is in " in found.text
        assert found.tries[-1].address not in found.text

        cluster.network.heal(alice.network, bob.network)

        async def delivered() -> bool:
            return (await explained(alice, "Bob")).state == "delivered"

        await eventually(delivered, within_s=3600)
        found = await explained(alice, "Bob")
        assert (found.tries, found.next_try_ms, found.expires_ms) == ([], None, None)
        assert found.text == "It is on the disk of Bob's node."
        assert (await explained(bob, "Alice")).text == "Alice sent it, and it is here."


async def test_who_has_read_it_is_told_of_ones_own_messages_alone(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await alice.send("Bob", "hello")
        await eventually(lambda: has(bob, "Alice"), within_s=60)
        (row,) = await bob.conversation("Alice")
        assert bob.running is not None
        context = bob.running.context
        await bob.database.run(lambda tx: receipts.mark_read(tx, context, row))

        async def read() -> bool:
            return (await explained(alice, "Bob")).state == "read"

        await eventually(read, within_s=60)
        assert (await explained(alice, "Bob")).text == "Bob has read it."
        found = await explained(bob, "Alice")
        assert (found.state, found.text) == ("read", "Alice sent it, and it is here.")


async def has(node: Node, name: str) -> bool:
    return bool(await node.conversation(name))


@pytest.mark.usefixtures("rare_checks")
async def test_attempts_are_bounded_and_go_with_the_contact(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        cluster.network.cut(alice.network, bob.network)
        assert alice.running is not None
        contact, attempts = await alice.contact("Bob"), alice.running.context.attempts

        async def many() -> bool:
            return len(attempts.of(contact.id)) == 16

        await eventually(many, within_s=12 * 3600)
        first = attempts.of(contact.id)[0]

        async def moved_on() -> bool:
            return attempts.of(contact.id)[0] != first

        await eventually(moved_on, within_s=3600)
        assert len(attempts.of(contact.id)) == 16
        context = alice.running.context
        await alice.database.run(lambda tx: book.remove(tx, context, contact))
        await eventually(lambda: gone(alice, contact.id))


async def gone(node: Node, contact: int) -> bool:
    assert node.running is not None
    return node.running.context.attempts.of(contact) == ()


async def test_a_try_through_a_relay_is_shown_as_one(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob, _ = await meet_through_relays(cluster)
        await cluster.crash(bob)
        await alice.send("Bob", "hello")

        async def is_tried() -> bool:
            return "relayed" in [each.path for each in (await explained(alice, "Bob")).tries]

        await eventually(is_tried, within_s=60)
        relayed = [each for each in (await explained(alice, "Bob")).tries if each.path == "relayed"]
        assert all("/p2p-circuit" in (each.address or "") for each in relayed)
        assert "The peer is not connected to the relay." in [each.error for each in relayed]
