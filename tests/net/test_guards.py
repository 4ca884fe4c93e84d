"""Each guard of p2pchat/net/guard.py at work: every test here fails without it. test_upstream.py shows the defects."""

from __future__ import annotations

import gc
import logging
import socket
from contextlib import suppress
from functools import partial

import pytest
import structlog.testing
import trio
import trio.testing
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.transport.exceptions import SecurityUpgradeFailure
from libp2p.transport.upgrader import TransportUpgrader

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError, NetError
from p2pchat.base.ids import Address
from p2pchat.net import identify, tcp
from p2pchat.net.addresses import format_peer_id, from_socket, parse_address, peer_id_from_key
from p2pchat.net.guard import GuardedYamux
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.multistream import encode_varint, read_exactly, read_varint
from p2pchat.net.ping import PING
from p2pchat.net.transport import Stream
from tests.contract.lab import ECHO, echo, until
from tests.net.hosts import (
    DATA,
    FIN,
    LOOPBACK,
    NOWHERE,
    SYN,
    WEBSOCKET,
    WINDOW_UPDATE,
    cancel_at_step,
    connect_tcp,
    descriptors,
    frame,
    muxes,
    negotiation,
    now,
    port_of,
    rogue,
    tasks,
    two_hosts,
)
from tests.net.hosts import PING as PING_FRAME
from tests.net.hosts import PING as YAMUX_PING

pytestmark = pytest.mark.net


async def speaks(a: Libp2pHost, b: Libp2pHost) -> bool:
    """Whether a reaches b and is answered."""
    b.handle(ECHO, echo)
    await a.dial(b.peer_id, b.addresses())
    stream = await a.open(b.peer_id, ECHO)
    await stream.write(b"hello")
    answer = await read_exactly(stream, 5)
    await stream.reset()
    return answer == b"hello"


async def only_mux(host: Libp2pHost) -> GuardedYamux:
    await until(lambda: len(muxes(host)) == 1)
    return muxes(host)[0]


def plaintext(seed: bytes) -> TransportUpgrader:
    transport = InsecureTransport(create_new_key_pair(seed))
    return TransportUpgrader({TProtocol(PLAINTEXT_PROTOCOL_ID): transport}, {})


# 1: Noise and nothing else


async def test_a_plaintext_client_is_refused() -> None:
    async with two_hosts() as (a, b):
        async with await connect_tcp(b) as stream:
            raw = RawConnection(TrioTCPStream(stream), True)
            with pytest.raises(SecurityUpgradeFailure):
                await plaintext(b"\x05" * 32).upgrade_security(raw, True, ID(bytes(b.peer_id)))
        assert b.links() == ()
        assert await speaks(a, b)


async def test_a_plaintext_server_is_refused() -> None:
    impostor = plaintext(b"\x05" * 32)
    peer = ID.from_pubkey(create_new_key_pair(b"\x05" * 32).public_key)

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            with pytest.raises(SecurityUpgradeFailure):
                await impostor.upgrade_security(RawConnection(TrioTCPStream(stream), False), False)

    async with two_hosts() as (a, _), trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        address = from_socket(*listeners[0].socket.getsockname())
        with pytest.raises(NetError):
            await a.dial(peer_id_from_key(peer.to_bytes()[-32:]), [address])
        nursery.cancel_scope.cancel()


# 2, 16: inbound connections


async def test_300_connections_one_after_the_other_leave_the_node_reachable() -> None:
    async with two_hosts() as (a, b):
        for number in range(300):
            async with rogue(b, number.to_bytes(32, "big")):
                pass
        await until(lambda: b._entrance._gate._held == 0)
        assert b.links() == ()
        assert await speaks(a, b)


async def test_the_inbound_limit_is_held_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INBOUND_CONNECTIONS", 2)
    async with two_hosts() as (a, b):
        async with rogue(b, b"\x11" * 32), rogue(b, b"\x12" * 32):
            await until(lambda: not b._entrance._gate._handshakes)  # a handshake under way has a place of its own
            with pytest.raises(NetError):
                await a.dial(b.peer_id, b.addresses())
        await until(lambda: b._entrance._gate._held == 0)
        assert await speaks(a, b)


