"""TCP under libp2p: listening sockets, and a byte stream that survives cancellation.

Rules:

- A port is bound exclusively or not at all. (libp2p 0.8.1 binds with SO_REUSEPORT, so that two nodes of one user share
  a port and each gets a part of the connections; guard 6.) Once it listens it takes beside it what does not listen:
  connections that this user's own processes open from it.
- A frame is written whole or not at all. Noise counts every message it encrypts, so a write cut off by cancellation
  would end the connection for all streams.
- No read asks the kernel for more than a frame, whatever length a stranger has announced.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, cast

import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream

from p2pchat.base import limits
from p2pchat.base.errors import NetError, UsageError
from p2pchat.base.ids import Address
from p2pchat.net.addresses import endpoint, from_socket

_MESSAGE_BYTES: Final = 65_535  # the longest Noise message
_BACKLOG: Final = 4_096  # a flood of strangers must not push a connection into the kernel's retry after a second
Own = tuple[str, int]
"""The IP literal and port that a listening socket of this process is bound to."""

FarEnd = tuple[str, int]
"""Host and port at the other end: an IP literal, or behind a proxy perhaps a name."""

# A vanished machine is noticed by the kernel, without a task and a ping a connection; a stopped process is not, which
# is what net.heartbeat is for (guard 5).
_SHARED: Final = tuple(getattr(socket, name) for name in ("SO_REUSEADDR", "SO_REUSEPORT") if hasattr(socket, name))
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 45, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 3}


class TcpStream(TrioTCPStream):
    """What Noise and Yamux read and write. One task reads, one writes: Yamux sees to that.

    Concurrency: a ``write`` that is cancelled is finished nevertheless, within ``limits.FRAME_GRACE_S``, and returns;
    ``Cancelled`` comes at the caller's next checkpoint. If the peer does not take the rest the connection is closed.

    Args:
        far_end: where the proxy at the socket's other end leads; None: there is none.
    """

    def __init__(self, stream: trio.SocketStream, *, far_end: FarEnd | None = None) -> None:
        super().__init__(stream)
        self.cut_off = False  # by this node, for what the peer has done
        self._buffer = bytearray()
        host, port = stream.socket.getpeername()[:2]
        self._far_end: FarEnd | None = far_end or (str(host), int(port))
        self.remote_host = self._far_end[0]
        self.local_port = int(stream.socket.getsockname()[1])
        _keep_alive(stream)

    async def follow(self) -> None:
        """What whoever was connected to does before Noise: nothing here."""

    def get_remote_address(self) -> FarEnd | None:
        """Upstream takes two-tuples only and knows no remote address on IPv6 (guard 18)."""
        return self._far_end

    def conceal(self) -> None:
        """A program of this machine has forwarded it: where the peer is nobody here sees, as behind a relay."""
        self._far_end = None

    async def read(self, n: int | None = None) -> bytes:
        """Exactly ``n`` bytes (up to 65,535), or what is there if ``n`` is None.

        Upstream returns ``b""`` at the end, for which its callers ask a hundred times more.

        Raises:
            ConnectionClosedError: the connection ended, or a stranger announced a longer message.
        """
        if n == 0:
            return b""
        if n is not None and n > _MESSAGE_BYTES:
            raise ConnectionClosedError("announced more than a message", transport="tcp")
        while len(self._buffer) < (n or 1):
            self._buffer += await self._receive()
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    async def write(self, data: bytes) -> None:
        """Hand all of ``data`` to the kernel.

        Raises:
            ConnectionClosedError: the connection is closed or broke.
        """
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[await self._send(rest) :]
        except trio.Cancelled:
            with trio.move_on_after(limits.FRAME_GRACE_S) as scope:
                scope.shield = True
                while rest:
                    rest = rest[await self._send(rest) :]
            if rest:
                self.abort()
                raise

    def abort(self) -> None:
        """Close the socket now; whoever reads or writes gets the error."""
        self.stream.socket.close()

    # Both try the kernel themselves: trio's own calls end with a pass through all tasks, even where nothing had to be
    # waited for (guard 24). Who reads waits first, since there is mostly nothing yet, and that lets the others run.

    async def _receive(self) -> bytes:
        sock = self.stream.socket
        while True:
            try:
                await trio.lowlevel.wait_readable(sock)
                chunk = os.read(sock.fileno(), _MESSAGE_BYTES)
            except BlockingIOError:
                continue
            except (OSError, ValueError, trio.ClosedResourceError) as error:
                raise ConnectionClosedError("connection lost", transport="tcp") from error
            if not chunk:
                raise ConnectionClosedError("connection ended", transport="tcp")
            return chunk

    async def _send(self, data: memoryview) -> int:
        sock = self.stream.socket
        while True:
            try:
                return os.write(sock.fileno(), data)
            except BlockingIOError:
                pass  # waited for below
            except OSError as error:
                raise ConnectionClosedError("connection lost", transport="tcp") from error
            try:
                await trio.lowlevel.wait_writable(sock)
            except (OSError, ValueError, trio.ClosedResourceError) as error:
                raise ConnectionClosedError("connection lost", transport="tcp") from error


async def bind(addresses: Sequence[Address]) -> list[trio.SocketListener]:
    """Open a listening socket an address, all or none.

    Raises:
        NetError: ``ADDRESS_IN_USE``; ``FORBIDDEN``: the port needs rights; ``INVALID_PARAMS``: the address is not one
            of this machine.
        UsageError: an address cannot be listened on (a name, a relay).
    """
    listeners: list[trio.SocketListener] = []
    try:
        for address in addresses:
            listeners.append(await _bind_one(address))
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners


def bound_address(listener: trio.SocketListener, asked: Address) -> Address:
    """What a listening socket is bound to, with the port that the system chose where it was ``asked`` for any."""
    host, port = listener.socket.getsockname()[:2]
    return from_socket(host, port, ws=endpoint(asked).ws)


async def _bind_one(address: Address) -> trio.SocketListener:
    end = endpoint(address)
    if end.kind not in ("ip4", "ip6") or end.relay is not None:
        raise UsageError("Only /ip4/…/tcp/… and /ip6/…/tcp/… addresses can be listened on, with or without /ws.")
    sock = trio.socket.socket(socket.AF_INET if end.kind == "ip4" else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for TIME_WAIT
        if end.kind == "ip6":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # 0.0.0.0 and :: may share a port number
        await sock.bind((end.host, end.port))
        sock.listen(_BACKLOG)
        # Not before: another program's listening socket would be let in as well. From now on those alone are that asked
        # for the same and belong to the same user; connections to the port still come to this socket.
        for option in _SHARED:
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
    except OSError as error:
        sock.close()
        raise _bind_error(error, end.port) from None
    except BaseException:
        sock.close()
        raise
    return trio.SocketListener(sock)


async def connect(host: str, port: int) -> trio.SocketStream:
    """Connect to an address.

    Raises:
        NetError: why it did not work, in a sentence that names nothing.
    """
    try:
        return await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise NetError(_connect_error(error)) from None


async def resolve(name: str, port: int) -> list[str]:
    """The IP literals to which a DNS name leads, each once.

    Raises:
        NetError: why there are none, in a sentence that names nothing.
    """
    try:
        found = await trio.socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NetError(_connect_error(error)) from None
    return list(dict.fromkeys(str(each[4][0]) for each in found))


async def connect_from(own: Own, host: str, port: int, *, must: bool) -> trio.SocketStream:
    """Connect from the port of a listening socket. It ends by a reset: see :func:`end_by_reset`.

    Args:
        own: that of this process, of the same kind as ``host``.
        host: an IP literal.
        must: it is of no use from another port; otherwise one of the system's choice does, where this one cannot be
            had: a connection between the same ends may be there, or just have been.

    Raises:
        NetError: why it did not work, in a sentence that names nothing.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in _SHARED:
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        await sock.bind(own)
        await sock.connect((host, port))
    except OSError as error:
        sock.close()
        if must or error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EINVAL):
            raise NetError(_connect_error(error)) from None
        return await connect(host, port)
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


