"""``live_only``: to who is connected now, or not at all; whatever breaks, nothing of it arrives later."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import pytest
import trio
from trio.testing import MockClock

from p2pchat.api import objects
from p2pchat.base.errors import StoreError, UsageError
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.wire import Ack, Batch, Flight
from p2pchat.services import block
from p2pchat.services import contacts as book
from p2pchat.services import live as service
from p2pchat.services.connect import Connector
from p2pchat.services.link import Link
from p2pchat.store import contact_peers, contacts, messages, meta, sessions
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.calling import call, explained, methods, refused, send, told
from tests.sim.loss import Loss
from tests.sim.people import meet

pytestmark = pytest.mark.usefixtures("rare_pings")

T = TypeVar("T")
HOUR_S = 3600.0


async def connected(cluster: Cluster) -> tuple[Node, Node]:
    """Alice and Bob, on one stream and with nothing more to say."""
    alice, bob = await meet(cluster)
    await trio.sleep(60)
    return alice, bob


async def online(node: Node, name: str) -> bool:
    contact = await node.contact(name)
    return node.running is not None and node.running.life.online(contact.id)


async def apart(node: Node, name: str) -> bool:
    return not await online(node, name)


async def sent_states(node: Node) -> list[tuple[str, str]]:
    return [(row.text or "", row.state) for row in await node.conversation("Bob")]


async def is_state(node: Node, message: str, state: str) -> bool:
    found = await call(node, "message.get", id=message)
    return isinstance(found, objects.Message) and found.state == state


async def reason(node: Node, message: str) -> str | None:
    found = await call(node, "message.get", id=message)
    assert isinstance(found, objects.Message)
    return found.reason


async def waiting_envelopes(node: Node) -> int:
    """How many there are that some stream might carry again."""
    return len(await node.database.run(lambda tx: tx.all("SELECT id FROM envelope WHERE bytes IS NOT NULL")))


async def nothing_comes_of_it(alice: Node, bob: Node, *before: str) -> None:
    """Bob gets what is sent from now on, and never what was not there before."""
    await alice.send("Bob", "after")

    async def arrived() -> bool:
        return await bob.received("Alice") == [*before, "after"]

    await eventually(arrived, within_s=2 * HOUR_S)
    await trio.sleep(HOUR_S)
    assert await bob.received("Alice") == [*before, "after"]


async def test_it_goes_at_once_to_who_is_connected(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await connected(cluster)
        sent = await send(alice, "Bob", "now", live_only=True, wait="delivered")
        assert (sent.state, sent.reason) == ("delivered", None)
        assert await bob.received("Alice") == ["now"]
        kinds = [kind for kind, _ in await told(alice, "message.*")]
        assert kinds == ["message.queued", "message.sent", "message.delivered"]
        await trio.sleep(HOUR_S)
        assert await sent_states(alice) == [("now", "delivered")]


async def test_it_is_refused_where_nobody_is_connected_and_nothing_is_stored(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await connected(cluster)
        await cluster.crash(bob)
        await eventually(lambda: apart(alice, "Bob"))
        refusal = await refused(alice, "message.send", to="Bob", text="now", live_only=True, idempotency_key="key")
        assert (refusal.error_name, refusal.message) == (
            "PEER_OFFLINE",
            "The contact is not connected now: nothing was sent, and nothing waits.",
        )
        assert await alice.conversation("Bob") == []
        assert await told(alice, "message.*") == []
        assert await alice.database.run(lambda tx: tx.all("SELECT * FROM idempotency")) == []
        await cluster.start(bob)
        await eventually(lambda: online(alice, "Bob"), within_s=HOUR_S)
        again = await send(alice, "Bob", "now", live_only=True, idempotency_key="key", wait="delivered")
        assert again.state == "delivered"


async def test_it_is_refused_to_who_is_not_matched(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await connected(cluster)
        await alice.add("+821055555555", "Carol")
        for state in ("pending", "request", "blocked"):
            carol = await alice.contact("Carol")
            await alice.database.run(
                lambda tx, contact=carol.id, state=state: tx.execute(  # type: ignore[misc]
                    "UPDATE contact SET state = ? WHERE id = ?", (state, contact)
                )
            )
            refusal = await refused(alice, "message.send", to="Carol", text="now", live_only=True)
            expected = {"pending": "PEER_OFFLINE", "request": "INVALID_PARAMS", "blocked": "BLOCKED"}
            assert refusal.error_name == expected[state]
        contact = await alice.contact("Bob")
        # a stream says nothing about who is at its end before the match
        await alice.database.run(
            lambda tx: tx.execute("UPDATE contact SET state = 'pending' WHERE id = ?", (contact.id,))
        )
        assert (await refused(alice, "message.send", to="Bob", text="now", live_only=True)).error_name == "PEER_OFFLINE"
        assert await alice.outbox() == 0


async def test_it_is_alone_in_its_envelope_and_keeps_its_place(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await connected(cluster)
        calls: list[dict[str, object]] = [{"to": "Bob", "text": f"{n}", "live_only": n in (2, 3)} for n in range(6)]
        sent = await methods(alice).send_all(calls)
        assert all(isinstance(each, objects.Message) for each in sent)

        async def arrived() -> bool:
            return await bob.received("Alice") == [f"{n}" for n in range(6)]

        await eventually(arrived)

        def envelopes(tx: Tx) -> list[tuple[object, ...]]:
            return tx.all("SELECT n0, n1 FROM envelope WHERE n1 > 0 ORDER BY id")

        assert await alice.database.run(envelopes) == [(1, 2), (3, 3), (4, 4), (5, 6)]


async def test_a_repeated_key_answers_the_same_however_it_stands_by_then(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await connected(cluster)
        first = await send(alice, "Bob", "once", live_only=True, idempotency_key="key")
        await eventually(lambda: is_state(alice, first.id, "delivered"))
        await cluster.crash(bob)
        await eventually(lambda: apart(alice, "Bob"))
        again = await send(alice, "Bob", "once", live_only=True, idempotency_key="key")
        assert (again.id, again.state, again.replayed) == (first.id, first.state, True)
        conflict = await refused(alice, "message.send", to="Bob", text="once", idempotency_key="key")
        assert conflict.error_name == "IDEMPOTENCY_CONFLICT"
        assert await sent_states(alice) == [("once", "delivered")]


@pytest.mark.parametrize("restart", [False, True])
async def test_the_peer_dies_between_seal_and_ack(restart: bool, loss: Loss, autojump_clock: MockClock) -> None:
    with fixed_schedule(2):
        async with Cluster.running(seed=2) as cluster:
            alice, bob = await connected(cluster)
            loss.all(Batch, Flight)
            sent = await send(alice, "Bob", "never", live_only=True)
            await trio.sleep(1)
            assert await is_state(alice, sent.id, "sent")
            before = await explained(alice, sent.id)
            assert before.text.startswith("It has left, and was not confirmed yet. It is for the connection to Bob")
            assert before.expires_ms == sent.created_ms + 30_000
            await cluster.crash(bob)
            await eventually(lambda: is_state(alice, sent.id, "failed"), within_s=5)
            assert await reason(alice, sent.id) == "the connection ended before it was confirmed; it may have arrived"
            assert await waiting_envelopes(alice) == 0
            after = await explained(alice, sent.id)
            assert "it may have arrived. It does not go again." in after.text
            assert (after.next_try_ms, after.expires_ms) == (None, None)
            loss.nothing()
            if restart:
                await cluster.crash(alice)
                await cluster.start(alice)
            await cluster.start(bob)
            await nothing_comes_of_it(alice, bob)
            assert await is_state(alice, sent.id, "failed")
            assert [kind for kind, _ in await told(alice, "message.failed")] == ["message.failed"]


async def test_an_ack_that_is_lost_leaves_it_open_whether_it_came(loss: Loss, autojump_clock: MockClock) -> None:
    with fixed_schedule(3):
        async with Cluster.running(seed=3) as cluster:
            alice, bob = await connected(cluster)
            loss.all(Ack)
            started = trio.current_time()
            with pytest.raises(UsageError) as caught:
                await send(alice, "Bob", "there", live_only=True, wait="delivered")
            assert caught.value.error_name == "PEER_OFFLINE"
            assert 29 < trio.current_time() - started < 31
            assert "it may have arrived" in caught.value.message
            assert await bob.received("Alice") == ["there"]
            loss.nothing()
            await nothing_comes_of_it(alice, bob, "there")
            assert await sent_states(alice) == [("there", "failed"), ("after", "delivered")]


async def test_a_late_ack_proves_that_it_came(loss: Loss, autojump_clock: MockClock) -> None:
    with fixed_schedule(3):
        async with Cluster.running(seed=3) as cluster:
            alice, bob = await connected(cluster)
            contact = await bob.contact("Alice")
            loss.all(Ack)
            sent = await send(alice, "Bob", "there", live_only=True)
            await eventually(lambda: is_state(alice, sent.id, "failed"), within_s=31)
            loss.nothing()
            (link,) = await links_of(bob, "Alice")
            (entry,) = await bob.database.run(
                lambda tx: tx.all(
                    "SELECT eid, ack FROM received WHERE contact = ? ORDER BY id DESC LIMIT 1", (contact.id,)
                )
            )
            await link.send([Ack(((bytes(entry[0]), bytes(16)),))])  # of somebody else
            await trio.sleep(1)
            assert await is_state(alice, sent.id, "failed")
            await link.send([Ack(((bytes(entry[0]), bytes(entry[1])),))])
            await eventually(lambda: is_state(alice, sent.id, "delivered"), within_s=5)
            assert await reason(alice, sent.id) is None
            events = await told(alice, "message.*")
            assert [kind.removeprefix("message.") for kind, _ in events] == ["queued", "sent", "failed", "delivered"]
            failed = events[2][1]
            assert isinstance(failed, objects.Message)
            assert failed.reason == "it was not confirmed within 30 seconds; it may have arrived"
            assert (await explained(alice, sent.id)).text == "It is on the disk of Bob's node."


async def test_who_has_read_it_proves_that_it_came(loss: Loss, autojump_clock: MockClock) -> None:
    with fixed_schedule(3):
        async with Cluster.running(seed=3) as cluster:
            alice, bob = await connected(cluster)
            loss.all(Ack)
            sent = await send(alice, "Bob", "there", live_only=True)
            await eventually(lambda: is_state(alice, sent.id, "failed"), within_s=31)
            loss.nothing()
            found = await call(bob, "message.list", to="Alice")
            assert isinstance(found, objects.Messages)
            await call(bob, "message.mark_read", id=found.messages[-1].id)
            await eventually(lambda: is_state(alice, sent.id, "read"), within_s=5)
            assert await reason(alice, sent.id) is None


@pytest.mark.parametrize("ended", ["late", "stopped", "parting"])
async def test_without_a_session_it_waits_for_one_on_this_stream_alone(
    ended: str, loss: Loss, autojump_clock: MockClock
) -> None:
    """Of what never left it is known that it did not arrive, and the reason says so."""
    with fixed_schedule(4):
        async with Cluster.running(seed=4) as cluster:
            alice, bob = await connected(cluster)
            await alice.database.run(without_session)
            sent = await send(alice, "Bob", "never", live_only=True)
            await trio.sleep(5)
            assert await is_state(alice, sent.id, "queued")
            waits = await explained(alice, sent.id)
            assert waits.text.startswith("It leaves as soon as Bob can take it. It is for the connection to Bob")
            if ended == "stopped":
                await cluster.crash(alice)
                await cluster.start(alice)
                expected = "this node stopped before it left"
            elif ended == "parting":  # with somebody else, for whose sake the node begins anew
                await alice.database.run(lambda tx: tx.emit(DomainEvent(EventKind.NODE_RENEWED)))
                expected = "the connection ended before it left"
            else:
                expected = "it could not leave within 30 seconds"
            await eventually(lambda: is_state(alice, sent.id, "failed"), within_s=31)
            assert await reason(alice, sent.id) == expected
            assert "arrived" not in (await explained(alice, sent.id)).text
            await trio.sleep(60)
            await nothing_comes_of_it(alice, bob)


async def test_a_new_session_on_the_same_stream_does_not_carry_it_again(loss: Loss, autojump_clock: MockClock) -> None:
    with fixed_schedule(5):
        async with Cluster.running(seed=5) as cluster:
            alice, bob = await connected(cluster)
            loss.all(Batch)
            ordinary = await send(alice, "Bob", "before")
            sent = await send(alice, "Bob", "never", live_only=True)
            later = await send(alice, "Bob", "behind")
            await trio.sleep(1)
            await alice.database.run(sessions.forget_all)
            loss.nothing()
            await alice.database.run(lambda tx: contacts.set_flight_after(tx, 1, 0))
            (link,) = await links_of(alice, "Bob")
            link.wake()
            await eventually(lambda: is_state(alice, later.id, "delivered"), within_s=20)
            assert await is_state(alice, ordinary.id, "delivered")
            assert await is_state(alice, sent.id, "sent")  # the range that was confirmed goes around it
            await eventually(lambda: is_state(alice, sent.id, "failed"), within_s=31)
            await nothing_comes_of_it(alice, bob, "before", "behind")


async def test_a_restored_device_does_not_send_it(loss: Loss, autojump_clock: MockClock) -> None:
    with fixed_schedule(6):
        async with Cluster.running(seed=6) as cluster:
            alice, bob = await connected(cluster)
            loss.all(Batch, Flight)
            sent = await send(alice, "Bob", "never", live_only=True)
            await alice.send("Bob", "waits")
            await trio.sleep(1)
            assert await is_state(alice, sent.id, "sent")
            saved = await alice.backup()
            await cluster.crash(alice)
            loss.nothing()
            again = await cluster.restore(alice, saved)
            await nothing_comes_of_it(again, bob, "waits")
            rows = await again.conversation("Bob")
            assert [row.state for row in rows] == ["failed", "delivered", "delivered"]
            assert rows[0].reason == "a backup was made before it was confirmed; it may have arrived"


async def test_on_a_device_that_was_replaced_it_has_failed(loss: Loss, autojump_clock: MockClock) -> None:
    async with Cluster.running(seed=6) as cluster:
        alice, _ = await connected(cluster)
        loss.all(Batch, Flight)
        sent = await send(alice, "Bob", "never", live_only=True)
        await trio.sleep(1)
        await cluster.crash(alice)
        await alice.database.run(lambda tx: meta.save_replaced(tx, tx.now_ms))
        await cluster.start(alice)
        assert await is_state(alice, sent.id, "failed")
        assert await waiting_envelopes(alice) == 0


@pytest.mark.parametrize("partner", ["chosen", "blocked"])
async def test_who_is_the_contact_no_more_does_not_get_it(partner: str, loss: Loss, autojump_clock: MockClock) -> None:
    async with Cluster.running(seed=6) as cluster:
        alice, _ = await connected(cluster)
        loss.all(Batch, Flight)
        sent = await send(alice, "Bob", "for Bob", live_only=True)
        assert alice.running is not None
        context = alice.running.context

        def part(tx: Tx) -> None:
            row = book.resolve(tx, context, "Bob")
            if partner == "chosen":
                book.choose(tx, context, row, "ab" * 32)
            else:
                block.block(tx, context, row)

        await alice.database.run(part)
        assert await is_state(alice, sent.id, "failed")
        assert await waiting_envelopes(alice) == 0


@pytest.mark.parametrize("left", [True, False])
async def test_a_disk_that_is_full_when_it_fails_is_asked_again(
    left: bool, loss: Loss, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with Cluster.running(seed=6) as cluster:
        alice, bob = await connected(cluster)
        if left:
            loss.all(Batch, Flight)
        else:
            await alice.database.run(without_session)
        sent = await send(alice, "Bob", "never", live_only=True)
        await trio.sleep(1)
        assert await is_state(alice, sent.id, "sent" if left else "queued")
        end = service._end
        full, tries = [True], [0]

        def ends(tx: Tx, unconfirmed: list[tuple[int, int, bool]], why: service.Ending) -> None:
            if unconfirmed and full:
                tries[0] += 1
                raise StoreError("The disk is full.")
            end(tx, unconfirmed, why)

        monkeypatch.setattr(service, "_end", ends)
        await cluster.crash(bob)
        loss.nothing()
        await cluster.start(bob)
        await eventually(lambda: online(alice, "Bob"), within_s=HOUR_S)
        await send(alice, "Bob", "another", wait="delivered")
        await trio.sleep(100)
        assert tries[0] > 1
        assert await waiting_envelopes(alice) == left
        assert await bob.received("Alice") == ["another"]
        full.clear()
        await eventually(lambda: is_state(alice, sent.id, "failed"), within_s=60)
        await nothing_comes_of_it(alice, bob, "another")


def without_session(tx: Tx) -> None:
    """There is none, nor may one be opened for a minute."""
    sessions.forget_all(tx)
    tx.execute("UPDATE contact SET flight_after_s = ?", (tx.now_s + 60,))


async def test_it_can_be_taken_back_and_deleted_like_any_other(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _ = await connected(cluster)
        await alice.database.run(without_session)
        sent = await send(alice, "Bob", "never", live_only=True)
        cancelled = await call(alice, "message.cancel", id=sent.id)
        assert isinstance(cancelled, objects.Message)
        await trio.sleep(40)
        assert await is_state(alice, sent.id, "cancelled")
        await call(alice, "message.delete", id=sent.id)
        assert await alice.conversation("Bob") == []


class Killed:
    """Ends a node at one of its commits.

    Args:
        at: which one from now on.
        before: it was not committed yet; else it was, and nobody had learnt of it.
    """

    def __init__(self, cluster: Cluster, node: Node, at: int, *, before: bool) -> None:
        self.happened = False
        self._left = at
        database = node.database
        run = database.run

        async def dying(job: Callable[[Tx], T]) -> T:
            self._left -= 1
            if self._left == 0 and before:
                await self._die(cluster, node)
            result = await run(job)
            if self._left == 0:
                await self._die(cluster, node)
            return result

        database.run = dying  # type: ignore[method-assign]
        self.undo: Callable[[], None] = lambda: setattr(database, "run", run)

    async def _die(self, cluster: Cluster, node: Node) -> None:
        self.happened = True
        assert node.running is not None
        cluster.network.down(node.network)
        node.running.scope.cancel()
        await trio.sleep_forever()


async def within(seconds: float, job: Callable[[], Awaitable[object]]) -> None:
    with trio.move_on_after(seconds):
        await job()


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 6))
@pytest.mark.parametrize("who", ["Alice", "Bob"])
async def test_a_kill_at_any_commit_brings_nothing_later(
    who: str, at: int, before: bool, autojump_clock: MockClock
) -> None:
    with fixed_schedule(at):
        async with Cluster.running(seed=at) as cluster:
            alice, bob = await connected(cluster)
            victim = {"Alice": alice, "Bob": bob}[who]
            killed = Killed(cluster, victim, at, before=before)
            await within(1, lambda: send(alice, "Bob", "live", live_only=True))
            await eventually(lambda: _is(killed), within_s=2 * HOUR_S)
            killed.undo()
            await cluster.crash(victim)
            await trio.sleep(5)
            there = await texts(bob)
            await trio.sleep(60)
            await cluster.start(victim)
            await nothing_comes_of_it(alice, bob, *there)
            states = [row.state for row in await alice.conversation("Bob") if row.text == "live"]
            assert set(states) <= {"failed", "delivered"}
            if states == ["delivered"]:
                assert there == ["live"]
            for row in await alice.conversation("Bob"):
                if row.state == "failed" and there:
                    assert "may have arrived" in (row.reason or "")
            assert await waiting_envelopes(alice) == 0


async def _is(killed: Killed) -> bool:
    return killed.happened


async def texts(node: Node) -> list[str]:
    """What has come to Bob, who may be down."""
    rows = await node.database.run(lambda tx: messages.page(tx, 1, None, 100))
    return [row.text or "" for row in rows[::-1] if row.incoming]


async def test_a_stream_that_follows_on_another_goes_on_for_it(loss: Loss, autojump_clock: MockClock) -> None:
    """Of two streams one ends by intention: the contact was online all the time."""
    with fixed_schedule(7):
        async with Cluster.running(seed=7) as cluster:
            alice, bob = await connected(cluster)
            links = await links_of(alice, "Bob")
            (first,) = links
            loss.drops = lambda link, frame: link is first and isinstance(frame, Batch | Flight)
            sent = await send(alice, "Bob", "now", live_only=True)
            await trio.sleep(1)

            async def two() -> bool:
                return len(links) == 2

            async with trio.open_nursery() as nursery:
                # by the same node: one that the other opens would be superfluous
                nursery.start_soon(open_another, *((alice, "Bob") if first.outbound else (bob, "Alice")))
                await eventually(two, within_s=5)
                await first.bye()
                await eventually(lambda: is_state(alice, sent.id, "delivered"), within_s=10)
                nursery.cancel_scope.cancel()
            assert await bob.received("Alice") == ["now"]


async def links_of(node: Node, name: str) -> list[Link]:
    """The live streams to a contact, a list that changes with them."""
    contact = await node.contact(name)
    return connector(node)._links[contact.id]


async def open_another(node: Node, name: str) -> None:
    """A second stream to the contact, for as long as it lasts."""
    contact = await node.contact(name)
    (row,) = await node.database.run(lambda tx: contact_peers.of_contact(tx, contact.id))
    await connector(node)._try(row)


def connector(node: Node) -> Connector:
    assert node.running is not None
    assert node.running.life.connector is not None
    return node.running.life.connector


async def test_a_call_of_before_there_was_live_only_is_known_when_it_is_repeated(autojump_clock: MockClock) -> None:
    """A chat repeats what was not answered as the daemon was updated under it."""
    async with Cluster.running() as cluster:
        alice, _ = await connected(cluster)
        sent = await send(alice, "Bob", "once", idempotency_key="k")
        params = {"to": "Bob", "text": "once", "idempotency_key": None, "wait": None, "timeout_ms": None}
        data = msgspec.msgpack.encode(("message.send", params), order="sorted")
        digest = hashlib.blake2b(data, digest_size=32).digest()
        await alice.database.run(lambda tx: tx.many("UPDATE idempotency SET digest = ?", [(digest,)]))
        again = await send(alice, "Bob", "once", idempotency_key="k")
        assert (again.id, again.replayed) == (sent.id, True)
        error = await refused(alice, "message.send", to="Bob", text="once", idempotency_key="k", live_only=True)
        assert error.error_name == "IDEMPOTENCY_CONFLICT"
