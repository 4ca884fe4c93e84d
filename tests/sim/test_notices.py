"""Notices: sealed before the messages, carried over to the next session, gone when they are acked or of no use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.wire import PROOF_ASK, TEXT, Item, decode_content
from p2pchat.services import deliver, receive
from p2pchat.store import contacts, notices, sessions
from p2pchat.store.db import Tx
from p2pchat.store.notices import NoticeRow
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import meet


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(7):
        yield


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[list[Item]]:
    """The items of every envelope that anybody opened, but for presences."""
    envelopes: list[list[Item]] = []

    def decode(content: bytes) -> tuple[Item, ...]:
        items = decode_content(content)
        envelopes.append([item for item in items if item.kind in (TEXT, PROOF_ASK)])
        return items

    monkeypatch.setattr(receive, "decode_content", decode)
    return envelopes


async def put(node: Node, to: str, body: bytes = b"junk", until_s: int = 1 << 40) -> bytes:
    assert node.running is not None
    context = node.running.context
    contact = await node.contact(to)
    wire_id = context.message_id()
    await node.database.run(lambda tx: notices.put(tx, contact.id, NoticeRow(PROOF_ASK, wire_id, body), until_s))
    context.bus.wake(contact.id)
    return wire_id


async def waiting(node: Node) -> int:
    def count(tx: Tx) -> int:
        return len(tx.all("SELECT 1 FROM notice"))

    return await node.database.run(count)


async def settled(node: Node) -> bool:
    return await waiting(node) == 0


async def test_one_goes_out_at_once_before_what_waits_and_is_settled_by_the_ack(
    autojump_clock: MockClock, taken: list[list[Item]]
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await trio.sleep(60)
        wire_id = await put(alice, "Bob")
        assert await eventually(lambda: settled(alice), within_s=5) < 2
        assert [[item.message_id for item in items] for items in taken if items] == [[wire_id]]
        cluster.network.cut(alice.network, bob.network)
        await trio.sleep(60)
        taken.clear()
        await alice.send("Bob", "text")
        second = await put(alice, "Bob")
        cluster.network.heal(alice.network, bob.network)
        await eventually(lambda: settled(alice), within_s=900)
        assert [[item.kind for item in items] for items in taken if items] == [[PROOF_ASK, TEXT]]
        assert taken[-1][0].message_id == second


async def test_of_one_kind_the_newest_waits_and_none_longer_than_it_has_use(
    autojump_clock: MockClock, taken: list[list[Item]]
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await trio.sleep(60)
        await cluster.crash(bob)
        await trio.sleep(60)
        await put(alice, "Bob")
        second = await put(alice, "Bob")
        assert await waiting(alice) == 1
        await cluster.start(bob)
        await eventually(lambda: settled(alice), within_s=900)
        assert [item.message_id for items in taken for item in items] == [second]
        await cluster.crash(bob)
        await trio.sleep(60)
        taken.clear()
        await put(alice, "Bob", until_s=int(cluster.now()) + 600)
        await trio.sleep(3600)
        assert await waiting(alice) == 0
        await cluster.start(bob)
        await trio.sleep(900)
        assert [item for items in taken for item in items] == []


async def test_it_is_sealed_again_under_its_id_when_another_session_sends(
    autojump_clock: MockClock, taken: list[list[Item]]
) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await trio.sleep(60)
        contact = await alice.contact("Bob")

        def sealed_in(tx: Tx) -> list[int]:
            return [row[0] for row in tx.all("SELECT session FROM notice JOIN envelope ON id = envelope")]

        def unsealed(tx: Tx) -> list[bytes]:
            row = deliver.sending_session(tx, contact.id)
            assert row is not None
            return [notice.wire_id for notice in notices.unsealed(tx, contact.id, row.id)]

        def forget_sessions(tx: Tx) -> None:
            tx.execute("DELETE FROM session")

        cluster.network.stall(alice.network, bob.network)
        wire_id = await put(alice, "Bob")
        await trio.sleep(1)
        before = await alice.database.run(sealed_in)
        assert len(before) == 1
        assert await alice.database.run(unsealed) == []
        # Bob has lost the session that carries it, and says so with a Nack
        await cluster.crash(bob)
        await bob.database.run(forget_sessions)
        cluster.network.heal(alice.network, bob.network)
        await cluster.start(bob)
        await eventually(lambda: settled(alice), within_s=900)
        assert [item.message_id for items in taken for item in items] == [wire_id]
        assert {row.id for row in await alice.database.run(lambda tx: sessions.of_contact(tx, contact.id))} > set(
            before
        )


async def test_it_waits_again_when_the_session_that_carried_it_is_gone(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await trio.sleep(60)
        cluster.network.stall(alice.network, bob.network)
        await put(alice, "Bob")
        await trio.sleep(1)

        def lose(tx: Tx) -> list[int | None]:
            before = tx.all("SELECT envelope FROM notice")
            tx.execute("DELETE FROM session")
            return [row[0] for row in before + tx.all("SELECT envelope FROM notice")]

        sealed, unsealed = await alice.database.run(lose)
        assert sealed is not None
        assert unsealed is None


async def test_it_goes_with_the_contact_and_when_another_is_chosen(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await trio.sleep(60)
        await cluster.crash(bob)
        await trio.sleep(60)
        contact = await alice.contact("Bob")
        assert contact.root is not None
        root = contact.root
        await put(alice, "Bob")
        await alice.database.run(lambda tx: contacts.choose(tx, contact.id, root, 0))
        assert await waiting(alice) == 0
        await put(alice, "Bob")
        await alice.database.run(lambda tx: contacts.remove(tx, contact.id))
        assert await waiting(alice) == 0


async def test_junk_of_a_known_kind_is_shown_as_of_a_newer_version(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await put(alice, "Bob", b"\x91\xc4\x0f" + bytes(15))

        async def shown() -> bool:
            return [(row.kind, row.text) for row in await bob.conversation("Alice")] == [(PROOF_ASK, None)]

        await eventually(shown, within_s=60)
        await eventually(lambda: settled(alice), within_s=60)