async def test_who_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_S", 1.0)
    async with two_hosts() as (a, b):
        idle = [await connect_tcp(b) for _ in range(20)]
        await until(lambda: b._entrance._gate._held == 20)
        await until(lambda: b._entrance._gate._held == 0)
        assert await speaks(a, b)
        for stream in idle:
            await stream.aclose()


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 200,
        bytes([19]) + b"/multistream/1.0.0\n" + b"\x07/noise\n" + b"\xff\xff" + b"\x00" * 100,
    ],
)
async def test_junk_before_the_handshake_ends_its_connection_only(first: bytes) -> None:
    async with two_hosts() as (a, b):
        async with await connect_tcp(b) as stream:
            with suppress(trio.BrokenResourceError):  # refused before all was sent
                await stream.send_all(first)
                await stream.send_eof()
            await until(lambda: b._entrance._gate._held == 0)
        assert await speaks(a, b)


async def test_a_stranger_cannot_announce_more_than_a_message() -> None:
    async with two_hosts() as (_, b), await connect_tcp(b) as stream:
        await stream.send_all(b"\xff\xff\xff\xff\xff\xff\x01")  # 2^48 bytes of multistream
        await until(lambda: b._entrance._gate._held == 1)
        await until(lambda: b._entrance._gate._held == 0)


# 3: what a peer or a handler does ends a stream or a connection, never the node


@pytest.mark.parametrize(
    "frames",
    [
        b"\x09" * 24,
        frame(9, 0, 1),
        frame(DATA, 0, 77, b"for no stream"),
        frame(WINDOW_UPDATE, SYN, 1) * 3,
        frame(WINDOW_UPDATE, SYN | 8, 1),
        frame(DATA, SYN | FIN, 1, b"\x00"),
        frame(DATA, SYN, 1, negotiation(ECHO)) + frame(DATA, FIN, 1),
        frame(DATA, SYN, 1, negotiation(*["/no/such/protocol"] * 50)),
        frame(DATA, SYN, 1, b"\xff\xff\xff\xff\xff"),
        frame(DATA, SYN, 1, b"\x02\xff\n"),
        frame(WINDOW_UPDATE, 0, 1, length=2**32 - 1),
        frame(3, 0, 0, length=2),
    ],
)
async def test_no_frame_of_a_peer_reaches_the_node(frames: bytes) -> None:
    async with two_hosts() as (a, b):
        b.handle(ECHO, echo)
        async with rogue(b) as secured:
            await secured.write(frames)
            assert await speaks(a, b)
        await until(lambda: b._entrance._gate._held == 1)
        assert await speaks(a, b)


async def test_an_exception_in_a_connections_task_ends_that_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def defect(_: GuardedYamux) -> None:
        raise KeyError

    async with two_hosts() as (a, b):
        with monkeypatch.context() as patch:
            patch.setattr(GuardedYamux, "handle_incoming", defect)
            with suppress(NetError):  # or the connection ends just after
                await a.dial(b.peer_id, b.addresses())
            await until(lambda: b._entrance._gate._held == 0 and a.links() == b.links() == ())
        assert await speaks(a, b)


async def test_a_failed_handler_is_reported_without_what_it_said() -> None:
    async def fail(stream: Stream) -> None:
        await stream.read(1)
        raise RuntimeError("plaintext of a message")

    async def refuse(stream: Stream) -> None:
        await stream.read(1)
        raise DecodeError("not of the declared form")

    async def weather(stream: Stream) -> None:
        await stream.read(1)
        raise NetError("gone")

    async with two_hosts() as (a, b):
        await a.dial(b.peer_id, b.addresses())
        with structlog.testing.capture_logs() as lines:
            for name, handler in (("/t/1", fail), ("/t/2", refuse), ("/t/3", weather)):
                b.handle(name, handler)
                stream = await a.open(b.peer_id, name)
                await stream.write(b"x")
                with pytest.raises(NetError):
                    await stream.read(1)
        peer = a.peer_id  # an id shows four digits wherever it is written
        assert lines == [
            {"event": "stream.failed", "error": "RuntimeError", "peer": peer, "log_level": "warning"},
            {"event": "stream.failed", "error": "DecodeError", "peer": peer, "log_level": "info"},
        ]
        assert len(str(peer)) < 20


async def test_streams_of_a_connection_are_bounded() -> None:
    async with two_hosts() as (a, b), rogue(b) as secured:
        await secured.write(b"".join(frame(WINDOW_UPDATE, SYN, 2 * i + 1) for i in range(300)))
        mux = await only_mux(b)
        await until(lambda: mux.streams != {} and max(mux.streams) >= 2 * limits.STREAMS_PER_CONNECTION)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(mux.streams) == limits.STREAMS_PER_CONNECTION
        assert await speaks(a, b)


