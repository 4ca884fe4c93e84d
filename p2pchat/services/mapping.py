"""The router is asked to let others in (PROTOCOL.md 7.3): a port of its other side is to lead to the one listened on.

Rules:

- Only where it is allowed (``nat.mapping``), where this node listens on a private IPv4 address, and where there is a
  gateway that has one, too: no other router is this user's, and a network without one leads nowhere.
- Renewed at half its life; deleted at the end, which is waited for :data:`_GOODBYE_S` at most.
- The router's other address is told as this node's if it is a global one. Behind a second NAT a mapping leads nowhere:
  it is deleted at once. Whether one leads here is asked about like any other address.
- What fails is tried again in half an hour, and when this node's own addresses have changed. One line of the log tells
  of the first failure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog
import trio

from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address
from p2pchat.net.addresses import Scope, endpoint, from_socket, is_global, scope_of
from p2pchat.net.gateway import default_gateway
from p2pchat.net.hearsay import fit_to_dial
from p2pchat.net.router import Mapped, NatPmp, PortTakenError, Router
from p2pchat.net.upnp import Upnp
from p2pchat.services.context import Context

_AGAIN_S: Final = 1_800.0
_LEAST_S: Final = 60.0
_LOOK_S: Final = 60.0
_GOODBYE_S: Final = 2.0
_OTHER_PORTS: Final = range(49_152, 65_536)
_TRIES: Final = 3

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where this node listens, and the router before it; ``ws``: for WebSocket, since nothing else is."""

    gateway: str = field(repr=False)
    host: str = field(repr=False)
    port: int
    ws: bool


class Mapper:
    """Has the router map a port and keeps it so.

    Args:
        changed: called when this node has another address by it, or none any more.
        routers: the ways to ask, in their order.
        gateway: finds the default gateway.
    """

    def __init__(
        self,
        context: Context,
        changed: Callable[[], None],
        routers: Sequence[Router] | None = None,
        gateway: Callable[[], str | None] = default_gateway,
    ) -> None:
        self._context = context
        self._changed = changed
        self._routers = tuple(routers) if routers is not None else (NatPmp(), Upnp())
        self._gateway = gateway
        self._said = False
        self._moved = trio.Event()
        self._told: tuple[Address, ...] = ()

    def hurry(self) -> None:
        """The network has changed: look at once whether this node is elsewhere."""
        self._moved.set()

    async def run(self) -> None:
        """Until cancelled; at once over where it is not allowed."""
        health = self._context.health
        if not self._context.reach.mapping:
            return
        while True:
            place = self._place()
            health.mapping = "unneeded" if place is None else "asking"
            if place is None:
                await self._until_moved(place, float("inf"))
                continue
            for router in self._routers:
                await self._keep(router, place)
                if self._place() != place:
                    break
            else:
                health.mapping = "refused"
                self._say()
                await self._until_moved(place, _AGAIN_S)

    async def _keep(self, router: Router, place: _Place) -> None:
        """Map and renew until the router will not, or this node is elsewhere."""
        mapped: Mapped | None = None
        try:
            while True:
                renewed = await self._map(router, place, place.port if mapped is None else mapped.port)
                if renewed is None:
                    return
                mapped = renewed
                address = from_socket(mapped.host, mapped.port, ws=place.ws)
                if fit_to_dial([bytes(address)]) != (address,) or not is_global(address):
                    return
                self._tell(address)
                if await self._until_moved(place, max(mapped.lifetime_s / 2, _LEAST_S)):
                    return
        finally:
            self._tell(None)
            if mapped is not None:
                with trio.move_on_after(_GOODBYE_S) as scope, suppress(NetError):  # the router forgets it by itself
                    scope.shield = True
                    await router.unmap(place.gateway, place.port, mapped.port)

    async def _map(self, router: Router, place: _Place, wanted: int) -> Mapped | None:
        for _ in range(_TRIES):
            try:
                mapped = await router.map(place.gateway, place.host, place.port, wanted)
            except PortTakenError:
                wanted = _OTHER_PORTS[int(self._context.jitter() * len(_OTHER_PORTS))]
            except NetError:
                return None
            else:
                return mapped
        return None

    def _place(self) -> _Place | None:
        gateway = self._gateway()
        if gateway is None or scope_of(gateway) is not Scope.PRIVATE:
            return None
        for end in map(endpoint, self._context.network.addresses()):
            if end.kind == "ip4" and scope_of(end.host) is Scope.PRIVATE:
                return _Place(gateway, end.host, end.port, end.ws)
        return None

    async def _until_moved(self, place: _Place | None, pause_s: float) -> bool:
        """Wait so long, or until this node is at another place; whether it is."""
        due = trio.current_time() + pause_s
        while trio.current_time() < due:
            self._moved = trio.Event()
            with trio.move_on_at(min(trio.current_time() + _LOOK_S, due)):
                await self._moved.wait()
            if self._place() != place:
                return True
        return False

    def _tell(self, address: Address | None) -> None:
        told = () if address is None else (address,)
        if told != self._told:
            self._told = told
            self._context.health.mapping = "mapped" if told else "asking"
            self._context.network.tell("mapped", told)
            self._changed()

    def _say(self) -> None:
        if not self._said:
            self._said = True
            log.info("mapping.unavailable")
