"""Places of connections on real sockets: who is too slow, who makes room, and what this node itself leaves unused."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID

from p2pchat.base import limits
from p2pchat.base.refusals import Refusal
from p2pchat.net.admission import Worth
from p2pchat.net.connections import worth_of
from p2pchat.net.guard import Upgrader
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.pace import IDENTIFY_US, PING_BYTES_A_US, PING_US
from p2pchat.net.tcp import TcpStream
from p2pchat.net.transport import Stream
from tests.contract.lab import ECHO, echo, until
from tests.net.hosts import (
    DATA,
    LOOPBACK,
    SYN,
    WINDOW_UPDATE,
    connect_tcp,
    frame,
    muxes,
    negotiation,
    now,
    port_of,
    rogue,
    two_hosts,
)

pytestmark = pytest.mark.net

ELSEWHERE = "127.0.0.2"


@asynccontextmanager
async def stranger(host: Libp2pHost, seed: int, source: str = ELSEWHERE) -> AsyncGenerator[trio.SocketStream]:
    """A whole handshake from another address, and nothing after it."""
    upgrader = Upgrader(create_new_key_pair(bytes([seed]) * 32))
    async with await trio.open_tcp_stream("127.0.0.1", port_of(host), local_address=source) as stream:
        secured = await upgrader.upgrade_security(RawConnection(TcpStream(stream), True), True, ID(bytes(host.peer_id)))
        await upgrader.muxer_multistream.select_transport(secured)
        yield stream


async def talks(a: Libp2pHost, b: Libp2pHost) -> bool:
    stream = await a.open(b.peer_id, ECHO)
    await stream.write(b"hello")
    return await stream.read(5) == b"hello"


async def is_closed(stream: trio.SocketStream) -> bool:
    try:
        while await stream.receive_some(1_000):
            pass
    except trio.BrokenResourceError:
        pass
    return True


async def test_a_handshake_byte_by_byte_is_given_up_in_time_however_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_S", 0.4)
    async with two_hosts() as (_, b), await connect_tcp(b) as stream, trio.open_nursery() as nursery:

        async def drip() -> None:
            try:
                for byte in negotiation("/noise") + b"\x00\xff" + bytes(255):
                    await stream.send_all(bytes([byte]))
                    await trio.sleep(0.02)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

        nursery.start_soon(drip)
        with trio.fail_after(4):  # all of it would take six
            assert await is_closed(stream)
        await until(lambda: b._entrance._gate._held == 0)
        assert b.refusals[Refusal.HANDSHAKE_LATE] == 1
        assert b.load().handshakes == 0
        nursery.cancel_scope.cancel()


async def test_who_has_shaken_hands_and_agrees_on_no_muxer_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_S", 1.0)
    async with two_hosts() as (_, b), await connect_tcp(b) as stream:
        upgrader = Upgrader(create_new_key_pair(b"\x66" * 32))
        await upgrader.upgrade_security(RawConnection(TcpStream(stream), True), True, ID(bytes(b.peer_id)))
        with trio.fail_after(5):
            assert await is_closed(stream)
        await until(lambda: b.refusals[Refusal.HANDSHAKE_LATE] == 1)


async def test_a_crowd_makes_room_for_one_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INBOUND_HOUSE", 3)
    async with two_hosts() as (a, b), AsyncExitStack() as held:
        b.handle(ECHO, echo)
        crowd = [await held.enter_async_context(stranger(b, seed)) for seed in (10, 11, 12)]
        await until(lambda: b.load().inbound == 3)
        await a.dial(b.peer_id, b.addresses())
        assert await talks(a, b)
        assert await is_closed(crowd[0])
        await until(lambda: b.load().inbound == 3)
        assert b.refusals[Refusal.CONNECTION_DISPLACED] == 1
        async with await trio.open_tcp_stream("127.0.0.1", port_of(b), local_address=ELSEWHERE) as late:
            assert await is_closed(late)  # nobody makes room for another one from there
        assert b.refusals[Refusal.CONNECTION_CROWDED] == 1
        assert await talks(a, b)
        assert b.load().inbound == 3


async def test_a_connection_is_worth_what_goes_on_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = trio.Event()

    async def keep(stream: Stream) -> None:
        stream.keep()
        kept.set()

    async with two_hosts() as (a, b):
        b.handle(ECHO, echo)
        b.handle("/keep", keep)
        a.handle(ECHO, echo)
        await a.dial(b.peer_id, b.addresses())
        await until(lambda: len(muxes(b)) == 1)
        (theirs,) = muxes(b)
        assert worth_of(theirs) is Worth.IDLE
        stream = await a.open(b.peer_id, ECHO)
        assert worth_of(theirs) is Worth.BUSY
        assert worth_of(muxes(a)[0]) is Worth.WANTED  # it uses it
        await stream.reset()
        await until(lambda: not theirs.streams)
        theirs.idle_s = limits.YIELDS_S
        assert worth_of(theirs) is Worth.FORGOTTEN
        own = await b.open(a.peer_id, ECHO)
        assert worth_of(theirs) is Worth.WANTED
        await own.reset()
        assert worth_of(theirs) is Worth.IDLE
        await a.open(b.peer_id, "/keep")
        await kept.wait()
        assert worth_of(theirs) is Worth.WANTED


async def test_what_this_node_does_not_use_any_more_is_closed_but_what_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUTBOUND_IDLE", 1)
    monkeypatch.setattr(limits, "SURPLUS_CHECK_S", 0.05)
    monkeypatch.setattr(limits, "YIELDS_S", 0.2)
    async with AsyncExitStack() as stack:
        a, used, first, last = [
            await stack.enter_async_context(Libp2pHost.listen(bytes([seed]) * 32, [LOOPBACK], now=now))
            for seed in (1, 2, 3, 4)
        ]
        used.handle(ECHO, echo)
        await a.dial(used.peer_id, used.addresses())
        stream = await a.open(used.peer_id, ECHO)
        await a.dial(first.peer_id, first.addresses())
        await trio.sleep(0.1)
        await a.dial(last.peer_id, last.addresses())
        await until(lambda: a.load().outbound == 2)
        assert {link.peer for link in a.links()} == {used.peer_id, last.peer_id}
        assert a.refusals[Refusal.CONNECTION_UNUSED] == 1
        await stream.write(b"hello")
        assert await stream.read(5) == b"hello"


@pytest.mark.parametrize("is_kept", [False, True])
async def test_a_stranger_may_have_three_windows_unread_and_whom_this_node_wants_more(*, is_kept: bool) -> None:
    async def unread(stream: Stream) -> None:
        if is_kept:
            stream.keep()
        await trio.sleep_forever()

    async with two_hosts() as (_, b), rogue(b) as secured:
        b.handle("/t/1", unread)
        for number in range(1, 9, 2):
            await secured.write(frame(WINDOW_UPDATE, SYN, number) + frame(DATA, 0, number, negotiation("/t/1")))
        await until(lambda: b.load().streams == {"/t/1": 4})
        (mux,) = muxes(b)
        with suppress(ConnectionClosedError):
            for number in range(1, 9, 2):
                for _ in range(4):
                    await secured.write(frame(DATA, 0, number, bytes(60_000)))
        if is_kept:
            await until(lambda: sum(map(len, mux.stream_buffers.values())) == 16 * 60_000)
        else:
            await until(lambda: mux.lost)
        assert b.refusals[Refusal.CONNECTION_OVERFULL] == (not is_kept)


async def test_ping_and_identify_are_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    paid: list[float] = []

    async def wait(_: Stream, cost_us: float) -> None:
        paid.append(cost_us)

    async with two_hosts() as (a, b):
        await a.dial(b.peer_id, b.addresses())
        monkeypatch.setattr(b._pace, "wait", wait)
        await a.probe(b.peer_id)
        await a.learn(b.peer_id)
        assert paid == [pytest.approx(PING_US + 32 / PING_BYTES_A_US), IDENTIFY_US]


async def test_what_is_under_way_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with two_hosts() as (a, b), await connect_tcp(b):
        b.handle(ECHO, echo)
        await a.dial(b.peer_id, b.addresses())
        assert await talks(a, b)
        load = b.load()
        assert (load.inbound, load.outbound, load.relayed, load.handshakes) == (1, 0, 0, 1)
        assert load.streams == {ECHO: 1}
        assert (a.load().inbound, a.load().outbound, a.load().streams) == (0, 1, {})
