"""Requests that are carried out together: each is answered as if it were alone."""

from __future__ import annotations

import json
from pathlib import Path

import structlog
import trio
from structlog.testing import capture_logs

from p2pchat.api.codec import MSGPACK_FRAMES, Splitter
from p2pchat.control import channel
from p2pchat.control.server import Server
from tests.unit.control.fake_node import FakeNode, JsonClient, request


def add(*numbers: object) -> list[dict[str, object]]:
    return [request("add", f"id {n}", n=n) for n in numbers]


async def replies(client: JsonClient, count: int) -> dict[object, object]:
    received = [await client.receive() for _ in range(count)]
    return {reply["id"]: reply.get("result", reply.get("error")) for reply in received}


def name_of(error: object) -> object:
    assert isinstance(error, dict)
    return error["data"]["name"]


async def test_what_arrives_together_is_one_call(client: JsonClient, node: FakeNode) -> None:
    await client.send(*add(1, 2, 3))
    assert await replies(client, 3) == {"id 1": {"n": 1}, "id 2": {"n": 2}, "id 3": {"n": 3}}
    assert node.joined == [[1, 2, 3]]


async def test_one_alone_waits_for_nobody(client: JsonClient, node: FakeNode) -> None:
    assert (await client.call("add", n=1))["result"] == {"n": 1}
    assert node.joined == []


async def test_the_order_of_arrival_stays(client: JsonClient, node: FakeNode) -> None:
    await client.send(*add(1, 2), request("echo", 3, n=3), *add(4, 5), request("echo", 6, n=6))
    await replies(client, 6)
    assert node.begun == [1, 2, 3, 4, 5, 6]
    assert node.joined == [[1, 2], [4, 5]]


async def test_one_that_is_refused_harms_no_other(client: JsonClient) -> None:
    malformed = {"jsonrpc": "2.0", "method": "add", "id": [1], "params": {}}
    await client.send(*add(1, "refused"), malformed, *add(2))
    told = await replies(client, 4)
    assert told["id 1"] == {"n": 1}
    assert told["id 2"] == {"n": 2}
    assert name_of(told["id refused"]) == "BLOCKED"
    assert name_of(told[None]) == "INVALID_REQUEST"


async def test_none_that_wants_no_reply_gets_one(client: JsonClient, node: FakeNode) -> None:
    silent = [{key: each[key] for key in ("jsonrpc", "method", "params")} for each in add(1, "refused")]
    await client.send(*silent, *add(2))
    assert await replies(client, 1) == {"id 2": {"n": 2}}
    assert node.joined == [[1, "refused", 2]]


async def test_a_list_of_them_is_answered_with_a_list(client: JsonClient, node: FakeNode) -> None:
    await client.send(add(1, 2, "refused"))
    line = b""
    while not line.endswith(b"\n"):
        line += await client.stream.receive_some(65_536)
    first, second, third = json.loads(line)
    assert [first["result"], second["result"]] == [{"n": 1}, {"n": 2}]
    assert name_of(third["error"]) == "BLOCKED"
    assert node.joined == [[1, 2, "refused"]]


async def test_more_than_may_be_in_flight_are_all_answered(client: JsonClient, node: FakeNode) -> None:
    count = channel.IN_FLIGHT + 500
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, add(*range(count)))
        line = b""
        while not line.endswith(b"\n"):
            line += await client.stream.receive_some(65_536)
    assert [reply["result"]["n"] for reply in json.loads(line)] == list(range(count))
    assert max(len(each) for each in node.joined) <= channel.IN_FLIGHT


async def test_a_defect_is_told_to_each_and_ends_none_but_these(client: JsonClient) -> None:
    structlog.reset_defaults()
    with capture_logs() as logs:
        await client.send(*add(1, "break"))
        told = await replies(client, 2)
    assert {name_of(error) for error in told.values()} == {"INTERNAL"}
    assert "break" not in str(logs)
    assert (await client.call("echo", n=2))["result"] == {"n": 2}


async def test_what_stands_before_a_frame_that_ends_the_stream_is_carried_out(server: Server, path: Path) -> None:
    stream = await trio.open_unix_socket(str(path))
    await stream.send_all(b"".join(map(MSGPACK_FRAMES.frame, map(MSGPACK_FRAMES.encode, add(1, 2)))) + b"\x01\0\0\0")
    splitter, received = Splitter(), list[object]()
    while data := await stream.receive_some(65_536):
        splitter.feed(data)
        while frame := splitter.next_frame():
            received.append(MSGPACK_FRAMES.decode(frame))
    told = {reply["id"]: reply.get("result", reply.get("error")) for reply in received if isinstance(reply, dict)}
    assert (told["id 1"], told["id 2"]) == ({"n": 1}, {"n": 2})
    assert name_of(told[None]) == "PARSE"
    await stream.aclose()
