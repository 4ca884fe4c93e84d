"""A peer that is authenticated by Noise like any other and writes Yamux by hand.

It can do what our own host never would: many streams at once, frames in any order, the end in the middle of a frame.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID

from p2pchat.base.ids import Address, PeerId
from p2pchat.net.addresses import endpoint
from p2pchat.net.guard import Upgrader
from p2pchat.net.identify import IDENTIFY
from p2pchat.net.tcp import TcpStream
from tests.fuzz.frames import line

if TYPE_CHECKING:
    from libp2p.abc import ISecureConn
    from libp2p.transport.upgrader import TransportUpgrader

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
_HEADER: Final = struct.Struct("!BBHII")
_WINDOW_BYTES: Final = 256 * 1024
_CHUNK_BYTES: Final = 60_000
_GRANT_BYTES: Final = 64 * 1024
_KEPT_BYTES: Final = 4_096

End = Literal["closed", "reset", "lost", "left"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the daemon listens, and as whom."""

    peer: PeerId
    address: Address = field(repr=False)

    async def connect(self) -> trio.SocketStream:
        """A bare TCP connection, from one of many loopback addresses."""
        end = endpoint(self.address)
        return await trio.open_tcp_stream(end.host, end.port)


def yamux_frame(kind: int, flags: int, stream: int, body: bytes = b"", length: int | None = None) -> bytes:
    """A Yamux frame; its length is that of ``body`` unless told otherwise."""
    return _HEADER.pack(0, kind, flags, stream, len(body) if length is None else length) + body


class Refused(Exception):
    """The daemon ended a connection before Noise and Yamux were agreed on; the text names the library's reason."""


@asynccontextmanager
async def secured(
    place: Place, seed: bytes, wrap: Callable[[trio.SocketStream], TcpStream] = TcpStream
) -> AsyncGenerator[ISecureConn]:
    """A connection with which Noise is done and Yamux agreed on.

    Args:
        seed: 32 bytes, of the node key.
        wrap: what Noise is spoken over.

    Raises:
        OSError: nobody listens.
        Refused: somebody does, and hung up.
    """
    upgrader: TransportUpgrader = Upgrader(create_new_key_pair(seed))
    async with await place.connect() as stream:
        try:
            conn = await upgrader.upgrade_security(RawConnection(wrap(stream), True), True, ID(bytes(place.peer)))
            await upgrader.muxer_multistream.select_transport(conn)
        except Exception as error:  # whatever the library makes of it
            raise Refused(type(error).__name__) from None
        yield conn


@dataclass(eq=False)
class _Stream:
    window: int = _WINDOW_BYTES
    ungranted: int = 0
    head: bytearray = field(default_factory=bytearray)
    received: int = 0
    end: End | None = None
    change: trio.Event = field(default_factory=trio.Event)

    def changed(self) -> None:
        self.change.set()
        self.change = trio.Event()


@dataclass(frozen=True, slots=True)
class Exchange:
    """How a stream went: ``answered`` is what came after the protocol was agreed on, ``agreed`` whether it was."""

    agreed: bool
    answered: int
    end: End


