"""The defects of libp2p 0.8.1 that p2pchat/net/guard.py works around, each shown.

A test that fails here is good news: look whether its guard can go.
"""

from __future__ import annotations

import gc
import inspect
import logging
import struct
import warnings
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, cast

import libp2p.network.connection.swarm_connection as swarm_connection
import libp2p.stream_muxer.yamux.yamux as yamux
import pytest
import trio
import trio.testing
from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify.identify import AGENT_VERSION
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamEOF, StreamError
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID
from multiaddr import Multiaddr  # type: ignore[import-untyped]

from p2pchat.net.quiet import quiet_library_logs
from tests.contract.lab import until
from tests.net.hosts import cancel_at_step

pytestmark = pytest.mark.net

LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")
ECHO = TProtocol("/test/echo/1")


@pytest.fixture(autouse=True)
def quiet() -> Generator[None]:
    quiet_library_logs()
    yield
    with warnings.catch_warnings(action="ignore"):
        gc.collect()


def upstream(number: int, config: ConnectionConfig | None = None) -> BasicHost:
    keys = create_new_key_pair(bytes([number]) * 32)
    return cast(BasicHost, new_host(key_pair=keys, connection_config=config))


@asynccontextmanager
async def running(host: BasicHost, listen: Multiaddr = LOOPBACK) -> AsyncGenerator[BasicHost]:
    async with host.run(listen_addrs=[listen]):
        try:
            yield host
        finally:
            with trio.move_on_after(2) as scope:  # left alone it leaves its sockets open
                scope.shield = True
                await host.close()


def swarm_of(host: BasicHost) -> Swarm:
    return cast(Swarm, host.get_network())


async def connect(host: BasicHost, other: BasicHost) -> None:
    await host.connect(PeerInfo(other.get_id(), other.get_transport_addrs()))


async def echo(stream: INetStream) -> None:
    while True:
        await stream.write(await stream.read(65_536))


def test_the_version_is_the_one_that_was_examined() -> None:
    assert version("libp2p") == "0.8.1"


# 1


def test_plaintext_is_offered_by_default() -> None:
    assert PLAINTEXT_PROTOCOL_ID in swarm_of(upstream(1)).upgrader.security_multistream.transports


# 2


async def test_inbound_slots_are_not_given_back() -> None:
    config = ConnectionConfig(max_connections=3, min_connections=0, low_watermark=0, high_watermark=3)
    async with running(upstream(1, config)) as host, running(upstream(2)) as other:
        for _ in range(3):
            await connect(other, host)
            await other.disconnect(host.get_id())
            await until(lambda: swarm_of(host).get_total_connections() == 0)
        with pytest.raises(SwarmException):
            await connect(other, host)


# 3


async def test_an_exception_in_a_handler_ends_the_host() -> None:
    async def fail(_: object) -> None:
        raise KeyError("of a handler")

    async def meet() -> None:
        async with running(upstream(1)) as host, running(upstream(2)) as other:
            host.set_stream_handler(ECHO, fail)
            await connect(other, host)
            await other.new_stream(host.get_id(), [ECHO])
            await trio.sleep(5)

    with pytest.RaisesGroup(KeyError, flatten_subgroups=True, allow_unwrapped=True):
        await meet()


async def test_the_end_is_an_exception_and_so_is_a_reset_shown() -> None:
    async def done(stream: INetStream) -> None:
        await stream.read(1)
        await stream.close()

    async def reset(stream: INetStream) -> None:
        await stream.read(1)
        await stream.reset()

    async with running(upstream(1)) as host, running(upstream(2)) as other:
        await connect(other, host)
        for handler in (done, reset):
            host.set_stream_handler(ECHO, handler)
            stream = await other.new_stream(host.get_id(), [ECHO])
            await stream.write(b"x")
            with pytest.raises(StreamEOF):
                await stream.read(1)


# 4, 18: dialling


async def test_a_failed_peer_is_refused_although_it_is_back() -> None:
    async with running(upstream(1)) as host, running(upstream(2)) as other:
        with pytest.raises(SwarmException):
            await other.connect(PeerInfo(host.get_id(), [Multiaddr("/ip4/127.0.0.1/tcp/1")]))
        with pytest.raises(SwarmException, match="negative cache"):
            await connect(other, host)


async def test_it_dials_on_its_own() -> None:
    async with running(upstream(1)) as host:
        other = upstream(2)
        other.get_peerstore().add_addrs(host.get_id(), host.get_transport_addrs(), 100)
        async with running(other):
            await until(lambda: swarm_of(host).get_total_connections() == 1)


def test_an_address_is_dialled_three_times() -> None:
    assert RetryConfig().max_retries == 3


async def test_closing_sleeps() -> None:
    async with running(upstream(1)) as host, running(upstream(2)) as other:
        await connect(other, host)
        start = trio.current_time()
        await other.disconnect(host.get_id())
        assert trio.current_time() - start >= 0.2


async def test_a_peer_on_ipv6_has_no_address() -> None:
    async with running(upstream(1), Multiaddr("/ip6/::1/tcp/0")) as host, running(upstream(2)) as other:
        await connect(other, host)
        await until(lambda: swarm_of(host).get_total_connections() == 1)
        (connection,) = swarm_of(host).get_connections(other.get_id())
        assert connection.muxed_conn.get_remote_address() is None  # type: ignore[attr-defined]


