"""The memory network's faults, and that a run is determined by its seed. Its contract is proven in tests/contract."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial

import pytest
import trio
import trio.testing

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.net.transport import Stream
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.memnode import MemoryNode
from p2pchat.testing.schedule import fixed_schedule

ECHO = "/test/echo/1"
OTHER = "/test/other/1"


async def echo(stream: Stream) -> None:
    while data := await stream.read(1000):
        await stream.write(data)


class World:
    def __init__(self, net: MemoryNetwork) -> None:
        self.net = net
        self.a, self.b = net.node(), net.node(host="8.8.8.8")
        self.seen: list[tuple[MemoryNode, bool]] = []
        for node in (self.a, self.b):
            node.handle(ECHO, echo)
            node.handle(OTHER, echo)
            node.watch(lambda _, connected, node=node: self.seen.append((node, connected)))  # type: ignore[misc]

    async def stream(self, protocol: str = ECHO) -> Stream:
        await self.a.dial(self.b.peer_id, self.b.addresses())
        return await self.a.open(self.b.peer_id, protocol)

    async def answers(self, stream: Stream) -> bool:
        await stream.write(b"x")
        return await stream.read(1) == b"x"


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    async with MemoryNetwork.run(seed=1) as net:
        yield World(net)


async def test_bytes_take_their_time(world: World, autojump_clock: trio.testing.MockClock) -> None:
    stream = await world.stream()
    start = trio.current_time()
    assert await world.answers(stream)
    assert 0.002 <= trio.current_time() - start <= 0.010


async def test_paths_follow_the_hosts(world: World, autojump_clock: trio.testing.MockClock) -> None:
    stream = await world.stream()
    assert world.a.links()[0].path == "direct"
    assert world.b.links()[0].path == "lan"
    assert stream.remote_host == "8.8.8.8"


async def test_cut_breaks_and_refuses_until_healed(world: World, autojump_clock: trio.testing.MockClock) -> None:
    stream = await world.stream()
    world.net.cut(world.a, world.b)
    assert world.seen == [(world.a, True), (world.b, True), (world.a, False), (world.b, False)]
    for use in (stream.read(1), stream.write(b"x"), world.a.open(world.b.peer_id, ECHO), world.stream()):
        with pytest.raises(NetError):
            await use
    assert world.a.links() == world.b.links() == ()
    world.net.heal(world.a, world.b)
    assert await world.answers(await world.stream())


async def test_cut_leaves_the_others_alone(world: World, autojump_clock: trio.testing.MockClock) -> None:
    third = world.net.node()
    third.handle(ECHO, echo)
    await world.a.dial(third.peer_id, third.addresses())
    world.net.cut(world.a, world.b)
    assert await world.answers(await world.a.open(third.peer_id, ECHO))


async def test_a_stalled_connection_is_silent_and_delivers_when_healed(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    stream = await world.stream()
    world.net.stall(world.a, world.b)
    await stream.write(b"x")
    with trio.move_on_after(3_600) as scope:
        await stream.read(1)
    assert scope.cancelled_caught
    assert world.a.links()
    start = trio.current_time()
    for use in (world.a.open(world.b.peer_id, ECHO), world.a.learn(world.b.peer_id)):
        with pytest.raises(NetError):
            await use
    assert trio.current_time() - start == pytest.approx(2 * limits.STREAM_OPEN_S)
    world.net.heal(world.a, world.b)
    assert await stream.read(1) == b"x"


async def test_a_dial_into_a_stall_takes_all_its_time(world: World, autojump_clock: trio.testing.MockClock) -> None:
    world.net.stall(world.a, world.b)
    with pytest.raises(NetError):
        await world.stream()
    assert trio.current_time() == pytest.approx(limits.DIAL_TOTAL_S)


async def test_streams_are_killed_by_protocol(world: World, autojump_clock: trio.testing.MockClock) -> None:
    first, second, other = await world.stream(), await world.stream(), await world.stream(OTHER)
    assert world.net.kill_streams(world.a, world.b, ECHO) == 2
    for stream in (first, second):
        with pytest.raises(NetError):
            await stream.read(1)
    assert await world.answers(other)
    assert world.net.kill_streams(world.b, world.a) == 1
    assert world.net.kill_streams(world.a, world.b) == 0
    assert await world.answers(await world.stream())


async def test_a_node_goes_down_and_comes_up(world: World, autojump_clock: trio.testing.MockClock) -> None:
    stream = await world.stream()
    world.net.down(world.b)
    with pytest.raises(NetError):
        await stream.read(1)
    with pytest.raises(NetError):
        await world.stream()
    with pytest.raises(NetError):
        await world.b.dial(world.a.peer_id, world.a.addresses())
    world.net.up(world.b)
    assert await world.answers(await world.stream())


async def test_two_nodes_do_not_share_an_address(world: World, autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(ValueError, match="address"):
        world.net.node(host="8.8.8.8")


async def test_connections_drop_at_the_given_rate(autojump_clock: trio.testing.MockClock) -> None:
    async with MemoryNetwork.run(seed=5, drop_rate=0.05) as net:
        world = World(net)
        lost = 0
        for _ in range(50):
            try:
                stream = await world.stream()
                for _ in range(5):
                    await world.answers(stream)
                await stream.reset()
            except NetError:
                lost += 1
        assert 10 <= lost <= 40  # 1 - 0.95 ** 10 is 0.4
        assert world.seen.count((world.a, False)) == lost


async def trace(seed: int) -> list[tuple[float, int, bytes]]:
    """What four nodes that all talk to each other see, and when."""
    seen: list[tuple[float, int, bytes]] = []

    async def talk(number: int, node: MemoryNode, other: MemoryNode) -> None:
        for turn in range(5):
            try:
                await node.dial(other.peer_id, other.addresses())
                stream = await node.open(other.peer_id, ECHO)
                await stream.write(bytes([turn]) * 3)
                seen.append((trio.current_time(), number, await stream.read(3)))
                await stream.reset()
            except NetError:
                seen.append((trio.current_time(), number, b"lost"))

    async with MemoryNetwork.run(seed=seed, drop_rate=0.1) as net, trio.open_nursery() as nursery:
        nodes = [net.node() for _ in range(4)]
        for node in nodes:
            node.handle(ECHO, echo)
        pairs = [(a, b) for a in nodes for b in nodes if a is not b]
        for number, (a, b) in enumerate(pairs):
            nursery.start_soon(talk, number, a, b)
    return seen


def run(seed: int) -> list[tuple[float, int, bytes]]:
    with fixed_schedule(seed):
        return trio.run(partial(trace, seed), clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_run_is_determined_by_its_seed() -> None:
    first = run(3)
    assert run(3) == first
    assert run(4) != first
    assert any(what == b"lost" for _, _, what in first)


async def test_an_exception_of_the_body_leaves_as_it_is(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(KeyError):
        async with MemoryNetwork.run():
            raise KeyError


async def test_silent_connections_are_looked_at_all_at_once(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    third = world.net.node()
    await world.stream()
    await world.a.dial(third.peer_id, third.addresses())
    for other in (world.b, third):
        world.net.stall(world.a, other)
    started = trio.current_time()
    await world.a.check(5)
    assert trio.current_time() - started == pytest.approx(5)
    assert world.a.links() == ()


async def test_what_is_asked_ends_with_a_stalled_connection(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    await world.stream()
    world.net.stall(world.a, world.b)
    started = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(NetError):
                await world.a.probe(world.b.peer_id)

        nursery.start_soon(ask)
        await trio.sleep(1)
        world.net.cut(world.a, world.b)
    assert trio.current_time() - started == pytest.approx(1)


async def test_what_is_written_on_one_stream_may_overtake_another_and_never_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with MemoryNetwork.run(seed=2, delay_s=(0.001, 1.0)) as net:
        world = World(net)
        came: list[tuple[int, bytes]] = []

        async def hear(stream: Stream) -> None:
            (number,) = await stream.read(1)
            while data := await stream.read(1):
                came.append((number, data))

        world.b.handle(ECHO, hear)
        streams = [await world.stream() for _ in range(4)]
        for number, stream in enumerate(streams):
            await stream.write(bytes([number]))
        for turn in range(5):
            for stream in streams:
                await stream.write(bytes([turn]))
        for stream in streams:
            await stream.close()
        await trio.sleep(60)
        for number in range(4):
            assert [data for each, data in came if each == number] == [bytes([turn]) for turn in range(5)]
        sent = [(number, bytes([turn])) for turn in range(5) for number in range(4)]
        assert sorted(came) == sorted(sent)
        assert came != sent
