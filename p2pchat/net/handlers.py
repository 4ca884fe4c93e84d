"""Which protocols a node serves, and to whom."""

from __future__ import annotations

from collections.abc import Callable

from p2pchat.base.ids import PeerId
from p2pchat.net.addresses import Scope, scope_of
from p2pchat.net.doorkeeper import Doorkeeper
from p2pchat.net.transport import StreamHandler


class Handlers:
    """The table.

    Args:
        is_on_internet: whether others on the internet can reach this node.
        door: what of them each peer may open.
    """

    def __init__(self, is_on_internet: Callable[[], bool], door: Doorkeeper) -> None:
        self._is_on_internet = is_on_internet
        self._door = door
        self._handlers: dict[str, StreamHandler] = {}
        self._public_only: set[str] = set()

    def add(self, protocol: str, handler: StreamHandler, *, public_only: bool = False) -> None:
        """From the next stream on; see :meth:`~p2pchat.net.transport.Network.handle`."""
        self._handlers[protocol] = handler
        (self._public_only.add if public_only else self._public_only.discard)(protocol)

    def drop(self, protocol: str) -> None:
        """From the next stream on."""
        self._handlers.pop(protocol, None)
        self._public_only.discard(protocol)

    def get(self, protocol: str) -> StreamHandler | None:
        return self._handlers.get(protocol)

    def serves(self, protocol: str, peer: PeerId, host: str | None) -> bool:
        """Whether ``peer`` at ``host``, which has asked for it, is served; None: it is relayed, which counts as the
        internet."""
        return self._is_offered(protocol, host) and self._door.serves(peer, host, protocol)

    def protocols(self, peer: PeerId, host: str | None) -> list[str]:
        """All that ``peer`` at ``host`` is served."""
        access = self._door.access
        return [each for each in self._handlers if self._is_offered(each, host) and access.serves(peer, host, each)]

    def _is_offered(self, protocol: str, host: str | None) -> bool:
        return protocol in self._handlers and (protocol not in self._public_only or self._is_served(host))

    def _is_served(self, host: str | None) -> bool:
        return (host is not None and scope_of(host) is not Scope.GLOBAL) or self._is_on_internet()
