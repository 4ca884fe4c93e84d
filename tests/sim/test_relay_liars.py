"""Relays that lie: with one honest one beside them two people at home talk as ever (PROTOCOL.md 7.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.core import circuit_wire as wire
from p2pchat.net.addresses import endpoint, is_global, parse_address, scope_of
from p2pchat.net.circuits import HOP, STOP, read_message, write_message
from p2pchat.net.transport import Stream
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.memnode import MemoryNode
from p2pchat.testing.schedule import fixed_schedule
from tests.contract.lab import read_all
from tests.sim.people import ALICE, BOB, is_matched
from tests.sim.relays import HOSTS, at_home, has_relays, path, relay, relays_of

Lie = Callable[[MemoryNode, Stream], Awaitable[None]]
HOME: Final = parse_address("/ip4/192.168.1.1/tcp/80")[0]


async def grant(
    node: MemoryNode,
    stream: Stream,
    expire_s: int = 1 << 40,
    *,
    at: bytes | None = None,
    limit: wire.Limit = wire.Limit(0xFFFF_FFFF, 1 << 60),  # noqa: B008  frozen
) -> bool:
    """Answer a reservation; False: it was a circuit that was asked for."""
    if wire.decode_hop_request(await read_message(stream)) is not None:
        return False
    reservation = wire.Reservation(expire_s, (bytes(node.addresses()[0]) if at is None else at,) * 8)
    await write_message(stream, wire.encode_hop_status(wire.HopStatus(wire.OK, reservation, limit)))
    return True


async def closes(_node: MemoryNode, _stream: Stream) -> None:
    """At once."""


async def garbage(_node: MemoryNode, stream: Stream) -> None:
    await stream.write(b"\xff" * 10_000)


async def another_message(_node: MemoryNode, stream: Stream) -> None:
    await write_message(stream, wire.encode_stop_status(wire.OK))


async def says_nothing(_node: MemoryNode, stream: Stream) -> None:
    while await stream.read(1_000):
        pass


async def grants_and_drops(node: MemoryNode, stream: Stream) -> None:
    if not await grant(node, stream):
        await write_message(stream, wire.encode_hop_status(wire.HopStatus(wire.OK)))


async def grants_and_holds(node: MemoryNode, stream: Stream) -> None:
    if not await grant(node, stream):
        await trio.sleep_forever()


async def grants_and_answers_itself(node: MemoryNode, stream: Stream) -> None:
    if not await grant(node, stream):
        await write_message(stream, wire.encode_hop_status(wire.HopStatus(wire.OK)))
        await node.adopt(stream, None)


async def grants_what_is_over(node: MemoryNode, stream: Stream) -> None:
    await grant(node, stream, 0)


async def points_at_our_network(node: MemoryNode, stream: Stream) -> None:
    await grant(node, stream, at=bytes(HOME))


async def grants_a_moment(node: MemoryNode, stream: Stream) -> None:
    await grant(node, stream, limit=wire.Limit(120, 131_072))


async def points_nowhere(node: MemoryNode, stream: Stream) -> None:
    await grant(node, stream, at=b"no address")


LIES: Final = [
    closes,
    garbage,
    another_message,
    says_nothing,
    grants_and_drops,
    grants_and_holds,
    grants_and_answers_itself,
    grants_what_is_over,
    points_at_our_network,
    points_nowhere,
]


@pytest.mark.parametrize("lie", LIES)
async def test_one_honest_relay_is_enough(autojump_clock: MockClock, lie: Lie) -> None:
    with fixed_schedule(1):
        async with Cluster.running(seed=1) as cluster:
            for number in range(2):
                liar = await cluster.add(f"Liar {number}", host=HOSTS[number])
                liar.network.handle(HOP, partial(lie, liar.network))
            alice, bob = await at_home(cluster, "Alice", ALICE), await at_home(cluster, "Bob", BOB)
            await trio.sleep(120)  # the liars are found first
            await relay(cluster, 2)
            await alice.add(BOB, "Bob")
            await bob.add(ALICE, "Alice")
            await eventually(lambda: matched(alice, bob), within_s=1_800)
            await alice.send("Bob", "still")

            async def arrived() -> bool:
                return await bob.received("Alice") == ["still"]

            await eventually(arrived, within_s=60)
            assert path(alice, bob) == "relayed"
            for node in (alice, bob):
                assert all(scope_of(endpoint(each).host).name == "GLOBAL" for each in node.network.circuits())
                assert not any(map(is_global, node.network.addresses()))


async def matched(alice: Node, bob: Node) -> bool:
    return await is_matched(alice, "Bob") and await is_matched(bob, "Alice")


async def test_a_stranger_is_no_relay_of_ours(autojump_clock: MockClock) -> None:
    with fixed_schedule(2):
        async with Cluster.running(seed=2) as cluster:
            own = await relay(cluster, 0)
            stranger = await cluster.add("Stranger", host=HOSTS[1])
            alice = await at_home(cluster, "Alice", ALICE)
            await eventually(lambda: has_relays(alice, 1), within_s=10)
            await alice.network.dial(stranger.network.peer_id, stranger.network.addresses())
            stream = await stranger.network.open(alice.network.peer_id, STOP)
            await write_message(stream, wire.encode_stop_connect(bytes(own.network.peer_id), wire.Limit(0, 0)))
            assert wire.decode_stop_status(await read_message(stream)) == wire.PERMISSION_DENIED
            assert relays_of(alice) == {bytes(own.network.peer_id)}


async def test_a_relay_that_makes_up_circuits_takes_no_more_than_their_places(autojump_clock: MockClock) -> None:
    with fixed_schedule(3):
        async with Cluster.running(seed=3) as cluster:
            own = await relay(cluster, 0)
            alice = await at_home(cluster, "Alice", ALICE)
            await eventually(lambda: has_relays(alice, 1), within_s=10)
            streams: list[Stream] = []
            for _ in range(3 * limits.STREAMS_PER_PEER):
                stream = await own.network.open(alice.network.peer_id, STOP)
                await write_message(stream, wire.encode_stop_connect(b"anybody", wire.Limit(0, 0)))
                streams.append(stream)
                await trio.sleep(limits.HANDSHAKE_S)
            ends = 0
            for stream in streams:
                with trio.move_on_after(limits.HANDSHAKE_S + 1):
                    with pytest.raises(NetError):  # reset: the handshake did not come in time
                        await read_all(stream)
                    ends += 1
            assert ends == len(streams)
            assert {link.peer for link in alice.network.links()} == {own.network.peer_id}


async def test_a_relay_through_which_nobody_comes_stays_where_there_is_no_other(autojump_clock: MockClock) -> None:
    with fixed_schedule(4):
        async with Cluster.running(seed=4) as cluster:
            for number in range(2):
                await relay(cluster, number)
            alice = await at_home(cluster, "Alice", ALICE)
            await eventually(lambda: has_relays(alice), within_s=10)
            before = relays_of(alice)
            for _ in range(20):
                await trio.sleep(60)
                assert relays_of(alice) == before


async def test_relays_of_a_moment_are_left_for_better_ones(autojump_clock: MockClock) -> None:
    with fixed_schedule(5):
        async with Cluster.running(seed=5) as cluster:
            for number in range(2):
                brief = await cluster.add(f"Brief {number}", host=HOSTS[number])
                brief.network.handle(HOP, partial(grants_a_moment, brief.network))
            alice = await at_home(cluster, "Alice", ALICE)
            await eventually(lambda: has_relays(alice), within_s=10)
            brief_ones = relays_of(alice)
            await trio.sleep(300)
            assert relays_of(alice) == brief_ones
            better = [await relay(cluster, number) for number in (2, 3)]
            for each in better:
                await alice.network.dial(each.network.peer_id, each.network.addresses())

            async def changed() -> bool:
                return relays_of(alice) == {bytes(each.network.peer_id) for each in better}

            await eventually(changed, within_s=60)
