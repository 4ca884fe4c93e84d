"""More clients than places: who is served, who goes, and what all together may begin to send."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.base import limits
from p2pchat.control.places import places_of
from p2pchat.control.server import Server
from tests.unit.control.fake_node import FakeNode, JsonClient, connect, request

Connect = Callable[[], Awaitable[JsonClient]]


@pytest.fixture
async def server(node: FakeNode, path: Path, autojump_clock: MockClock) -> AsyncIterator[Server]:
    served = Server(node.dispatch, path=path, joint=node, places=3)
    async with trio.open_nursery() as nursery:
        await nursery.start(served.serve)
        yield served
        nursery.cancel_scope.cancel()


@pytest.fixture
async def connected(server: Server, path: Path) -> AsyncIterator[Connect]:
    """Connects one client more."""
    async with AsyncExitStack() as open_streams:

        async def more() -> JsonClient:
            client = await connect(path)
            await open_streams.enter_async_context(client.stream)
            await wait_all_tasks_blocked()
            return client

        yield more


async def told_to_go(client: JsonClient) -> bool:
    """Whether all that comes is RATE_LIMITED, and the end."""
    reply = await client.receive()
    error = reply["error"]
    assert isinstance(error, dict)
    return (reply["id"], error["data"]["name"]) == (None, "RATE_LIMITED") and await client.ended()


async def is_served(client: JsonClient) -> bool:
    return "result" in await client.call("echo")


async def test_whoever_wanted_nothing_for_the_longest_makes_room(connected: Connect) -> None:
    silent, first, second = await connected(), await connected(), await connected()
    assert await is_served(first)
    await trio.sleep(1)
    assert await is_served(second)
    await trio.sleep(limits.CONTROL_IDLE_S)
    for goes in (silent, first):
        newest = await connected()
        assert await is_served(newest)
        assert await told_to_go(goes)
    assert await is_served(second)


async def test_a_line_that_does_not_end_is_nothing_that_is_wanted(connected: Connect) -> None:
    for _ in range(3):
        await (await connected()).stream.send_all(b'{"jsonrpc":')
    half_open = await connected()  # all were there a moment ago
    assert await told_to_go(half_open)
    await trio.sleep(limits.CONTROL_IDLE_S)
    assert all([await is_served(await connected()) for _ in range(3)])


async def test_whoever_is_busy_keeps_the_place_and_the_newest_is_refused(connected: Connect, node: FakeNode) -> None:
    waits, follows, behind = await connected(), await connected(), await connected()
    await waits.send(request("wait", 1, n=1))
    await follows.call("follow", count=0, size=1)
    await behind.call("follow", count=2_000, size=1_000)  # and does not read
    await trio.sleep(limits.CONTROL_IDLE_S * 2)
    assert await told_to_go(await connected())
    node.open(1)
    assert (await waits.receive())["id"] == 1
    await trio.sleep(limits.CONTROL_IDLE_S)
    assert await is_served(await connected())
    assert await told_to_go(waits)


async def test_a_place_is_free_again_when_its_client_has_left(connected: Connect) -> None:
    clients = [await connected() for _ in range(3)]
    await clients[1].stream.aclose()
    await wait_all_tasks_blocked()
    assert await is_served(await connected())
    assert await is_served(clients[0])
    assert await is_served(clients[2])


async def test_what_all_have_begun_to_send_is_bounded(connected: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONTROL_UNFINISHED_BYTES", 100_000)
    large, larger, small = await connected(), await connected(), await connected()
    await large.stream.send_all(b" " * 60_000)
    await small.stream.send_all(b" " * limits.CONTROL_UNFINISHED_FREE_BYTES)
    await wait_all_tasks_blocked()
    await larger.stream.send_all(b" " * 30_000)
    assert await told_to_go(larger)
    await small.stream.send_all(b"\n")
    assert await is_served(small)
    await large.stream.send_all(b"\n")
    assert await is_served(large)
    for _ in range(5):  # nothing is counted that has ended, however it did
        other = await connected()
        await other.stream.send_all(b" " * 90_000)
        await wait_all_tasks_blocked()
        await other.stream.aclose()
        await wait_all_tasks_blocked()


@pytest.mark.parametrize(
    ("files", "places"), [(256, 64), (1_024, 256), (4_096, 2_048), (20_000, limits.CONTROL_CONNECTIONS), (2, 1)]
)
def test_places_follow_from_what_the_system_allows(files: int, places: int) -> None:
    assert places_of(files) == places
