"""Where a node can be reached: what its sockets are bound to, and what others have found out about it.

Rules:

- An address that stands on no interface is known by somebody: the router that maps it, the peers that saw it, a relay.
  Each says what it knows anew, and the last word of each counts.
- Whether strangers reach this node there is another matter (``standing``), which none of these decides.
- What was seen of the network ends with it: who came from the internet, and toward whom a NAT was opened.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.base.ids import Address
from p2pchat.net.addresses import Scope, concrete, endpoint, farthest_first, is_global, scope_of, varied
from p2pchat.net.transport import Network, Source, Standing

CIRCUITS_TOLD: Final = 2


def published(network: Network, count: int) -> tuple[Address, ...]:
    """The own addresses of a node, at most ``count``, of every kind and reach one before any second; loopback ones
    where there is no other: to whoever reads them they are addresses of the reader's machine.
    """
    own = network.addresses()
    beyond = [address for address in own if scope_of(endpoint(address).host) is not Scope.LOOPBACK]
    return varied(beyond or own, count)


def reached_at(network: Network, count: int) -> tuple[Address, ...]:
    """Where others reach a node, at most ``count`` addresses: its own, and those through relays behind them, for two of
    which there is always room.
    """
    circuits = network.circuits()[: min(CIRCUITS_TOLD, count - 1)]
    return (*published(network, count - len(circuits)), *circuits)


class Whereabouts:
    """Those of one node. ``bound``: the sockets, with the ports that the system chose for port 0.

    Args:
        is_hidden: whatever is known of where it is without a relay, nobody is told.
    """

    def __init__(self, *, is_hidden: bool = False) -> None:
        self.is_hidden = is_hidden
        self.bound: tuple[Address, ...] = ()
        self.standing: Standing = "unknown"
        self._reached_until = float("-inf")
        self._opened: OrderedDict[str, None] = OrderedDict()
        self._told: dict[Source, tuple[Address, ...]] = {}

    def addresses(self) -> tuple[Address, ...]:
        """Where it is reached without a relay, farthest first; a socket bound to all interfaces is on each of them."""
        if self.is_hidden:
            return ()
        own = concrete(self.bound)
        told = (*self._told.get("mapped", ()), *self._told.get("observed", ()))
        return farthest_first((*own, *told)) if told else own

    def shown_to(self, remote: tuple[str, int] | None) -> tuple[Address, ...]:
        """What a peer at ``remote`` may know of them; who comes through a relay (None) is not told of any: it has come
        where this node wants to be reached, and an address behind a firewall would say where it lives.
        """
        return () if remote is None and self.standing != "public" else self.addresses()

    def circuits(self) -> tuple[Address, ...]:
        """Where it is reached through relays, in the order in which they were told."""
        return self._told.get("relayed", ())

    def tell(self, source: Source, addresses: Sequence[Address]) -> None:
        """``source`` knows ``addresses``, and no others."""
        self._told[source] = tuple(addresses)

    def is_on_internet(self) -> bool:
        """Whether what is served to those who can be reached is served to the internet (PROTOCOL.md 7.3)."""
        if self.standing == "unknown":  # a first node has nobody to confirm what its interface, or a visitor, says
            return trio.current_time() < self._reached_until or any(map(is_global, self.addresses()))
        return self.standing == "public"

    def reached_by(self, host: str) -> None:
        """Somebody at the IP literal ``host`` has connected to a listening socket."""
        if scope_of(host) is Scope.GLOBAL:
            self._reached_until = trio.current_time() + limits.REACHED_S

    def opens(self, host: str) -> None:
        """This node connects to the IP literal ``host`` from the port on which it listens."""
        self._opened[host] = None
        self._opened.move_to_end(host)
        if len(self._opened) > limits.OPENED:
            self._opened.popitem(last=False)

    def has_opened(self, host: str) -> bool:
        """See :meth:`~p2pchat.net.transport.Network.has_opened`."""
        return host in self._opened

    def moved(self) -> None:
        """The network has changed."""
        self._reached_until = float("-inf")
        self._opened.clear()
