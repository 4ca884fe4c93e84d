"""Blocking bites (PROTOCOL.md 3.4): what the blocked one knew leads nowhere, and nobody else loses anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import RootKey
from p2pchat.core.events import EventKind
from p2pchat.core.prekeys import ask_proof
from p2pchat.core.wire import Bundle, BundleRequest, Hello, decode_frame, encode_frame
from p2pchat.net.pump import FrameReader, write_frames
from p2pchat.services import block, greet, presence
from p2pchat.services import contacts as book
from p2pchat.services.link import MSG_PROTOCOL
from p2pchat.store import contact_peers, contacts, sessions
from p2pchat.store import presence as store
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from p2pchat.testing.upkeep import rare_upkeep

NUMBERS = {"Alice": "+821012345678", "Bob": "+821098765432", "Carol": "+821055555555", "Dave": "+821044444444"}
HOUR_S = 3600
SHORT = dataclasses.replace(
    CHEAP, record_ttl_s=6 * HOUR_S, presence_every_s=HOUR_S, republish_min_s=2 * HOUR_S, republish_max_s=3 * HOUR_S
)


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(21):
        yield


@pytest.fixture
def seldom() -> Iterator[None]:
    """For hours in which little happens."""
    with rare_upkeep():
        yield


async def befriend(cluster: Cluster, *pairs: tuple[str, str]) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    for name in dict.fromkeys(name for pair in pairs for name in pair):
        nodes[name] = await cluster.add(name, NUMBERS[name])
    for one, other in pairs:
        await nodes[one].add(NUMBERS[other], other)
        await nodes[other].add(NUMBERS[one], one)

    async def all_know() -> bool:
        return all([await acknowledged(nodes[a], b) and await acknowledged(nodes[b], a) for a, b in pairs])

    await eventually(all_know, within_s=60)
    return nodes


async def acknowledged(node: Node, name: str) -> bool:
    """Whether the contact has the node's newest presence."""

    def look(tx: Tx) -> bool:
        own = store.own(tx)
        return own is not None and row.id not in store.without(tx, own.n) and row.state == "matched"

    row = await node.contact(name)
    return await node.database.run(look)


async def blocked(node: Node, name: str) -> ContactRow:
    assert node.running is not None
    context = node.running.context
    return await node.database.run(lambda tx: block.block(tx, context, book.resolve(tx, context, name)))


async def unblocked(node: Node, name: str) -> ContactRow:
    assert node.running is not None
    context = node.running.context
    return await node.database.run(lambda tx: block.unblock(tx, context, book.resolve(tx, context, name)))


async def delivered(sender: Node, to: str) -> bool:
    return {row.state for row in await sender.conversation(to) if not row.incoming} == {"delivered"}


async def test_others_go_on_at_once_and_the_blocked_one_reaches_nobody(autojump_clock: MockClock) -> None:
    async with Cluster.running(params=SHORT) as cluster:
        nodes = await befriend(cluster, ("Alice", "Bob"), ("Alice", "Carol"))
        alice, bob, carol = nodes.values()
        before, old_key = alice.network.peer_id, (await alice.database.run(store.own))
        row = await blocked(alice, "Bob")
        assert row.state == "blocked"
        await alice.send("Carol", "still here")
        await carol.send("Alice", "good")
        assert await eventually(lambda: delivered(alice, "Carol"), within_s=60) < 20
        assert await eventually(lambda: delivered(carol, "Alice"), within_s=60) < 20
        assert alice.network.peer_id != before
        assert [event.kind for event in alice.events].count(EventKind.NODE_RENEWED) == 1

        await cluster.crash(carol)
        await bob.send("Alice", "why?")
        await trio.sleep(SHORT.record_ttl_s + HOUR_S)  # whatever was published has expired
        assert not await delivered(bob, "Alice")
        assert await alice.received("Bob") == []
        assert not (await alice.contact("Bob")).matched_s
        assert bob.running is not None
        assert old_key is not None
        assert (await bob.running.context.dht.walk(old_key.loc)).records == ()


