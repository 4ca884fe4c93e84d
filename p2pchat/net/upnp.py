"""Asking the router for a port by UPnP, with miniupnpc: its calls block for seconds, so a thread makes them.

Rules:

- One thread at a time. A call cannot be cut off: who is cancelled leaves it behind, and it ends when the router has
  answered or not.
- Who answers to the search for a router may be anybody in the local network; miniupnpc reads what it says. That is why
  NAT-PMP is asked first.
- The router's user sees a mapping that is called ``p2pchat``. Some routers know of no end of one: it is deleted.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import trio

from p2pchat.base.errors import NetError
from p2pchat.net.router import LIFETIME_S, Mapped, PortTakenError, Router

if TYPE_CHECKING:
    from miniupnpc import UPnP

_SEARCH_MS: Final = 2_000
_NAME: Final = "p2pchat"
_PROTOCOL: Final = "TCP"


class Upnp(Router):
    """Source: UPnP InternetGatewayDevice, WANIPConnection.

    Args:
        search_ms: how long answers to the search are waited for.
        interface: the IPv4 literal of the interface on which is searched; empty: the system's choice.
    """

    def __init__(self, search_ms: int = _SEARCH_MS, interface: str = "") -> None:
        self._search_ms = search_ms
        self._interface = interface
        self._thread = trio.CapacityLimiter(1)
        self._found: UPnP | None = None  # by the search before: whoever ends has no time for another

    async def map(self, gateway: str, host: str, port: int, wanted: int) -> Mapped:  # noqa: ARG002
        """See :class:`~.router.Router`; the router is searched for."""
        return await trio.to_thread.run_sync(
            self._map, host, port, wanted, abandon_on_cancel=True, limiter=self._thread
        )

    async def unmap(self, gateway: str, port: int, external_port: int) -> None:  # noqa: ARG002
        """See :class:`~.router.Router`."""
        await trio.to_thread.run_sync(self._unmap, external_port, abandon_on_cancel=True, limiter=self._thread)

    def _map(self, host: str, port: int, wanted: int) -> Mapped:
        try:
            found = self._found = self._search()
            external = str(ipaddress.IPv4Address(found.externalipaddress()))  # which anybody may have said
        except Exception:  # miniupnpc knows no narrower one; its text may name addresses
            raise NetError("No router answers.") from None
        asked = (wanted, _PROTOCOL, host, port, _NAME, "")
        try:
            try:
                found.addportmapping(*asked, LIFETIME_S)
            except Exception:  # some routers know of no end of a mapping, and refuse one that has one
                found.addportmapping(*asked)
        except Exception:
            raise PortTakenError("The router has refused to map a port.") from None
        return Mapped(external, wanted, LIFETIME_S)

    def _unmap(self, external_port: int) -> None:
        try:
            (self._found or self._search()).deleteportmapping(external_port, _PROTOCOL)
        except Exception:  # as above
            raise NetError("The router did not end a mapping.") from None

    def _search(self) -> UPnP:
        import miniupnpc  # for those whose router speaks no NAT-PMP

        found = miniupnpc.UPnP()
        found.discoverdelay = self._search_ms
        if self._interface:
            found.multicastif = self._interface
        if not found.discover():
            raise NetError("No router answers.")
        found.selectigd()
        return found
