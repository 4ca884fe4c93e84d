"""Nodes of the local network, found by DNS-SD over multicast DNS (PROTOCOL.md 7.5).

Rules:

- zeroconf has a thread and a loop of its own: its registering takes a second, its lookups more. Nothing of it runs on
  the node's thread, and what it finds is handed over there.
- What is announced says that somebody runs this program, where it listens, and nothing else: no name of the machine,
  no PeerID, no version. Names are random, and new with every call.
- An interface's addresses are announced on that interface alone.
- What others announce is bounded in count and rate before it is looked up. Nobody is believed: an address is a hint.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import re
import socket
import threading
from base64 import b32encode
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Final, Protocol, cast

import structlog
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.core.allowance import Allowance
from p2pchat.net.addresses import from_socket

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncZeroconf

SERVICE: Final = "_p2pchat._tcp.local."
_NAME: Final = re.compile(rf"[a-z2-7]{{16}}\.{re.escape(SERVICE)}")
_NAME_BYTES: Final = 10
_PORT: Final = 5353
_NOTHING: Final = b"\x00"  # RFC 6763 6.1: a TXT record that says nothing has one empty string

Heard = Callable[[tuple[Address, ...]], None]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Announcement:
    """One listening port on one interface (its index), reached at IP literals that stand on it."""

    interface: int
    port: int
    hosts: tuple[str, ...] = field(repr=False)


class Lan(Protocol):
    """What announces this node, and hears others."""

    async def run(self, announcements: Sequence[Announcement], heard: Heard) -> None:
        """Announce this node under new names, and listen, until cancelled.

        Args:
            announcements: at least one.
            heard: called with the addresses of a service, 1 to ``limits.LAN_ADDRESSES`` of them, on the trio thread;
                unchecked but for their form, the own ones and repetitions among them.

        Raises:
            NetError: it is possible on none of the interfaces, or came to an end.

        Concurrency: when cancelled it takes ``limits.LAN_STOP_S`` at most, to say goodbye.
        """
        ...


class ZeroconfLan(Lan):
    """By zeroconf, which shares port 5353 with others of its kind on this machine.

    Args:
        entropy: n → n random bytes, for names.
    """

    def __init__(self, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._entropy = entropy

    async def run(self, announcements: Sequence[Announcement], heard: Heard) -> None:
        """See :class:`Lan`."""
        token = trio.lowlevel.current_trio_token()
        over = trio.Event()

        def in_trio(call: Callable[[], None]) -> None:
            with suppress(trio.RunFinishedError):  # the node has ended without us
                token.run_sync_soon(call)

        def name() -> str:
            return b32encode(self._entropy(_NAME_BYTES)).decode().lower()

        session = _Session(announcements, name, lambda addresses: in_trio(lambda: heard(addresses)))

        def live() -> None:
            session.run()
            in_trio(over.set)

        threading.Thread(target=live, name="lan", daemon=True).start()
        try:
            await over.wait()
        finally:
            session.stop()
            with trio.move_on_after(limits.LAN_STOP_S, shield=True):
                await over.wait()
        raise NetError("The local network takes no announcements.")


class _Session:
    """One life of zeroconf: :meth:`run` in a thread of its own, :meth:`stop` from any."""

    def __init__(self, announcements: Sequence[Announcement], name: Callable[[], str], heard: Heard) -> None:
        self._announcements = sorted(announcements, key=lambda each: each.interface)
        self._name = name
        self._heard = heard
        self._opened: list[AsyncZeroconf] = []
        self._own: set[str] = set()
        self._waiting: set[str] = set()
        self._lookups: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self._task: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Until stopped, or it cannot go on."""
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)  # its lines hold addresses and names
        try:
            asyncio.run(self._run())
        except asyncio.CancelledError:
            pass  # stopped
        except Exception as error:  # whatever the system or a library refuses: the node goes on without
            log.debug("lan.failed", error=type(error).__name__)

    def stop(self) -> None:
        """Soon."""
        with self._lock:
            self._stopped = True
            if self._task is not None:
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    async def _run(self) -> None:
        with self._lock:
            self._task = asyncio.current_task()
            if self._stopped:
                return
        asyncio.get_running_loop().set_exception_handler(_note)
        self._places = asyncio.Semaphore(limits.LAN_LOOKUPS)
        self._allowed = Allowance(limits.LAN_HEARD, limits.LAN_HEARD_PER_S, asyncio.get_running_loop().time())
        try:
            by_interface = groupby(self._announcements, key=lambda each: each.interface)
            groups = [tuple(group) for _, group in by_interface][: limits.LAN_INTERFACES]
            await asyncio.gather(*map(self._announce, groups))
            while self._opened:
                await asyncio.sleep(limits.LAN_TRIM_S)
                for opened in self._opened:
                    _trim(opened)
        finally:
            with self._lock:
                self._task = None
            for lookup in self._lookups:
                lookup.cancel()
            await asyncio.gather(*(opened.async_close() for opened in self._opened), return_exceptions=True)

    async def _announce(self, announcements: Sequence[Announcement]) -> None:
        """Announce and listen on one interface; where it takes no multicast nothing comes of it."""
        from zeroconf import Error  # 4 MB and a tenth of a second, for those who use it
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

        hosts = [host for each in announcements for host in each.hosts]
        try:
            await _until_bindable(hosts)
            opened = AsyncZeroconf(interfaces=hosts)
        except (OSError, RuntimeError) as error:  # the interface is gone, or the port is not shared
            log.debug("lan.failed", error=type(error).__name__)
            return
        self._opened.append(opened)
        try:
            await opened.zeroconf.async_wait_for_start()
            if not opened.zeroconf.engine.senders:
                raise OSError("no multicast")
            AsyncServiceBrowser(opened.zeroconf, SERVICE, handlers=[self._on_service])
            await asyncio.gather(*(self._register(opened, each) for each in announcements))
        except (OSError, Error) as error:
            log.debug("lan.failed", error=type(error).__name__)
            self._opened.remove(opened)
            await opened.async_close()

    async def _register(self, opened: AsyncZeroconf, announcement: Announcement) -> None:
        from zeroconf.asyncio import AsyncServiceInfo

        name = f"{self._name()}.{SERVICE}"
        self._own.add(name)
        info = AsyncServiceInfo(
            SERVICE,
            name,
            port=announcement.port,
            addresses=[ipaddress.ip_address(host).packed for host in announcement.hosts],
            properties=_NOTHING,
            server=f"{self._name()}.local.",
        )
        # a bare Awaitable is returned, which pyright takes amiss
        task = await opened.async_register_service(info)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        await cast("Awaitable[object]", task)

    # what is heard

    def _on_service(self, *, zeroconf: Zeroconf, name: str, state_change: ServiceStateChange, **_: str) -> None:
        from zeroconf import ServiceStateChange

        if state_change is ServiceStateChange.Removed or name in self._own or not _NAME.fullmatch(name):
            return
        loop = asyncio.get_running_loop()
        if name in self._waiting or not self._allowed.spend(1.0, loop.time()):
            return
        self._waiting.add(name)
        lookup = loop.create_task(self._look_up(zeroconf, name))
        self._lookups.add(lookup)
        lookup.add_done_callback(self._lookups.discard)

    async def _look_up(self, zeroconf: Zeroconf, name: str) -> None:
        from zeroconf import IPVersion
        from zeroconf.asyncio import AsyncServiceInfo

        info = AsyncServiceInfo(SERVICE, name)
        try:
            async with self._places:
                answered = await info.async_request(zeroconf, limits.LAN_LOOKUP_S * 1000)
        finally:
            self._waiting.discard(name)
        if not answered or not info.port:
            return
        hosts = [str(ip) for ip in info.ip_addresses_by_version(IPVersion.All)[: limits.LAN_ADDRESSES]]
        addresses = tuple(from_socket(host.partition("%")[0], info.port) for host in hosts)
        if addresses:
            self._heard(addresses)


async def _until_bindable(hosts: Sequence[str]) -> None:
    """The kernel makes sure for a second or two that a new IPv6 address is nobody else's. Raises OSError in the end."""
    for _ in range(limits.LAN_BIND_TRIES):
        try:
            _try_port(hosts)
            return
        except OSError:
            await asyncio.sleep(limits.LAN_BIND_PAUSE_S)
    _try_port(hosts)


def _try_port(hosts: Sequence[str]) -> None:
    """Raise OSError where zeroconf could not begin: it would leave the sockets open that it has by then."""
    for host in ("", *hosts):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT"):  # not on every system
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((host, _PORT))


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """A packet or a socket has provoked an error in zeroconf, which goes on; its own line would hold addresses."""
    log.debug("lan.failed", error=type(context.get("exception")).__name__)


def _trim(opened: AsyncZeroconf) -> None:
    """Forget what was announced by anybody, should it have become too much; zeroconf keeps up to 10,000 records.

    Services that are still there are heard of again when their owners announce them next.
    """
    cache = opened.zeroconf.cache
    records = [record for name in cache.names() for record in cache.entries_with_name(name)]
    if len(records) > limits.LAN_RECORDS:
        cache.async_remove_records(records)