async def test_who_was_blocked_and_finds_the_new_node_learns_nothing_there(autojump_clock: MockClock) -> None:
    """The address is often the same: what admits is ask32, and that is another one."""
    async with Cluster.running() as cluster:
        nodes = await befriend(cluster, ("Alice", "Bob"), ("Alice", "Carol"))
        alice, bob, _ = nodes.values()
        row = await bob.contact("Alice")
        peers = await bob.database.run(lambda tx: contact_peers.of_contact(tx, row.id))
        await blocked(alice, "Bob")
        await trio.sleep(5)
        await bob.network.dial(alice.network.peer_id, alice.network.addresses())
        stream = await bob.network.open(alice.network.peer_id, MSG_PROTOCOL)
        asks = {peer.ask for peer in peers if peer.ask}
        assert asks
        await write_frames(stream, [encode_frame(Hello(0))])
        frames = FrameReader(stream, CHEAP.frame_bytes)
        assert isinstance(decode_frame(await frames.read() or b""), Hello)
        for ask in asks:
            proof = ask_proof(ask, alice.network.peer_id, bob.network.peer_id)
            await write_frames(stream, [encode_frame(BundleRequest(proof))])
            assert decode_frame(await frames.read() or b"") == Bundle(b"")  # as for any stranger


async def test_what_waited_fails_and_nothing_more_is_taken(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        nodes = await befriend(cluster, ("Alice", "Bob"))
        alice, bob = nodes.values()
        await cluster.crash(bob)
        await trio.sleep(60)
        await alice.send("Bob", "you were not there")
        await blocked(alice, "Bob")
        [message] = await alice.conversation("Bob")
        assert (message.state, message.reason) == ("failed", "the contact is blocked")
        assert await alice.outbox() == 0
        with pytest.raises(UsageError, match="blocked") as refused:
            await alice.send("Bob", "once more")
        assert refused.value.error_name == "BLOCKED"
        with pytest.raises(UsageError, match="blocked"):
            await alice.add(NUMBERS["Bob"], "Bob")
        kinds = [event.kind for event in alice.events]
        assert kinds.count(EventKind.MESSAGE_FAILED) == kinds.count(EventKind.CONTACT_BLOCKED) == 1


async def test_a_second_block_changes_nothing_and_unblocking_finds_the_same_person_again(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        nodes = await befriend(cluster, ("Alice", "Bob"))
        alice, bob = nodes.values()
        root = (await alice.contact("Bob")).root
        await blocked(alice, "Bob")
        await trio.sleep(5)
        peer = alice.network.peer_id
        await blocked(alice, "Bob")
        await trio.sleep(5)
        assert alice.network.peer_id == peer
        row = await unblocked(alice, "Bob")
        assert (row.state, row.root) == ("pending", root)
        await alice.send("Bob", "never mind")
        await eventually(lambda: delivered(alice, "Bob"), within_s=10 * 24 * HOUR_S, step_s=60)
        assert await bob.received("Alice") == ["never mind"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_who_is_unblocked_is_back_within_minutes_wherever_their_node_is_by_then(
    restarted: bool, seldom: None, autojump_clock: MockClock
) -> None:
    """The other one is not told, and looks for nobody: whoever unblocks goes to them."""
    async with Cluster.running(params=SHORT) as cluster:
        nodes = await befriend(cluster, ("Alice", "Bob"), ("Alice", "Carol"))
        alice, bob, _ = nodes.values()
        for node in (alice, bob):
            await node.database.run(lambda tx: tx.execute("UPDATE contact SET trust = 'in_person'"))
        await trio.sleep(10 * HOUR_S)  # nobody looks for anybody any more, and what they left in their slots has gone
        await blocked(alice, "Bob")
        await trio.sleep(HOUR_S)
        cluster.network.move(bob.network)
        if restarted:
            await cluster.crash(alice)
            await cluster.start(alice)
        await trio.sleep(HOUR_S)
        await unblocked(alice, "Bob")
        await alice.send("Bob", "sorry")
        await bob.send("Alice", "finally")
        assert await eventually(lambda: delivered(alice, "Bob"), within_s=HOUR_S) < 120
        assert await eventually(lambda: delivered(bob, "Alice"), within_s=HOUR_S) < 120
        assert await bob.received("Alice") == ["sorry"]
        assert await eventually(lambda: acknowledged(alice, "Bob"), within_s=HOUR_S) < 120


@pytest.mark.parametrize("restarted", [False, True])
async def test_nobody_looks_for_who_is_blocked(restarted: bool, seldom: None, autojump_clock: MockClock) -> None:
    """What they gave is kept for the day when they are unblocked; until then nothing is read, or dialled."""
    async with Cluster.running() as cluster:
        nodes = await befriend(cluster, ("Alice", "Bob"), ("Alice", "Carol"))
        alice, bob, _ = nodes.values()
        row = await blocked(alice, "Bob")
        await trio.sleep(5)
        if restarted:
            await cluster.crash(alice)
            await cluster.start(alice)
        assert alice.running is not None
        context = alice.running.context
        walked: list[bytes] = []
        walk = context.dht.walk
        own = await bob.database.run(store.own)
        assert own is not None
        loc = own.slot(int(bob.now()), CHEAP).loc

        async def noting(slot: bytes, *args: object, **named: object) -> object:
            walked.append(slot)
            return await walk(slot, *args, **named)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(context.dht, "walk", noting)
            await trio.sleep(14 * HOUR_S)
            assert walked
            assert loc not in walked
            assert await alice.database.run(lambda tx: contact_peers.of_contact(tx, row.id)) == []
            await unblocked(alice, "Bob")
            await trio.sleep(60)
            assert loc in walked


@pytest.mark.parametrize("also_moved", [False, True])
async def test_two_who_both_blocked_somebody_while_they_were_apart_meet_again(
    also_moved: bool, autojump_clock: MockClock
) -> None:
    """Neither knows the other's new PeerID, and what each had published is gone: a slot of their session is left."""
    async with Cluster.running() as cluster:
        nodes = await befriend(cluster, ("Alice", "Carol"), ("Alice", "Bob"), ("Carol", "Dave"))
        alice, carol = nodes["Alice"], nodes["Carol"]
        for node in (alice, carol):
            await node.database.run(lambda tx: tx.execute("UPDATE contact SET trust = 'in_person'"))
        await cluster.crash(carol)
        await blocked(alice, "Bob")
        await trio.sleep(HOUR_S)
        await cluster.crash(alice)
        await cluster.start(carol)
        await blocked(carol, "Dave")
        await trio.sleep(HOUR_S)
        if also_moved:
            cluster.network.move(carol.network)
        await cluster.start(alice)
        await alice.send("Carol", "where are you?")
        took_s = await eventually(lambda: delivered(alice, "Carol"), within_s=24 * HOUR_S, step_s=10)
        assert took_s < 7 * HOUR_S
        assert await carol.received("Alice") == ["where are you?"]


async def test_a_presence_is_made_anew_after_28_days_and_the_one_before_is_kept_30(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", NUMBERS["Alice"])
        assert alice.running is not None
        context = alice.running.context
        await cluster.crash(alice)  # the database alone is needed, and the days go by faster
        published: dict[int, list[int]] = {}
        asks: set[bytes] = set()
        for day in range(90):
            await alice.database.run(lambda tx: presence.own(tx, context))
            await alice.database.run(presence.forget_ended)
            owned = await alice.database.run(store.all_own)
            published.setdefault(owned[0].n, []).append(day)
            assert [own.n for own in owned[1:]] == [n for n, days in published.items() if 0 < day - days[-1] <= 30][
                ::-1
            ]
            asks |= {own.ask for own in owned}
            await trio.sleep(24 * HOUR_S)
        assert published == {n: list(range(28 * n - 28, min(28 * n, 90))) for n in (1, 2, 3, 4)}
        assert len(asks) == 4


async def test_the_ask32_of_an_earlier_version_ends_with_a_block_too(autojump_clock: MockClock) -> None:
    """It told the one of the profile in a Reach, before there was any presence."""
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", NUMBERS["Alice"])
        row = await alice.add(NUMBERS["Bob"], "Bob")
        await alice.database.run(lambda tx: contacts.set_root(tx, row.id, RootKey(bytes(32)), 0))
        assert await alice.database.run(store.own) is None
        await blocked(alice, "Bob")
        own = await alice.database.run(store.own)
        assert own is not None
        assert own.ask != alice.profile.ask


async def test_a_bundle_that_comes_after_the_block_makes_no_session(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        nodes = await befriend(cluster, ("Alice", "Bob"))
        alice, bob = nodes.values()
        assert alice.running is not None
        assert bob.running is not None
        context, theirs = alice.running.context, bob.running.context
        own = await bob.database.run(store.own)
        assert own is not None
        proof = ask_proof(own.ask, bob.network.peer_id, alice.network.peer_id)
        raw = await bob.database.run(lambda tx: greet.answer_request(tx, theirs, proof, alice.network.peer_id))
        assert raw
        row = await blocked(alice, "Bob")
        assert not await alice.database.run(lambda tx: greet.make_flight(tx, context, row.id, raw, replace=None))
        assert await alice.database.run(lambda tx: sessions.of_contact(tx, row.id)) == []
