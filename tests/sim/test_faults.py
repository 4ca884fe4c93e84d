"""Delivery under faults, many seeds: connections that break, streams that are killed, silence, crashes of either side.

The oracle is simple: every text that was queued arrives exactly once and in order, and both sides settle. Beside it the
wire is watched: whatever crashed when, no message key and no nonce ever serves two different envelopes.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core import ratchet
from p2pchat.core.crypto import Entropy
from p2pchat.core.delivery import Window
from p2pchat.core.ratchet import RatchetState
from p2pchat.services import deliver
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule

ALICE, BOB = "+821012345678", "+821098765432"
MESSAGES = 60


class Wire:
    """The envelopes that left, however often. The ack stands for the message key that it comes from."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ack_of: dict[bytes, bytes] = {}
        self.left_under: dict[bytes, bytes] = {}
        self.again = self.reused = 0
        self.then: Callable[[], None] = lambda: None
        self._encrypt, self._left = ratchet.encrypt, deliver.left
        monkeypatch.setattr(ratchet, "encrypt", self.encrypt)
        monkeypatch.setattr(deliver, "left", self.left)

    def encrypt(
        self, state: RatchetState, content: bytes, ad: bytes, entropy: Entropy
    ) -> tuple[RatchetState, bytes, bytes]:
        state, envelope, ack = self._encrypt(state, content, ad, entropy)
        self.ack_of[envelope] = ack
        return state, envelope, ack

    def left(self, cursor: deliver.Cursor, window: Window, outgoing: deliver.Outgoing) -> None:
        for row in outgoing.envelopes:
            self.again += row.envelope in self.left_under.values()
            for key in (self.ack_of[row.envelope], row.envelope[8:32]):
                # only noted: what is raised here is taken for a defect of the link, which goes on
                self.reused += self.left_under.setdefault(key, row.envelope) != row.envelope
        self._left(cursor, window, outgoing)
        self.then()


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


async def talk(node: Node, to: str, prefix: str, chance: random.Random, done: trio.Event) -> None:
    number = 0
    while number < MESSAGES:
        await trio.sleep(chance.expovariate(1.0))
        if node.running is not None:
            for _ in range(chance.choice((1, 1, 1, 7))):
                await node.send(to, f"{prefix}{number}")
                number += 1
    done.set()


async def disturb(cluster: Cluster, alice: Node, bob: Node, chance: random.Random) -> None:
    a, b = alice.network, bob.network
    while True:
        await trio.sleep(chance.expovariate(0.2))
        match chance.randrange(5):
            case 0:
                cluster.network.kill_streams(a, b)
            case 1:
                cluster.network.cut(a, b)
                await trio.sleep(chance.expovariate(0.1))
                cluster.network.heal(a, b)
            case 2:
                cluster.network.stall(a, b)
                await trio.sleep(chance.uniform(1, 60))
                cluster.network.heal(a, b)
            case 3 | 4:
                victim = chance.choice((alice, bob))
                await cluster.crash(victim)
                await trio.sleep(chance.expovariate(0.2))
                await cluster.start(victim)
            case _:
                raise AssertionError


async def everything(alice: Node, bob: Node, wire: Wire) -> bool:
    assert wire.reused == 0
    if alice.running is None or bob.running is None:
        return False
    settled = [await node.outbox() == 0 for node in (alice, bob)]
    return all(settled)


@pytest.mark.parametrize("seed", range(6))
async def test_exactly_once_in_order(seed: int, wire: Wire, autojump_clock: MockClock) -> None:
    with fixed_schedule(seed):
        chance = random.Random(seed)
        async with Cluster.running(seed=seed) as cluster:
            alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
            await alice.add(BOB, "Bob")
            await bob.add(ALICE, "Alice")
            done = trio.Event(), trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(disturb, cluster, alice, bob, chance)
                nursery.start_soon(talk, alice, "Bob", "a", chance, done[0])
                nursery.start_soon(talk, bob, "Alice", "b", chance, done[1])
                for event in done:
                    await event.wait()
                nursery.cancel_scope.cancel()
            cluster.network.heal(alice.network, bob.network)
            for node in (alice, bob):
                if node.running is None:
                    await cluster.start(node)
            await eventually(lambda: everything(alice, bob, wire), within_s=4000)
            assert await bob.received("Alice") == await alice.texts_sent("Bob")
            assert await alice.received("Bob") == await bob.texts_sent("Alice")
            assert len(await bob.received("Alice")) >= MESSAGES


@pytest.mark.parametrize("seed", range(3))
async def test_a_network_that_breaks_connections_at_any_write(seed: int, wire: Wire, autojump_clock: MockClock) -> None:
    with fixed_schedule(seed):
        async with Cluster.running(seed=seed, drop_rate=0.02) as cluster:
            alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
            await alice.add(BOB, "Bob")
            await bob.add(ALICE, "Alice")
            for number in range(MESSAGES):
                await alice.send("Bob", str(number))
                await trio.sleep(0.5)
            await eventually(lambda: everything(alice, bob, wire), within_s=20_000)
            assert await bob.received("Alice") == [str(number) for number in range(MESSAGES)]


@pytest.mark.parametrize("seed", range(3))
async def test_a_break_or_a_crash_at_the_moment_an_envelope_leaves(
    seed: int, wire: Wire, autojump_clock: MockClock
) -> None:
    with fixed_schedule(seed):
        chance = random.Random(seed)
        async with Cluster.running(seed=seed) as cluster, trio.open_nursery() as nursery:
            alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
            await alice.add(BOB, "Bob")
            await bob.add(ALICE, "Alice")

            down: set[str] = set()

            async def restart(node: Node) -> None:
                await cluster.crash(node)
                await trio.sleep(1)
                await cluster.start(node)
                down.remove(node.name)

            def strike() -> None:
                match chance.randrange(8):
                    case 0 | 1:
                        cluster.network.kill_streams(alice.network, bob.network)
                    case 2:
                        victim = chance.choice((alice, bob))
                        if victim.name not in down:
                            down.add(victim.name)
                            nursery.start_soon(restart, victim)
                    case _:
                        pass

            wire.then = strike
            done = trio.Event(), trio.Event()
            nursery.start_soon(talk, alice, "Bob", "a", chance, done[0])
            nursery.start_soon(talk, bob, "Alice", "b", chance, done[1])
            for event in done:
                await event.wait()
            await eventually(lambda: everything(alice, bob, wire), within_s=20_000)
            assert await bob.received("Alice") == await alice.texts_sent("Bob")
            assert await alice.received("Bob") == await bob.texts_sent("Alice")
            assert wire.again >= 10
