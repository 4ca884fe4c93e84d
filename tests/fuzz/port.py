"""Junk for the libp2p port: before, in and after the handshake, and on every stream that the daemon serves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

import trio
from libp2p.identity.identify.pb.identify_pb2 import Identify

from p2pchat.net.identify import IDENTIFY
from p2pchat.net.kad import KAD
from p2pchat.net.ping import PING
from p2pchat.net.records import RECORDS
from p2pchat.net.tcp import TcpStream
from p2pchat.services.link import MSG_PROTOCOL
from tests.fuzz.attacker import DATA, FIN, SYN, WINDOW_UPDATE, Attacker, Place, Refused, secured, yamux_frame
from tests.fuzz.feed import Feed, Input
from tests.fuzz.frames import line, negotiation, varint
from tests.fuzz.mutation import damaged, sized

Generator = Callable[[Random], bytes]

END_S: Final = 20.0
"""The daemon ends whatever it refuses, or whose sender has ended, within this: its handshake deadline is 10 s."""

_PONG_S: Final = 0.5
_WAIT_FOR_MORE: Final = 0.01
_YAMUX_INPUTS: Final = 4
_INPUTS_A_CONNECTION: Final = 200
_STREAMS_A_CONNECTION: Final = 6
_LEAVES: Final = 0.1
_HANDSHAKE_WRITES: Final = 8
_PROTOCOLS: Final = (IDENTIFY, PING, RECORDS, KAD, MSG_PROTOCOL)


# -- on the socket, before anything is authenticated --------------------------------------------------------------


def before_noise(chance: Random) -> bytes:
    """What a stranger may say first: bytes, or nearly the negotiation of Noise and its first message."""
    if chance.random() < 0.4:
        return sized(chance, 8_192)
    first = chance.randbytes(32) + sized(chance, 300)
    opening = line(b"/multistream/1.0.0") + line(b"/noise")
    message = len(first).to_bytes(2, "big") + first
    kind = chance.randrange(5)
    if kind == 0:
        return negotiation(chance, b"/noise") + message
    if kind == 1:
        return opening + damaged(chance, message)
    if kind == 2:
        return opening + message + sized(chance, 1_024)
    if kind == 3:
        return opening + chance.choice((b"\0\0", b"\xff\xff", b"\0\x20")) + sized(chance, 70_000)
    return damaged(chance, opening + message)


async def raw(place: Place, taken: Input) -> str:
    """Say it, end, and wait for the daemon's end."""
    data = taken.sending(before_noise(taken.chance))
    async with await place.connect() as stream:
        with suppress(trio.BrokenResourceError):  # refused before all was sent
            await stream.send_all(data)
            if taken.chance.random() >= _WAIT_FOR_MORE:
                await stream.send_eof()
        return "refused" if await _is_answered(stream) else "not let in"


async def _is_answered(stream: trio.SocketStream) -> bool:
    """Wait for the daemon's end; whether anything came before it. Whoever is let in gets the daemon's greeting."""
    received = 0
    with suppress(trio.BrokenResourceError):
        while data := await stream.receive_some(65_536):
            received += len(data)
    return received > 0


class _TornStream(TcpStream):
    """Damages the ``at``-th write of whoever speaks over it, and ends after it."""

    def __init__(self, stream: trio.SocketStream, taken: Input, at: int) -> None:
        super().__init__(stream)
        self._taken = taken
        self._left = at
        self._tcp = stream

    async def write(self, data: bytes) -> None:
        self._left -= 1
        if self._left >= 0:
            await super().write(self._taken.sending(data))
            return
        if self._left == -1:
            await super().write(self._taken.sending(damaged(self._taken.chance, data)))
            with suppress(trio.BrokenResourceError):
                await self._tcp.send_eof()


async def in_noise(place: Place, taken: Input) -> str:
    """A true handshake, of which one message is damaged."""
    at = taken.chance.randrange(_HANDSHAKE_WRITES)
    conn: trio.SocketStream | None = None

    def torn(stream: trio.SocketStream) -> TcpStream:
        nonlocal conn
        conn = stream
        return _TornStream(stream, taken, at)

    try:
        async with secured(place, taken.chance.randbytes(32), torn):
            return "admitted"
    except Refused:
        return f"refused at write {at}"


def after_noise(chance: Random) -> bytes:
    """Frames of Yamux, of which most are not what a muxer would send."""
    out: list[bytes] = []
    for _ in range(chance.choice((1, 2, 4, 8))):
        body = b"".join((line(b"/multistream/1.0.0"), line(chance.choice(_PROTOCOLS).encode()), sized(chance, 200)))
        if chance.random() < 0.3:
            body = sized(chance, 2_000)
        number = chance.choice((0, 1, 2, 3, 5, 7, 0xFFFF_FFFF, chance.getrandbits(32)))
        kind = chance.choice((DATA, DATA, WINDOW_UPDATE, WINDOW_UPDATE, 2, 3, chance.randrange(256)))
        flags = chance.choice((0, SYN, SYN, SYN | FIN, FIN, 8, 9, 2, chance.getrandbits(16)))
        if kind == DATA:
            length = len(body) if chance.random() < 0.8 else chance.choice((0, 1, 300_000, 0xFFFF_FFFF))
            out.append(yamux_frame(kind, flags, number, body, length))
        else:
            out.append(yamux_frame(kind, flags, number, length=chance.choice((0, 1, 262_144, 0xFFFF_FFFF))))
    data = b"".join(out)
    return damaged(chance, data) if chance.random() < 0.3 else data


