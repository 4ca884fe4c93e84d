"""WebSocket under libp2p: a byte stream of the same kind as TCP's, for networks that let only HTTP through (7.1).

Rules:

- Binary messages carry the byte stream; where one ends means nothing. Noise and Yamux inside are those of TCP: there is
  no TLS (``/wss``), whose certificates are about names, and no extension, subprotocol or path.
- A message is written whole or not at all, as :class:`~.tcp.TcpStream` does it. What answers a ping or a close goes out
  at once where nobody writes and the kernel takes it, else before the next message.
- No frame is waited for: what has come of it is handed on. The HTTP head is bounded, and so is what frames cost that
  carry little or nothing.
- Whoever asks for something else than a WebSocket gets an empty answer of HTTP and the end.

Source: PROTOCOL.md 7.1, RFC 6455.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final, NoReturn

import trio
from libp2p.io.exceptions import ConnectionClosedError
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request
from wsproto.utilities import ProtocolError

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core.allowance import Allowance
from p2pchat.net.addresses import Endpoint
from p2pchat.net.tcp import FarEnd, TcpStream

_END_OF_HEAD: Final = b"\r\n\r\n"
_GET: Final = b"GET "
_HTTP_PORT: Final = 80
_NO_HTTP: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_NO_UPGRADE: Final = (
    b"HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n"
)
_OTHER: Final = "What listens there speaks no WebSocket."

# What frames cost, in microseconds, beyond what their bytes do: Noise's own messages are longer than 16 bytes, and some
# write the length before each as a message of its own.
_FRAME_US: Final = 10.0
_CONTROL_US: Final = 100.0
_BYTES_A_FRAME: Final = 16
_FREE_FRAMES: Final = 2
_SLICE_BYTES: Final = 4_096  # between two looks at the cost: of empty frames that is what a handshake may cost
_OWED_BYTES: Final = 1_024  # of answers to pings that the peer does not read
_NORMAL, _TEXT, _POLICY = 1000, 1003, 1008  # RFC 6455, 7.4.1


class WsStream(TcpStream):
    """What Noise and Yamux read and write. :func:`lead` or :func:`follow` comes first, once.

    Args:
        stream: connected; it belongs to this one.
        refusals: where it is counted that the peer's frames cost too much.
        far_end: as :class:`~.tcp.TcpStream` has it.
    """

    def __init__(
        self, stream: trio.SocketStream, refusals: Refusals, *, is_client: bool, far_end: FarEnd | None = None
    ) -> None:
        super().__init__(stream, far_end=far_end)
        self._ws = WSConnection(ConnectionType.CLIENT if is_client else ConnectionType.SERVER)
        self._refusals = refusals
        self._allowance = Allowance(limits.WS_BURST_US, limits.WS_US_PER_S, trio.current_time())
        self._owed = b""
        self._is_writing = False
        self._is_over = False

    async def follow(self) -> None:
        """Let a client in that asks for a WebSocket.

        Raises:
            ConnectionClosedError: it asks for something else, or says more than it may yet; it was told so.
        """
        head, rest = await self._read_head(_GET)
        try:
            self._ws.receive_data(head)
            asked = [event for event in self._ws.events() if isinstance(event, Request)]
            if len(asked) != 1 or rest:  # wsproto would lose what comes before it has answered
                raise ProtocolError
            answer = self._ws.send(AcceptConnection())
        except (ProtocolError, ValueError):  # the latter of signs that a head may not have
            self._refuse(_NO_UPGRADE)
        await super().write(answer)

    async def lead(self, end: Endpoint) -> None:
        """Ask whoever listens at ``end`` for a WebSocket.

        Raises:
            NetError: it speaks none.
            ConnectionClosedError: the connection ended.
        """
        host = f"[{end.host}]" if end.kind == "ip6" else end.host
        asked = Request(host=host if end.port == _HTTP_PORT else f"{host}:{end.port}", target="/")
        await super().write(self._ws.send(asked))
        head, rest = await self._read_head(b"HTTP/1.1 101 ")
        try:
            self._ws.receive_data(head)
            events = list(self._ws.events())
        except (ProtocolError, ValueError):
            events = []
        if not any(isinstance(event, AcceptConnection) for event in events):
            raise NetError(_OTHER)
        self._buffer += self._payload(rest)

    async def write(self, data: bytes) -> None:
        """Hand all of ``data`` to the kernel, as one message.

        Raises:
            ConnectionClosedError: the connection is closed or broke.
        """
        if self._is_over:
            raise ConnectionClosedError("connection ended", transport="ws")
        message, self._owed = self._owed + self._ws.send(BytesMessage(data)), b""
        self._is_writing = True
        try:
            await super().write(message)
        finally:
            self._is_writing = False
        self._pay()

    def abort(self) -> None:
        """Close the socket now; whoever reads or writes gets the error."""
        self._end(_NORMAL)
        super().abort()

    async def close(self) -> None:
        """As :meth:`abort`."""
        self._end(_NORMAL)
        await super().close()

    async def _receive(self) -> bytes:
        while True:
            data = self._payload(await super()._receive())
            if data:
                return data

    def _payload(self, received: bytes) -> bytes:
        """What of the byte stream stands in ``received``.

        Raises:
            ConnectionClosedError: the peer has ended it, does not keep to the protocol, or has this node work too much.
        """
        parts: list[bytes] = []
        for start in range(0, len(received), _SLICE_BYTES):
            part = received[start : start + _SLICE_BYTES]
            self._ws.receive_data(part)
            controls, carrying = 0, 0
            for event in self._ws.events():
                if isinstance(event, BytesMessage):
                    parts.append(bytes(event.data))
                    carrying += 1
                elif isinstance(event, Ping | Pong):
                    self._answer(event)
                    controls += 1
                else:
                    self._end(event.code if isinstance(event, CloseConnection) else _TEXT)
                    raise ConnectionClosedError("connection ended", transport="ws")
            self._charge(
                controls * _CONTROL_US + max(carrying - _FREE_FRAMES - len(part) // _BYTES_A_FRAME, 0) * _FRAME_US
            )
        return b"".join(parts)

    def _charge(self, cost_us: float) -> None:
        if cost_us and not self._allowance.spend(cost_us, trio.current_time()):
            self._refusals.note(Refusal.CONNECTION_EXCESSIVE)
            self.cut_off = True
            self._end(_POLICY)
            raise ConnectionClosedError("asked for too much", transport="ws")

    def _answer(self, event: Ping | Pong) -> None:
        """Pings that the peer sends without reading the answers go without."""
        if isinstance(event, Ping) and len(self._owed) < _OWED_BYTES:
            self._owed += self._ws.send(event.response())
            self._pay()

    def _pay(self) -> None:
        """Write what is owed, as far as the kernel takes it now."""
        if self._is_writing:
            return
        with suppress(OSError):  # it takes nothing, or the connection is gone: who reads is told
            while self._owed:
                self._owed = self._owed[os.write(self.stream.socket.fileno(), self._owed) :]

    def _end(self, code: int) -> None:
        """Say that this is the end, if that can be said at once."""
        if self._is_over or self._ws.connection is None:
            return
        self._is_over = True
        with suppress(ProtocolError):  # it was said before
            self._owed += self._ws.send(CloseConnection(code=code))
            self._pay()

    async def _read_head(self, beginning: bytes) -> tuple[bytes, bytes]:
        """The head of a message of HTTP that has this ``beginning``, and what follows it."""
        data = b""
        while _END_OF_HEAD not in data:
            if len(data) > limits.WS_HEAD_BYTES or data[: len(beginning)] != beginning[: len(data)]:
                self._refuse(_NO_HTTP)
            data += await super()._receive()
        head, end, rest = data.partition(_END_OF_HEAD)
        if len(head) > limits.WS_HEAD_BYTES or not head.startswith(beginning):
            self._refuse(_NO_HTTP)
        return head + end, rest

    def _refuse(self, answer: bytes) -> NoReturn:
        """Raises: ConnectionClosedError: always; a client is told first, if that can be done at once."""
        if not self._ws.client:
            self._owed = answer
            self._pay()
        raise ConnectionClosedError("no websocket", transport="ws")
