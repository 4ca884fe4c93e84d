"""The socket: who may connect, what the envelope is held to, what a client's end or silence brings about."""

from __future__ import annotations

import errno
import json
import os
import socket
from pathlib import Path

import msgpack
import pytest
import structlog
import trio
import trio.testing
from structlog.testing import capture_logs

from p2pchat.base.errors import UsageError
from p2pchat.control import channel, gone, outgoing
from p2pchat.control import server as server_module
from p2pchat.control.server import Server
from tests.unit.control.fake_node import FakeNode, JsonClient, connect, request


def error_of(reply: dict[str, object]) -> tuple[object, object]:
    error = reply["error"]
    assert isinstance(error, dict)
    return error["data"]["name"], error["code"]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def exists(path: Path) -> bool:
    return path.exists()


def make_directory(path: Path) -> None:
    path.mkdir()


def move_away(path: Path) -> None:
    path.rename(path.with_suffix(".old"))


def packed(value: object) -> bytes:
    body = msgpack.packb(value)
    assert isinstance(body, bytes)
    return len(body).to_bytes(4, "big") + body


# -- envelope ----------------------------------------------------------------------------------------------------------


async def test_a_call_is_answered(client: JsonClient) -> None:
    reply = await client.call("echo", "id-1", text="한글\0")
    assert reply == {"jsonrpc": "2.0", "id": "id-1", "result": {"text": "한글\0"}}


async def test_msgpack_carries_the_same_envelope_and_bytes_natively(server: Server, path: Path) -> None:
    stream = await trio.open_unix_socket(str(path))
    await stream.send_all(packed(request("echo", 5, data=b"\0\xff")))
    head = await stream.receive_some(4)
    reply = await stream.receive_some(int.from_bytes(head, "big"))
    assert msgpack.unpackb(reply) == {"jsonrpc": "2.0", "id": 5, "result": {"data": b"\0\xff"}}
    await stream.aclose()


