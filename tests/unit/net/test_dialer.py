"""The race for a connection, on a clock that jumps and with attempts that do as they are told."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
import trio.testing

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.addresses import encode_endpoint, endpoint, from_socket, peer_id_from_key
from p2pchat.net.dialer import Dialer

PEER = peer_id_from_key(b"p" * 32)
OTHER = peer_id_from_key(b"o" * 32)
A, B, C = (from_socket(f"10.0.0.{n}", 4001) for n in (1, 2, 3))
CIRCUIT, OTHER_CIRCUIT = (
    encode_endpoint(replace(endpoint(from_socket(f"203.0.{n}.1", 4001)), relay=OTHER)) for n in (1, 2)
)
NEVER = 10_000.0


class World:
    """Attempts answer after a time, or fail after one."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.answers: dict[Address, float] = {}
        self.failures: dict[Address, float] = {}
        self.tried: list[tuple[float, Address]] = []
        self.cancelled: list[Address] = []
        self.discarded: list[Address] = []
        self.dialer = Dialer(nursery, self.attempt, self.discard)

    async def attempt(self, peer: PeerId, address: Address) -> Address:
        self.tried.append((round(trio.current_time(), 3), address))
        try:
            if address in self.failures:
                await trio.sleep(self.failures[address])
                raise NetError("refused")
            await trio.sleep(self.answers.get(address, NEVER))
        except trio.Cancelled:
            self.cancelled.append(address)
            raise
        return address

    async def discard(self, connection: Address) -> None:
        self.discarded.append(connection)


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    return World(nursery)


