"""Two people who are never here together: both sides, through holders that keep to the protocol."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Node, eventually
from tests.sim.test_collector import alice_and_bob, emptied, has, use

pytestmark = pytest.mark.usefixtures("rare_pings")


async def all_are(node: Node, name: str, state: str) -> bool:
    return {row.state for row in await node.conversation(name) if not row.incoming} == {state}


def lose_sessions(tx: Tx) -> None:
    tx.execute("DELETE FROM session")


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("killed", [False, True])
async def test_what_is_written_to_who_is_away_is_there_when_the_writer_is(
    lost: bool, killed: bool, autojump_clock: MockClock
) -> None:
    async with alice_and_bob() as (cluster, alice, bob, holders):
        if lost:
            await alice.database.run(lose_sessions)
        texts = [f"text {n}" for n in range(100)]
        for text in texts:
            await alice.send("Bob", text)
            await trio.sleep(0.3)
        await eventually(lambda: all_are(alice, "Bob", "held"), within_s=60)
        await trio.sleep(60)
        await cluster.crash(alice)
        if killed:
            cluster.network.down(holders[0].node)
        await cluster.start(bob)
        await eventually(lambda: has(bob, "Alice", texts), within_s=30)
        await trio.sleep(60)
        await eventually(lambda: emptied(*holders[killed:]), within_s=60)
        await cluster.start(alice)
        await eventually(lambda: all_are(alice, "Bob", "delivered"), within_s=900)
        assert await bob.received("Alice") == texts


async def test_acks_come_back_through_the_mailboxes_of_the_writer(autojump_clock: MockClock) -> None:
    async with alice_and_bob() as (cluster, alice, bob, holders):
        await trio.sleep(1000)
        await use(alice, *holders)
        await alice.send("Bob", "hello")
        await eventually(lambda: all_are(alice, "Bob", "held"), within_s=60)
        await trio.sleep(30)
        cluster.network.cut(alice.network, bob.network)  # each reaches the holders, and not the other
        await cluster.start(bob)
        await eventually(lambda: has(bob, "Alice", ["hello"]), within_s=60)
        await bob.send("Alice", "hello yourself")
        await eventually(lambda: has(alice, "Bob", ["hello yourself"]), within_s=600)
        await eventually(lambda: all_are(alice, "Bob", "delivered"), within_s=600)
        await eventually(lambda: all_are(bob, "Alice", "delivered"), within_s=600)