# 4, 18: dialling


async def test_a_dead_first_address_costs_no_more_than_the_stagger() -> None:
    async with two_hosts() as (a, b):
        silent = trio.socket.socket()
        await silent.bind(("127.0.0.1", 0))
        silent.listen(1)  # accepts in the kernel, says nothing
        dead = from_socket(*silent.getsockname())
        start = trio.current_time()
        await a.dial(b.peer_id, [NOWHERE, dead, *b.addresses()])
        assert trio.current_time() - start < limits.DIAL_TOTAL_S / 2
        silent.close()


async def test_a_name_is_resolved() -> None:
    async with two_hosts() as (a, b):
        await a.dial(b.peer_id, [parse_address(f"/dns4/localhost/tcp/{port_of(b)}")[0]])
        assert a.links()


async def test_losers_of_a_race_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DIAL_STAGGER_S", 0.0)
    listen = [parse_address(f"/ip4/127.0.0.{n}/tcp/0")[0] for n in (1, 2, 3, 4)]
    async with two_hosts(*listen) as (a, b):
        before = descriptors()
        for _ in range(10):
            await a.dial(b.peer_id, b.addresses())
            await until(lambda: b._entrance._gate._held == 1 and len(muxes(a)) == len(muxes(b)) == 1)
            await a.disconnect(b.peer_id)
            await until(lambda: b._entrance._gate._held == 0 and descriptors() == before)


async def test_a_dial_ends_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DIAL_TOTAL_S", 0.3)
    async with two_hosts() as (a, b):
        silent = trio.socket.socket()
        await silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        before = descriptors()
        with trio.fail_after(5), pytest.raises(NetError):
            await a.dial(b.peer_id, [from_socket(*silent.getsockname())])
        await until(lambda: descriptors() == before)
        silent.close()


