"""A SOCKS5 proxy, by RFC 1928 and RFC 1929 alone, and many wrong ones.

As a program it serves until it is killed, and writes a line of JSON for each request::

    python -m tests.net.socks5 HOST PORT [NAME=ADDRESS …]
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address

import trio

NO_AUTHENTICATION, PASSWORD, NONE_FITS = 0, 2, 255
SUCCEEDED, FAILED, NOT_ALLOWED, UNREACHABLE, REFUSED = 0, 1, 2, 4, 5


@dataclass
class Request:
    """What somebody asked for, and as whom."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None


Leads = Callable[[Request], tuple[str, int]]
Wrong = Callable[[trio.SocketStream], Awaitable[None]]


@dataclass
class Socks5:
    """One proxy.

    Attributes:
        leads: where each request leads.
        methods: that it serves, the one that it likes best first.
        users: whom it admits, and with which passwords; None: anybody.
        reply: with which it answers every request; None: as things are.
        wrong: what it does instead of all that.
        requests: all that were read, in their order.
        begun: how many connections came.
    """

    leads: Leads = lambda request: (request.host, request.port)
    methods: tuple[int, ...] = (PASSWORD, NO_AUTHENTICATION)
    users: Mapping[str, str] | None = None
    reply: int | None = None
    wrong: Wrong | None = None
    requests: list[Request] = field(default_factory=list[Request])
    begun: int = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, to its end."""
        self.begun += 1
        async with stream:
            try:
                if self.wrong is not None:
                    await self.wrong(stream)
                else:
                    await self._serve(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
                return  # whoever asked has gone

    async def _serve(self, stream: trio.SocketStream) -> None:
        version, count = await exactly(stream, 2)
        offered = await exactly(stream, count)
        method = next((each for each in self.methods if each in offered), NONE_FITS) if version == 5 else NONE_FITS
        await stream.send_all(bytes((5, method)))
        if method == NONE_FITS:
            return
        user = password = None
        if method == PASSWORD:
            user, password = await self._credentials(stream)
            is_right = self.users is None or self.users.get(user) == password
            await stream.send_all(bytes((1, 0 if is_right else 1)))
            if not is_right:
                return
        request = await self._request(stream, user, password)
        self.requests.append(request)
        reply, end = await self._lead(request)
        await stream.send_all(bytes((5, reply, 0, 1)) + bytes(6))
        if end is not None:
            async with end, trio.open_nursery() as nursery:
                nursery.start_soon(pump, stream, end, nursery.cancel_scope)
                nursery.start_soon(pump, end, stream, nursery.cancel_scope)

    async def _credentials(self, stream: trio.SocketStream) -> tuple[str, str]:
        _, count = await exactly(stream, 2)
        user = await exactly(stream, count)
        password = await exactly(stream, (await exactly(stream, 1))[0])
        return user.decode(), password.decode()

    async def _request(self, stream: trio.SocketStream, user: str | None, password: str | None) -> Request:
        version, command, _, kind = await exactly(stream, 4)
        assert (version, command) == (5, 1), "no CONNECT of SOCKS5"
        length = {1: 4, 4: 16}.get(kind) or (await exactly(stream, 1))[0]
        raw = await exactly(stream, length)
        host = raw.decode("ascii") if kind == 3 else str(ip_address(raw))
        return Request(host, int.from_bytes(await exactly(stream, 2), "big"), user, password)

    async def _lead(self, request: Request) -> tuple[int, trio.SocketStream | None]:
        if self.reply is not None:
            return self.reply, None
        try:
            with trio.fail_after(10):
                return SUCCEEDED, await trio.open_tcp_stream(*self.leads(request))
        except (KeyError, socket.gaierror):
            return UNREACHABLE, None
        except (OSError, trio.TooSlowError):
            return REFUSED, None


async def exactly(stream: trio.SocketStream, count: int) -> bytes:
    """Raises: EOFError: the stream ended before."""
    data = b""
    while len(data) < count:
        more = await stream.receive_some(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


async def pump(source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope) -> None:
    """Carry what comes until either side ends."""
    try:
        async for data in source:
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # either side has gone
    both.cancel()


@asynccontextmanager
async def proxy(server: Socks5) -> AsyncGenerator[int]:
    """``server`` on a port of loopback."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


class Told(Socks5):
    """Writes down what it is asked."""

    async def _lead(self, request: Request) -> tuple[int, trio.SocketStream | None]:
        line = {"host": request.host, "port": request.port, "user": request.user}
        print(json.dumps(line), flush=True)
        return await super()._lead(request)


def main() -> None:
    """Serve until killed."""
    host, port, *names = sys.argv[1:]
    known = dict(name.split("=") for name in names)

    def leads(request: Request) -> tuple[str, int]:
        try:
            return str(ip_address(request.host)), request.port
        except ValueError:
            return known[request.host], request.port

    trio.run(partial(trio.serve_tcp, Told(leads).serve, int(port), host=host))


if __name__ == "__main__":
    main()
