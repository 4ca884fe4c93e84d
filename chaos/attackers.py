"""``python -m chaos.attackers SOCKET``: a stranger, told by :mod:`chaos.world` whom to attack and how.

What :mod:`bench.flooder` does, and besides:

- *silence*: connections that are begun and say nothing, as many as are let in.
- *bogus peers*: a node of the DHT that answers every question with peers that do not exist.
- *bare records*: records without work, one after the other.
- *first flights*: first messages of a session that nobody can open.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
import trio

from bench import flooder
from bench.flooder import Attack, Attacked
from bench.served import serve
from bench.siege import Tally
from p2pchat.base import limits
from p2pchat.base.errors import NetError, PeerError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.codec import encode
from p2pchat.core.dht_wire import REQUEST, REQUEST_MAX_BYTES, TOLD_PEERS, Reply, Request, ToldPeer
from p2pchat.core.framing import FrameReader, with_length
from p2pchat.core.record import RECORD_BYTES
from p2pchat.core.wire import Flight, Hello, encode_frame
from p2pchat.daemon import logs
from p2pchat.net.addresses import endpoint, from_socket, parse_address, peer_id_from_key
from p2pchat.net.kad import KAD, KadServer
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.pace import Pace
from p2pchat.net.records import RECORDS
from p2pchat.net.transport import Stream
from p2pchat.services.link import MSG_PROTOCOL

_SILENT: Final = 300
_KEM_BYTES: Final = 1_088
_AGAIN_S: Final = 0.05
_ASKED_S: Final = 3.0

_COMMANDS = msgspec.msgpack.Decoder(Attack)


async def _silence(attack: Attack, tally: Tally) -> None:
    end = endpoint(Address(attack.node.addresses[0]))

    async def one() -> None:
        while True:
            try:
                stream = await trio.open_tcp_stream(end.host, end.port)
            except OSError:
                await trio.sleep(_AGAIN_S)
                continue
            tally.connections += 1
            async with stream:
                with suppress(trio.BrokenResourceError):
                    while await stream.receive_some():
                        pass
            tally.cut()
            await trio.sleep(_AGAIN_S)

    async with trio.open_nursery() as nursery:
        for _ in range(_SILENT):
            nursery.start_soon(one)


def _nobody() -> ToldPeer:
    host = f"127.{os.urandom(1)[0] or 1}.{os.urandom(1)[0]}.{os.urandom(1)[0] or 1}"
    return ToldPeer(bytes(peer_id_from_key(os.urandom(32))), (bytes(from_socket(host, 9)),))


def _nobodies(*_: object) -> tuple[ToldPeer, ...]:
    return tuple(_nobody() for _ in range(TOLD_PEERS))


async def _answer(tally: Tally, stream: Stream) -> None:
    framing = FrameReader(REQUEST_MAX_BYTES)
    while data := await stream.read(limits.STREAM_READ_BYTES):
        framing.feed(data)
        while (frame := framing.next_frame()) is not None:
            asked = REQUEST.decode(frame)
            stored = None if asked.put is None else True
            await stream.write(with_length(encode(Reply(asked.id, stored, asked.watch_s, (), _nobodies()))))
            tally.offered += TOLD_PEERS


async def _bogus_peers(attack: Attack, tally: Tally) -> None:
    """One liar after the other, each known to the victim and asked by it."""
    node = PeerId(attack.node.peer)
    while True:
        listen = [parse_address("/ip4/127.0.0.1/tcp/0")[0]]
        async with Libp2pHost.listen(os.urandom(32), listen, now=time.time) as host:
            host.handle(RECORDS, partial(_answer, tally))
            host.handle(KAD, KadServer(_nobodies, lambda _: None, Pace(host.refusals)).serve)
            try:
                await host.dial(node, list(map(Address, attack.node.addresses)))
                tally.connections += 1
                await host.open(node, RECORDS)
                await trio.sleep(_ASKED_S)
            except NetError:
                tally.cut()
                await trio.sleep(_AGAIN_S)


async def _streams(attack: Attack, tally: Tally, protocol: str, make: Callable[[int], bytes]) -> None:
    """What ``make`` gives, over and over, on streams of ``protocol``, from a new PeerID whenever it is cut off."""
    node = PeerId(attack.node.peer)
    while True:
        async with Libp2pHost.listen(os.urandom(32), (), now=time.time) as host:
            with suppress(NetError, PeerError):
                await host.dial(node, list(map(Address, attack.node.addresses)))
                tally.connections += 1
                stream = await host.open(node, protocol)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_drain, stream)
                    try:
                        for number in count():
                            data = make(number)
                            await stream.write(data)
                            tally.offered += 1
                            tally.bytes += len(data)
                    except NetError:
                        tally.cut()
                    nursery.cancel_scope.cancel()
        await trio.sleep(_AGAIN_S)


async def _drain(stream: Stream) -> None:
    with suppress(NetError):  # the writer learns it, too
        while await stream.read(limits.STREAM_READ_BYTES):
            pass


def _bare_record(number: int) -> bytes:
    request = Request(number & 0xFFFFFFFF, os.urandom(32), os.urandom(RECORD_BYTES), False, 0)
    return with_length(encode(request))


def _flight(number: int) -> bytes:
    flight = Flight(os.urandom(32), os.urandom(_KEM_BYTES), os.urandom(16), os.urandom(200), os.urandom(363))
    return (b"" if number else with_length(encode_frame(Hello(0)))) + with_length(encode_frame(flight))


OWN: Final[dict[str, Callable[[Attack, Tally], Awaitable[None]]]] = {
    "silence": _silence,
    "bogus peers": _bogus_peers,
    "bare records": partial(_streams, protocol=RECORDS, make=_bare_record),
    "first flights": partial(_streams, protocol=MSG_PROTOCOL, make=_flight),
}
KINDS: Final = (*flooder.KINDS, *OWN)


async def do(frame: bytes) -> object:
    """The reply to a command."""
    attack = _COMMANDS.decode(frame)
    if attack.kind not in OWN:
        return await flooder.attack(attack, None)
    tally = Tally(trio.current_time())
    with trio.move_on_after(attack.seconds):
        await OWN[attack.kind](attack, tally)
    return Attacked(tally.offered, tally.bytes, tally.cuts, tally.connections, tally.first_cut_s)


if __name__ == "__main__":
    os.nice(19)  # on a machine of its own it would take nothing from those whom it attacks
    logs.configure("error", "json")
    trio.run(serve, Path(sys.argv[1]), do)