async def test_two_who_dial_each_other_at_once_are_connected() -> None:
    async with two_hosts() as (a, b):
        for _ in range(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(a.dial, b.peer_id, b.addresses())
                nursery.start_soon(b.dial, a.peer_id, a.addresses())
            assert await speaks(a, b)
            assert await speaks(b, a)
            await a.disconnect(b.peer_id)
            await until(lambda: b.links() == a.links() == ())


async def test_the_newest_connection_is_used_and_the_oldest_given_up() -> None:
    async with two_hosts() as (a, b):
        for number in range(limits.CONNECTIONS_PER_PEER + 2):
            await a._outgoing.connect(b.peer_id, b.addresses()[0])
            await until(lambda n=number: len(b._connections.alive(a.peer_id)) == min(n + 1, 4))  # type: ignore[misc]
        await until(lambda: len(muxes(a)) == len(muxes(b)) == limits.CONNECTIONS_PER_PEER)
        best = a._connections.alive(b.peer_id)[0]
        assert best.order == limits.CONNECTIONS_PER_PEER + 2
        assert len(a.links()) == len(b.links()) == 1
        assert await speaks(a, b)


async def test_of_several_connections_one_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SURPLUS_S", 0.04)
    monkeypatch.setattr(limits, "SURPLUS_CHECK_S", 0.02)
    async with two_hosts() as (a, b):
        a.handle("/hold/1", _hold)
        b.handle("/hold/1", _hold)
        for dialler, other in ((a, b), (b, a), (a, b)):
            await dialler._outgoing.connect(other.peer_id, other.addresses()[0])
        await until(lambda: len(muxes(a)) == len(muxes(b)) == 1)
        stream = await a.open(b.peer_id, "/hold/1")
        await b._outgoing.connect(a.peer_id, a.addresses()[0])  # the newest is for new streams; the other carries one
        await until(lambda: len(muxes(a)) == 2)
        assert await speaks(a, b)
        assert len(muxes(a)) == 2
        await stream.reset()
        await until(lambda: len(muxes(a)) == len(muxes(b)) == 1)
        assert await speaks(b, a)


async def _hold(stream: Stream) -> None:
    await stream.read(1)


# 5


async def test_connections_are_kept_alive_by_the_kernel() -> None:
    async with two_hosts() as (a, b):
        stream = tcp.TcpStream(await connect_tcp(b)).stream
        assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 45
        await stream.aclose()
        assert await speaks(a, b)


async def test_an_idle_connection_says_nothing() -> None:
    async with two_hosts() as (_, b), rogue(b) as secured:
        await only_mux(b)
        with trio.move_on_after(0.8) as scope:  # upstream pings after half a second
            await secured.read(1)
        assert scope.cancelled_caught


# 6


async def test_a_busy_port_is_an_error_and_leaves_nothing() -> None:
    async with two_hosts() as (_, b):
        await trio.testing.wait_all_tasks_blocked()
        before, running = descriptors(), tasks()
        busy = b.listening()[0]
        for listen in ([busy], [LOOPBACK, busy]):
            with pytest.raises(NetError) as caught:
                async with Libp2pHost.listen(b"\x03" * 32, listen, now=now):
                    pytest.fail("listened on a busy port")
            assert caught.value.error_name == "ADDRESS_IN_USE"
            assert str(port_of(b)) in caught.value.message
        assert descriptors() == before
        assert tasks() == running


async def test_the_bound_port_can_be_bound_again() -> None:
    async with Libp2pHost.listen(b"\x03" * 32, [LOOPBACK], now=now) as first:
        bound = first.listening()
        assert bound == first.addresses()
        assert port_of(first) != 0
        async with two_hosts() as (a, _):
            assert await speaks(a, first)
    async with Libp2pHost.listen(b"\x03" * 32, bound, now=now) as again:
        assert again.listening() == bound
        assert again.peer_id == first.peer_id


# 15


async def test_the_library_logs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Keep(logging.DEBUG)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        async with two_hosts() as (a, b):
            assert await speaks(a, b)
            with pytest.raises(NetError):
                await a.dial(peer_id_from_key(b"\x09" * 32), b.addresses())
            async with rogue(b) as secured:
                await secured.write(b"\x09" * 24)
            await a.disconnect(b.peer_id)
            peers = [format_peer_id(host.peer_id) for host in (a, b)]
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert [r.name for r in records if r.name.startswith(("libp2p", "root"))] == []
    written = "".join(capfd.readouterr())
    assert not any(peer in written for peer in peers)


# 17


async def test_window_updates_are_few() -> None:
    async def send(stream: Stream) -> None:
        await stream.write(bytes(2_000_000))

    async with two_hosts() as (a, b):
        b.handle("/t/1", send)
        await a.dial(b.peer_id, b.addresses())
        stream = await a.open(b.peer_id, "/t/1")
        (mux,) = muxes(a)
        sent, write = [0], mux._write_frame

        async def counting(data: bytes) -> None:
            sent[0] += 1
            await write(data)

        mux._write_frame = counting  # type: ignore[method-assign]
        while await stream.read(1000):
            pass
        assert sent[0] <= 2_000_000 // (128 * 1024) + 1


async def test_bulk_both_ways_with_small_requests_and_new_streams_beside_it() -> None:
    """What the own reads and writes, the batched window updates and the read loop's answers must stand."""
    size = 20_000_000
    block = bytes(range(256)) * 400

    async def fill(stream: Stream) -> None:
        for _ in range(size // len(block)):
            await stream.write(block)
        await stream.close()

    async def check(stream: Stream) -> None:
        got = 0
        while data := await stream.read(limits.STREAM_READ_BYTES):
            assert data == (block * 2)[got % len(block) :][: len(data)]
            got += len(data)
        assert got == size // len(block) * len(block)
        done.append(got)

    async def both(stream: Stream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fill, stream)
            nursery.start_soon(check, stream)

    async def requests(host: Libp2pHost, other: Libp2pHost) -> None:
        stream = await host.open(other.peer_id, ECHO)
        while len(done) < 2:
            await stream.write(b"r" * 256)
            assert await read_exactly(stream, 256) == b"r" * 256
            assert await speaks(host, other)

    done: list[int] = []
    async with two_hosts() as (a, b):
        b.handle("/t/1", both)
        await a.dial(b.peer_id, b.addresses())
        for host in (a, b):
            host.handle(ECHO, echo)
        (mine,) = muxes(a)
        await until(lambda: bool(b.links()))
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(both, await a.open(b.peer_id, "/t/1"))
                nursery.start_soon(requests, a, b)
                nursery.start_soon(requests, b, a)
        assert muxes(a) == [mine]


# 18: IPv6, a closed window


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
async def test_ipv6() -> None:
    async with two_hosts(parse_address("/ip6/::1/tcp/0")[0]) as (a, b):
        hosts: list[str | None] = []

        async def look(stream: Stream) -> None:
            hosts.append(stream.remote_host)

        b.handle("/t/1", look)
        assert await speaks(a, b)
        assert a.links()[0].path == b.links()[0].path == "lan"
        assert await (await a.open(b.peer_id, "/t/1")).read(1) == b""
        assert hosts == ["::1"]
        assert (await a.learn(b.peer_id))[0] == b.addresses()


@pytest.mark.slow
async def test_a_window_closed_for_longer_than_upstreams_five_seconds() -> None:
    async def late(stream: Stream) -> None:
        await trio.sleep(5.5)
        while await stream.read(limits.STREAM_READ_BYTES):
            pass
        await stream.write(b"all of it")

    async with two_hosts() as (a, b):
        b.handle("/t/1", late)
        await a.dial(b.peer_id, b.addresses())
        stream = await a.open(b.peer_id, "/t/1")
        await stream.write(bytes(600_000))
        await stream.close()
        assert await stream.read(100) == b"all of it"


# 24: frames between TCP and their streams


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 11, 12, 13, 37, 10_000])
async def test_frames_arrive_in_order_however_they_lie_in_messages(size: int) -> None:
    """Data, an empty frame, a window, a frame with a flag and one of a stream that is not there, and two streams."""
    sent = b"".join(
        (
            frame(WINDOW_UPDATE, SYN, 1) + frame(WINDOW_UPDATE, SYN, 3),
            frame(DATA, 0, 1, negotiation("/t/1")) + frame(DATA, 0, 3, negotiation("/t/1")),
            frame(DATA, 0, 1, b"one ") + frame(DATA, 0, 3, b"a ") + frame(DATA, 0, 1) + frame(DATA, 0, 1, b"two "),
            frame(WINDOW_UPDATE, 0, 1, length=1000) + frame(DATA, 0, 99, b"nobody's") + frame(DATA, 0, 1, b"three "),
            frame(YAMUX_PING, SYN, 0, length=7) + frame(DATA, FIN, 1, b"four") + frame(DATA, FIN, 3, b"b"),
        )
    )
    texts: list[bytes] = []

    async def collect(stream: Stream) -> None:
        text = b""
        while data := await stream.read(limits.STREAM_READ_BYTES):
            text += data
        texts.append(text)

    async with two_hosts() as (_, b), rogue(b) as secured:
        b.handle("/t/1", collect)
        for piece in in_pieces(sent, size):
            await secured.write(piece)
        await until(lambda: len(texts) == 2)
    assert sorted(texts) == [b"a b", b"one two three four"]


