"""Two people whom nobody can dial match and talk through relays (PROTOCOL.md 7.2)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.base.refusals import Refusal
from p2pchat.net.circuits import HOP
from p2pchat.net.hearsay import prefix_of
from p2pchat.net.transport import Standing
from p2pchat.services.block import block
from p2pchat.services.config import RelayOffer
from p2pchat.services.context import Reach
from p2pchat.services.link import MSG_PROTOCOL
from p2pchat.services.standing import Survey
from p2pchat.store import meta
from p2pchat.testing.cluster import Cluster, eventually
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.people import ALICE, meet
from tests.sim.relays import HOSTS, OFFERS, at_home, has_relays, meet_through_relays, path, relay, relays_of


@pytest.fixture
def _standing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """What others found is said by the test: nothing that they say here changes it."""
    monkeypatch.setattr(Survey, "_conclude", lambda _: None)


async def test_two_at_home_match_and_talk_through_a_relay(autojump_clock: MockClock) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            alice, bob, between = await meet_through_relays(cluster)
            assert path(alice, bob) == path(bob, alice) == "relayed"
            await alice.send("Bob", "through a relay")
            await bob.send("Alice", "and back")

            async def arrived() -> bool:
                return await bob.received("Alice") == ["through a relay"] and await alice.received("Bob") == [
                    "and back"
                ]

            assert await eventually(arrived, within_s=10) < 3
            assert relays_of(alice) == relays_of(bob) == {bytes(each.network.peer_id) for each in between}
            stream = await alice.network.open(bob.network.peer_id, MSG_PROTOCOL)
            assert stream.relay in {prefix_of(host, bob.network.peer_id) for host in HOSTS[:2]}


async def test_from_a_cold_start_a_node_at_home_is_reached_within_seconds(autojump_clock: MockClock) -> None:
    with fixed_schedule(2):
        async with Cluster.running(seed=2) as cluster:
            alice, bob, _ = await meet_through_relays(cluster)
            await cluster.crash(bob)
            await alice.send("Bob", "good morning")
            await trio.sleep(3_600)
            await cluster.start(bob)

            async def arrived() -> bool:
                return await bob.received("Alice") == ["good morning"]

            assert await eventually(arrived, within_s=30) < 8
            assert path(alice, bob) == "relayed"


async def test_a_relay_that_dies_is_replaced_and_nothing_is_lost(autojump_clock: MockClock) -> None:
    with fixed_schedule(3):
        async with Cluster.running(seed=3) as cluster:
            alice, bob, between = await meet_through_relays(cluster, relays=3)
            texts = [f"text {number}" for number in range(30)]
            carrier = next(each for each in between if bytes(each.network.peer_id) in relays_of(bob))
            before = relays_of(bob)
            for number, text in enumerate(texts):
                await alice.send("Bob", text)
                await trio.sleep(0.5)
                if number == 10:
                    await cluster.crash(carrier)

            async def arrived() -> bool:
                return await bob.received("Alice") == texts

            await eventually(arrived, within_s=30)
            await eventually(lambda: has_relays(bob), within_s=10)
            assert bytes(carrier.network.peer_id) not in relays_of(bob)
            assert relays_of(bob) != before


async def test_a_relay_that_falls_silent_is_replaced(autojump_clock: MockClock) -> None:
    with fixed_schedule(4):
        async with Cluster.running(seed=4) as cluster:
            between = [await relay(cluster, number) for number in range(3)]
            alice = await at_home(cluster, "Alice", ALICE)
            await eventually(lambda: has_relays(alice), within_s=10)
            silent = next(each for each in between if bytes(each.network.peer_id) in relays_of(alice))
            cluster.network.stall(alice.network, silent.network)

            async def replaced() -> bool:
                return bytes(silent.network.peer_id) not in relays_of(alice) and await has_relays(alice)

            await eventually(replaced, within_s=40)
            assert path(alice, silent) is None  # whoever dials it, or comes through it, has a new connection


@pytest.mark.parametrize("how", ["restart", "cut"])
async def test_the_only_relay_is_used_again_soon_after_it_is_back(autojump_clock: MockClock, how: str) -> None:
    with fixed_schedule(5):
        async with Cluster.running(seed=5) as cluster:
            alice, bob, [only] = await meet_through_relays(cluster, relays=1)
            await trio.sleep(120)
            if how == "restart":
                await cluster.crash(only)
                await trio.sleep(3)
                await cluster.start(only)
            else:
                for each in (alice, bob):
                    cluster.network.stall(each.network, only.network)
                await trio.sleep(60)
                assert relays_of(alice) == relays_of(bob) == set()
                for each in (alice, bob):
                    cluster.network.heal(each.network, only.network)
            assert await eventually(lambda: has_relays(alice, 1), within_s=60) < 20
            assert await eventually(lambda: has_relays(bob, 1), within_s=60) < 20
            await alice.send("Bob", "again")

            async def arrived() -> bool:
                return await bob.received("Alice") == ["again"]

            assert await eventually(arrived, within_s=60) < 20


async def test_reservations_are_renewed_and_outlast_their_life(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RELAY_RESERVATION_S", 240)
    with fixed_schedule(5):
        async with Cluster.running(seed=5) as cluster:
            alice, bob, _ = await meet_through_relays(cluster)
            told = (alice.network.circuits(), bob.network.circuits())
            await trio.sleep(1_000)
            assert (alice.network.circuits(), bob.network.circuits()) == told
            await alice.send("Bob", "much later")

            async def arrived() -> bool:
                return await bob.received("Alice") == ["much later"]

            await eventually(arrived, within_s=10)


async def test_circuits_end_at_their_time_and_nothing_is_lost(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RELAY_CIRCUIT_S", 7)
    with fixed_schedule(6):
        async with Cluster.running(seed=6) as cluster:
            alice, bob, between = await meet_through_relays(cluster)
            texts = [f"text {number}" for number in range(80)]
            for text in texts:
                await alice.send("Bob", text)
                await bob.send("Alice", text)
                await trio.sleep(0.5)

            async def arrived() -> bool:
                return await bob.received("Alice") == await alice.received("Bob") == texts

            await eventually(arrived, within_s=60)
            counts = [each.running.context.charges.refusals for each in between if each.running is not None]
            assert sum(each[Refusal.RELAY_OVERDRAWN] for each in counts) >= 3


async def test_the_relays_of_before_are_asked_first_and_after_a_parting_none_is_kept(
    autojump_clock: MockClock,
) -> None:
    with fixed_schedule(14):
        async with Cluster.running(seed=14) as cluster:
            _, bob, between = await meet_through_relays(cluster)
            had = relays_of(bob)
            assert had == {bytes(each.network.peer_id) for each in between}
            for number in (2, 3):
                await relay(cluster, number)
            cluster.introduces = False
            for _ in range(3):
                await cluster.crash(bob)
                await trio.sleep(600)
                await cluster.start(bob)
                assert await eventually(lambda: has_relays(bob), within_s=10) < 2
                assert relays_of(bob) == had
            context, row = bob._context(), await bob.contact("Alice")
            await bob.database.run(lambda tx: block(tx, context, row))
            assert await bob.database.run(meta.load_relays) == ()


async def test_two_reservations_in_two_networks(autojump_clock: MockClock) -> None:
    with fixed_schedule(7):
        async with Cluster.running(seed=7) as cluster:
            for last in range(1, 4):
                await cluster.add(f"Neighbour {last}", host=f"45.1.1.{last}", reach=OFFERS)
            alice = await at_home(cluster, "Alice", ALICE)
            await eventually(lambda: has_relays(alice, 1), within_s=10)
            await trio.sleep(120)
            assert len(relays_of(alice)) == 1
            await relay(cluster, 1)  # which finds the others, and they tell of it
            await eventually(lambda: has_relays(alice, 2), within_s=2 * 3_600)


@pytest.mark.usefixtures("_standing_is_given")
async def test_who_is_reached_by_itself_has_no_relay(autojump_clock: MockClock) -> None:
    with fixed_schedule(8):
        async with Cluster.running(seed=8) as cluster:
            for number in range(2):
                await relay(cluster, number)
            public = await cluster.add("Public", host=HOSTS[3])
            alice = await at_home(cluster, "Alice", ALICE)
            await eventually(lambda: has_relays(alice), within_s=10)
            assert relays_of(public) == set()
            public.network.standing = "private"  # a firewall, as others have found
            await eventually(lambda: has_relays(public), within_s=310)
            for node in (public, alice):
                node.network.standing = "public"
                await eventually(lambda node=node: has_relays(node, 0), within_s=310)  # type: ignore[misc]


async def test_on_a_network_without_internet_nobody_reserves_or_relays(autojump_clock: MockClock) -> None:
    with fixed_schedule(9):
        async with Cluster.running(seed=9) as cluster:
            alice, bob = await meet(cluster)
            offering = await cluster.add("Offering", reach=OFFERS)
            await trio.sleep(600)
            assert alice.network.circuits() == bob.network.circuits() == offering.network.circuits() == ()
            assert path(alice, bob) == "lan"


@pytest.mark.usefixtures("_standing_is_given")
@pytest.mark.parametrize(("offer", "standing", "offered"), [("auto", "public", True), ("off", "public", False)])
async def test_relaying_is_offered_as_the_user_and_others_say(
    autojump_clock: MockClock, offer: RelayOffer, standing: Standing, *, offered: bool
) -> None:
    with fixed_schedule(10):
        async with Cluster.running(seed=10) as cluster:
            node = await cluster.add("Node", host=HOSTS[0], reach=Reach(relay_offer=offer))
            asker = await cluster.add("Asker", host=HOSTS[1])

            async def serves() -> bool:
                await asker.network.dial(node.network.peer_id, node.network.addresses())
                return HOP in (await asker.network.learn(node.network.peer_id))[1]

            await trio.sleep(60)
            assert not await serves()
            node.network.standing = standing
            await trio.sleep(10)
            assert await serves() == offered
            node.network.standing = "private"
            await trio.sleep(10)
            assert not await serves()
