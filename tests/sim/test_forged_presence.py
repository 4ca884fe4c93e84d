"""A contact that lies about where it, or somebody else, is reached (PROTOCOL.md 3.4): it harms itself at most."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.ids import Address, PeerId
from p2pchat.core.crypto import KeyPair
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.core.events import EventKind
from p2pchat.core.presence import Presence, PresenceKey, PresenceSlot, encode_presence, encode_presence_key
from p2pchat.core.record import Record, check_record
from p2pchat.core.rendezvous import encode_rendezvous, rendezvous_slots
from p2pchat.core.wire import PRESENCE
from p2pchat.net.addresses import from_socket
from p2pchat.services import block
from p2pchat.services import contacts as book
from p2pchat.store import contact_peers, sessions
from p2pchat.store import presence as store
from p2pchat.store.db import Tx
from p2pchat.store.presence import HeldPresence
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.number_knower import CAROL, HOUR_S, Knower, meet_and_talk, seen, talk
from tests.sim.people import ALICE, BOB, meet
from tests.sim.verifying import Person

DAVE = "+821044444444"
LAST = 0xFFFF_FFFF


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(53):
        yield


async def held(node: Node, name: str) -> HeldPresence:
    row = await node.contact(name)
    found = await node.database.run(lambda tx: store.held(tx, row.id))
    assert found is not None
    return found


async def peers(node: Node, name: str) -> set[PeerId]:
    row = await node.contact(name)
    return {known.peer for known in await node.database.run(lambda tx: contact_peers.of_contact(tx, row.id))}


async def where(node: Node, name: str) -> list[tuple[Address, ...]]:
    row = await node.contact(name)
    return [known.addresses for known in await node.database.run(lambda tx: contact_peers.of_contact(tx, row.id))]


async def three(cluster: Cluster) -> tuple[Node, Node, Node]:
    """Alice, who knows Bob and Carol; and Bob and Carol know each other."""
    alice, bob = await meet(cluster)
    carol = await cluster.add("Carol", CAROL)
    await meet_and_talk(alice, carol)
    await meet_and_talk(bob, carol)
    await trio.sleep(60)
    return alice, bob, carol


async def give(node: Node, to: Node, key: PresenceKey) -> None:
    """Say in the session that this is the presence of ``node``; until the other has taken it."""
    await Person(node).inject(to.name, PRESENCE, encode_presence_key(key))

    async def taken() -> bool:
        return (await held(to, node.name)).key == key

    await eventually(taken, within_s=60)


async def publish(knower: Knower, node: Node, said: Presence, to: list[Node]) -> None:
    """Write that into the own presence of ``node``, in the place of what stands there."""
    own = await node.database.run(store.own)
    assert own is not None
    raw = knower.sealed(own.slot(int(node.now()), CHEAP), own.gate(), encode_presence(said))
    assert await knower.put(own.loc, raw, to) == [True] * len(to)


async def test_nobody_writes_in_anothers_presence_not_even_with_the_help_of_a_storer(
    autojump_clock: MockClock,
) -> None:
    """Bob, a contact of Alice, knows where her presence stands and its key; Carol reads there."""
    async with Cluster.running() as cluster:
        alice, bob, carol = await three(cluster)
        liar = await cluster.add("Liar")
        key = (await held(bob, "Alice")).key
        now_s = int(cluster.now())
        knower = Knower(cluster, ALICE, BOB)
        mine, other = knower.writer(), knower.writer()
        false = encode_presence(Presence(bob.network.peer_id, bytes(32), LAST, bob.network.addresses()))
        week = key.at(now_s // CHEAP.epoch_s, CHEAP).key
        forged = [
            # her gate, which he cannot sign for, and his; as her, and under a writer of his own
            knower.sealed(PresenceSlot(KeyPair(mine.secret, key.gate), key.loc, week), writer, false)
            for writer in (KeyPair(mine.secret, key.gate), mine)
        ]
        forged.append(knower.sealed(PresenceSlot(mine, key.loc, week), other, false))
        for raw in forged:
            assert await knower.put(key.loc, raw, (alice, bob, carol)) == [False] * 3
        assert liar.running is not None
        liar.running.context.dht.storer._check = partial(whatever, now_s)
        for raw in forged:
            assert await knower.put(key.loc, raw, [liar]) == [True]
        # Alice goes, so that Carol reads: with the liar's help there is no more to see than without
        await cluster.crash(alice)
        cluster.network.move(alice.network)
        await cluster.start(alice)
        await talk(alice, carol, within_s=300)
        assert await peers(carol, "Alice") == await peers(bob, "Alice") == {alice.network.peer_id}
        assert (await held(carol, "Alice")).key.gate == key.gate


def whatever(now_s: int, _loc: bytes, raw: bytes, _now_s: int) -> Record:
    """What a storer that checks nothing makes of a record."""
    return Record(raw[38:70], now_s, now_s + HOUR_S, raw[:744], 60, raw)


async def test_an_older_presence_that_is_put_again_takes_nobody_back(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob, carol = await three(cluster)
        loc = (await held(bob, "Alice")).key.loc
        knower = Knower(cluster, ALICE, BOB)
        [older] = await knower.read(loc, carol)
        cluster.network.move(alice.network)
        await trio.sleep(120)
        [newer] = await knower.read(loc, carol)
        assert (
            check_record(loc, older, int(cluster.now()), CHEAP).seq
            < check_record(loc, newer, int(cluster.now()), CHEAP).seq
        )
        assert await knower.put(loc, older, (alice, bob, carol)) == [False] * 3
        await cluster.crash(alice)
        await trio.sleep(120)  # Bob cannot dial her, and has read the newer one
        assert await where(bob, "Alice") == [alice.network.addresses()]
        await cluster.crash(bob)
        eve = await cluster.add("Eve")
        await cluster.crash(carol)
        await bob.database.run(lambda tx: tx.execute("DELETE FROM held"))
        assert await knower.read(loc, eve) == ()
        assert await knower.put(loc, older, [eve]) == [True]  # nobody who is there has the newer one
        await cluster.start(bob)
        await trio.sleep(120)
        assert await where(bob, "Alice") == [alice.network.addresses()]
        await cluster.start(alice)
        await talk(alice, bob, within_s=600)


@pytest.mark.parametrize("known", [True, False], ids=["of a contact", "of a stranger"])
async def test_who_gives_anothers_presence_for_its_own_gets_no_messages_there_and_takes_none(
    known: bool, autojump_clock: MockClock
) -> None:
    async with Cluster.running() as cluster:
        if known:
            alice, bob, carol = await three(cluster)
        else:
            alice, bob = await meet(cluster)
            carol = await cluster.add("Carol", CAROL)
            await meet_and_talk(bob, carol)
            await trio.sleep(60)
        theirs = (await held(bob, "Carol")).key
        await give(bob, alice, PresenceKey(LAST, theirs.gate, theirs.epoch, theirs.key))
        before = len(carol.events)
        await cluster.crash(bob)
        await alice.send("Bob", "for Bob")
        await trio.sleep(2 * HOUR_S)
        assert carol.network.peer_id in await peers(alice, "Bob")
        # Alice may have knocked there as at Bob's; Carol has heard and is told nothing
        assert [event for event in carol.events[before:] if event.kind is not EventKind.NODE_WARNING] == []
        if known:
            await talk(alice, carol)
        await cluster.start(bob)
        await eventually(lambda: heard(bob, "Alice", "for Bob"), within_s=900)
        await talk(alice, bob, within_s=900)
        assert await seen(alice, "Bob") == ("matched", 1, "claimed")
        for name in ("Alice", "Bob") if known else ("Bob",):
            assert not await heard(carol, name, "for Bob")


async def heard(node: Node, name: str, text: str) -> bool:
    return text in await node.received(name)


async def test_an_address_of_a_victim_is_tried_every_ten_minutes_at_most(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Cluster.running() as cluster:
        alice, bob, carol = await three(cluster)
        victim = PeerId(PEER_ID_PREFIX + b"v" * 32)
        addresses: tuple[Address, ...] = tuple(from_socket("203.0.113.7", 1000 + n) for n in range(3))
        await publish(Knower(cluster, ALICE, BOB), bob, Presence(victim, bytes(32), LAST, addresses), [carol, alice])
        await cluster.crash(bob)
        tried: list[float] = []
        connect = cluster.network.connect

        async def counted(node: object, peer: PeerId, address: Address) -> None:
            if peer == victim and node is alice.network:
                tried.append(trio.current_time())
            await connect(node, peer, address)  # type: ignore[arg-type]

        monkeypatch.setattr(cluster.network, "connect", counted)
        await alice.send("Bob", "where are you?")
        await trio.sleep(HOUR_S)
        assert victim in await peers(alice, "Bob")
        since = trio.current_time()
        await trio.sleep(3 * HOUR_S)
        assert 0 < len([at for at in tried if at > since]) <= 3 * 8 * len(addresses)  # ten minutes, ± 20 %
        await talk(alice, carol)
        await cluster.start(bob)
        await eventually(lambda: heard(bob, "Alice", "where are you?"), within_s=900)
        await talk(alice, bob)


async def test_two_who_name_each_others_node_get_their_own_messages(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob, carol = await three(cluster)
        dave = await cluster.add("Dave", DAVE)
        await meet_and_talk(alice, dave)
        knower = Knower(cluster, ALICE, BOB)
        await cluster.crash(alice)
        for node in (bob, carol):
            cluster.network.move(node.network)  # where she knew them they are not
        await trio.sleep(1)
        for liar, other in ((bob, carol), (carol, bob)):
            said = Presence(other.network.peer_id, other.profile.ask, LAST, other.network.addresses())
            await publish(knower, liar, said, [dave])
        await cluster.start(alice)
        await talk(alice, dave)
        for name in ("Bob", "Carol"):
            await alice.send(name, f"for {name}")
        await eventually(lambda: heard(bob, "Alice", "for Bob"), within_s=1800)
        await eventually(lambda: heard(carol, "Alice", "for Carol"), within_s=1800)
        assert not await heard(bob, "Alice", "for Carol")
        assert not await heard(carol, "Alice", "for Bob")
        for node in (bob, carol):
            await talk(alice, node, within_s=900)


@pytest.mark.parametrize("lies", [False, True], ids=["junk", "another's key"])
async def test_what_a_contact_writes_in_slots_of_its_session_harms_nobody_else(
    lies: bool, autojump_clock: MockClock
) -> None:
    """Bob is away and has not heard of Alice's new presence: she looks for his where he may write."""
    async with Cluster.running() as cluster:
        alice, bob, carol = await three(cluster)
        dave = await cluster.add("Dave", DAVE)
        await meet_and_talk(alice, dave)
        mine, theirs = (await held(alice, "Bob")).key, (await held(bob, "Carol")).key
        between = await alice.database.run(partial(sessions.of_contact, contact=1))
        await cluster.crash(bob)
        assert alice.running is not None
        context = alice.running.context

        def part(tx: Tx) -> None:
            block.block(tx, context, book.resolve(tx, context, "Dave"))

        await alice.database.run(part)
        await trio.sleep(5)
        knower = Knower(cluster, ALICE, BOB)
        false = encode_rendezvous(PresenceKey(LAST, theirs.gate, theirs.epoch, theirs.key))
        written = [b"", b"junk", false[:-1], false + b"\0", encode_presence_key(theirs)] + [false] * lies
        for row in between:
            assert row.session.rdv is not None
            for slot, _ in rendezvous_slots(row.session.rdv, int(cluster.now()), CHEAP):
                for n, data in enumerate(written):
                    raw = knower.sealed(slot, knower.writer(), data)
                    assert await knower.put(slot.loc, raw, (carol, alice), n) == [True] * 2
        await alice.send("Bob", "for Bob")
        await trio.sleep(2 * HOUR_S)
        assert (await held(alice, "Bob")).key.gate == (theirs if lies else mine).gate
        await talk(alice, carol)
        assert await carol.received("Alice") == ["ping", "ping"]
        await cluster.start(bob)
        if not lies:  # else he has sent her to Carol's node, and that is where she looks for him
            await eventually(lambda: heard(bob, "Alice", "for Bob"), within_s=900)
        assert await seen(alice, "Bob") == ("matched", 1, "claimed")
        assert await carol.received("Alice") == ["ping", "ping"]
        await talk(alice, carol)