async def test_a_frame_longer_than_the_window_ends_its_connection_whole_or_in_pieces() -> None:
    async def never(_: Stream) -> None:
        await trio.sleep_forever()

    for size in (1_000, 1_000_000):
        async with two_hosts() as (_, b), rogue(b) as secured:
            b.handle("/t/1", never)
            head = frame(WINDOW_UPDATE, SYN, 1) + frame(DATA, 0, 1, negotiation("/t/1"))
            with suppress(ConnectionClosedError):  # it has ended before all was sent
                for piece in in_pieces(head + frame(DATA, 0, 1, bytes(300_000)), size):
                    await secured.write(piece)
            await until(lambda b=b: b._entrance._gate._held == 0)  # type: ignore[misc]


# 20: cancellation


@pytest.mark.parametrize("listen", [LOOPBACK, WEBSOCKET], ids=["tcp", "ws"])
async def test_a_write_cancelled_at_any_step_leaves_the_connection_whole(listen: Address) -> None:
    async def swallow(stream: Stream) -> None:
        while await stream.read(limits.STREAM_READ_BYTES):
            pass

    async with two_hosts(listen) as (a, b):
        b.handle("/t/1", swallow)
        assert await speaks(a, b)
        (mux,) = muxes(a)
        cancelled = 0
        for step in range(1, 20):
            stream = await a.open(b.peer_id, "/t/1")
            with cancel_at_step(step) as scope:
                await stream.write(bytes(600_000))  # more than the window and the kernel take at once
            cancelled += scope.cancelled_caught
            await stream.reset()
            assert await speaks(a, b)
        assert cancelled >= 4
        assert muxes(a) == [mux]


