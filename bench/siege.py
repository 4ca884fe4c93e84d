"""Floods that need many sockets or many PeerIDs: what :mod:`bench.flooder` does by one peer is there.

All come from 127.0.0.2, so that whoever comes from elsewhere is another origin to the node. Each runs until it is
cancelled, and counts in its :class:`Tally` what it offered and how often it was cut off.
"""

from __future__ import annotations

import os
import random
import resource
import struct
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID

from bench.fleet_wire import Known
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.refusals import Refusals
from p2pchat.core.codec import encode
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.dht_wire import REQUEST_MAX_BYTES, Request, ToldPeer
from p2pchat.core.framing import with_length
from p2pchat.core.params import PRODUCTION
from p2pchat.core.record import finish, prepare_record
from p2pchat.core.slots import Slot
from p2pchat.core.wire import Flight, Hello, encode_frame
from p2pchat.core.work import mine
from p2pchat.net.addresses import endpoint, from_socket, peer_id_from_key
from p2pchat.net.guard import Upgrader
from p2pchat.net.kad import KAD, KadServer
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.multistream import encode_line
from p2pchat.net.pace import Pace
from p2pchat.net.records import RECORDS
from p2pchat.net.tcp import TcpStream
from p2pchat.services.link import MSG_PROTOCOL

if TYPE_CHECKING:
    from libp2p.abc import ISecureConn

ORIGIN: Final = "127.0.0.2"
SOCKETS: Final = 2_000
STREAMS: Final = 256
BOGUS: Final = 10_000
BOGUS_SEED: Final = b"\x42" * 32  # of the node that tells of them, which the victim is asked to start from
FLIGHTS_A_PEER: Final = 10
_TASKS: Final = 32
_SEATS: Final = 8  # connections on which streams hang
_HALF_NOISE: Final = b"\x00\x20" + bytes(range(32))
_DATA, _SYN = 0, 1
_CHUNK_BYTES: Final = 64_000
_AGAIN_S: Final = 0.05
_HANG_S: Final = 2.0


@dataclass(slots=True)
class Tally:
    """What a flood has come to."""

    began: float
    offered: int = 0
    bytes: int = 0
    cuts: int = 0
    connections: int = 0
    first_cut_s: float = -1.0

    def cut(self) -> None:
        """It was cut off."""
        self.cuts += 1
        if self.first_cut_s < 0:
            self.first_cut_s = trio.current_time() - self.began


@dataclass(slots=True)
class Means:
    """What a flood is made of.

    Args:
        port: at which the node listens that tells of bogus peers.
        records: how many different valid ones are mined before.
    """

    port: int = 0
    records: int = 0
    puts: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])

    def prepare(self) -> None:
        """Mine: a tenth of a second each."""
        while len(self.puts) < self.records:
            slot = Slot(os.urandom(32), len(self.puts))
            unmined = prepare_record(slot, ed25519_pair(os.urandom(32)), b"x", int(time.time()), bytes(24), PRODUCTION)
            self.puts.append((slot.loc, finish(unmined, mine(unmined.digest, PRODUCTION.work_bits))))


Siege = Callable[[Known, Tally, Means], Awaitable[None]]


@asynccontextmanager
async def secured(node: Known, seed: bytes, source: str | None = None) -> AsyncGenerator[ISecureConn]:
    """A connection as far as Yamux is agreed on; what follows is written by hand.

    Raises:
        NetError: it was refused.
    """
    end = endpoint(Address(node.addresses[0]))
    upgrader = Upgrader(create_new_key_pair(seed))
    try:
        stream = await trio.open_tcp_stream(end.host, end.port, local_address=source)
    except OSError:
        raise NetError("nobody listens") from None
    async with stream:
        try:
            conn = await upgrader.upgrade_security(RawConnection(TcpStream(stream), True), True, ID(node.peer))
            await upgrader.muxer_multistream.select_transport(conn)
        except Exception:  # whatever the library makes of a connection that is refused
            raise NetError("refused") from None
        yield conn


