"""Replies that a client asks for and does not read: so many are made as may wait, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.limits import CONTROL_REPLIES_BYTES
from p2pchat.control import outgoing
from p2pchat.control.render import PAGE_BYTES
from p2pchat.control.server import Server
from tests.unit.control.fake_node import FakeNode, JsonClient, connect, request

ASKED = 60
PAGE = PAGE_BYTES - 100


def pages(count: int) -> list[dict[str, object]]:
    return [request("message.list", number, n=number, size=PAGE) for number in range(count)]


async def test_what_is_not_read_is_not_made(
    client: JsonClient, server: Server, path: Path, node: FakeNode, autojump_clock: MockClock
) -> None:
    await client.send(*pages(ASKED))
    await trio.sleep(1)
    assert len(node.begun) * PAGE_BYTES <= CONTROL_REPLIES_BYTES
    other = await connect(path)
    async with other.stream:
        assert len(str(await other.call("message.list", size=PAGE))) > PAGE
        assert "result" in await other.call("echo")


async def test_who_reads_gets_everything(client: JsonClient, node: FakeNode) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, *pages(ASKED), request("echo", "last"))
        replies = {reply["id"]: reply["result"] for reply in [await client.receive() for _ in range(ASKED + 1)]}
        assert {number: len(str(replies[number])) for number in range(ASKED)} == dict.fromkeys(range(ASKED), PAGE)
        assert "last" in replies


async def test_who_reads_nothing_is_disconnected_and_what_was_asked_is_over(
    client: JsonClient, node: FakeNode, autojump_clock: MockClock
) -> None:
    await client.send(*pages(ASKED))
    await trio.sleep(outgoing.STALL_S - 1)
    begun = len(node.begun)
    await trio.sleep(2)
    got = 0
    while data := await client.stream.receive_some(1 << 20):
        got += len(data)
    assert got < PAGE, "what the kernel had taken"
    assert len(node.begun) == begun < ASKED


async def test_small_replies_are_not_counted_one_by_one(client: JsonClient, node: FakeNode) -> None:
    await client.send(*(request("wait", number, n=number) for number in range(1000)))
    await trio.testing.wait_all_tasks_blocked()
    assert len(node.begun) == 1000


@pytest.mark.parametrize("method", ["message.list", "message.get"])
async def test_a_batch_does_not_wait_for_its_own_replies(client: JsonClient, node: FakeNode, method: str) -> None:
    size = CONTROL_REPLIES_BYTES // 50
    await client.send([request(method, number, size=size) for number in range(70)])
    (batch,) = [await client.receive_list()]
    assert sorted(int(str(each["id"])) for each in batch) == list(range(70))
    assert "result" in await client.call("echo")


async def test_batches_that_are_not_read_are_bounded_too(
    client: JsonClient, node: FakeNode, autojump_clock: MockClock
) -> None:
    for first in range(0, ASKED, 2):
        await client.send([request("message.list", n, n=n, size=PAGE) for n in (first, first + 1)])
    await trio.sleep(1)
    assert len(node.begun) * PAGE_BYTES <= 2 * CONTROL_REPLIES_BYTES


async def test_what_is_large_itself_waits_until_nothing_else_does(client: JsonClient, node: FakeNode) -> None:
    async with trio.open_nursery() as nursery:
        padding = "x" * CONTROL_REPLIES_BYTES
        nursery.start_soon(client.send, request("wait", 1, n=1), request("echo", 2, n=2, text=padding))
        await trio.testing.wait_all_tasks_blocked()
        assert node.begun == [1]
        node.open(1)
        assert [(await client.receive())["id"] for _ in range(2)] == [1, 2], "the second was not begun before"