async def yamux(place: Place, feed: Feed, first: Input) -> None:
    """Junk on one authenticated connection for as long as the daemon keeps it."""
    async with secured(place, first.chance.randbytes(32)) as conn, trio.open_nursery() as nursery:
        attacker = Attacker(conn, lambda *_: None)
        nursery.start_soon(attacker.run)
        taken: Input | None = first
        left = _YAMUX_INPUTS
        while taken is not None:
            await attacker.write(taken.sending(after_noise(taken.chance)))
            alive = False
            with trio.move_on_after(_PONG_S):
                alive = await attacker.ping()
            feed.done(taken, "kept" if alive else "connection ended")
            left -= 1
            taken = feed.take() if alive and left > 0 else None
        nursery.cancel_scope.cancel()


async def strangers(place: Place, feed: Feed) -> None:
    """Take inputs and knock with each: a quarter of them authenticated."""
    while (taken := feed.take()) is not None:
        kind = taken.chance.randrange(8)
        with trio.move_on_after(END_S) as scope:
            try:
                if kind < 4:
                    feed.done(taken, await raw(place, taken))
                elif kind < 6:
                    feed.done(taken, await in_noise(place, taken))
                else:
                    await yamux(place, feed, taken)
            except (OSError, Refused) as error:
                feed.found(f"a true handshake was refused: {error!r}")
        if scope.cancelled_caught:
            feed.found(f"the daemon had not ended it after {END_S:g} s", taken)


# -- on streams -------------------------------------------------------------------------------------------------------


def identification(chance: Random) -> bytes:
    """What is answered to a daemon that asks who knocks."""
    said = Identify(
        protocols=[*_PROTOCOLS, "x" * chance.choice((1, 128, 129))][chance.randrange(6) :],
        listen_addrs=[sized(chance, 64) for _ in range(chance.choice((0, 1, 3, 100)))],
        observed_addr=sized(chance, 64),
        agent_version="\0" * chance.choice((0, 1, 1_000)),
    ).SerializeToString()
    kind = chance.randrange(4)
    if kind == 0:
        return sized(chance, 4_096)
    if kind == 1:
        return varint(chance.choice((0, 16_385, 1 << 20, 1 << 63))) + said
    return varint(len(said)) + (said if kind == 2 else damaged(chance, said))


async def streams(place: Place, feed: Feed, protocol: str, generate: Generator, seed: bytes = b"") -> None:
    """Take inputs and send each on a stream of its own, many streams a connection, connections one after the other.

    Args:
        seed: of the node key, 32 bytes; a new one for each connection where it is empty.
    """
    while (first := feed.take()) is not None:
        try:
            await _one_connection(place, feed, first, protocol, generate, seed)
        except (OSError, Refused) as error:
            feed.found(f"a true handshake was refused: {error!r}")


async def _one_connection(
    place: Place, feed: Feed, first: Input, protocol: str, generate: Generator, seed: bytes
) -> None:
    waiting = [first]
    left = _INPUTS_A_CONNECTION

    async def exchange_all(attacker: Attacker) -> None:
        nonlocal left
        while left > 0 and not attacker.is_lost:
            left -= 1
            taken = waiting.pop() if waiting else feed.take()
            if taken is None:
                return
            await _exchange(attacker, feed, taken, protocol, generate)

    answers = Random(first.chance.getrandbits(64))
    async with secured(place, seed or first.chance.randbytes(32)) as conn, trio.open_nursery() as nursery:
        attacker = Attacker(conn, lambda asked, _: identification(answers) if asked == IDENTIFY else None)
        nursery.start_soon(attacker.run)
        async with trio.open_nursery() as exchanges:
            for _ in range(_STREAMS_A_CONNECTION):
                exchanges.start_soon(exchange_all, attacker)
        feed.asked += attacker.was_asked
        nursery.cancel_scope.cancel()


async def _exchange(attacker: Attacker, feed: Feed, taken: Input, protocol: str, generate: Generator) -> None:
    data = taken.sending(generate(taken.chance))
    with trio.move_on_after(END_S) as scope:
        went = await attacker.exchange(protocol, data, leaves=taken.chance.random() < _LEAVES)
        feed.done(taken, f"{went.end}{', answered' if went.answered else ''}{'' if went.agreed else ', not reached'}")
    if scope.cancelled_caught:
        feed.found(f"the daemon had not ended its stream after {END_S:g} s", taken)