async def test_a_cut_off_write_is_not_continued() -> None:
    async def never(_: Stream) -> None:
        await trio.sleep_forever()

    async with two_hosts() as (a, b):
        b.handle("/t/1", never)
        await a.dial(b.peer_id, b.addresses())
        stream = await a.open(b.peer_id, "/t/1")
        with trio.move_on_after(0.05):
            await stream.write(bytes(1_000_000))
        with trio.fail_after(5), pytest.raises(NetError):
            await stream.write(b"x")


async def test_a_cancelled_write_gives_its_window_back() -> None:
    async with two_hosts() as (a, b):
        b.handle(ECHO, echo)
        await a.dial(b.peer_id, b.addresses())
        stream = await a.open(b.peer_id, ECHO)
        (mux,) = muxes(a)
        (raw,) = mux.streams.values()
        window = raw.send_window

        async def hold(task_status: trio.TaskStatus[None]) -> None:
            async with mux._write_lock:
                task_status.started()
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            await nursery.start(hold)
            with trio.move_on_after(0.01):
                await stream.write(b"x" * 1000)
            nursery.cancel_scope.cancel()
        assert raw.send_window == window
        await stream.write(b"hello")
        assert await read_exactly(stream, 5) == b"hello"


async def test_a_peer_that_takes_nothing_loses_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WRITE_STALL_S", 0.3)
    monkeypatch.setattr(limits, "FRAME_GRACE_S", 0.1)

    async def talk(stream: Stream) -> None:
        await stream.write(bytes(100_000_000))

    async with two_hosts() as (_, b), rogue(b) as secured:
        b.handle("/t/1", talk)
        await secured.write(frame(WINDOW_UPDATE, SYN, 1, length=2**30) + frame(DATA, 0, 1, negotiation("/t/1")))
        await only_mux(b)
        await until(lambda: b._entrance._gate._held == 0)


async def test_a_frame_that_stalls_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stuck(_: bytes) -> None:
        await trio.sleep_forever()

    async with two_hosts() as (a, b):
        await a.dial(b.peer_id, b.addresses())
        (mux,) = muxes(a)
        with monkeypatch.context() as patch:
            patch.setattr(limits, "WRITE_STALL_S", 0.05)
            patch.setattr(mux.secured_conn, "write", stuck)
            with pytest.raises(ConnectionClosedError):
                await mux._write_frame(bytes(12))


@pytest.mark.parametrize("listen", [LOOPBACK, WEBSOCKET], ids=["tcp", "ws"])
async def test_a_read_cancelled_at_any_step_loses_nothing(listen: Address) -> None:
    data = b"".join(i.to_bytes(4, "big") for i in range(500_000))

    async def send(stream: Stream) -> None:
        await stream.write(data)

    async with two_hosts(listen) as (a, b):
        b.handle("/t/1", send)
        await a.dial(b.peer_id, b.addresses())
        stream = await a.open(b.peer_id, "/t/1")
        got, step = bytearray(), 0
        while len(got) < len(data):
            step = step % 7 + 1
            with cancel_at_step(step):
                while len(got) < len(data):
                    got += await stream.read(30_000)
        assert bytes(got) == data


async def test_an_open_cancelled_at_any_step_leaves_no_stream() -> None:
    async with two_hosts() as (a, b):
        assert await speaks(a, b)
        (mine,), (theirs,) = muxes(a), muxes(b)
        for step in range(1, 25):
            with cancel_at_step(step):
                await (await a.open(b.peer_id, ECHO)).reset()
        assert await speaks(a, b)
        await until(lambda: not mine.streams and not theirs.streams and not mine.stream_events)
        assert mine.stream_backlog_semaphore.value == 256


async def test_streams_leave_nothing_behind() -> None:
    async with two_hosts() as (a, b):
        assert await speaks(a, b)
        (mine,), (theirs,) = muxes(a), muxes(b)
        for _ in range(300):  # more than the muxer's 256 slots
            stream = await a.open(b.peer_id, ECHO)
            await stream.write(b"x")
            await stream.close()
            assert await stream.read(10) == b"x"
            assert await stream.read(10) == b""
        await until(lambda: not mine.streams and not theirs.streams)
        assert not mine.stream_buffers
        assert not mine.stream_events