async def swallow(conn: ISecureConn) -> None:
    """Read until the connection ends."""
    try:
        while await conn.read():
            pass
    except Exception:  # the writer learns it, too
        return


def frame(flags: int, stream: int, body: bytes) -> bytes:
    """A data frame of Yamux."""
    return struct.pack("!BBHII", 0, _DATA, flags, stream, len(body)) + body


async def write(conn: ISecureConn, data: bytes, tally: Tally, count: int) -> None:
    """Write ``data``, which is ``count`` of what is offered."""
    for start in range(0, len(data), _CHUNK_BYTES):
        await conn.write(data[start : start + _CHUNK_BYTES])
        await trio.lowlevel.checkpoint()
    tally.offered += count
    tally.bytes += len(data)


def _negotiation(protocol: str) -> bytes:
    return encode_line("/multistream/1.0.0") + encode_line(protocol)


async def _slowloris(node: Known, tally: Tally, _: Means) -> None:
    """Sockets on which the handshake never gets on; whichever is closed is opened again."""
    end = endpoint(Address(node.addresses[0]))
    _allow(SOCKETS + 100)

    async def hold(number: int) -> None:
        while True:
            tally.connections += 1
            with suppress(OSError, trio.BrokenResourceError):
                async with await trio.open_tcp_stream(end.host, end.port, local_address=ORIGIN) as stream:
                    tally.offered += 1
                    if number % 2:
                        await stream.send_all(_negotiation("/noise") + _HALF_NOISE)
                    while await stream.receive_some(1_000):
                        pass
            tally.cut()
            await trio.sleep(_AGAIN_S)

    await _all(hold, SOCKETS)


async def _connections(node: Known, tally: Tally, _: Means) -> None:
    """Whole handshakes under ever other PeerIDs, as fast as they go, each kept for half a second."""

    async def connect(_: int) -> None:
        while True:
            tally.connections += 1
            try:
                async with secured(node, os.urandom(32), ORIGIN):
                    tally.offered += 1
                    await trio.sleep(0.5)
            except NetError:
                tally.cut()
                await trio.sleep(_AGAIN_S)

    await _all(connect, _TASKS * 4)


async def _hanging(node: Known, tally: Tally, _: Means) -> None:
    """Streams that are opened and never say what for."""

    async def hang(_: int) -> None:
        while True:
            tally.connections += 1
            with suppress(NetError):
                async with secured(node, os.urandom(32), ORIGIN) as conn, trio.open_nursery() as nursery:
                    nursery.start_soon(swallow, conn)
                    try:
                        for first in range(1, 1 << 20, 2 * STREAMS):
                            opened = b"".join(
                                frame(_SYN, number, b"") for number in range(first, first + 2 * STREAMS, 2)
                            )
                            await write(conn, opened, tally, STREAMS)
                            await trio.sleep(_HANG_S)
                    except Exception:  # whatever the library makes of a lost connection
                        tally.cut()
                    nursery.cancel_scope.cancel()
            await trio.sleep(_AGAIN_S)

    await _all(hang, _SEATS)


async def _flights(node: Known, tally: Tally, _: Means) -> None:
    """First flights that nothing opens, ten of each PeerID."""

    async def fly(_: int) -> None:
        while True:
            tally.connections += 1
            try:
                async with secured(node, os.urandom(32), ORIGIN) as conn, trio.open_nursery() as nursery:
                    nursery.start_soon(swallow, conn)
                    flown = b"".join(with_length(encode_frame(_flight())) for _ in range(FLIGHTS_A_PEER))
                    opening = _negotiation(MSG_PROTOCOL) + with_length(encode_frame(Hello(0)))
                    await write(conn, frame(_SYN, 1, opening + flown), tally, FLIGHTS_A_PEER)
                    await trio.sleep(1)
                    nursery.cancel_scope.cancel()
            except NetError:
                tally.cut()
                await trio.sleep(_AGAIN_S)

    await _all(fly, _TASKS)


