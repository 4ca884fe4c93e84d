"""What went wrong heals by itself: crossed dials, lost sessions, refused Nacks, contacts removed and added again."""

from __future__ import annotations

import dataclasses

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.ids import PeerId
from p2pchat.core.params import DAY_S
from p2pchat.core.wire import TEXT, Item, Text, encode_text
from p2pchat.net.dht import Dht, WalkResult
from p2pchat.services import contacts as book
from p2pchat.services import greet, link, receive
from p2pchat.services.context import Context
from p2pchat.store import contacts, messages
from p2pchat.store import presence as store
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule

ALICE, BOB = "+821012345678", "+821098765432"


pytestmark = pytest.mark.usefixtures("rare_checks")


async def matched(alice: Node, bob: Node) -> bool:
    states = [(await alice.contact("Bob")).state, (await bob.contact("Alice")).state]
    return states == ["matched", "matched"]


async def meet(cluster: Cluster) -> tuple[Node, Node]:
    alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
    await alice.add(BOB, "Bob")
    await bob.add(ALICE, "Alice")
    await eventually(lambda: matched(alice, bob), within_s=30)
    return alice, bob


async def all_settled(alice: Node, bob: Node) -> bool:
    return await alice.outbox() == await bob.outbox() == 0


@pytest.mark.parametrize("schedule", range(5))
async def test_both_sides_match_however_their_dials_and_flights_cross(schedule: int, autojump_clock: MockClock) -> None:
    for seed in range(8):
        with fixed_schedule(schedule):
            async with Cluster.running(seed=seed) as cluster:
                await meet(cluster)


