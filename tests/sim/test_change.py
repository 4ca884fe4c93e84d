"""What a node does when the network around its machine changes (PROTOCOL.md 7.7)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.net.interfaces import Wait
from p2pchat.services.changes import Change
from p2pchat.testing.cluster import Node, eventually
from p2pchat.testing.memlan import MemoryInterfaces
from tests.sim.lan import World, both_matched, context_of, has, world
from tests.sim.people import ALICE, BOB

HOUR_S = 3600.0


async def acquainted(made: World) -> tuple[Node, Node]:
    """Two contacts who were told where the other is, with no LAN to find each other by again."""
    made.cluster.introduces = True
    alice, bob = await made.cluster.add("Alice", ALICE), await made.cluster.add("Bob", BOB)
    await alice.add(BOB, "Bob")
    await bob.add(ALICE, "Alice")
    await eventually(lambda: both_matched(alice, bob), within_s=60)
    await alice.send("Bob", "first")
    await eventually(lambda: has(bob, "Alice", "first"), within_s=30)
    return alice, bob


@contextmanager
def changes_of(node: Node) -> Iterator[list[Change]]:
    """Those that its services are told of."""
    told: list[Change] = []
    with context_of(node).changes.hooked(told.append):
        yield told


async def test_a_node_that_gets_another_address_is_back_within_twenty_seconds(autojump_clock: MockClock) -> None:
    async with world(lan=False) as made:
        alice, bob = await acquainted(made)
        made.unplug(alice)
        await alice.send("Bob", "from the train")
        await trio.sleep(120)
        made.plug_in(alice, moved=True)
        await bob.send("Alice", "where are you")
        await eventually(lambda: has(bob, "Alice", "from the train"), within_s=20)
        await eventually(lambda: has(alice, "Bob", "where are you"), within_s=20)


async def test_an_interface_that_was_down_for_an_hour_comes_up(autojump_clock: MockClock) -> None:
    async with world(lan=False) as made:
        alice, bob = await acquainted(made)
        made.unplug(alice)
        await alice.send("Bob", "out of the tunnel")
        await trio.sleep(HOUR_S)  # the pauses between two attempts are ten minutes by now
        made.plug_in(alice)
        await eventually(lambda: has(bob, "Alice", "out of the tunnel"), within_s=20)


async def test_after_a_sleep_what_was_connected_is_looked_at_and_contacts_are_dialled_at_once(
    autojump_clock: MockClock,
) -> None:
    async with world(lan=False) as made:
        alice, bob = await acquainted(made)
        with changes_of(alice) as changes:
            made.cluster.network.stall(alice.network, bob.network)  # Bob has long given up this connection
            made.asleep_s["Alice"] += HOUR_S
            await eventually(lambda: _is_cut_off(alice), within_s=2 + limits.CHECK_S + 1)  # not SILENCE_S
            made.cluster.network.heal(alice.network, bob.network)
            await bob.send("Alice", "good morning")
            await eventually(lambda: has(alice, "Bob", "good morning"), within_s=20)
        assert changes == [Change(slept=True)]


async def _is_cut_off(node: Node) -> bool:
    await trio.lowlevel.checkpoint()
    return not node.network.links()


async def test_connections_that_live_survive_a_change(autojump_clock: MockClock) -> None:
    async with world(lan=False) as made:
        alice, bob = await acquainted(made)
        before = alice.network.connections_to(bob.network.peer_id)
        with changes_of(alice) as changes:
            made.asleep_s["Alice"] += 60
            await trio.sleep(10)
        assert changes
        assert alice.network.connections_to(bob.network.peer_id) == before


async def test_a_node_that_moved_says_so_in_its_presence_at_once(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(lan=False) as made:
        alice, bob = await acquainted(made)
        await trio.sleep(HOUR_S)
        puts: list[float] = []
        walk = context_of(alice).dht.walk

        async def noted(loc: bytes, *, put: bytes | None = None, get: bool = True, watch_s: int = 0) -> object:
            if put is not None:
                puts.append(trio.current_time())
            return await walk(loc, put=put, get=get, watch_s=watch_s)

        monkeypatch.setattr(context_of(alice).dht, "walk", noted)
        moved_at = trio.current_time()
        made.cluster.network.move(alice.network)
        await trio.sleep(10)
        assert puts
        assert puts[0] - moved_at < 2 * limits.INTERFACES_POLL_S + limits.SETTLE_S + limits.CHECK_S
        assert bob.network.links()


class Stormy(MemoryInterfaces):
    """The kernel says without end that something may have changed."""

    @contextmanager
    def watching(self) -> Iterator[Wait]:
        yield trio.lowlevel.checkpoint


async def test_a_storm_of_messages_costs_two_looks_a_second_and_a_change_within_it_is_noticed(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(lan=False) as made:
        made.interfaces["Alice"] = stormy = Stormy(lambda: made.cluster.nodes["Alice"].network)
        alice = await made.cluster.add("Alice", ALICE)
        checks: list[float] = []

        async def check(within_s: float) -> None:
            checks.append(trio.current_time())

        monkeypatch.setattr(alice.network, "check", check)
        stormy.reads = 0
        await trio.sleep(100)
        assert stormy.reads <= 100 / limits.SETTLE_S + 1  # at both ends of the time
        assert checks == []
        moved_at = trio.current_time()
        made.cluster.network.move(alice.network)
        await trio.sleep(5)
        assert [at - moved_at < 5 for at in checks] == [True]


async def test_an_interface_that_flaps_has_connections_looked_through_no_oftener_than_that_takes(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(lan=False) as made:
        made.interfaces["Alice"] = flapping = Stormy(lambda: made.cluster.nodes["Alice"].network)
        alice = await made.cluster.add("Alice", ALICE)
        checks: list[float] = []

        async def check(within_s: float) -> None:
            checks.append(trio.current_time())
            await trio.sleep(within_s)

        monkeypatch.setattr(alice.network, "check", check)
        with changes_of(alice) as changes:
            for _ in range(300):
                flapping.is_up = not flapping.is_up
                await trio.sleep(1)
        assert 2 < len(changes) <= len(checks) <= 1 + 300 / limits.CHECK_S


async def test_a_node_that_stood_alone_joins_again_at_once(autojump_clock: MockClock) -> None:
    async with world(lan=False) as made:
        alice, bob = await acquainted(made)
        await trio.sleep(60)  # whom she has met is written down by then
        made.unplug(alice)
        await trio.sleep(4 * HOUR_S)
        assert context_of(alice).dht.peers() == 0
        made.plug_in(alice)
        await trio.sleep(10)
        assert context_of(alice).dht.peers() == 1
        assert bob.network.links()
