"""WebSocket (PROTOCOL.md 7.1): what HTTP lets through, and what is not let through itself. The contract of a network is
held over it in test_contract.py.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
import trio.testing
from wsproto import WSConnection

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.base.refusals import Refusal
from p2pchat.net import tcp
from p2pchat.net.addresses import encode_endpoint, endpoint, format_address, from_socket, parse_address
from p2pchat.net.circuits import reserve
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.relay_server import RelayServer
from tests.contract.lab import until
from tests.net.hosts import LOOPBACK, WEBSOCKET, connect_tcp, negotiation, now, port_of, two_hosts
from tests.net.test_guards import speaks
from tests.net.test_relay import stop

pytestmark = pytest.mark.net

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
END = b"\r\n"
BINARY, TEXT, PING, FINAL, MASKED = 0x2, 0x1, 0x9, 0x80, 0x80


def ws_frame(first: int, payload: bytes = b"", *, masked: bool = True) -> bytes:
    """A frame of up to 125 bytes, its mask zero."""
    return bytes([first, len(payload) | MASKED * masked]) + bytes(4 * masked) + payload


@asynccontextmanager
async def opened(host: Libp2pHost) -> AsyncGenerator[trio.SocketStream]:
    """A WebSocket to ``host``; what follows is written by hand."""
    async with await connect_tcp(host) as stream:
        await stream.send_all(UPGRADE + END)
        head = b""
        while END + END not in head:
            head += await stream.receive_some(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        yield stream


async def drained(stream: trio.SocketStream) -> bytes:
    """All that comes until the end, however it ends."""
    data = b""
    with trio.fail_after(5), suppress(trio.BrokenResourceError):
        while chunk := await stream.receive_some():
            data += chunk
    return data


# what it is for


def is_http(data: bytes) -> bool:
    line, end, _ = data.partition(b"\r\n")
    return bool(end) and (line.endswith(b" HTTP/1.1") or line.startswith(b"HTTP/1.1 "))


@asynccontextmanager
async def middlebox(to: Libp2pHost) -> AsyncGenerator[int]:
    """A port behind which ``to`` is, for connections on which both sides begin with HTTP; the port."""

    async def one_way(source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
        begun = b""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await source.receive_some():
                begun = begun or data
                if not is_http(begun):
                    break
                await sink.send_all(data)
        scope.cancel()

    async def serve(stream: trio.SocketStream) -> None:
        async with stream, await connect_tcp(to) as beyond, trio.open_nursery() as nursery:
            nursery.start_soon(one_way, stream, beyond, nursery.cancel_scope)
            nursery.start_soon(one_way, beyond, stream, nursery.cancel_scope)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def test_a_middlebox_that_lets_only_http_through_stops_noise_and_not_websocket() -> None:
    async with two_hosts() as (a, b), middlebox(b) as port:
        with pytest.raises(NetError):
            await a.dial(b.peer_id, [from_socket("127.0.0.1", port)])
    async with two_hosts(WEBSOCKET) as (a, b), middlebox(b) as port:
        await a.dial(b.peer_id, [from_socket("127.0.0.1", port, ws=True)])
        assert await speaks(a, b)


async def test_a_node_listens_on_both_and_tells_of_both() -> None:
    async with two_hosts(WEBSOCKET, LOOPBACK) as (a, b):
        plain, ws = b.addresses()
        assert b.listening() == (ws, plain)
        assert format_address(ws).endswith("/ws")
        for address in (plain, ws):
            await a.dial(b.peer_id, [address])
            assert (await a.learn(b.peer_id))[0] == (plain, ws)
            await a.disconnect(b.peer_id)
            await until(lambda: b.links() == ())
        with pytest.raises(NetError):  # neither speaks the other's
            await a.dial(b.peer_id, [from_socket("127.0.0.1", endpoint(ws).port)])
        with pytest.raises(NetError):
            await a.dial(b.peer_id, [from_socket("127.0.0.1", endpoint(plain).port, ws=True)])


async def test_ipv6() -> None:
    async with two_hosts(parse_address("/ip6/::1/tcp/0/ws")[0]) as (a, b):
        assert await speaks(a, b)


async def test_where_a_node_is_seen_is_where_it_listens() -> None:
    async with two_hosts(WEBSOCKET) as (a, b), Libp2pHost.listen(b"\x03" * 32, [LOOPBACK, WEBSOCKET], now=now) as c:
        await a.dial(b.peer_id, b.addresses())
        assert await b.seen_by(a.peer_id) == b.addresses()[0]  # a has come there
        await b.dial(c.peer_id, c.addresses())
        assert await b.seen_by(c.peer_id) == b.addresses()[0]  # by the port that it listens on
        assert await c.seen_by(b.peer_id) == c.addresses()[0]
        await a.confirm(b.peer_id, b.addresses()[0])


async def test_a_relay_that_is_reached_by_websocket() -> None:
    async with (
        two_hosts(WEBSOCKET) as (asker, relay),
        Libp2pHost.listen(b"\x03" * 32, [], now=now) as home,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(RelayServer(relay, now, relay.refusals).run)
        home.handle("/libp2p/circuit/relay/0.2.0/stop", lambda stream: stop(home, relay, stream))
        await trio.testing.wait_all_tasks_blocked()
        await home.dial(relay.peer_id, relay.addresses())
        granted = await reserve(home, relay.peer_id, now())
        assert [endpoint(each).ws for each in granted.circuits] == [True]
        await asker.dial(home.peer_id, granted.circuits)
        assert [link.path for link in asker.links() if link.peer == home.peer_id] == ["relayed"]
        nursery.cancel_scope.cancel()


# who comes


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (UPGRADE.replace(b"13", b"8") + END, 426),
        (UPGRADE.replace(b"Host: x\r\n", b"") + END, 426),
        (UPGRADE.replace(b"Host: x", b"Host: xn--\xff\xfe") + END, 426),
        (UPGRADE.replace(b"GET /", b"GET \xff") + END, 426),
        (UPGRADE.replace(b"Sec-WebSocket-Key", b"Sec-WebSocket-Kex") + END, 426),
        (b"GET nonsense\r\n\r\n", 426),
        (UPGRADE + END + b"\x82\x00", 426),  # it has not been let in yet
        (UPGRADE + END + UPGRADE + END, 426),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (negotiation("/noise"), 400),
        (b"\x16\x03\x01\x02\x00", 400),  # TLS
        (b"GE\r\n", 400),
        (UPGRADE + b"X: " + b"x" * limits.WS_HEAD_BYTES + END + END, 400),
        (UPGRADE + b"x" * 2 * limits.WS_HEAD_BYTES, 400),
    ],
)
async def test_who_asks_for_something_else_is_told_so_and_let_go(said: bytes, status: int) -> None:
    async with two_hosts(WEBSOCKET) as (a, b):
        async with await connect_tcp(b) as stream:
            await stream.send_all(said)
            answer = await drained(stream)
            if len(said) < limits.WS_HEAD_BYTES:  # behind what nobody reads the kernel sends no answer
                assert answer.startswith(b"HTTP/1.1 %d " % status)
            assert answer in (b"", answer.partition(END + END)[0] + END + END)  # a head, and nothing behind it
        await until(lambda: b._entrance._gate._held == 0)
        assert await speaks(a, b)


@pytest.mark.parametrize(("said", "dripping"), [(b"", b""), (UPGRADE, b"x"), (UPGRADE + END, ws_frame(FINAL | 0xA))])
async def test_a_head_or_handshake_that_does_not_end_is_not_waited_for(
    said: bytes, dripping: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_S", 1.0)
    async with two_hosts(WEBSOCKET) as (a, b):
        async with await connect_tcp(b) as stream, trio.open_nursery() as nursery:

            async def drip() -> None:
                await stream.send_all(said)
                with suppress(trio.BrokenResourceError):
                    while True:  # a byte now and then does not make it longer
                        await trio.sleep(0.1)
                        await stream.send_all(dripping)

            nursery.start_soon(drip)
            await until(lambda: b._entrance._gate._held == 1)
            started = trio.current_time()
            await until(lambda: b._entrance._gate._held == 0)
            assert trio.current_time() - started < 5.0
            nursery.cancel_scope.cancel()
        assert await speaks(a, b)


@pytest.mark.parametrize(
    "frames",
    [
        ws_frame(FINAL | TEXT, b"hello"),
        ws_frame(FINAL | BINARY, negotiation("/noise"), masked=False),
        ws_frame(FINAL | 0x40 | BINARY, b"x"),
        ws_frame(FINAL | 0x3, b"x"),
        ws_frame(FINAL | 0x0, b"x"),  # goes on with nothing
        ws_frame(PING, b"x"),  # a control frame in parts
        bytes([FINAL | PING, MASKED | 126]) + struct.pack("!H", 4_000) + bytes(4_004),
        bytes([FINAL | BINARY, MASKED | 127]) + struct.pack("!Q", 1 << 63) + bytes(40),
        ws_frame(FINAL | 0x8, b"\x03\xe8"),
        ws_frame(FINAL | 0x8, b"\xff"),
        ws_frame(FINAL | BINARY, b"\xff" * 100),
    ],
)
async def test_frames_that_are_none_end_their_connection_only(frames: bytes) -> None:
    async with two_hosts(WEBSOCKET) as (a, b):
        async with opened(b) as stream:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(frames)
            await drained(stream)
        await until(lambda: b._entrance._gate._held == 0)
        assert b.refusals[Refusal.CONNECTION_EXCESSIVE] == 0
        assert await speaks(a, b)


@pytest.mark.parametrize("junk", [ws_frame(FINAL | PING, b"x"), ws_frame(FINAL | BINARY), ws_frame(BINARY, b"\0")])
async def test_frames_that_carry_nothing_are_bounded(junk: bytes) -> None:
    async with two_hosts(WEBSOCKET) as (a, b):
        async with opened(b) as stream:
            with suppress(trio.BrokenResourceError), trio.fail_after(5):
                while True:
                    await stream.send_all(junk * 1_000)
        await until(lambda: b._entrance._gate._held == 0)
        if junk != ws_frame(BINARY, b"\0"):  # that is refused as what it carries as well
            assert b.refusals[Refusal.CONNECTION_EXCESSIVE] == 1
        assert await speaks(a, b)


async def test_who_sent_them_waits_before_it_is_let_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CUT_OFF_S", 3_600.0)
    monkeypatch.setattr(limits, "CUT_OFF_MOST_S", 3_600.0)
    async with two_hosts(WEBSOCKET) as (a, b):
        async with opened(b) as stream:
            with suppress(trio.BrokenResourceError), trio.fail_after(5):
                while True:
                    await stream.send_all(ws_frame(FINAL | PING, b"x") * 1_000)
        await until(lambda: b._entrance._gate._held == 0)
        assert b.refusals[Refusal.CONNECTION_EXCESSIVE] == 1
        with trio.move_on_after(0.3):
            await a.dial(b.peer_id, b.addresses())
        assert a.links() == ()
        assert b.refusals[Refusal.HANDSHAKE_PACED] == 1


@pytest.mark.parametrize("junk", [ws_frame(FINAL | PING), ws_frame(FINAL | BINARY)])
async def test_what_comes_at_once_is_not_looked_through_before_it_is_seen_what_it_costs(
    junk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = 0
    receive = WSConnection.receive_data

    def count(self: WSConnection, data: bytes) -> None:
        nonlocal looked_at
        looked_at += len(data)
        receive(self, data)

    async with two_hosts(WEBSOCKET) as (_, b):
        async with opened(b) as stream:
            monkeypatch.setattr(WSConnection, "receive_data", count)
            with suppress(trio.BrokenResourceError):
                await stream.send_all(junk * 10_000)
            await drained(stream)
        await until(lambda: b._entrance._gate._held == 0)
        assert b.refusals[Refusal.CONNECTION_EXCESSIVE] == 1
        assert looked_at < 13_000  # 2 to 10 ms for each connection that is tried anew


async def test_a_frame_of_any_length_is_taken_as_it_comes_and_pings_are_answered() -> None:
    async with two_hosts(WEBSOCKET) as (_, b), opened(b) as stream:
        data = b""

        async def until_it_says(what: bytes) -> None:
            nonlocal data
            with trio.fail_after(5):
                while what not in data:
                    data += await stream.receive_some()

        await until_it_says(b"/multistream/1.0.0\n")
        await stream.send_all(ws_frame(FINAL | PING, b"are you there"))
        await until_it_says(ws_frame(FINAL | 0xA, b"are you there", masked=False))
        await stream.send_all(bytes([BINARY, MASKED | 127]) + struct.pack("!Q", 1 << 62) + bytes(4))
        await stream.send_all(negotiation("/noise"))
        await until_it_says(b"/noise\n")


# who is come to


def answering(answer: bytes) -> Callable[[trio.SocketStream], Awaitable[None]]:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError):
                await stream.receive_some()
                await stream.send_all(answer)
                if answer:
                    await stream.receive_some()

    return serve


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 x\r\n" + b"x" * 3 * limits.WS_HEAD_BYTES,
        negotiation("/noise"),
        b"\x00" * 1_000,
    ],
)
async def test_a_server_that_is_none_is_an_address_that_did_not_answer(answer: bytes) -> None:
    async with two_hosts() as (a, b), trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, answering(answer), 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(5), pytest.raises(NetError):
            await a.dial(b.peer_id, [from_socket("127.0.0.1", port, ws=True)])
        nursery.cancel_scope.cancel()


# listening


async def test_a_port_without_the_right_to_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with trio.socket.socket() as some:
        monkeypatch.setattr(type(some), "bind", denied)
    with pytest.raises(NetError) as refused:
        await tcp.bind([parse_address("/ip4/127.0.0.1/tcp/443/ws")[0]])
    assert refused.value.error_name == "FORBIDDEN"  # exit status 77: trying again does not help
    assert "CAP_NET_BIND_SERVICE" in refused.value.message
    assert "ip_unprivileged_port_start=443" in refused.value.message


async def test_an_address_of_another_machine_is_no_peer_that_is_away() -> None:
    with pytest.raises(NetError) as refused:
        await tcp.bind([parse_address("/ip4/203.0.113.9/tcp/4001")[0]])
    assert refused.value.error_name == "INVALID_PARAMS"


async def test_the_port_that_was_chosen_can_be_asked_for_again() -> None:
    async with Libp2pHost.listen(b"\x01" * 32, [WEBSOCKET], now=now) as host:
        bound: tuple[Address, ...] = host.listening()
        assert bound == (encode_endpoint(endpoint(bound[0])),)
        assert port_of(host) != 0
    async with Libp2pHost.listen(b"\x01" * 32, bound, now=now) as host:
        assert host.listening() == bound
