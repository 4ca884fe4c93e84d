"""Where an owner has its mailboxes: after a block, when a contact's node is another, and when this node chooses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import NetError
from p2pchat.core.params import DAY_S
from p2pchat.services import block, mailboxes
from p2pchat.services.holders import Candidate, ask
from p2pchat.store import contact_peers, own_mailbox
from p2pchat.store.own_mailbox import OwnMailbox
from p2pchat.testing.cluster import Cluster, Node, eventually
from tests.sim.box_holder import BoxHolder
from tests.sim.leaving import places, running
from tests.sim.people import BOB, is_matched, meet
from tests.sim.test_collector import alice_and_bob, candidates_are, told, use, uses

pytestmark = pytest.mark.usefixtures("rare_pings")


async def blocked(node: Node, name: str) -> None:
    context, row = running(node), await node.contact(name)
    await node.database.run(lambda tx: block.block(tx, context, row))


async def befriend(cluster: Cluster, bob: Node, name: str, number: str) -> None:
    other = await cluster.add(name, number)
    await other.add(BOB, "Bob")
    await bob.add(number, name)
    await eventually(lambda: is_matched(bob, name), within_s=60)


async def in_use(node: Node) -> list[OwnMailbox]:
    return await node.database.run(own_mailbox.in_use)


async def names(node: Node, name: str, holder: BoxHolder, seq: int, *, proven: bool = False) -> None:
    """``name``'s presence says that the holder is theirs."""
    contact, peer, addresses = (await node.contact(name)).id, holder.node.peer_id, holder.node.addresses()
    await node.database.run(lambda tx: contact_peers.save(tx, contact, peer, addresses, bytes(32), seq))
    if proven:
        await node.database.run(lambda tx: contact_peers.prove(tx, contact, peer))
    await node.database.run(own_mailbox.name_contacts)


@pytest.mark.slow
async def test_after_a_block_a_stranger_chosen_by_this_node_is_asked_no_more_and_not_chosen_again(
    autojump_clock: MockClock,
) -> None:
    async with alice_and_bob(0) as (cluster, _alice, bob, _):
        before, after = BoxHolder(cluster, 4), BoxHolder(cluster, 5)
        await cluster.start(bob)
        candidates_are(running(bob), before)
        await use(bob, auto=True)
        assert await uses(bob, before)
        await blocked(bob, "Alice")
        assert await in_use(bob) == []
        await trio.sleep(60)
        candidates_are(running(bob), before, after)
        await eventually(lambda: uses(bob, after), within_s=DAY_S, step_s=60)
        await trio.sleep(4 * DAY_S)
        assert await uses(bob, after)
        assert {len(each) for each in before.askers.values()} == {1}


async def test_after_a_block_the_mailbox_at_another_contacts_node_stays(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        _, bob = await meet(cluster)
        await befriend(cluster, bob, "Carol", "+821011112222")
        holder = BoxHolder(cluster, 3)
        await use(bob, holder)
        await names(bob, "Carol", holder, 1, proven=True)
        (before,) = await in_use(bob)
        await blocked(bob, "Alice")
        await eventually(lambda: told(bob, 1), within_s=120)
        (after,) = await in_use(bob)
        assert (after.id, after.seed) == (before.id, before.seed)
        assert len(holder.only().tokens) == 1
        assert after.token != before.token


async def test_a_life_whose_node_key_has_ended_asks_for_no_mailbox_any_more(autojump_clock: MockClock) -> None:
    async with alice_and_bob(0) as (cluster, _alice, bob, _):
        holder = BoxHolder(cluster, 4)
        await cluster.start(bob)
        context = running(bob)
        candidate = Candidate(holder.node.peer_id, holder.node.addresses())
        mailbox = await ask(context, candidate, chosen=True)
        before = context.profile
        settled = mailboxes.Settled((mailbox,), (), None, False, None, context.profile.node_seed)
        ended = replace(context)  # as a life has it that is not over yet
        await blocked(bob, "Alice")
        await trio.sleep(5)
        ended.profile, ended.network, ended.dht = before, running(bob).network, running(bob).dht
        asked = len(holder.asked)
        with pytest.raises(NetError, match="another by now"):
            await ask(ended, candidate, chosen=True)
        assert len(holder.asked) == asked
        await bob.database.run(lambda tx: mailboxes.settle(tx, ended, settled))
        (kept,) = await in_use(bob)
        assert kept.peer == holder.node.peer_id
        assert kept.seed != mailbox.seed  # that one was told under the node key before
        assert kept.granted_s is None


async def test_when_a_contact_has_another_node_the_mailbox_is_asked_for_there(autojump_clock: MockClock) -> None:
    async with alice_and_bob(1) as (cluster, alice, bob, (before,)):
        await cluster.start(bob)
        await names(bob, "Alice", before, 1)
        after = BoxHolder(cluster, 5)
        await names(bob, "Alice", after, 2)
        await trio.sleep(3600)
        assert await uses(bob, before)  # which answers
        cluster.network.down(before.node)
        await eventually(lambda: uses(bob, after), within_s=3600, step_s=10)
        (mailbox,) = await in_use(bob)
        assert mailbox.chosen
        assert mailbox.contact == (await bob.contact("Alice")).id
        where = await places(alice, "Bob")
        assert where is not None
        assert [each.peer_id for each in where.mailboxes] == [after.node.peer_id]


async def test_an_earlier_or_a_blocked_node_of_a_contact_is_not_followed(autojump_clock: MockClock) -> None:
    async with alice_and_bob(1) as (cluster, _alice, bob, (now,)):
        await cluster.start(bob)
        earlier, barred = BoxHolder(cluster, 5), BoxHolder(cluster, 6)
        await names(bob, "Alice", earlier, 1)
        await names(bob, "Alice", now, 2)
        await names(bob, "Alice", barred, 3)
        await befriend(cluster, bob, "Eve", "+821033334444")
        await names(bob, "Eve", barred, 3)
        await blocked(bob, "Eve")
        cluster.network.down(now.node)
        await trio.sleep(7200)
        assert await uses(bob, now)
        assert not earlier.asked
        assert not barred.asked


async def test_two_strangers_that_this_node_chooses_are_of_two_networks(autojump_clock: MockClock) -> None:
    async with alice_and_bob(0) as (cluster, _alice, bob, _):
        near = [BoxHolder(cluster, number, f"8.8.8.{number}") for number in range(4, 7)]
        await cluster.start(bob)
        candidates_are(running(bob), *near)
        await use(bob, auto=True)
        (only,) = await in_use(bob)
        far = BoxHolder(cluster, 9, "8.8.9.1")
        candidates_are(running(bob), *near, far)
        await eventually(lambda: told(bob, 2), within_s=DAY_S, step_s=60)
        assert {each.peer for each in await in_use(bob)} == {only.peer, far.node.peer_id}
        assert sum(bool(holder.kept) for holder in near) == 1


async def test_a_contact_that_offers_comes_before_strangers(autojump_clock: MockClock) -> None:
    async with alice_and_bob(0) as (cluster, _alice, bob, _):
        theirs, *strangers = (BoxHolder(cluster, number) for number in range(4, 8))
        await cluster.start(bob)
        await names(bob, "Alice", theirs, 1)
        candidates_are(running(bob), *strangers)
        await use(bob, auto=True)
        found = await in_use(bob)
        assert len(found) == 2
        assert found[0].peer == theirs.node.peer_id