class Attacker:
    """One connection; :meth:`run` reads it, many tasks may :meth:`exchange` on it.

    Args:
        answer: (protocol, what the daemon said) → what to say on a stream that it has opened; None resets it. Identify
            is answered before the daemon says anything.
    """

    def __init__(self, conn: ISecureConn, answer: Callable[[str, bytes], bytes | None]) -> None:
        self._conn = conn
        self._answer = answer
        self._asking: dict[int, str] = {}
        self._streams: dict[int, _Stream] = {}
        self._next = 1
        self._writing = trio.Lock()
        self._pong = trio.Event()
        self.is_lost = False
        self.was_asked = 0

    async def exchange(self, protocol: str, data: bytes, *, leaves: bool) -> Exchange:
        """Agree on ``protocol`` on a stream of its own, send ``data``, end, and wait for the daemon's end.

        Args:
            protocol: empty when ``data`` is the negotiation.
            leaves: end with a reset, as soon as the protocol is agreed on.
        """
        number, self._next = self._next, self._next + 2
        stream = self._streams[number] = _Stream()
        hello = line(b"/multistream/1.0.0")
        agreed = hello + line(protocol.encode()) if protocol else hello
        try:
            await self._send(stream, number, agreed + data if protocol else data)
            while leaves and stream.received < len(agreed) and not self._is_over(stream):
                await stream.change.wait()
            if stream.end is None:
                await self.write(yamux_frame(WINDOW_UPDATE, RST if leaves else FIN, number))
            while not leaves and not self._is_over(stream):
                await stream.change.wait()
        finally:
            del self._streams[number]
        end: End = stream.end or ("lost" if self.is_lost else "left")
        return Exchange(stream.head.startswith(agreed), max(0, stream.received - len(agreed)), end)

    def _is_over(self, stream: _Stream) -> bool:
        return self.is_lost or stream.end is not None

    async def ping(self) -> bool:
        """Whether the connection still lives."""
        pong = self._pong
        await self.write(yamux_frame(PING, SYN, 0, length=1))
        while not self.is_lost and not pong.is_set():
            await pong.wait()
        return not self.is_lost

    async def write(self, data: bytes) -> None:
        """Frames as they are; that the daemon has ended the connection is noticed by the reader."""
        try:
            async with self._writing:
                await self._conn.write(data)
        except Exception:  # whatever the library makes of a lost connection
            self._lose()

    async def run(self) -> None:
        """Read until the connection is lost."""
        try:
            while True:
                _, kind, flags, number, length = _HEADER.unpack(await self._exactly(_HEADER.size))
                body = await self._exactly(length) if kind == DATA else b""
                await self._take(kind, flags, number, length, body)
                if kind == GO_AWAY:
                    return
        except Exception:  # whatever the library makes of a lost connection
            return
        finally:
            self._lose()

    def _lose(self) -> None:
        self.is_lost = True
        self._pong.set()
        for stream in self._streams.values():
            stream.changed()

    async def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = await self._conn.read(count - len(data))
            if not chunk:
                raise trio.BrokenResourceError
            data += chunk
        return data

    async def _send(self, stream: _Stream, number: int, data: bytes) -> None:
        flags, rest = SYN, memoryview(data)
        while (flags or rest) and not self._is_over(stream):
            if stream.window <= 0:
                await stream.change.wait()
                continue
            chunk = rest[: min(stream.window, _CHUNK_BYTES)]
            stream.window -= len(chunk)
            await self.write(yamux_frame(DATA, flags, number, bytes(chunk)))
            flags, rest = 0, rest[len(chunk) :]

    async def _take(self, kind: int, flags: int, number: int, length: int, body: bytes) -> None:
        if kind == PING:
            if flags & ACK:
                self._pong.set()
            else:
                await self.write(yamux_frame(PING, ACK, 0, length=length))
            return
        if number % 2 == 0 and kind != GO_AWAY:
            await self._be_asked(flags, number, body)
            return
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.head += body[: max(0, _KEPT_BYTES - len(stream.head))]
        stream.received += len(body)
        stream.window += length if kind == WINDOW_UPDATE else 0
        stream.ungranted += len(body)
        if flags & (FIN | RST):
            stream.end = "reset" if flags & RST else "closed"
        elif stream.ungranted >= _GRANT_BYTES:
            await self.write(yamux_frame(WINDOW_UPDATE, 0, number, length=stream.ungranted))
            stream.ungranted = 0
        stream.changed()

    async def _be_asked(self, flags: int, number: int, body: bytes) -> None:
        """The daemon opens a stream of its own: agree to whatever it wants to speak, and answer what it says there."""
        if flags & (FIN | RST):
            self._asking.pop(number, None)
        if not body:
            return
        protocol = self._asking.get(number)
        if protocol is not None:
            await self._say(number, b"", self._answer(protocol, body))
            return
        _, proposal, *_ = [*body.split(b"\n"), b""]
        protocol = self._asking[number] = proposal[1:].decode()
        if protocol == IDENTIFY:
            await self._say(number, line(b"/multistream/1.0.0") + line(protocol.encode()), self._answer(protocol, b""))
        else:
            await self._say(number, b"", line(b"/multistream/1.0.0") + line(protocol.encode()))

    async def _say(self, number: int, opening: bytes, answer: bytes | None) -> None:
        if answer is None:
            await self.write(yamux_frame(WINDOW_UPDATE, RST, number))
            return
        self.was_asked += 1
        end = yamux_frame(WINDOW_UPDATE, FIN, number) if opening else b""
        await self.write(yamux_frame(DATA, ACK, number, opening + answer) + end)