def end_by_reset(stream: trio.SocketStream) -> None:
    """Have a connection end by a reset, whoever closes it, a killed process too: as one of :func:`connect_from` does.

    Nothing is left of it then, and the two ports can be connected anew at once, also where nothing got through when it
    ended. What was not sent by then is lost, as when the machine stops: what counts is acknowledged above.
    """
    with suppress(OSError):  # gone already; the first read will say so
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


def _connect_error(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "Its name is not known."
    numbers = {error.errno, *_numbers(error.__cause__)}  # of several addresses that a name may have
    if errno.ECONNREFUSED in numbers:
        return "Nothing listens there."
    if numbers & {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
        return "No way leads there from here."
    if numbers & {errno.EACCES, errno.EPERM}:
        return "This machine does not allow it."
    return "It did not answer."


def _numbers(error: BaseException | None) -> set[int | None]:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return {number for each in group.exceptions for number in _numbers(each)}
    return {error.errno} if isinstance(error, OSError) else set()


def _bind_error(error: OSError, port: int) -> NetError:
    if error.errno == errno.EADDRINUSE:
        return NetError(f"Port {port} is in use by another program; choose another or stop it.", name="ADDRESS_IN_USE")
    if error.errno == errno.EACCES:
        return NetError(
            f"Port {port} needs rights that this user does not have: give the program CAP_NET_BIND_SERVICE, or set "
            f"`sysctl net.ipv4.ip_unprivileged_port_start={port}`; or choose a port above 1023.",
            name="FORBIDDEN",
        )
    return NetError("An address to listen on is not one of this machine.", name="INVALID_PARAMS")


def _keep_alive(stream: trio.SocketStream) -> None:
    with suppress(OSError):  # gone already; the first read will say so
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):  # not on every system
                stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
