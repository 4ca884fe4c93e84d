"""The way out through a SOCKS5 proxy (``net.proxy``), and what is asked of it. Source: RFC 1928, RFC 1929.

Rules:

- Every connection goes through it, or is not made. It resolves names; this machine asks no name server for any, the
  proxy's own included: that is an IP literal, or ``localhost``.
- It is asked for what is on the internet alone. An address, or a name, of its own network or machine is not for others
  to choose.
- Each peer gets a user name and password of its own, made anew with each life of the node: Tor leads what differs in
  them over different circuits (IsolateSOCKSAuth, on as delivered). A proxy that takes none, or refuses these, is asked
  without. What the user has configured is used for all.
- *Troubles* are the proxy's, told to the user; whatever it says about a destination is that attempt's alone.
- No more is read than an answer has, 262 bytes at most, each step within its time: what comes after is the peer's.

python-socks, the library there is for trio, does all steps in one call and tells of refusals in prose: neither a dead
proxy from a slow destination nor a refused password from another protocol can be told by it, and an answer with a name
that is no text leaves it as no error of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote_to_bytes

import structlog
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError, UsageError
from p2pchat.base.ids import PeerId
from p2pchat.net import tcp
from p2pchat.net.addresses import Endpoint, Scope, scope_of
from p2pchat.net.way import Way

_VERSION: Final = 5
_NO_AUTHENTICATION: Final = 0
_PASSWORD: Final = 2
_PASSWORD_VERSION: Final = 1
_CONNECT: Final = 1
_IP4, _NAME, _IP6 = 1, 3, 4
_ANSWER_TAIL: Final = {_IP4: 4 + 2, _IP6: 16 + 2}
_REFUSED: Final = {
    2: "The proxy does not allow it.",
    3: "No way leads there from the proxy.",
    4: "No way leads there from the proxy.",
    5: "Nothing listens there.",
    6: "It did not answer.",
    8: "The proxy knows no such addresses.",
}
_OF_ITS_OWN: Final = ("localhost", "local", "internal", "lan", "home", "arpa")
"""Last parts of names that mean something in the proxy's own network, as far as any does."""

_NUMBER: Final = re.compile("[0-9]+|0x[0-9a-f]*")  # what ends so many a resolver takes for an IPv4 address