def _flight() -> Flight:
    return Flight(os.urandom(32), os.urandom(1088), os.urandom(16), os.urandom(300), os.urandom(363))


async def _records(node: Known, tally: Tally, means: Means) -> None:
    """Puts: of a hundred one that is valid, the others with work that is none."""

    async def put(first: int) -> None:
        number = first
        while True:
            tally.connections += 1
            with suppress(NetError):
                async with secured(node, os.urandom(32), ORIGIN) as conn, trio.open_nursery() as nursery:
                    nursery.start_soon(swallow, conn)
                    try:
                        await conn.write(frame(_SYN, 1, _negotiation(RECORDS)))
                        await trio.sleep(0.05)
                        while True:
                            data = b"".join(_put(means, number + index) for index in range(40))
                            number += 40 * _SEATS
                            await write(conn, frame(0, 1, data), tally, 40)
                            await conn.write(struct.pack("!BBHII", 0, 1, 0, 1, 200_000))  # room for the answers
                            await trio.sleep(0.01)
                    except Exception:  # whatever the library makes of a lost connection
                        tally.cut()
                    nursery.cancel_scope.cancel()
            await trio.sleep(_AGAIN_S)

    await _all(put, _SEATS)


def _put(means: Means, number: int) -> bytes:
    loc, record = means.puts[number // 100 % len(means.puts)]
    raw = record if number % 100 == 0 else record[:-8] + number.to_bytes(8, "big")
    request = with_length(encode(Request(number % 2**32, loc, raw, False, 0)))
    assert len(request) <= REQUEST_MAX_BYTES  # noqa: S101
    return request


async def _bogus(_: Known, tally: Tally, means: Means) -> None:
    """A node that tells whoever asks of twenty others that are not there; the victim is made to ask it."""
    random_ = random.Random(1)
    told = [
        ToldPeer(bytes(peer_id_from_key(random_.randbytes(32))), (bytes(from_socket("127.0.0.1", 1 + number % 900)),))
        for number in range(BOGUS)
    ]

    def neighbours(_key: bytes, _stream: object) -> tuple[ToldPeer, ...]:
        tally.offered += 20
        return tuple(random_.sample(told, 20))

    listen = from_socket("127.0.0.1", means.port)
    async with Libp2pHost.listen(BOGUS_SEED, [listen], now=time.time) as host:
        host.handle(KAD, KadServer(neighbours, lambda _: None, Pace(Refusals())).serve)
        await trio.sleep_forever()


def bogus_address(port: int) -> str:
    """Of the node that tells of bogus peers."""
    peer = peer_id_from_key(ed25519_pair(BOGUS_SEED).public)
    return f"/ip4/127.0.0.1/tcp/{port}/p2p/{_text(peer)}"


def _text(peer: PeerId) -> str:
    return str(ID(bytes(peer)))


async def _all(one: Callable[[int], Awaitable[None]], count: int) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)


def _allow(files: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, files), hard), hard))


BOGUS_PEERS: Final = "bogus peers"
RECORDS_PUT: Final = "records"
SIEGES: Final[dict[str, Siege]] = {
    "slowloris": _slowloris,
    "connections": _connections,
    "hanging streams": _hanging,
    "first flights": _flights,
    RECORDS_PUT: _records,
    BOGUS_PEERS: _bogus,
}


async def knock(node: Known, seconds: float) -> Sequence[float]:
    """An honest peer that comes from elsewhere every half second: in how many seconds each time it is connected."""
    until = trio.current_time() + seconds
    taken: list[float] = []
    while (began := trio.current_time()) < until:
        try:
            with trio.fail_after(20):
                async with secured(node, os.urandom(32), "127.0.0.3"):
                    taken.append(trio.current_time() - began)
        except (NetError, trio.TooSlowError):
            taken.append(float("inf"))
        await trio.sleep(max(0.0, 0.5 - (trio.current_time() - began)))
    return taken