# 6


async def test_two_hosts_share_a_port_and_a_busy_one_is_not_an_error() -> None:
    async with running(upstream(1)) as host:
        (taken,) = host.get_transport_addrs()
        async with running(upstream(2), taken) as other:
            assert other.get_transport_addrs() == [taken]
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    busy = Multiaddr(f"/ip4/127.0.0.1/tcp/{listener.socket.getsockname()[1]}")
    async with running(upstream(3), busy) as other:
        assert other.get_transport_addrs() == []
    await listener.aclose()


# 15


def test_connections_log_through_the_root_logger() -> None:
    assert "logging.warning(f" in inspect.getsource(swarm_connection)
    assert logging.getLogger("libp2p.network.auto_connector").level == logging.INFO


# 17, 18, 20: streams


class Wire:
    """What a Yamux stream needs of its connection."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.stream_buffers: dict[int, bytearray] = {1: bytearray()}

    def rtt(self) -> float:
        return 0.0

    async def read_stream(self, stream_id: int, n: int) -> bytes:
        buffer = self.stream_buffers[stream_id]
        data = bytes(buffer[:n])
        del buffer[:n]
        return data

    async def _write_frame(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.frames.append(data)


async def test_every_read_sends_a_window_update() -> None:
    wire = Wire()
    stream = yamux.YamuxStream(1, cast(yamux.Yamux, wire), True)
    for _ in range(10):
        wire.stream_buffers[1] += bytes(100)
        stream.recv_window -= 100
        await stream.read(100)
    assert len(wire.frames) == 10


async def test_a_cancelled_read_loses_bytes() -> None:
    wire = Wire()
    stream = yamux.YamuxStream(1, cast(yamux.Yamux, wire), True)
    wire.stream_buffers[1] += bytes(100)
    stream.recv_window -= 100
    for step in range(1, 10):
        with cancel_at_step(step) as scope:
            await stream.read(100)
        if scope.cancelled_caught and not wire.stream_buffers[1]:
            return
    pytest.fail("nothing was lost")


def test_a_closed_window_is_polled_for_five_seconds() -> None:
    source = inspect.getsource(yamux.YamuxStream.write)
    assert "move_on_after(5.0)" in source
    assert "trio.sleep(0.01)" in source


async def test_a_cancelled_write_breaks_the_connection() -> None:
    async with running(upstream(1)) as host, running(upstream(2)) as other:
        host.set_stream_handler(ECHO, echo)
        await connect(other, host)
        stream = await other.new_stream(host.get_id(), [ECHO])

        async def write_cancelled() -> None:
            for step in range(1, 100):
                with cancel_at_step(step % 25 + 1):
                    await stream.write(b"x" * 100)

        with pytest.raises(StreamError):
            await write_cancelled()


# 21, 22


async def test_a_window_that_is_ignored_grows_the_buffer() -> None:
    async def never(_: object) -> None:
        await trio.sleep_forever()

    async with running(upstream(1)) as host, running(upstream(2)) as other:
        host.set_stream_handler(ECHO, never)
        await connect(other, host)
        stream = await other.new_stream(host.get_id(), [ECHO])
        mux = cast(yamux.Yamux, cast(Any, stream).muxed_conn)
        header = struct.pack("!BBHII", 0, 0, 0, cast(Any, stream).muxed_stream.stream_id, 60_000)
        for _ in range(100):
            await mux._write_frame(header + bytes(60_000))
        (theirs,) = swarm_of(host).get_connections(other.get_id())
        buffers = cast(yamux.Yamux, theirs.muxed_conn).stream_buffers
        await until(lambda: max(map(len, buffers.values())) > 5_000_000)


async def test_the_read_loop_waits_for_writers() -> None:
    async with running(upstream(1)) as host, running(upstream(2)) as other:
        host.set_stream_handler(ECHO, echo)
        await connect(other, host)
        stream = await other.new_stream(host.get_id(), [ECHO])
        mux = cast(yamux.Yamux, cast(Any, stream).muxed_conn)
        await trio.testing.wait_all_tasks_blocked(0.1)
        (theirs,) = swarm_of(host).get_connections(other.get_id())
        their_mux = cast(yamux.Yamux, theirs.muxed_conn)
        async with their_mux._write_lock:
            await mux._write_frame(struct.pack("!BBHII", 0, 2, 1, 0, 7))
            await stream.write(b"unread")
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert not any(their_mux.stream_buffers.values())


# 23


def test_identify_names_the_version() -> None:
    assert AGENT_VERSION.startswith("py-libp2p/0.8.1")


async def test_identify_is_asked_without_being_asked_for() -> None:
    async with running(upstream(1)) as host, running(upstream(2)) as other:
        await connect(other, host)
        await until(lambda: bool(host.get_peerstore().get_protocols(other.get_id())))


def test_peer_ids_agree() -> None:
    from p2pchat.net.addresses import peer_id_from_key

    keys = create_new_key_pair(b"\x01" * 32)
    assert peer_id_from_key(keys.public_key.to_bytes()) == ID.from_pubkey(keys.public_key).to_bytes()