_URL: Final = re.compile(
    r"socks5://(?:(?P<user>[^:@/]*):(?P<password>[^@/]*)@)?(?P<host>\[[^\]]+\]|[^:/@]+):(?P<port>[0-9]+)/?"
)
_BAD: Final = (
    "net.proxy is socks5://HOST:PORT or socks5://USER:PASSWORD@HOST:PORT, with an IP address ([…] around IPv6) "
    "or localhost as HOST."
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Credentials:
    """RFC 1929: 1 to 255 bytes each."""

    user: bytes = field(repr=False)
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it is, an IP literal and a port, and as whom it is asked; None: as the node sees fit."""

    host: str = field(repr=False)
    port: int = field(repr=False)
    credentials: Credentials | None = None


class TroubleError(NetError):
    """The proxy cannot be used, wherever it is asked to lead."""


def parse_proxy(text: str) -> Proxy:
    """Read ``net.proxy``. A user name and password are percent-encoded.

    Raises:
        UsageError: it is no such text. Nothing of it is repeated: it may hold a password.
    """
    match = _URL.fullmatch(text)
    if match is None:
        raise UsageError(_BAD, data={"param": "net.proxy"})
    host, port = match["host"].strip("[]"), int(match["port"][:6])
    try:
        host = "127.0.0.1" if host == "localhost" else str(ip_address(host))
    except ValueError:
        host = ""
    credentials = None
    if match["user"] is not None:
        credentials = Credentials(unquote_to_bytes(match["user"]), unquote_to_bytes(match["password"]))
        if not all(1 <= len(each) <= 255 for each in (credentials.user, credentials.password)):
            host = ""
    if not host or "%" in host or not 0 < port < 65_536:
        raise UsageError(_BAD, data={"param": "net.proxy"})
    return Proxy(host, port, credentials)


class Socks(Way):
    """Through ``proxy``, for one life of a node.

    Args:
        secret: 32 bytes, from which credentials are made.
        told: called with each change of what is the trouble with the proxy: a sentence, or nothing.
    """

    is_hidden = True

    def __init__(self, proxy: Proxy, secret: bytes, told: Callable[[str], None]) -> None:
        self._proxy = proxy
        self._secret = secret
        self._told = told
        self._trouble = ""
        self._separates = proxy.credentials is None

    def far_end(self, end: Endpoint) -> tcp.FarEnd:
        """Where the proxy was asked to lead; that of the socket is the proxy's."""
        return end.host, end.port

    async def connect_from(self, own: tcp.Own, end: Endpoint, *, must: bool) -> trio.SocketStream:  # noqa: ARG002
        """Nobody is met half way.

        Raises:
            NetError: always.
        """
        raise NetError("Through a proxy nothing leaves from the port that is listened on.")

    async def connect(self, peer: PeerId | None, end: Endpoint) -> trio.SocketStream:
        """Within ``limits.PROXY_S`` for the proxy's own answers, and ``limits.PROXY_LEADS_S`` until it leads there."""
        if not leads_to(end):
            raise NetError("A proxy is not asked for addresses of its own network.")
        try:
            stream = await self._admitted(peer, end)
        except TroubleError as error:
            self._note(error.message)
            raise
        self._note("")
        try:
            with trio.move_on_after(limits.PROXY_LEADS_S):
                await _ask(stream, end)
                return stream
        except BaseException:
            stream.socket.close()
            raise
        stream.socket.close()
        raise NetError("The proxy did not lead there in time.")

    async def _admitted(self, peer: PeerId | None, end: Endpoint) -> trio.SocketStream:
        """A connection to the proxy on which it waits for what it is asked."""
        if self._proxy.credentials is not None:
            return await self._opened(self._proxy.credentials)
        if self._separates:
            try:
                return await self._opened(self._own(peer, end))
            except _WrongPasswordError:
                self._separates = False  # it has users of its own; perhaps it serves others, too
        return await self._opened(None)

    def _own(self, peer: PeerId | None, end: Endpoint) -> Credentials:
        who = bytes(peer) if peer is not None else f"{end.host} {end.port}".encode()
        digest = blake2b(who, key=self._secret, digest_size=32).hexdigest()
        return Credentials(digest[:32].encode(), digest[32:].encode())

    async def _opened(self, credentials: Credentials | None) -> trio.SocketStream:
        stream: trio.SocketStream | None = None
        try:
            with trio.move_on_after(limits.PROXY_S):
                stream = await _reached(self._proxy)
                await _greet(stream, credentials)
                return stream
        except BaseException:
            if stream is not None:
                stream.socket.close()
            raise
        if stream is not None:
            stream.socket.close()
        raise TroubleError("The proxy does not answer.")

    def _note(self, trouble: str) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            log.warning("proxy.unusable", reason=trouble)
        else:
            log.info("proxy.usable")
        self._told(trouble)


class _WrongPasswordError(TroubleError):
    """It does not take these credentials."""


def leads_to(end: Endpoint) -> bool:
    """Whether a proxy is asked for ``end``: it is on the internet, as far as its host says."""
    if end.kind in ("ip4", "ip6"):
        ip = ip_address(end.host)
        return scope_of(end.host) is Scope.GLOBAL and not ip.is_multicast and not ip.is_reserved
    parts = end.host.rstrip(".").lower().split(".")
    return len(parts) > 1 and parts[-1] not in _OF_ITS_OWN and not _NUMBER.fullmatch(parts[-1])


async def _reached(proxy: Proxy) -> trio.SocketStream:
    try:
        return await tcp.connect(proxy.host, proxy.port)
    except NetError:
        raise TroubleError("The proxy cannot be reached.") from None


async def _greet(stream: trio.SocketStream, credentials: Credentials | None) -> None:
    """Agree on a method and authenticate.

    Raises:
        TroubleError: it does not serve this node.
    """
    methods = bytes((_NO_AUTHENTICATION,) if credentials is None else (_NO_AUTHENTICATION, _PASSWORD))
    await _send(stream, bytes((_VERSION, len(methods))) + methods)
    version, method = await _exactly(stream, 2)
    if version != _VERSION:
        raise TroubleError("What answers as the proxy does not speak SOCKS5.")
    if method not in methods:
        raise TroubleError("The proxy wants a user name and password, or another way to authenticate.")
    if method == _NO_AUTHENTICATION or credentials is None:
        return
    user, password = credentials.user, credentials.password
    await _send(stream, bytes((_PASSWORD_VERSION, len(user))) + user + bytes((len(password),)) + password)
    _, status = await _exactly(stream, 2)
    if status:
        raise _WrongPasswordError("The proxy refuses the user name or password.")


async def _ask(stream: trio.SocketStream, end: Endpoint) -> None:
    """Have it lead to ``end``; what comes after is from there.

    Raises:
        NetError: it does not.
    """
    if end.kind in ("ip4", "ip6"):
        ip = ip_address(end.host)
        host = bytes((_IP4 if ip.version == 4 else _IP6,)) + ip.packed
    else:
        name = end.host.rstrip(".").encode("ascii")
        host = bytes((_NAME, len(name))) + name
    await _send(stream, bytes((_VERSION, _CONNECT, 0)) + host + end.port.to_bytes(2, "big"))
    version, reply, _, kind = await _exactly(stream, 4)
    if version == _VERSION and reply:
        raise NetError(_REFUSED.get(reply, "The proxy refuses."))
    if version != _VERSION or kind not in (*_ANSWER_TAIL, _NAME):
        raise NetError("The proxy answers what is not SOCKS5.")
    # where it leads from: nothing is made of it
    await _exactly(stream, _ANSWER_TAIL[kind] if kind != _NAME else (await _exactly(stream, 1))[0] + 2)


async def _send(stream: trio.SocketStream, data: bytes) -> None:
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError:
        raise TroubleError("The proxy closes the connection.") from None


async def _exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        try:
            more = await stream.receive_some(count - len(data))
        except trio.BrokenResourceError:
            more = b""
        if not more:
            raise TroubleError("The proxy closes the connection.")
        data += more
    return data
