"""The local network of nodes in memory: who is announced is heard of; and interfaces that tests take down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_interface
from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.net.addresses import from_socket
from p2pchat.net.interfaces import Attachment, Interfaces, OwnAddress, Wait
from p2pchat.net.lan import Announcement, Heard, Lan
from p2pchat.testing.memnode import MemoryNode

_REGISTERING_S: Final = 1.2  # as long as zeroconf takes


class MemoryLan(Lan):
    """One for all nodes on it; who is announced hears of itself, too.

    Attributes:
        announced: what is at present, and what was ever.
        is_up: whether it takes announcements; :meth:`run` fails while it does not, as without multicast.
    """

    def __init__(self) -> None:
        self.is_up = True
        self.announced: list[Announcement] = []
        self.ever: list[Announcement] = []
        self._listeners: list[Heard] = []

    async def run(self, announcements: Sequence[Announcement], heard: Heard) -> None:
        """See :class:`Lan`."""
        self._listeners.append(heard)
        try:
            await trio.sleep(_REGISTERING_S)
            if not self.is_up:
                raise NetError("The local network takes no announcements.")
            self.announced += announcements
            self.ever += announcements
            for each in self.announced:
                for listener in self._listeners if each in announcements else (heard,):
                    listener(_addresses(each))
            await trio.sleep_forever()
        finally:
            self._listeners.remove(heard)
            self.announced = [each for each in self.announced if each not in announcements]

    def forge(self, addresses: tuple[Address, ...]) -> None:
        """Somebody says that there is a service."""
        for listener in self._listeners:
            listener(addresses)


class MemoryInterfaces(Interfaces):
    """One interface in 10.0.0.0/8, with the address that the network gives the node.

    Attributes:
        is_up: whether it works; its node is told by nobody else.
        reads: how often it was read.
    """

    def __init__(self, node: Callable[[], MemoryNode]) -> None:
        self.is_up = True
        self.reads = 0
        self._node = node

    def read(self) -> Attachment:
        """See :class:`Interfaces`."""
        self.reads += 1
        if not self.is_up:
            return Attachment(frozenset())
        return Attachment(frozenset({OwnAddress(1, ip_interface(f"{self._node().host}/8"))}))

    @contextmanager
    def watching(self) -> Iterator[Wait]:
        """As where the kernel does not tell."""
        yield partial(trio.sleep, limits.INTERFACES_POLL_S)


def _addresses(announcement: Announcement) -> tuple[Address, ...]:
    return tuple(from_socket(host, announcement.port) for host in announcement.hosts[: limits.LAN_ADDRESSES])