async def test_addresses_are_tried_staggered_until_one_answers(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.answers = {B: 0.05}
    await world.dialer.dial(PEER, [A, B, C])
    assert world.tried == [(0.0, A), (limits.DIAL_STAGGER_S, B)]
    assert trio.current_time() == pytest.approx(limits.DIAL_STAGGER_S + 0.05)
    assert world.cancelled == [A]


async def test_a_slow_first_address_still_counts(world: World, autojump_clock: trio.testing.MockClock) -> None:
    world.answers = {A: 0.5}
    await world.dialer.dial(PEER, [A, B])
    assert world.cancelled == [B]


async def test_a_failure_starts_the_next_at_once(world: World, autojump_clock: trio.testing.MockClock) -> None:
    world.failures = {A: 0.01, B: 0.01}
    world.answers = {C: 0.01}
    await world.dialer.dial(PEER, [A, B, C])
    assert world.tried == [(0.0, A), (0.01, B), (0.02, C)]


async def test_all_failing_is_known_at_once_and_not_remembered(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.failures = {A: 0.01, B: 0.3}
    for _ in range(2):
        start = trio.current_time()
        with pytest.raises(NetError):
            await world.dialer.dial(PEER, [A, B, A, B])
        assert trio.current_time() - start == pytest.approx(0.31)
    assert [address for _, address in world.tried] == [A, B, A, B]


async def test_the_whole_race_has_a_deadline(world: World, autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(NetError):
        await world.dialer.dial(PEER, [A, B])
    assert trio.current_time() == pytest.approx(limits.DIAL_TOTAL_S)
    assert sorted(world.cancelled) == sorted([A, B])


async def test_nothing_to_dial(world: World, autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(NetError):
        await world.dialer.dial(PEER, [from_socket("10.0.0.1", 0)])
    assert world.tried == []


async def test_addresses_are_bounded(world: World, autojump_clock: trio.testing.MockClock) -> None:
    many = [from_socket("10.0.1.1", port) for port in range(1, 100)]
    world.failures = dict.fromkeys(many, 0.0)
    with pytest.raises(NetError):
        await world.dialer.dial(PEER, many)
    assert len(world.tried) == limits.ADDRESSES_PER_PEER


async def test_one_race_a_peer_to_which_callers_bring_addresses(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.answers = {C: 0.05}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.dialer.dial, PEER, [A])
        nursery.start_soon(world.dialer.dial, PEER, [A, B])
        await trio.sleep(1.0)
        nursery.start_soon(world.dialer.dial, PEER, [B, C])
    assert sorted(address for _, address in world.tried) == sorted([A, B, C])
    assert trio.current_time() == pytest.approx(1.05)


async def test_peers_do_not_wait_for_each_other(world: World, autojump_clock: trio.testing.MockClock) -> None:
    world.answers = {B: 0.01}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.dialer.dial, OTHER, [B])
        with pytest.raises(NetError):
            await world.dialer.dial(PEER, [A])


async def test_the_race_goes_on_for_those_who_still_wait(world: World, autojump_clock: trio.testing.MockClock) -> None:
    world.answers = {A: 2.0}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.dialer.dial, PEER, [A])
        with trio.move_on_after(1.0) as scope:
            await world.dialer.dial(PEER, [A])
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(2.0)
    assert world.cancelled == []


async def test_a_race_for_which_nobody_waits_ends_and_the_next_is_a_new_one(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.answers = {A: 2.0}
    with trio.move_on_after(1.0):
        await world.dialer.dial(PEER, [A])
    await world.dialer.dial(PEER, [A])
    assert world.cancelled == [A]
    assert trio.current_time() == pytest.approx(3.0)


async def test_one_that_comes_in_with_the_winner_is_discarded(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    discarded: list[Address] = []
    barrier = trio.Event()

    async def attempt(peer: PeerId, address: Address) -> Address:
        # Not to be cancelled at its end, as a connection that is being registered.
        with trio.CancelScope(shield=True):
            await barrier.wait()
        return address

    async def discard(connection: Address) -> None:
        discarded.append(connection)

    dialer = Dialer(nursery, attempt, discard)
    async with trio.open_nursery() as inner:
        inner.start_soon(dialer.dial, PEER, [A, B, C])
        await trio.sleep(1)
        barrier.set()
    assert len(discarded) == 2


async def test_every_address_that_fails_is_told_of_with_its_reason(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.failures = {A: 0.01}
    told: list[tuple[Address, str]] = []
    with pytest.raises(NetError):
        await world.dialer.dial(PEER, [A, B], lambda address, why: told.append((address, why)))
    assert told == [(A, "refused"), (B, "It did not answer in time.")]


async def test_what_is_cut_off_by_success_or_by_its_caller_has_not_failed(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    told: list[Address] = []
    world.answers = {B: 0.05}
    await world.dialer.dial(PEER, [A, B], lambda address, _: told.append(address))
    with trio.move_on_after(0.1):
        await world.dialer.dial(OTHER, [A], lambda address, _: told.append(address))
    await trio.testing.wait_all_tasks_blocked()
    assert told == []


async def test_a_relay_that_does_not_know_the_peer_yet_is_asked_again_while_another_address_is_silent(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    """Two who start at once are both unknown to their relays; what is silent is the home network of the other."""
    world.failures = {CIRCUIT: 0.1}
    with pytest.raises(NetError):
        await world.dialer.dial(PEER, [A, CIRCUIT])
    assert world.tried == [(0.0, A), (0.2, CIRCUIT), (1.3, CIRCUIT), (3.4, CIRCUIT), (7.5, CIRCUIT)]
    world.tried.clear()
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.dialer.dial, PEER, [A, CIRCUIT])
        await trio.sleep(1.0)
        world.failures, world.answers = {}, {CIRCUIT: 0.1}
    assert trio.current_time() - start == pytest.approx(1.4)


async def test_what_a_relay_refuses_makes_no_race_longer(world: World, autojump_clock: trio.testing.MockClock) -> None:
    world.failures = {A: 0.5, CIRCUIT: 0.1, OTHER_CIRCUIT: 0.1}
    with pytest.raises(NetError):
        await world.dialer.dial(PEER, [A, CIRCUIT, OTHER_CIRCUIT])
    assert trio.current_time() == pytest.approx(0.5)
    assert len(world.tried) == 3
