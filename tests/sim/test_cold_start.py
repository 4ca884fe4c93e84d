"""Two people at home start their nodes at one moment: neither is where the other has known it (PROTOCOL.md 7.2)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.core.presence import open_presence
from p2pchat.net import circuits
from p2pchat.net.transport import Network
from p2pchat.store import presence as store
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import ALICE, BOB, is_matched
from tests.sim.relays import relay, relays_of


async def meet_at_home(cluster: Cluster, relays: int) -> tuple[Node, Node, list[Node]]:
    """Alice and Bob, whose own addresses are private, matched, and the nodes that relay."""
    between = [await relay(cluster, number) for number in range(relays)]
    alice = await cluster.add("Alice", ALICE, host="192.168.1.2", is_hidden=True)
    bob = await cluster.add("Bob", BOB, host="192.168.2.2", is_hidden=True)
    await alice.add(BOB, "Bob")
    await bob.add(ALICE, "Alice")
    await eventually(lambda: is_matched(alice, "Bob"), within_s=60)
    await eventually(lambda: is_matched(bob, "Alice"), within_s=60)
    await trio.sleep(60)
    return alice, bob, between


async def test_those_who_start_at_once_with_other_relays_than_before_meet_within_seconds(
    autojump_clock: MockClock,
) -> None:
    with fixed_schedule(5):
        async with Cluster.running(seed=5) as cluster:
            alice, bob, between = await meet_at_home(cluster, relays=4)
            before = relays_of(alice) | relays_of(bob)
            assert len(before) < 4
            for person in (alice, bob):
                await cluster.crash(person)
            for each in between:
                if bytes(each.network.peer_id) in before:
                    await cluster.crash(each)
            await trio.sleep(600)
            await cluster.start(alice)
            await cluster.start(bob)
            await alice.send("Bob", "good morning")
            await bob.send("Alice", "good day")

            async def arrived() -> bool:
                texts = await bob.received("Alice"), await alice.received("Bob")
                return texts == (["good morning"], ["good day"])

            assert await eventually(arrived, within_s=60) < 6


async def test_a_start_does_not_replace_what_leads_to_a_node_by_what_leads_nowhere(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fixed_schedule(2):
        async with Cluster.running(seed=2) as cluster:
            alice, bob, between = await meet_at_home(cluster, relays=2)
            contact = await alice.contact("Bob")
            held = await alice.database.run(lambda tx: store.held(tx, contact.id))
            assert held is not None
            await cluster.crash(bob)
            await trio.sleep(60)
            reserve = circuits.reserve

            async def reserve_late(network: Network, relay: PeerId, now_s: float) -> circuits.Granted:
                await trio.sleep(2)
                return await reserve(network, relay, now_s)

            monkeypatch.setattr(circuits, "reserve", reserve_late)
            await cluster.start(bob)
            assert between[0].running is not None
            seen: list[int] = []
            for _ in range(50):
                for raw in (await between[0].running.context.dht.walk(held.key.loc)).records:
                    seen.append(len(open_presence(held.key, raw, int(cluster.now()), CHEAP).presence.circuits))
                await trio.sleep(0.1)
            assert seen
            assert min(seen) > 0


async def test_where_no_relay_grants_anything_it_is_published_all_the_same(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(network: Network, relay: PeerId, now_s: float) -> circuits.Granted:
        raise NetError("It does not.")

    with fixed_schedule(3):
        async with Cluster.running(seed=3) as cluster:
            alice, bob, between = await meet_at_home(cluster, relays=2)
            contact = await alice.contact("Bob")
            held = await alice.database.run(lambda tx: store.held(tx, contact.id))
            assert held is not None
            await cluster.crash(bob)
            monkeypatch.setattr(circuits, "reserve", refuse)
            await cluster.start(bob)
            await trio.sleep(10)
            assert between[0].running is not None
            records = (await between[0].running.context.dht.walk(held.key.loc)).records
            said = [open_presence(held.key, raw, int(cluster.now()), CHEAP).presence for raw in records]
            assert [(each.addresses, each.circuits) for each in said] == [(bob.network.addresses(), ())]
