"""``python -m bench.flooder SOCKET``: a peer that floods, in a process of its own, told by :mod:`bench.flood`.

``Meet`` makes it somebody whom the victim knows, as :mod:`bench.light` does. ``Attack`` floods in one of ``KINDS`` for
some seconds: whoever is cut off connects again at once, a stranger under another PeerID, a contact under its own.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from bench.fleet_wire import Known
from bench.light import Meet, meet
from bench.served import serve
from bench.siege import RECORDS_PUT, SIEGES, Means, Tally, frame, secured, swallow, write
from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.framing import with_length
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import ask_proof
from p2pchat.core.wire import Ack, Batch, BundleRequest, Frame, Hello, Nack, Ping, encode_frame
from p2pchat.daemon import logs
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.multistream import encode_line
from p2pchat.net.transport import Stream
from p2pchat.services.link import MSG_PROTOCOL
from p2pchat.testing.light import Person

if TYPE_CHECKING:
    from libp2p.abc import ISecureConn

_CHUNK_BYTES: Final = 64_000
_DATA, _SYN, _RST = 0, 1, 8
_STREAMS_A_WRITE: Final = 100


class Attack(msgspec.Struct, frozen=True, tag=True):
    """Flood ``node`` for ``seconds``; ``ask``: ask32 of the victim, for a contact only; ``port``, ``records``: as of
    :class:`~bench.siege.Means`. Reply: Attacked."""

    node: Known
    kind: str
    seconds: float
    ask: bytes | None
    port: int = 0
    records: int = 1


class Attacked(msgspec.Struct, frozen=True):
    """``offered``: frames, or streams where these flood; ``cuts``: streams or connections that were ended."""

    offered: int
    bytes: int
    cuts: int
    connections: int
    first_cut_s: float


Command = Meet | Attack

_COMMANDS = msgspec.msgpack.Decoder(Command)


@dataclass(frozen=True, slots=True)
class Flood:
    """Frames that are written over and over.

    Args:
        make: (ask, victim, own PeerID) → frames, as bytes with their lengths, and how many they are.
        reads: whether the answers are read.
    """

    make: Callable[[bytes, PeerId, PeerId], tuple[bytes, int]]
    reads: bool = True


def _many(frame: Callable[[int], Frame], count: int) -> tuple[bytes, int]:
    return b"".join(with_length(encode_frame(frame(index))) for index in range(count)), count


def _garbage(_ask: bytes, _node: PeerId, _own: PeerId) -> tuple[bytes, int]:
    return b"".join(with_length(b"\x92\x63" + os.urandom(60)) for _ in range(1_000)), 1_000


def _junk(_ask: bytes, _node: PeerId, _own: PeerId) -> tuple[bytes, int]:
    return os.urandom(1 << 20), 1


def _acks(_ask: bytes, _node: PeerId, _own: PeerId) -> tuple[bytes, int]:
    return _many(lambda _: Ack(tuple((os.urandom(16), os.urandom(16)) for _ in range(PRODUCTION.ack_entries))), 4)


def _nacks(_ask: bytes, _node: PeerId, _own: PeerId) -> tuple[bytes, int]:
    return _many(lambda _: Nack(os.urandom(16)), 1_000)


def _pings(_ask: bytes, _node: PeerId, _own: PeerId) -> tuple[bytes, int]:
    return _many(Ping, 1_000)


def _requests(ask: bytes, node: PeerId, own: PeerId) -> tuple[bytes, int]:
    return _many(lambda _: BundleRequest(ask_proof(ask, node, own)), 1_000)


def _envelopes(_ask: bytes, _node: PeerId, _own: PeerId) -> tuple[bytes, int]:
    return _many(lambda _: Batch(tuple(os.urandom(363) for _ in range(64))), 16)


def _large_envelopes(_ask: bytes, _node: PeerId, _own: PeerId) -> tuple[bytes, int]:
    return _many(lambda _: Batch(tuple(os.urandom(260_000) for _ in range(4))), 1)


FLOODS: Final = {
    "garbage frames": Flood(_garbage),
    "junk bytes": Flood(_junk),
    "acks": Flood(_acks),
    "nacks": Flood(_nacks),
    "pings": Flood(_pings),
    "pings, never reads": Flood(_pings, reads=False),
    "bundle requests": Flood(_requests),
    "bundle requests, never reads": Flood(_requests, reads=False),
    "envelopes": Flood(_envelopes),
    "envelopes, never reads": Flood(_envelopes, reads=False),
    "large envelopes": Flood(_large_envelopes),
}
STREAMS: Final = "streams"
JUNK_BELOW: Final = "junk below the streams"
PEER_KINDS: Final = (*FLOODS, STREAMS, JUNK_BELOW)
KINDS: Final = (*PEER_KINDS, *SIEGES)


async def attack(command: Attack, person: Person | None) -> Attacked:
    """One flood."""
    means = Means(command.port, command.records)
    if command.kind == RECORDS_PUT:
        means.prepare()
    tally = Tally(trio.current_time())
    with trio.move_on_after(command.seconds):
        if command.kind in SIEGES:
            await SIEGES[command.kind](command.node, tally, means)
        while True:
            seed = person.seed if person is not None else os.urandom(32)
            tally.connections += 1
            try:
                if command.kind in FLOODS:
                    await _frames(command, seed, FLOODS[command.kind], tally)
                else:
                    await _raw(command, seed, tally)
            except NetError:
                await trio.sleep(0.01)  # refused at the door
    return Attacked(tally.offered, tally.bytes, tally.cuts, tally.connections, tally.first_cut_s)


async def _frames(command: Attack, seed: bytes, flood: Flood, tally: Tally) -> None:
    """Streams on one connection, one after the other, until that is ended."""
    node = PeerId(command.node.peer)
    async with Libp2pHost.listen(seed, (), now=time.time) as host:
        await host.dial(node, list(map(Address, command.node.addresses)))
        data, count = flood.make(command.ask or os.urandom(32), node, host.peer_id)
        while True:
            stream = await host.open(node, MSG_PROTOCOL)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_drain if flood.reads else _idle, stream)
                try:
                    await stream.write(with_length(encode_frame(Hello(0))))
                    while True:
                        await stream.write(data)
                        tally.offered += count
                        tally.bytes += len(data)
                except NetError:
                    tally.cut()
                nursery.cancel_scope.cancel()


async def _drain(stream: Stream) -> None:
    try:
        while await stream.read(limits.STREAM_READ_BYTES):
            pass
    except NetError:
        return  # the writer learns it, too


async def _idle(_stream: Stream) -> None:
    await trio.sleep_forever()


async def _raw(command: Attack, seed: bytes, tally: Tally) -> None:
    """Yamux by hand, with no regard to windows, until the connection is ended."""
    write: Callable[[ISecureConn, Tally], Awaitable[None]] = _streams if command.kind == STREAMS else _junk_below
    async with secured(command.node, seed) as conn, trio.open_nursery() as nursery:
        nursery.start_soon(swallow, conn)
        try:
            await write(conn, tally)
        except Exception:  # whatever the library makes of a lost connection
            tally.cut()
        nursery.cancel_scope.cancel()


async def _streams(conn: ISecureConn, tally: Tally) -> None:
    opening = encode_line("/multistream/1.0.0") + encode_line(MSG_PROTOCOL) + with_length(encode_frame(Hello(0)))
    number = 1
    while True:
        frames: list[bytes] = []
        for _ in range(_STREAMS_A_WRITE):
            frames += [frame(_SYN, number, opening), frame(_RST, number, b"")]
            number += 2
        await write(conn, b"".join(frames), tally, _STREAMS_A_WRITE)


async def _junk_below(conn: ISecureConn, tally: Tally) -> None:
    """Data for a stream that was never opened."""
    data = frame(0, 7, os.urandom(_CHUNK_BYTES)) * 16
    while True:
        await write(conn, data, tally, 16)


class Flooder:
    """A stranger, and from the first ``Meet`` on a contact too."""

    def __init__(self) -> None:
        self._people: list[Person] = []

    async def do(self, frame: bytes) -> object:
        """The reply to a command."""
        command = _COMMANDS.decode(frame)
        if isinstance(command, Attack):
            return await attack(command, self._people[0] if command.ask is not None else None)
        self._people += meet(command)
        return len(self._people)


if __name__ == "__main__":
    os.nice(19)  # on a machine of its own it would take nothing from those whom it attacks
    logs.configure("error", "json")
    trio.run(serve, Path(sys.argv[1]), Flooder().do)
