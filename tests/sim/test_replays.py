"""Records, cards and reaches where they do not belong, or when (PROTOCOL.md 3.2, 3.3): nobody is moved by them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.discovery import Reach
from p2pchat.core.events import EventKind
from p2pchat.core.record import check_record
from p2pchat.services import contacts as book
from p2pchat.store import contacts
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.number_knower import CAROL, DAY_S, HOUR_S, Knower, matched, meet_and_talk, root_of, seen, talk
from tests.sim.people import ALICE, BOB, meet

SHORT = dataclasses.replace(
    CHEAP,
    epoch_s=DAY_S,
    era_s=3 * DAY_S,
    read_previous_s=6 * HOUR_S,
    record_ttl_s=3 * HOUR_S,
    republish_min_s=HOUR_S,
    republish_max_s=HOUR_S + 1800,
    presence_every_s=HOUR_S,
)
pytestmark = pytest.mark.usefixtures("rare_pings")


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(47):
        yield


def stored(node: Node) -> dict[bytes, list[bytes]]:
    """All that the node keeps, by loc."""
    assert node.running is not None
    slots = node.running.context.dht.storer._slots
    return {loc: [entry.raw for entry in slot.values()] for loc, slot in slots.items()}


async def test_a_record_is_kept_in_its_own_slot_alone_while_it_lasts_and_after_no_newer_one(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running(params=SHORT) as cluster:
        carol = await cluster.add("Carol", CAROL)
        alice, bob = await meet(cluster)
        await meet_and_talk(alice, carol)
        knower = Knower(cluster, ALICE, BOB, params=SHORT)
        taken = stored(carol)

        def writer_of(loc: bytes, raw: bytes) -> bytes:
            return check_record(loc, raw, int(cluster.now()), SHORT).writer

        assert knower.slot().loc in taken
        assert sum(map(len, taken.values())) >= 12  # of either pair two hellos, cards and reaches; and the presences
        elsewhere = {*taken, knower.slot(DAY_S).loc, knower.slot(3 * DAY_S).loc}
        nodes, before = (alice, bob, carol), {node.name: len(node.events) for node in (alice, bob)}
        for loc, records in taken.items():
            for raw in records:
                assert await knower.put(loc, raw, nodes) == [True] * 3  # they have it
                for other in elsewhere - {loc}:
                    assert await knower.put(other, raw, (carol,)) == [False]
        await trio.sleep(2 * HOUR_S)  # all were renewed
        renewed = stored(carol)
        old = [
            (loc, raw)
            for loc, records in taken.items()
            for raw in records
            if loc in renewed and raw not in renewed[loc]
        ]
        assert old
        replaced = [(loc, raw) for loc, raw in old if writer_of(loc, raw) in {writer_of(loc, r) for r in renewed[loc]}]
        assert replaced
        for loc, raw in replaced:
            assert await knower.put(loc, raw, nodes) == [False] * 3
        await trio.sleep(2 * HOUR_S)
        for loc, raw in old:
            assert await knower.put(loc, raw, nodes) == [False] * 3  # it has expired
        assert {node.name: len(node.events) for node in (alice, bob)} == before
        await talk(alice, bob)
        await talk(alice, carol)


async def test_a_storer_that_has_the_older_record_alone_takes_nobody_back(autojump_clock: MockClock) -> None:
    async with Cluster.running(params=SHORT) as cluster:
        alice, bob, carol = [await cluster.add(*who) for who in (("Alice", ALICE), ("Bob", BOB), ("Carol", CAROL))]
        await bob.add(ALICE, "Alice")
        await trio.sleep(60)
        knower = Knower(cluster, ALICE, BOB, params=SHORT)
        loc = knower.slot().loc
        [older] = await knower.read(loc, carol)
        await meet_and_talk(alice, carol)
        await trio.sleep(2 * HOUR_S)
        [newer] = await knower.read(loc, carol)
        assert newer != older
        eve = await cluster.add("Eve")
        assert await knower.put(loc, older, (eve, carol)) == [True, False]
        await trio.sleep(60)
        assert alice.running is not None
        assert (await alice.running.context.dht.walk(loc)).answered == 4  # Eve among them
        assert (await alice.running.context.dht.walk(loc)).records == (newer,)
        await alice.add(BOB, "Bob")
        await eventually(lambda: matched((alice, "Bob"), (bob, "Alice")), within_s=60)
        assert await seen(alice, "Bob") == ("matched", 1, "claimed")
        assert EventKind.CONTACT_KEY_CHANGED not in [event.kind for event in alice.events]


async def test_a_card_that_was_shown_to_an_impostor_claims_nothing_elsewhere(autojump_clock: MockClock) -> None:
    """To Bob Mallory is Alice, to Alice she is Bob; what Bob has signed she shows to Alice."""
    async with Cluster.running(seed=1) as alices, Cluster.running(seed=2) as bobs:
        alice, carol = await alices.add("Alice", ALICE), await alices.add("Carol", CAROL)
        bob, dave = await bobs.add("Bob", BOB), await bobs.add("Dave")
        to_bob, to_alice = Knower(bobs, ALICE, BOB), Knower(alices, ALICE, BOB)
        as_alice, as_bob = to_bob.pose(to_bob.slot(), 0), to_alice.pose(to_alice.slot(), 1)
        await to_bob.hello(as_alice, (bob, dave))
        await to_alice.hello(as_bob, (alice, carol))
        await bob.add(ALICE, "Alice")
        await alice.add(BOB, "Bob")
        await meet_and_talk(alice, carol)
        await trio.sleep(60)
        assert await to_bob.cards([as_alice], dave) == {root_of(bob)}
        [bobs_eph], [alices_eph] = await to_bob.met(as_alice, dave), await to_alice.met(as_bob, carol)
        shown, here = to_bob.reply(as_alice, bobs_eph), to_alice.reply(as_bob, alices_eph)
        [card] = await to_bob.opened(shown, dave)
        [raw] = await to_bob.read(shown.loc, dave)
        assert await to_alice.put(here.loc, raw, (alice, carol)) == [False] * 2
        again = to_alice.sealed(here, as_bob.writer, card)
        assert await to_alice.put(here.loc, again, (alice, carol)) == [True] * 2
        await trio.sleep(3 * HOUR_S)
        assert await seen(alice, "Bob") == await seen(bob, "Alice") == ("pending", 0, "claimed")
        assert await to_alice.reaches([as_bob], carol) == await to_bob.reaches([as_alice], dave) == []
        await talk(alice, carol)


async def test_a_reach_of_somebody_else_leads_to_nobody(autojump_clock: MockClock) -> None:
    """Mallory, alone in claiming to be Alice, sends Bob to Carol's node, with the ask32 that she was given there."""
    async with Cluster.running() as cluster:
        alice, bob, carol = [await cluster.add(*who) for who in (("Alice", ALICE), ("Bob", BOB), ("Carol", CAROL))]
        await meet_and_talk(alice, carol)
        nodes = alice, bob, carol
        knower = Knower(cluster, ALICE, BOB)
        pose = knower.pose(knower.slot(), 0)
        await knower.hello(pose, nodes)
        await bob.add(ALICE, "Alice")
        await bob.send("Alice", "for Alice")
        await trio.sleep(10)
        [eph] = await knower.met(pose, carol)
        await knower.show_card(pose, eph, nodes)
        network = carol.network
        await knower.tell_reach(pose, eph, Reach(network.peer_id, network.addresses(), carol.profile.ask), nodes)
        told = len(carol.events)
        await trio.sleep(3 * HOUR_S)
        assert await seen(bob, "Alice") == ("pending", 1, "claimed")
        assert [reach.peer_id for reach in await knower.reaches([pose], carol)] == [bob.network.peer_id]  # alone she is
        assert (len(carol.events), len(await carol.database.run(contacts.everyone))) == (told, 1)
        await talk(alice, carol)
        # the true one comes: two claim it, Bob chooses, and what waited goes to her
        await alice.add(BOB, "Bob")
        await eventually(lambda: claimed(bob, 2), within_s=2 * DAY_S, step_s=60)
        assert bob.running is not None
        context = bob.running.context
        root = root_of(alice).hex()
        await bob.database.run(lambda tx: book.choose(tx, context, book.resolve(tx, context, "Alice"), root))
        await eventually(lambda: matched((alice, "Bob"), (bob, "Alice")), within_s=2 * DAY_S, step_s=60)
        await eventually(lambda: got(alice, ["for Alice"]), within_s=60)


async def claimed(node: Node, count: int) -> bool:
    return (await node.contact("Alice")).claimants == count


async def got(node: Node, texts: list[str]) -> bool:
    return await node.received("Bob") == texts
