"""This machine's network interfaces: their addresses, where the way out leads, and when either may have changed.

Rules:

- What counts is what works: an interface that is down, or without a carrier, has no address here.
- The kernel says that something may have changed; what has is read anew and compared. So a storm of its messages, and
  one that was lost, cost a reading each time somebody looks, and nothing more.
- Where the kernel does not say it, one looks every ``limits.INTERFACES_POLL_S``.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import ifaddr
import trio

from p2pchat.base import limits

Ip = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Wait = Callable[[], Awaitable[None]]

# linux/rtnetlink.h: links, addresses and routes of both families
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_NETLINK_BYTES: Final = 16_384  # what the kernel may queue: it is thrown away unread
_SIOCGIFFLAGS: Final = 0x8913  # linux/sockios.h
_UP_AND_RUNNING: Final = 0x1 | 0x40  # linux/if.h
_NAME_BYTES: Final = 15
_ROUTES_BYTES: Final = 262_144  # a router's own table may be longer: of that the beginning is enough
_NOWHERE4: Final = "00000000"
_NOWHERE6: Final = 32 * "0"
_REJECT: Final = 0x200  # linux/route.h


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """One address of one interface: ``interface`` is its index, ``ip`` knows its network."""

    interface: int
    ip: Ip = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attachment:
    """How this machine is attached to networks. ``routes``: where the default ones lead, in whatever form."""

    addresses: frozenset[OwnAddress]
    routes: frozenset[tuple[str, ...]] = field(default=frozenset(), repr=False)


class Interfaces(Protocol):
    """Where it is read."""

    def read(self) -> Attachment:
        """What it is now. May take a few milliseconds."""
        ...

    def watching(self) -> AbstractContextManager[Wait]:
        """For the block: a wait, one at a time, that ends once something may have changed since it ended last."""
        ...


class SystemInterfaces(Interfaces):
    """This machine's own."""

    def read(self) -> Attachment:
        """From the system, each time."""
        return Attachment(frozenset(own_addresses()), _default_routes())

    @contextmanager
    def watching(self) -> Iterator[Wait]:
        """By netlink on Linux; elsewhere, and where that is forbidden, it ends every ``limits.INTERFACES_POLL_S``."""
        netlink = _open_netlink()
        if netlink is None:
            yield partial(trio.sleep, limits.INTERFACES_POLL_S)
            return
        with netlink:
            yield partial(_wait, netlink)


_latest: Final[list[OwnAddress]] = []


def own_addresses() -> tuple[OwnAddress, ...]:
    """Those of all interfaces that work, in the system's order, IPv6 link-local and loopback ones among them.

    Where the system has no file left to open they are those that were read last.
    """
    with suppress(OSError):  # it takes a socket, and strangers' connections may have taken the last
        _latest[:] = _read_addresses()
    return tuple(_latest)


def _read_addresses() -> Iterator[OwnAddress]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for adapter in ifaddr.get_adapters():
            if not _works(sock, adapter.name):
                continue
            for entry in adapter.ips:
                host = entry.ip if isinstance(entry.ip, str) else entry.ip[0]
                ip = ipaddress.ip_interface(f"{host.partition('%')[0]}/{entry.network_prefix}")
                yield OwnAddress(adapter.index or 0, ip)


def _works(sock: socket.socket, name: str) -> bool:
    if sys.platform != "linux":
        return True
    import fcntl  # not on every system

    request = struct.pack("16sH14x", name.encode()[:_NAME_BYTES], 0)
    try:
        flags = int(struct.unpack_from("H", fcntl.ioctl(sock, _SIOCGIFFLAGS, request), 16)[0])
    except OSError:
        return True  # gone since it was listed, or nothing of that is told: then it does not matter, or cannot
    return flags & _UP_AND_RUNNING == _UP_AND_RUNNING


def _default_routes() -> frozenset[tuple[str, ...]]:
    """Interface, next hop and metric of each; nothing where the system does not tell."""
    found: set[tuple[str, ...]] = set()
    for line in _lines("/proc/net/route"):
        if len(line) >= 8 and line[1] == line[7] == _NOWHERE4:
            found.add((line[0], line[2], line[6]))
    for line in _lines("/proc/net/ipv6_route"):
        if len(line) >= 10 and line[0] == _NOWHERE6 and line[1] == "00" and not int(line[8], 16) & _REJECT:
            found.add((line[9], line[4], line[5]))
    return frozenset(found)


def _lines(path: str) -> list[list[str]]:
    try:
        with open(path) as table:
            return [line.split() for line in table.read(_ROUTES_BYTES).splitlines()]
    except OSError:
        return []  # another system, or without that family


def _open_netlink() -> socket.socket | None:
    if sys.platform != "linux":
        return None
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    except OSError:
        return None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NETLINK_BYTES)
        sock.bind((0, _GROUPS))
    except OSError:
        sock.close()
        return None
    return sock


async def _wait(netlink: socket.socket) -> None:
    await trio.lowlevel.wait_readable(netlink)
    for _ in range(_NETLINK_BYTES):
        try:
            netlink.recv(_NETLINK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            continue  # ENOBUFS: there were more than it holds, which says the same