async def test_a_lost_session_is_replaced_and_no_message_is_lost(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await alice.send("Bob", "before")
            await eventually(lambda: all_settled(alice, bob))
            await bob.database.run(lambda tx: tx.execute("DELETE FROM session"))
            for number in range(5):
                await alice.send("Bob", str(number))
            await eventually(lambda: all_settled(alice, bob), within_s=60)
            assert await bob.received("Alice") == ["before", *map(str, range(5))]
            await bob.send("Alice", "back")
            await eventually(lambda: all_settled(alice, bob), within_s=60)


async def test_a_window_full_of_what_a_lost_session_had_is_not_waited_for(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await eventually(lambda: all_settled(alice, bob))
            await bob.database.run(lambda tx: tx.execute("DELETE FROM session"))
            cluster.network.stall(alice.network, bob.network)
            texts = [str(number) for number in range(300)]
            for text in texts:
                await alice.send("Bob", text)
            await trio.sleep(1)
            cluster.network.heal(alice.network, bob.network)
            assert await eventually(lambda: all_settled(alice, bob), within_s=60) < 5
            assert await bob.received("Alice") == texts


async def test_a_session_that_is_lost_again_within_ten_minutes_is_replaced_after_them(
    autojump_clock: MockClock,
) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            for text in ("first", "second"):
                await bob.database.run(lambda tx: tx.execute("DELETE FROM session"))
                await alice.send("Bob", text)
                await trio.sleep(20)
            await eventually(lambda: all_settled(alice, bob), within_s=900)
            assert await bob.received("Alice") == ["first", "second"]


async def test_a_stream_that_ends_before_the_new_session_is_made_costs_no_ten_minutes(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            await eventually(lambda: all_settled(alice, bob))
            await bob.database.run(lambda tx: tx.execute("DELETE FROM session"))
            condemn, ended = greet.condemn, 0

            def condemn_and_end(tx: Tx, context: Context, contact: int, eid: bytes, peer: PeerId) -> int | None:
                nonlocal ended
                condemned = condemn(tx, context, contact, eid, peer)
                ended += cluster.network.kill_streams(alice.network, bob.network) if not ended else 0
                return condemned

            monkeypatch.setattr(greet, "condemn", condemn_and_end)
            await alice.send("Bob", "text")
            assert await eventually(lambda: all_settled(alice, bob), within_s=700) < 60
            assert ended
            assert await bob.received("Alice") == ["text"]


async def test_a_clock_that_was_a_year_ahead_does_not_forbid_new_sessions(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob = await meet(cluster)
            ahead = int(cluster.now()) + 365 * DAY_S
            contact = await alice.contact("Bob")
            await alice.database.run(lambda tx: contacts.set_flight_after(tx, contact.id, ahead))
            await bob.database.run(lambda tx: tx.execute("DELETE FROM session"))
            await alice.send("Bob", "hello")
            await eventually(lambda: all_settled(alice, bob), within_s=900)


@pytest.mark.parametrize("writer", ["Alice", "Bob"])
async def test_a_contact_removed_and_added_again_is_back_within_a_day(
    writer: str, rare_pings: None, autojump_clock: MockClock
) -> None:
    """Nobody tells Alice, who still holds Bob for matched: whichever of the two has something to say."""
    with fixed_schedule(4):
        async with Cluster.running(seed=4) as cluster:
            alice, bob = await meet(cluster)
            for node in (alice, bob):
                await node.database.run(lambda tx: tx.execute("UPDATE contact SET trust = 'in_person'"))
            await trio.sleep(4 * DAY_S)  # they look for nobody any more, and what they left in their slots has gone
            row = await bob.contact("Alice")
            assert bob.running is not None
            context = bob.running.context
            await bob.database.run(lambda tx: book.remove(tx, context, row))
            await trio.sleep(60)
            await bob.add(ALICE, "Alice")
            sender, reader = (alice, bob) if writer == "Alice" else (bob, alice)
            await sender.send(reader.name, "are you there?")

            async def arrived() -> bool:
                return await reader.received(writer) == ["are you there?"]

            await eventually(arrived, within_s=DAY_S, step_s=600)


@pytest.mark.slow
async def test_a_contact_removed_and_added_again_days_later_matches_anew(autojump_clock: MockClock) -> None:
    with fixed_schedule(2):
        async with Cluster.running(seed=2) as cluster:
            alice, bob = await meet(cluster)
            row = await bob.contact("Alice")
            assert bob.running is not None
            context = bob.running.context
            await bob.database.run(lambda tx: book.remove(tx, context, row))
            await alice.send("Bob", "are you there?")
            await cluster.crash(bob)
            await trio.sleep(5 * DAY_S)
            await cluster.start(bob)
            await bob.add(ALICE, "Alice")

            async def arrived() -> bool:
                return await bob.received("Alice") == ["are you there?"]

            await eventually(arrived, within_s=9 * DAY_S, step_s=3600)


SHORT = dataclasses.replace(CHEAP, epoch_s=DAY_S, read_previous_s=6 * 3600)


def epochs(tx: Tx) -> int:
    return len(tx.all("SELECT DISTINCT era, epoch FROM pair_slot"))


async def test_after_a_match_the_slot_is_used_once_an_epoch_for_four_epochs(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "HEARTBEAT_S", 6 * 3600.0)  # days of pings every 15 s would take long
    monkeypatch.setattr(link, "SILENCE_S", 12 * 3600.0)
    monkeypatch.setattr(link, "_PINGS_A_PROBE", 1)
    with fixed_schedule(3):
        async with Cluster.running(seed=3, params=SHORT) as cluster:
            alice, _ = await meet(cluster)
            await trio.sleep(10 * DAY_S)
            assert 4 <= await alice.database.run(epochs) <= 6


async def test_who_was_not_heard_for_half_a_day_is_looked_for_in_the_pair_slot_again(
    autojump_clock: MockClock,
) -> None:
    with fixed_schedule(3):
        async with Cluster.running(seed=3, params=SHORT) as cluster:
            alice, bob = await meet(cluster)
            await cluster.crash(bob)
            await trio.sleep(10 * DAY_S)
            assert 9 <= await alice.database.run(epochs) <= 12


async def test_numbers_and_times_beyond_what_a_column_holds_poison_nothing(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice = await cluster.add("Alice", ALICE)
            row = await alice.add(BOB, "Bob")
            body = encode_text(Text((1 << 64) - 1, (1 << 64) - 1, "from the far future"))
            item = Item(bytes(16), TEXT, body)
            arrived = receive.incoming(item, 1)
            (stored,) = await alice.database.run(lambda tx: messages.receive(tx, row.id, 1, [arrived]))
            found = await alice.database.run(lambda tx: messages.get(tx, stored))
            assert found is not None
            assert found.text == "from the far future"


async def test_adding_a_pending_contact_again_looks_for_it_at_once(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice = await cluster.add("Alice", ALICE)
            await alice.add(BOB, "Bob")
            await trio.sleep(3 * DAY_S)
            assert alice.running is not None
            dht = alice.running.context.dht
            walks: list[float] = []
            walk = dht.walk

            async def counted(
                loc: bytes, *, put: bytes | None = None, get: bool = True, watch_s: int = 0
            ) -> WalkResult:
                walks.append(trio.current_time())
                return await walk(loc, put=put, get=get, watch_s=watch_s)

            monkeypatch.setattr(dht, "walk", counted)
            await alice.add(BOB, "Bob")
            await trio.sleep(10)
            assert walks


async def test_a_restart_does_not_look_again_for_those_who_are_found(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, _ = await meet(cluster)
            await trio.sleep(3 * 3600)
            await cluster.crash(alice)
            walks: list[bytes] = []
            walk = Dht.walk

            async def counted(
                self: Dht, loc: bytes, *, put: bytes | None = None, get: bool = True, watch_s: int = 0
            ) -> WalkResult:
                walks.append(loc)
                return await walk(self, loc, put=put, get=get, watch_s=watch_s)

            monkeypatch.setattr(Dht, "walk", counted)
            await cluster.start(alice)
            await trio.sleep(3 * 3600)
            own = await alice.database.run(store.own)
            bob = await alice.contact("Bob")
            held = await alice.database.run(lambda tx: store.held(tx, bob.id))
            assert own is not None
            assert held is not None
            own_loc = own.slot(int(cluster.now()), CHEAP).loc
            assert set(walks) <= {own_loc, held.key.loc}
            assert 1 <= walks.count(own_loc) <= 3  # told once to the storers, and once more when the network was there
            assert walks.count(held.key.loc) <= 1  # where Bob is reached when he goes, and his mailboxes
