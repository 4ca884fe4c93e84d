"""Two at home who have met half way find each other again when nobody is left between them (PROTOCOL.md 7.4)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.services import contacts as book
from p2pchat.services.block import block
from p2pchat.services.changes import Change
from p2pchat.services.context import Context
from p2pchat.services.readings import Reader
from p2pchat.store import contact_peers
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.memnode import MemoryNode
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.mailboxes import context_of
from tests.sim.people import ALICE, BOB, is_matched
from tests.sim.relays import path, relay

HOMES = ("12.0.1.1", "12.0.2.1")


@asynccontextmanager
async def left_alone(seed: int, *, met: bool = True) -> AsyncGenerator[tuple[Cluster, Node, Node]]:
    """Alice and Bob, matched, each behind a NAT; they were connected, directly if ``met``; the relays are dead."""
    with fixed_schedule(seed):
        async with Cluster.running(seed=seed) as cluster:
            cluster.network.blocks_punching = not met
            between = [await relay(cluster, number) for number in range(2)]
            alice = await cluster.add("Alice", ALICE, host=HOMES[0], is_hidden=True)
            bob = await cluster.add("Bob", BOB, host=HOMES[1], is_hidden=True)
            await alice.add(BOB, "Bob")
            await bob.add(ALICE, "Alice")
            await eventually(lambda: is_matched(alice, "Bob"), within_s=90)
            await eventually(lambda: is_matched(bob, "Alice"), within_s=90)

            async def connected() -> bool:
                know = [bool(await each.database.run(contact_peers.met)) for each in (alice, bob)]
                return know == [met, met] and {path(alice, bob), path(bob, alice)} == {"direct" if met else "relayed"}

            await eventually(connected, within_s=90)
            cluster.introduces = False
            for each in between:
                await cluster.crash(each)
            yield cluster, alice, bob


async def say(writer: Node, to: str, text: str, reader: Node, of: str) -> Callable[[], Awaitable[bool]]:
    await writer.send(to, text)

    async def arrived() -> bool:
        return text in await reader.received(of)

    return arrived


async def test_they_go_on_and_find_each_other_again_after_both_have_started_anew(autojump_clock: MockClock) -> None:
    async with left_alone(1) as (cluster, alice, bob):
        await eventually(await say(alice, "Bob", "on", bob, "Alice"), within_s=1)
        for each in (alice, bob):
            await cluster.crash(each)
        await trio.sleep(3_600)
        for each in (alice, bob):
            await cluster.start(each)
        to_bob, to_alice = await say(alice, "Bob", "again", bob, "Alice"), await say(bob, "Alice", "too", alice, "Bob")
        assert await eventually(to_bob, within_s=30) < 5
        assert await eventually(to_alice, within_s=30) < 5
        assert path(alice, bob) == "direct"


async def test_what_else_is_tried_meanwhile_is_not_waited_for(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with left_alone(7) as (cluster, alice, bob):

        async def seek(*_: object) -> bool:
            await trio.sleep(600)  # a walk among the dead
            return False

        monkeypatch.setattr(Reader, "seek", seek)
        for each in (alice, bob):
            await cluster.crash(each)
        cluster.network.blocks_punching = True
        for each in (alice, bob):
            await cluster.start(each)
        await trio.sleep(30)
        cluster.network.blocks_punching = False
        assert await eventually(await say(alice, "Bob", "again", bob, "Alice"), within_s=600) < 12


@pytest.mark.parametrize("first", ["Alice", "Bob"])
async def test_who_has_waited_for_long_is_found_within_minutes(autojump_clock: MockClock, first: str) -> None:
    async with left_alone(2) as (cluster, alice, bob):
        late, early = (bob, alice) if first == "Alice" else (alice, bob)
        await cluster.crash(late)
        await trio.sleep(2 * 3_600)
        await cluster.start(late)
        arrived = await say(late, early.name, "good morning", early, late.name)
        assert await eventually(arrived, within_s=1_300) < 640


async def test_a_text_begins_it_anew(autojump_clock: MockClock) -> None:
    async with left_alone(3) as (cluster, alice, bob):
        cluster.network.blocks_punching = True
        cluster.network.cut(alice.network, bob.network)
        await trio.sleep(2 * 3_600)
        cluster.network.heal(alice.network, bob.network)
        cluster.network.blocks_punching = False
        arrived = await say(alice, "Bob", "now", bob, "Alice")
        await bob.send("Alice", "now, too")
        assert await eventually(arrived, within_s=60) < 12


async def test_another_network_begins_it_anew(autojump_clock: MockClock) -> None:
    """Where neither has anything to say, too: who was out of reach from the one network may not be from the other."""
    async with left_alone(4) as (cluster, alice, bob):
        cluster.network.blocks_punching = True
        cluster.network.cut(alice.network, bob.network)
        await trio.sleep(2 * 3_600)
        cluster.network.heal(alice.network, bob.network)
        cluster.network.blocks_punching = False
        for each in (alice, bob):
            context_of(each).changes.tell(Change(moved=True))

        async def together() -> bool:
            return path(alice, bob) == path(bob, alice) == "direct"

        assert await eventually(together, within_s=60) < 12


class Knocks:
    """Counts those of a node, none of which is answered."""

    def __init__(self, node: MemoryNode, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at: list[float] = []
        self.peers: set[PeerId] = set()

        async def punch(peer: PeerId, _: object, *, leads: bool, within_s: float | None = None) -> None:
            self.at.append(trio.current_time())
            self.peers.add(peer)
            await trio.sleep(within_s or limits.PUNCH_S)
            raise NetError("nobody")

        monkeypatch.setattr(node, "punch", punch)


async def test_who_stays_away_is_knocked_at_ever_more_rarely(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with left_alone(4) as (cluster, alice, bob):
        knocks = Knocks(alice.network, monkeypatch)
        began = trio.current_time()
        await cluster.crash(bob)
        await trio.sleep(6 * 3_600)
        assert 12 <= sum(at < began + 120 for at in knocks.at) <= 13
        assert 12 + 30 <= sum(at < began + 720 for at in knocks.at) <= 13 + 31
        assert 13 + 31 + 6 * 6 - 8 < len(knocks.at) <= 13 + 31 + 6 * 6
        assert knocks.peers == {bob.network.peer_id}


async def test_who_was_met_through_relays_alone_is_not_knocked_at(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with left_alone(5, met=False) as (_, alice, bob):
        knocks = Knocks(alice.network, monkeypatch)
        await trio.sleep(3_600)
        assert path(alice, bob) is None
        assert knocks.at == []


@pytest.mark.parametrize("part", [book.remove, block])
async def test_who_is_removed_or_blocked_is_knocked_at_no_more(
    part: Callable[[Tx, Context, ContactRow], object], autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with left_alone(6) as (cluster, alice, bob):
        await cluster.crash(bob)
        context = alice._context()
        row = await alice.contact("Bob")
        await alice.database.run(lambda tx: part(tx, context, row))
        await trio.sleep(30)  # another node key
        knocks = Knocks(alice.network, monkeypatch)
        await trio.sleep(3_600)
        assert knocks.at == []
        assert await alice.database.run(contact_peers.met) == {}
