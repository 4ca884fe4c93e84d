"""What a contact, or somebody who claims to be one, may say and do without harm; and what must not get stuck."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import NetError, PeerError
from p2pchat.base.ids import Address, PeerId, RootKey
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.core.presence import Presence, encode_presence
from p2pchat.core.record import check_record
from p2pchat.net.addresses import from_socket
from p2pchat.net.dht import WalkResult
from p2pchat.net.transport import Told
from p2pchat.services import announce, presence
from p2pchat.services import contacts as book
from p2pchat.services.link import MSG_PROTOCOL, Link
from p2pchat.store import contact_peers, contacts
from p2pchat.store import presence as store
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule

ALICE, BOB = "+821012345678", "+821098765432"
HOUR_S = 3600
DAY_S = 24 * HOUR_S
SHORT = dataclasses.replace(CHEAP, epoch_s=DAY_S, read_previous_s=6 * HOUR_S)
T = TypeVar("T")


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(17):
        yield


async def holds(node: Node, name: str) -> bool:
    contact = await node.contact(name)
    return await node.database.run(lambda tx: store.held(tx, contact.id)) is not None


async def meet(cluster: Cluster) -> tuple[Node, Node]:
    alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
    await alice.add(BOB, "Bob")
    await bob.add(ALICE, "Alice")

    async def both_know() -> bool:
        return await holds(alice, "Bob") and await holds(bob, "Alice")

    await eventually(both_know, within_s=30)
    return alice, bob


async def choose(node: Node, claimant: RootKey | None) -> ContactRow:
    assert node.running is not None
    context = node.running.context
    text = claimant.hex() if claimant is not None else None
    return await node.database.run(lambda tx: book.choose(tx, context, book.resolve(tx, context, "Bob"), text))


async def remove(node: Node) -> None:
    assert node.running is not None
    context = node.running.context
    await node.database.run(lambda tx: book.remove(tx, context, book.resolve(tx, context, "Bob")))


def root_of(node: Node) -> RootKey:
    assert node.running is not None
    return RootKey(node.running.context.identity.root.public)


async def delivered(sender: Node, to: str) -> bool:
    return {row.state for row in await sender.conversation(to) if not row.incoming} == {"delivered"}


@pytest.mark.parametrize("address", [b"\xff\xff", b"\x04", b"\x04\x7f\x00\x00\x01\x06\x0f\xa1" * 2])
async def test_an_address_that_is_none_harms_nobody(address: bytes, autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        await cluster.add("Carol")
        alice, bob = await meet(cluster)
        assert bob.running is not None
        context = bob.running.context
        own = await bob.database.run(lambda tx: presence.own(tx, context))
        said = Presence(bob.network.peer_id, context.profile.ask, own.n, (Address(address),))
        loc = own.slot(int(cluster.now()), CHEAP).loc
        draft = announce.Draft(
            loc, lambda seq: own.slot(seq, CHEAP), own.gate(), encode_presence(said), None, (DAY_S, DAY_S)
        )
        await trio.sleep(5)
        await announce.publish_and_read(context, draft, 0)
        await cluster.crash(bob)
        await trio.sleep(600)  # Alice cannot dial him, and reads this
        contact = await alice.contact("Bob")
        (peer,) = await alice.database.run(lambda tx: contact_peers.of_contact(tx, contact.id))
        assert peer.addresses == (Address(address),)
        await cluster.start(bob)
        await alice.send("Bob", "still here")
        await eventually(lambda: delivered(alice, "Bob"), within_s=900)


async def test_room_that_an_ack_makes_while_the_store_looks_is_not_overlooked(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        run = alice.database.run

        async def slowly(job: Callable[[Tx], T]) -> T:
            result = await run(job)
            if getattr(job, "__func__", None) is Link.next_outgoing:
                await trio.sleep(1)  # all acks for what is under way are settled before the pump goes on
            return result

        alice.database.run = slowly  # type: ignore[method-assign]
        for number in range(12):
            await alice.send("Bob", chr(65 + number) * 60_000)

        async def all_there() -> bool:
            return len(await bob.received("Alice")) == 12

        await eventually(all_there, within_s=50)


@pytest.mark.parametrize("how", ["removed", "chosen away"])
async def test_who_forgot_a_contacts_presence_is_given_it_again(how: str, autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        await cluster.add("Carol")
        alice, bob = await meet(cluster)
        if how == "removed":
            await remove(alice)
            await trio.sleep(5)
            await alice.add(BOB, "Bob")
        else:
            await choose(alice, RootKey(b"m" * 32))
            await trio.sleep(60)
            await choose(alice, root_of(bob))
        assert not await holds(alice, "Bob")
        await alice.send("Bob", "hello again")
        await eventually(lambda: delivered(alice, "Bob"), within_s=DAY_S)
        await eventually(lambda: holds(alice, "Bob"), within_s=60)


@pytest.mark.slow
@pytest.mark.usefixtures("rare_pings")
async def test_who_was_forgotten_looks_again_although_a_stream_is_open(autojump_clock: MockClock) -> None:
    async with Cluster.running(params=SHORT) as cluster:
        await cluster.add("Carol")
        alice, bob = await meet(cluster)
        await trio.sleep(5 * DAY_S)  # the pair slot is not used any more
        await remove(alice)
        await trio.sleep(60)
        await alice.add(BOB, "Bob")
        await alice.send("Bob", "are you there?")

        async def arrived() -> bool:
            return await bob.received("Alice") == ["are you there?"]

        await eventually(arrived, within_s=6 * DAY_S, step_s=60)


@pytest.mark.usefixtures("rare_pings")
async def test_a_quiet_contact_gives_a_sign_of_life_a_day_and_is_not_looked_for(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await meet(cluster)
        await alice.database.run(lambda tx: tx.execute("UPDATE contact SET trust = 'in_person'"))
        await trio.sleep(4 * DAY_S)
        heard_ms = (await alice.contact("Bob")).heard_ms
        assert cluster.now() * 1000 - heard_ms < 26 * HOUR_S * 1000
        assert await alice.conversation("Bob") == []
        published = await alice.database.run(lambda tx: tx.all("SELECT republish_s FROM published WHERE contact = 1"))
        assert all(row[0] < cluster.now() for row in published)


async def test_after_sixteen_others_the_right_one_can_still_be_chosen(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        row = await alice.add(BOB, "Bob")

        def sixteen(tx: Tx) -> None:
            for number in range(16):
                contacts.add_claimant(tx, row.id, RootKey(bytes([number]) * 32), b"cert")

        await alice.database.run(sixteen)
        bob = await cluster.add("Bob", BOB)
        await bob.add(ALICE, "Alice")
        await trio.sleep(DAY_S)
        assert (await alice.contact("Bob")).state == "pending"
        await choose(alice, root_of(bob))

        async def matched() -> bool:
            return (await alice.contact("Bob")).state == (await bob.contact("Alice")).state == "matched"

        await eventually(matched, within_s=2 * DAY_S)


async def test_choosing_again_renews_a_search_that_has_expired(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice", ALICE)
        row = await alice.add(BOB, "Bob")
        await choose(alice, RootKey(b"b" * 32))
        await alice.database.run(lambda tx: contacts.set_pending_until(tx, row.id, None))
        assert (await choose(alice, None)).pending_until_s is not None


async def test_a_stream_of_the_one_chosen_away_is_not_the_chosen_ones(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        assert alice.running is not None
        connector = alice.running.life.connector
        assert connector is not None
        contact = await alice.contact("Bob")
        stream = await alice.network.open(bob.network.peer_id, MSG_PROTOCOL)
        late = Link(alice.running.context, stream, outbound=True)
        assert await connector._is_theirs(late, contact.id)
        await choose(alice, RootKey(b"m" * 32))
        assert not await connector._is_theirs(late, contact.id)
        await stream.reset()
        await trio.sleep(60)
        assert not connector.online(contact.id)


@pytest.mark.parametrize("nodes", [1, 3, 8])
async def test_a_contact_cannot_make_this_node_dial_a_victim_without_end(
    nodes: int, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Cluster.running() as cluster:
        await cluster.add("Carol")
        alice, bob = await meet(cluster)
        await cluster.crash(bob)
        await cluster.crash(alice)
        victims = [PeerId(PEER_ID_PREFIX + bytes([number]) * 32) for number in range(nodes)]
        where = tuple(from_socket("203.0.113.7", 1000 + number) for number in range(8))

        def name(tx: Tx) -> None:
            tx.execute("DELETE FROM contact_peer")
            for number, victim in enumerate(victims):
                contact_peers.save(tx, 1, victim, where, bytes(32), number + 1)

        await alice.database.run(name)
        real = alice.network.dial
        count = 0

        async def dial(peer: PeerId, addresses: Sequence[Address], told: Told | None = None) -> None:
            nonlocal count
            if peer in victims:
                count += 1
                await trio.sleep(8)  # nothing answers
                raise NetError("None of the peer's addresses answered.")
            await real(peer, addresses, told)

        monkeypatch.setattr(alice.network, "dial", dial)
        await cluster.start(alice)
        await trio.sleep(3 * HOUR_S)
        before = count
        await trio.sleep(3 * HOUR_S)
        assert (count - before) / 3 <= nodes * 8  # one try in ten minutes, ± 20 %


async def test_the_same_entry_with_other_work_is_no_news(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Cluster.running() as cluster:
        await cluster.add("Carol")
        alice = await cluster.add("Alice", ALICE)
        await alice.add(BOB, "Bob")
        await trio.sleep(3 * HOUR_S)
        assert alice.running is not None
        dht = alice.running.context.dht
        found = await alice.database.run(lambda tx: tx.one("SELECT loc, record FROM published"))
        assert found is not None
        loc, raw = bytes(found[0]), bytes(found[1])
        walks: list[bytes] = []
        walk = dht.walk

        async def counted(at: bytes, *, put: bytes | None = None, get: bool = True, watch_s: int = 0) -> WalkResult:
            walks.append(at)
            return await walk(at, put=put, get=get, watch_s=watch_s)

        monkeypatch.setattr(dht, "walk", counted)
        nonce = 0
        for _ in range(24):
            while True:
                nonce += 1
                copy = raw[:-8] + nonce.to_bytes(8, "big")
                try:
                    check_record(loc, copy, int(cluster.now()), CHEAP)
                except PeerError:
                    continue  # too little work
                break
            dht._on_remote_push(loc, copy)
            await trio.sleep(300)
        assert walks == []
