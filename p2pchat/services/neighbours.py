"""Nodes of the local network: announces this one to them, and dials those that are heard of (PROTOCOL.md 7.5).

Rules:

- Only addresses in a network of an interface of this machine are dialled, so that nobody has it knock elsewhere; how
  many, and how often, is bounded. Whoever answers is who its handshake says; what was announced is not believed.
- Who is connected is not dialled again. Who did not answer is dialled ever more rarely, under whatever names it comes.
- A node that stood alone, or whose network has changed, begins anew with the first neighbour that is in the DHT.
- Names are new each time: at the start, after a change, and every ``limits.LAN_NAME_S``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.allowance import Allowance
from p2pchat.core.delivery import retry_after_s
from p2pchat.net.addresses import Scope, classify, dialable, endpoint, scope_of
from p2pchat.net.interfaces import Attachment, Ip
from p2pchat.net.lan import Announcement
from p2pchat.services.context import Context
from p2pchat.services.surroundings import Surroundings

_LOOK_AGAIN_S: Final = 60.0  # whether this node stands alone, and a neighbour could help
_NOT_NOW_S: Final = 5.0  # until dialling is tried again, where there was too much of it
_TRIES: Final = 12  # half an hour; who is still there is heard of again

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class _Service:
    """Addresses that were announced together, when they are looked at next, and who has answered there.

    ``due`` is infinite while that happens; ``heard``: since it answered last.
    """

    addresses: tuple[Address, ...]
    due: float
    tries: int = 0
    peer: PeerId | None = None
    heard: bool = True


class Neighbours:
    """Those of one node.

    Args:
        joined: called when a neighbour answered while this node stood alone, or for the first time after a change.

    Resource handling: everything runs inside :meth:`run`.
    """

    def __init__(self, context: Context, surroundings: Surroundings, joined: Callable[[], None]) -> None:
        self._context = context
        self._surroundings = surroundings
        self._joined = joined
        self._attachment = Attachment(frozenset())
        self._services: dict[frozenset[Address], _Service] = {}
        self._news = trio.Event()
        self._fresh = True  # there was no neighbour since this node stood alone, or its network changed
        self._dials = Allowance(limits.LAN_DIALS_BURST, limits.LAN_DIALS_PER_S, trio.current_time())
        self._places = trio.Semaphore(limits.LAN_DIALS)

    async def run(self) -> None:
        """Until cancelled."""
        tries = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._visit_all)
            while True:
                changed = self._context.changes.edge()
                self._look_around()
                announcements = announced(self._attachment, self._context.network.addresses())
                if not announcements:
                    await changed()
                elif await self._announce(announcements, changed):
                    tries = 0
                else:
                    tries += 1
                    if tries == 1:
                        log.warning("lan.unavailable", reason="no interface takes multicast DNS; it is tried again")
                    with trio.move_on_after(self._retry_s(tries)):
                        await changed()

    async def _announce(self, announcements: list[Announcement], changed: Callable[[], Awaitable[None]]) -> bool:
        """Be announced until something changes, or for as long as a name lasts; False if that was not possible."""

        async def until_changed() -> None:
            await changed()
            nursery.cancel_scope.cancel()

        with trio.move_on_after(limits.LAN_NAME_S * (0.9 + 0.2 * self._context.jitter())):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(until_changed)
                try:
                    await self._surroundings.lan.run(announcements, self._heard)
                except NetError:
                    nursery.cancel_scope.cancel()
                    return False
        return True

    def _look_around(self) -> None:
        attachment = self._surroundings.interfaces.read()
        if attachment == self._attachment:
            return
        self._attachment = attachment
        self._fresh = True
        for key, service in tuple(self._services.items()):
            if self._fit(service.addresses) != service.addresses:
                del self._services[key]
            elif service.due != float("inf"):
                service.due, service.tries = trio.current_time(), 0
        self._news.set()

    # those that are heard of

    def _heard(self, addresses: tuple[Address, ...]) -> None:
        fit = self._fit(addresses[: limits.LAN_ADDRESSES])
        service = self._services.get(frozenset(fit))
        if service is not None:
            service.heard = True
            if service.tries == 0 and service.due != float("inf"):
                service.due = trio.current_time()
        elif fit and self._has_room():
            self._services[frozenset(fit)] = _Service(fit, trio.current_time())
        self._news.set()

    def _fit(self, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
        own = self._context.network.addresses()
        return tuple(a for a in addresses if a not in own and is_near(a, self._attachment))

    def _has_room(self) -> bool:
        """Of what did not answer, what was tried most often makes room."""
        if len(self._services) < limits.LAN_SERVICES:
            return True
        waiting = [(s.tries, key) for key, s in self._services.items() if s.tries and s.due != float("inf")]
        if not waiting:
            return False
        del self._services[max(waiting, key=lambda each: each[0])[1]]
        return True

    async def _visit_all(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                self._news = trio.Event()
                now = trio.current_time()
                for service in self._services.values():
                    if service.due <= now:
                        service.due = float("inf")
                        nursery.start_soon(self._visit, service, nursery)
                next_at = min((service.due for service in self._services.values()), default=float("inf"))
                with trio.move_on_at(next_at):
                    await self._news.wait()

    async def _visit(self, service: _Service, nursery: trio.Nursery) -> None:
        async with self._places:
            pause_s = await self._look_at(service, nursery)
        if service.tries >= _TRIES:
            self._services.pop(frozenset(service.addresses), None)
        service.due = trio.current_time() + pause_s
        self._news.set()

    async def _look_at(self, service: _Service, nursery: trio.Nursery) -> float:
        """Dial it if it is of use; seconds until it is looked at again."""
        network, dht = self._context.network, self._context.dht
        alone = dht.peers() == 0
        self._fresh = self._fresh or alone
        connected = any(link.peer == service.peer for link in network.links())
        if service.peer is None or (not connected and (service.heard or alone)):
            if not self._dials.spend(1.0, trio.current_time()):
                return _NOT_NOW_S
            try:
                service.peer = await network.dial_unknown(service.addresses)
            except NetError:
                service.tries += 1
                return self._retry_s(service.tries)
        elif not self._fresh:
            return _LOOK_AGAIN_S
        service.tries, service.heard = 0, False
        if await dht.contact(service.peer, service.addresses) and self._fresh:
            self._fresh = False
            log.info("lan.joined")
            self._joined()
            nursery.start_soon(self._explore, service.peer, service.addresses)
        return _LOOK_AGAIN_S

    async def _explore(self, peer: PeerId, addresses: tuple[Address, ...]) -> None:
        with suppress(NetError):  # the neighbour has left again: the next one is asked
            await self._context.dht.bootstrap([(peer, addresses)])

    def _retry_s(self, tries: int) -> float:
        return retry_after_s(tries, self._context.jitter(), self._context.params)


def announced(attachment: Attachment, addresses: Sequence[Address]) -> list[Announcement]:
    """What is announced of ``addresses``: those that stand on an interface and reach no farther than its network.

    None of WebSocket: whoever hears of a port speaks there what everybody does.
    """
    found: dict[tuple[int, int], list[str]] = {}
    ends = [end for address in addresses if _is_local(address) for end in (endpoint(address),) if not end.ws]
    for own in sorted(attachment.addresses, key=lambda own: (own.interface, own.ip.version, int(own.ip))):
        for end in ends:
            if end.host == str(own.ip.ip):
                found.setdefault((own.interface, end.port), []).append(end.host)
    return [Announcement(*key, tuple(hosts[: limits.LAN_ADDRESSES])) for key, hosts in found.items()]


def is_near(address: Address, attachment: Attachment) -> bool:
    """Whether an address is one that a machine in a network of this one's interfaces can have."""
    if not dialable(address) or not _is_local(address):
        return False
    ip = ipaddress.ip_address(endpoint(address).host)
    return any(ip in own.ip.network and not _is_for_all(ip, own.ip) for own in attachment.addresses)


def _is_local(address: Address) -> bool:
    return classify(address) == "lan" and scope_of(endpoint(address).host) is Scope.PRIVATE


def _is_for_all(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, own: Ip) -> bool:
    """The first and the last address of an IPv4 network are nobody's."""
    network = own.network
    return ip.version == 4 and network.prefixlen < 31 and ip in (network.network_address, network.broadcast_address)