async def test_who_does_not_end_its_side_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_S", 0.1)

    async def done(stream: Stream) -> None:
        await stream.write(b"done")

    async with two_hosts() as (a, b):
        b.handle("/t/1", done)
        await a.dial(b.peer_id, b.addresses())
        stream = await a.open(b.peer_id, "/t/1")
        assert await stream.read(10) == b"done"
        (theirs,) = muxes(b)
        await until(lambda: not theirs.streams)
        with pytest.raises(NetError):
            await stream.write(b"x")


# 21: memory


async def test_a_peer_that_ignores_its_window_is_cut_off() -> None:
    async def never(_: Stream) -> None:
        await trio.sleep_forever()

    async with two_hosts() as (a, b), rogue(b) as secured:
        b.handle("/t/1", never)
        await secured.write(frame(DATA, SYN, 1, negotiation("/t/1")))
        mux = await only_mux(b)
        most = [0]

        async def flood() -> None:
            body = frame(DATA, 0, 1, bytes(60_000))
            with suppress(ConnectionClosedError):
                while not mux.lost:
                    await secured.write(body)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            with trio.fail_after(5):
                while not mux.lost:
                    most[0] = max(most[0], sum(map(len, mux.stream_buffers.values())))
                    await trio.lowlevel.checkpoint()
        assert 256 * 1024 < most[0] <= limits.BUFFERED_PER_CONNECTION_BYTES
        assert await speaks(a, b)


async def test_an_overlong_frame_is_refused_before_it_is_read() -> None:
    async with two_hosts() as (_, b), rogue(b) as secured:
        await secured.write(frame(WINDOW_UPDATE, SYN, 1) + frame(DATA, 0, 1, length=300_000))
        await until(lambda: b._entrance._gate._held == 0)


# 22: the read loop does not wait for writers


async def test_the_read_loop_goes_on_while_a_writer_waits() -> None:
    async with two_hosts() as (a, b), rogue(b) as secured:
        assert await speaks(a, b)
        (mux,) = [m for m in muxes(b) if m.peer_id.to_bytes() != a.peer_id]
        async with mux._write_lock:
            await secured.write(frame(WINDOW_UPDATE, SYN, 1) + frame(PING_FRAME, SYN, 0, length=7))
            await secured.write(frame(DATA, 0, 1, b"read"))
            await until(lambda: bytes(mux.stream_buffers.get(1, b"")) == b"read")
            await secured.write(frame(PING_FRAME, SYN, 0, length=7) * 10)
            await until(lambda: len(mux._answers) == 12 * 12)
            assert not mux.lost
            await secured.write(frame(PING_FRAME, SYN, 0, length=7) * 100)
            await until(lambda: mux.lost)


async def test_answers_that_waited_are_sent() -> None:
    async with two_hosts() as (_, b), rogue(b) as secured:
        await secured.write(frame(PING_FRAME, SYN, 0, length=1))
        assert await secured.read(12) == frame(PING_FRAME, 2, 0, length=1)
        mux = await only_mux(b)
        await mux._write_lock.acquire()
        await secured.write(frame(PING_FRAME, SYN, 0, length=2))
        await until(lambda: len(mux._answers) == 12)
        mux._write_lock.release()
        await mux._write_frame(frame(PING_FRAME, SYN, 0, length=9))
        assert await secured.read(24) == frame(PING_FRAME, SYN, 0, length=9) + frame(PING_FRAME, 2, 0, length=2)


# 23: identify


async def test_identify_names_no_version_and_signs_nothing() -> None:
    async with two_hosts() as (a, b):
        b.handle(ECHO, echo)
        await a.dial(b.peer_id, b.addresses())
        stream = await a.open(b.peer_id, identify.IDENTIFY)
        message = Identify.FromString(await read_exactly(stream, await read_varint(stream, 10_000)))
        assert message.agent_version == "p2pchat"
        assert message.protocol_version == "ipfs/0.1.0"
        assert list(message.protocols) == [identify.IDENTIFY, PING, ECHO]
        assert not message.HasField("signedPeerRecord")
        assert [Address(raw) for raw in message.listen_addrs] == list(b.addresses())
        assert {name for name, _ in [(f.name, v) for f, v in message.ListFields()]} == {
            "agent_version", "protocol_version", "public_key", "protocols", "listen_addrs", "observed_addr",
        }  # fmt: skip