@pytest.mark.parametrize(
    ("sent", "name", "reply_id"),
    [
        ({"id": 1, "method": "echo"}, "INVALID_REQUEST", 1),
        ({"jsonrpc": "1.0", "id": 1, "method": "echo"}, "INVALID_REQUEST", 1),
        ({"jsonrpc": "2.0", "id": 1}, "INVALID_REQUEST", 1),
        ({"jsonrpc": "2.0", "id": 1, "method": 5}, "INVALID_REQUEST", 1),
        ({"jsonrpc": "2.0", "id": [1], "method": "echo"}, "INVALID_REQUEST", None),
        ({"jsonrpc": "2.0", "id": True, "method": "echo"}, "INVALID_REQUEST", None),
        ({"jsonrpc": "2.0", "id": 1.5, "method": "echo"}, "INVALID_REQUEST", None),
        ({"jsonrpc": "2.0", "id": 1 << 70, "method": "echo"}, "INVALID_REQUEST", None),
        ({"jsonrpc": "2.0", "id": "x" * 257, "method": "echo"}, "INVALID_REQUEST", None),
        ({"jsonrpc": "2.0", "id": "\ud800", "method": "echo"}, "INVALID_REQUEST", None),
        ({"jsonrpc": "2.0", "id": 1, "method": "echo", "param": {}}, "INVALID_REQUEST", 1),
        ({"jsonrpc": "2.0", "id": 1, "method": "echo", "params": ["x"]}, "INVALID_PARAMS", 1),
        ({"jsonrpc": "2.0", "id": 1, "method": "ehco"}, "METHOD_NOT_FOUND", 1),
        ({"jsonrpc": "2.0", "id": 1, "method": "\ud800"}, "METHOD_NOT_FOUND", 1),
        ([], "INVALID_REQUEST", None),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_kept(
    client: JsonClient, sent: object, name: str, reply_id: object
) -> None:
    await client.send(sent)
    reply = await client.receive()
    assert error_of(reply)[0] == name
    assert reply["id"] == reply_id
    assert "result" in await client.call("echo", 2)


async def test_an_error_reply_has_code_sentence_and_data(client: JsonClient) -> None:
    assert (await client.call("refuse"))["error"] == {
        "code": 1020,
        "message": "No contact has that name.",
        "data": {"name": "CONTACT_NOT_FOUND", "near": ["Bob"]},
    }


async def test_a_notification_is_carried_out_and_not_answered(client: JsonClient, node: FakeNode) -> None:
    await client.send(
        {"jsonrpc": "2.0", "method": "echo", "params": {"n": "quiet"}},
        {"jsonrpc": "2.0", "method": "refuse"},
        request("echo", 9),
    )
    assert (await client.receive())["id"] == 9
    assert "quiet" in node.ended


async def test_a_bad_line_is_answered_and_the_connection_kept(client: JsonClient) -> None:
    await client.stream.send_all(b'{"jsonrpc":\n{"a":' + b"[" * 40 + b"]" * 40 + b"}\n")
    for _ in range(2):
        reply = await client.receive()
        assert (error_of(reply), reply["id"]) == (("PARSE", -32700), None)
    assert "result" in await client.call("echo", 2)


async def test_a_bad_first_byte_gets_one_error_and_the_end(client: JsonClient) -> None:
    await client.stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
    assert error_of(await client.receive())[0] == "PARSE"
    assert await client.ended()


async def test_a_frame_too_long_gets_one_error_and_the_end(server: Server, path: Path) -> None:
    stream = await trio.open_unix_socket(str(path))
    await stream.send_all(b"\0\0\0\x01\x90" + b"\x01\0\0\0")
    received = b""
    while data := await stream.receive_some(65_536):
        received += data
    first = int.from_bytes(received[:4], "big")
    assert msgpack.unpackb(received[4 : 4 + first])["error"]["data"]["name"] in ("INVALID_REQUEST", "PARSE")
    assert b"longer than" in received
    await stream.aclose()


# -- batches -----------------------------------------------------------------------------------------------------------


async def batch(client: JsonClient, *items: object) -> list[dict[str, object]]:
    await client.send(list(items))
    reply: object = await client.receive()
    assert isinstance(reply, list)
    return reply


async def test_a_batch_is_answered_as_one_list(client: JsonClient) -> None:
    replies = await batch(
        client, request("echo", 1), {"jsonrpc": "2.0", "method": "echo"}, 5, request("refuse", 2), request("echo", 3)
    )
    assert sorted(str(reply["id"]) for reply in replies) == ["1", "2", "3", "None"]
    assert {error_of(reply)[0] for reply in replies if "error" in reply} == {"CONTACT_NOT_FOUND", "INVALID_REQUEST"}


async def test_a_batch_of_notifications_is_not_answered(client: JsonClient) -> None:
    await client.send([{"jsonrpc": "2.0", "method": "echo"}] * 3, request("echo", 7))
    assert (await client.receive())["id"] == 7


async def test_a_batch_longer_than_the_limit_in_flight_is_worked_off(client: JsonClient, node: FakeNode) -> None:
    count = channel.IN_FLIGHT * 2
    replies = await batch(client, *(request("echo", i, n=i) for i in range(count)))
    assert {reply["id"] for reply in replies} == set(range(count))
    assert node.begun == list(range(count))


async def test_a_batch_that_is_too_long_is_refused_whole(client: JsonClient, node: FakeNode) -> None:
    await client.send([request("echo", 1)] * (channel.BATCH_REQUESTS + 1))
    assert error_of(await client.receive())[0] == "INVALID_REQUEST"
    assert node.begun == []


async def test_replies_that_do_not_fit_into_one_frame_together_say_so(client: JsonClient) -> None:
    replies = await batch(client, *(request("big", i, size=6_000_000) for i in range(3)))
    assert len(replies) == 3
    assert [error_of(reply)[0] for reply in replies if "error" in reply] == ["TOO_LARGE"]


async def test_a_single_reply_that_does_not_fit_is_too_large(client: JsonClient) -> None:
    assert error_of(await client.call("big", size=17_000_000)) == ("TOO_LARGE", 1051)


# -- order and flow ----------------------------------------------------------------------------------------------------


async def test_requests_are_begun_in_order_and_answered_as_they_are_ready(client: JsonClient, node: FakeNode) -> None:
    await client.send(request("wait", "slow", n="slow"), *(request("echo", i, n=i) for i in range(500)))
    replies = [(await client.receive())["id"] for _ in range(500)]
    assert sorted(replies, key=str) == sorted(range(500), key=str)
    assert node.begun == ["slow", *range(500)]
    node.open("slow")
    assert (await client.receive())["id"] == "slow"


async def test_beyond_the_limit_in_flight_requests_wait_unread(
    client: JsonClient, node: FakeNode, autojump_clock: trio.testing.MockClock
) -> None:
    await client.send(*(request("wait", i, n=i) for i in range(channel.IN_FLIGHT + 10)))
    await trio.sleep(1)
    assert node.begun == list(range(channel.IN_FLIGHT))
    node.open(0)
    assert (await client.receive())["id"] == 0
    await trio.sleep(1)
    assert node.begun == list(range(channel.IN_FLIGHT + 1))


async def test_half_close_finishes_what_is_pending(client: JsonClient, node: FakeNode) -> None:
    await client.send(request("wait", 1, n=1), request("echo", 2))
    await client.stream.send_eof()
    assert (await client.receive())["id"] == 2
    node.open(1)
    assert (await client.receive())["id"] == 1
    assert await client.ended()


async def test_half_close_without_a_last_line_feed(client: JsonClient) -> None:
    await client.stream.send_all(json.dumps(request("echo", 1)).encode())
    await client.stream.send_eof()
    assert (await client.receive())["id"] == 1
    assert await client.ended()


async def test_half_close_ends_subscriptions(client: JsonClient, node: FakeNode) -> None:
    await client.send(request("follow", 1, count=2, size=1))
    assert "result" in await client.receive()
    assert [(await client.receive())["method"] for _ in range(2)] == ["event", "event"]
    await client.stream.send_eof()
    assert await client.ended()
    assert node.stopped == ["notify"]


async def test_events_come_after_the_reply_that_announces_them(client: JsonClient, node: FakeNode) -> None:
    await client.send(*(request("follow", i, count=3, size=1) for i in range(20)))
    seen = 0
    for _ in range(20 * 4):
        message = await client.receive()
        seen += "result" in message
        assert seen > 0
    assert seen == 20


async def test_a_refused_request_starts_nothing(client: JsonClient, node: FakeNode) -> None:
    assert error_of(await client.call("follow", 1, count=1, size=1, fail=True))[0] == "FORBIDDEN"
    assert "result" in await client.call("echo", 2)
    assert node.notified == 0


async def test_a_subscription_that_fails_is_told_with_a_null_id(client: JsonClient) -> None:
    assert "result" in await client.call("follow_and_fail")
    told = await client.receive()
    assert told["id"] is None
    assert error_of(told) == ("CURSOR_EXPIRED", 1040)
    assert "result" in await client.call("echo", 2)


async def test_a_client_that_does_not_read_is_held_back_and_then_dropped(
    client: JsonClient, server: Server, path: Path, node: FakeNode, autojump_clock: trio.testing.MockClock
) -> None:
    await client.send(request("follow", 1, count=10_000, size=10_000))
    await trio.sleep(outgoing.STALL_S - 1)
    held_at = node.notified
    assert held_at < 1000
    assert node.stopped == []
    other = await connect(path)
    assert "result" in await other.call("echo", 1)
    await other.stream.aclose()
    await trio.sleep(2)
    assert node.stopped == ["notify"]
    assert node.notified == held_at


async def test_a_client_that_reads_slowly_is_kept(
    client: JsonClient, node: FakeNode, autojump_clock: trio.testing.MockClock
) -> None:
    await client.send(request("follow", 1, count=400, size=10_000))
    for _ in range(12):
        await trio.sleep(outgoing.STALL_S - 5)
        for _ in range(5):  # the kernel takes more only when most of its buffer has been read
            assert await client.stream.receive_some(65_536)
    assert node.stopped == []


async def test_what_was_begun_for_a_client_that_left_ends_or_is_cut(
    server: Server, path: Path, node: FakeNode, autojump_clock: trio.testing.MockClock
) -> None:
    leaver = await connect(path)
    await leaver.send(request("wait", 1, n=1), request("wait", 2, n=2), request("wait", 3, n=3))
    await trio.testing.wait_all_tasks_blocked()
    await leaver.stream.aclose()
    node.open(1)  # its reply finds nobody
    await trio.sleep(channel.GRACE_S / 2)
    node.open(2)
    await trio.sleep(channel.GRACE_S * 2)
    node.open(3)
    await trio.testing.wait_all_tasks_blocked()
    assert node.ended == [1, 2]


@pytest.mark.parametrize("waits", [1, channel.IN_FLIGHT + 1], ids=["one", "more than are read"])
async def test_what_waits_for_a_client_that_is_gone_is_waited_for_no_longer(
    server: Server, path: Path, node: FakeNode, autojump_clock: trio.testing.MockClock, waits: int
) -> None:
    leaver = await connect(path)
    await leaver.send(*(request("wait", number, n=number) for number in range(waits)))
    await trio.testing.wait_all_tasks_blocked()
    assert len(node.begun) == min(waits, channel.IN_FLIGHT)
    await leaver.stream.aclose()
    await trio.sleep(channel.GRACE_S - 1)
    assert len(server._channels) == 1
    await trio.sleep(2)
    assert not server._channels
    assert node.ended == []


async def test_what_waits_for_a_client_that_only_listens_is_waited_for(
    client: JsonClient, node: FakeNode, autojump_clock: trio.testing.MockClock
) -> None:
    await client.send(request("wait", 1, n=1))
    await client.stream.send_eof()
    await trio.sleep(86_400)
    node.open(1)
    assert (await client.receive())["id"] == 1
    assert await client.ended()


async def test_who_only_listens_is_served_where_there_is_no_descriptor_to_look_after_them(
    client: JsonClient, node: FakeNode, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def none_left() -> None:
        asked.append(trio.current_time())
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as short:
        short.setattr(gone, "epoll", none_left)
        await client.send(request("wait", 1, n=1))
        await client.stream.send_eof()
        await trio.sleep(60)
        assert len(asked) > 1
    node.open(1)
    assert (await client.receive())["id"] == 1
    assert await client.ended()


# -- defects -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["break", "strange"])
async def test_a_defect_is_referred_to_and_tells_nothing(client: JsonClient, method: str) -> None:
    structlog.reset_defaults()
    with capture_logs() as logs:
        reply = await client.call(method, secret="canary-4711")
    error = reply["error"]
    assert isinstance(error, dict)
    assert error_of(reply) == ("INTERNAL", -32603)
    assert [entry["ref"] for entry in logs] == [error["data"]["ref"]]
    assert "canary" not in json.dumps(reply) + repr(logs)
    assert "Traceback" not in json.dumps(reply)
    assert "result" in await client.call("echo", 2)


# -- who and where -----------------------------------------------------------------------------------------------------


async def test_the_socket_and_its_directory_are_closed_to_others(server: Server, path: Path) -> None:
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700


async def test_another_user_is_closed_without_a_reply(
    server: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_uid_of", lambda accepted: os.geteuid() + 1)
    stream = await trio.open_unix_socket(str(path))
    assert await stream.receive_some(1) == b""
    await stream.aclose()


async def test_the_kernel_is_asked_who_the_client_is(server: Server, path: Path) -> None:
    left, right = socket.socketpair()
    with left, right:
        assert server_module._uid_of(trio.socket.from_stdlib_socket(left)) == os.getuid()


async def test_a_live_socket_is_not_taken(server: Server, path: Path, node: FakeNode) -> None:
    with pytest.raises(UsageError) as caught:
        await Server(node.dispatch, path=path).serve()
    assert caught.value.error_name == "ALREADY_RUNNING"
    other = await connect(path)
    assert "result" in await other.call("echo")
    await other.stream.aclose()


async def test_a_daemon_that_hangs_is_running_too(path: Path, node: FakeNode) -> None:
    path.parent.mkdir(mode=0o700)
    hung = socket.socket(socket.AF_UNIX)
    hung.bind(str(path))
    hung.listen(0)
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for each in waiting:
        each.setblocking(False)
        each.connect_ex(str(path))
    with pytest.raises(UsageError) as caught:
        await Server(node.dispatch, path=path).serve()
    assert caught.value.error_name == "ALREADY_RUNNING"
    for each in (hung, *waiting):
        each.close()


async def test_a_stale_socket_is_replaced(path: Path, node: FakeNode) -> None:
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with trio.open_nursery() as nursery:
        await nursery.start(Server(node.dispatch, path=path).serve)
        client = await connect(path)
        assert "result" in await client.call("echo")
        await client.stream.aclose()
        nursery.cancel_scope.cancel()
    assert not exists(path)


async def test_what_is_no_socket_is_left_alone(path: Path, node: FakeNode) -> None:
    path.parent.mkdir(mode=0o700)
    make_directory(path)
    with pytest.raises(UsageError) as caught:
        await Server(node.dispatch, path=path).serve()
    assert caught.value.error_name == "INVALID_PARAMS"
    assert exists(path)


async def test_an_open_directory_is_refused(path: Path, node: FakeNode) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o755)
    with pytest.raises(UsageError) as caught:
        await Server(node.dispatch, path=path).serve()
    assert caught.value.error_name == "FORBIDDEN"


async def test_another_daemons_socket_is_not_removed_at_the_end(path: Path, node: FakeNode) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(Server(node.dispatch, path=path).serve)
        move_away(path)
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
        nursery.cancel_scope.cancel()
    assert exists(path)


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_drain_lets_replies_out_and_takes_no_more(server: Server, path: Path, node: FakeNode) -> None:
    client = await connect(path)
    await client.send(request("wait", 1, n=1), request("follow", 2, count=0, size=1))
    assert (await client.receive())["id"] == 2
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.drain)
        await trio.testing.wait_all_tasks_blocked()
        assert not exists(path)
        with pytest.raises(OSError, match="No such file"):
            await connect(path)
        node.open(1)
    assert (await client.receive())["id"] == 1
    assert await client.ended()
    await client.stream.aclose()


async def test_drain_does_not_wait_for_ever(
    server: Server, client: JsonClient, autojump_clock: trio.testing.MockClock
) -> None:
    await client.send(request("wait", 1, n=1))
    await trio.testing.wait_all_tasks_blocked()
    began = trio.current_time()
    await server.drain()
    assert trio.current_time() - began == pytest.approx(server_module.DRAIN_S)