async def test_a_peer_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: Stream) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(limits, "STREAM_OPEN_S", 0.3)
    async with two_hosts() as (a, b), rogue(b):
        b.handle(identify.IDENTIFY, never)
        await a.dial(b.peer_id, b.addresses())
        with trio.fail_after(5), pytest.raises(NetError):
            await a.learn(b.peer_id)
        silent = next(link.peer for link in b.links() if link.peer != a.peer_id)
        for use in (b.open(silent, ECHO), b.learn(silent)):
            with trio.fail_after(5), pytest.raises(NetError):
                await use


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x00",
        b"\xff\xff\xff\x7f",
        b"\x05abc",
        b"\x03\xff\xff\xff",
    ],
)
async def test_what_is_no_identify_message_is_an_error(said: bytes) -> None:
    async def say(stream: Stream) -> None:
        await stream.write(said)

    async with two_hosts() as (a, b):
        b.handle(identify.IDENTIFY, say)
        await a.dial(b.peer_id, b.addresses())
        with pytest.raises(NetError):
            await a.learn(b.peer_id)


async def test_what_a_peer_says_of_itself_is_bounded() -> None:
    addresses = [from_socket("8.8.8.8", port) for port in range(1, 100)]
    message = Identify(
        listen_addrs=[b"junk", bytes(from_socket("0.0.0.0", 1)), *map(bytes, addresses)],  # noqa: S104
        protocols=["x" * (limits.PROTOCOL_ID_CHARS + 1), *map(str, range(300))],
    ).SerializeToString()

    async def say(stream: Stream) -> None:
        await stream.write(encode_varint(len(message)) + message)

    async with two_hosts() as (a, b):
        b.handle(identify.IDENTIFY, say)
        await a.dial(b.peer_id, b.addresses())
        found, protocols = await a.learn(b.peer_id)
        assert found == tuple(addresses[: limits.ADDRESSES_PER_PEER])
        assert protocols == frozenset(map(str, range(limits.PROTOCOLS_PER_PEER - 1)))


async def test_no_node_opens_a_stream_of_its_own_accord() -> None:
    async with two_hosts() as (a, b):
        await a.dial(b.peer_id, b.addresses())
        await until(lambda: len(muxes(b)) == 1)
        await trio.testing.wait_all_tasks_blocked(0.2)
        assert [mux.next_stream_id for mux in muxes(a) + muxes(b)] == [1, 2]


async def test_ping_is_answered() -> None:
    async with two_hosts() as (a, b):
        await a.dial(b.peer_id, b.addresses())
        stream = await a.open(b.peer_id, PING)
        for _ in range(2):
            await stream.write(b"p" * 32)
            assert await read_exactly(stream, 32) == b"p" * 32


async def test_many_pings_cost_no_more_frames_than_they_came_in() -> None:
    pings = bytes(range(256)) * 25  # 200 of them
    async with two_hosts() as (a, b):
        await a.dial(b.peer_id, b.addresses())
        stream = await a.open(b.peer_id, PING)
        (mux,) = muxes(b)
        sent: list[int] = []
        write = mux._write_frame

        async def count(data: bytes) -> None:
            sent.append(len(data))
            await write(data)

        mux._write_frame = count  # type: ignore[method-assign]
        await stream.write(pings)
        assert await read_exactly(stream, len(pings)) == pings
        assert len(sent) == 1


# the end of a host


async def test_a_host_ends_quickly_and_leaves_nothing() -> None:
    async def stuck(stream: Stream) -> None:
        await stream.write(bytes(10_000_000))

    before, running = descriptors(), tasks()
    async with two_hosts() as (a, b):
        b.handle("/t/1", stuck)
        assert await speaks(a, b)
        for _ in range(5):
            await a.open(b.peer_id, "/t/1")
        await trio.testing.wait_all_tasks_blocked(0.05)
        start = trio.current_time()
    assert trio.current_time() - start < limits.LINGER_S / 2
    assert tasks() == running
    gc.collect()
    assert descriptors() == before


@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.02])
async def test_a_host_can_be_cancelled_at_any_time(after_s: float) -> None:
    before, running = descriptors(), tasks()
    with trio.move_on_after(after_s):
        async with two_hosts() as (a, b):
            while await speaks(a, b):
                await a.disconnect(b.peer_id)
    assert tasks() == running
    gc.collect()
    assert descriptors() == before


async def test_an_exception_of_the_body_leaves_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with Libp2pHost.listen(b"\x03" * 32, [LOOPBACK], now=now):
            raise KeyError
