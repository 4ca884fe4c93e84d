"""Which protocols a node serves, and to whom."""

from __future__ import annotations

from collections.abc import Callable

from p2pchat.net.addresses import Scope, scope_of
from p2pchat.net.transport import StreamHandler


class Handlers:
    """The table.

    Args:
        is_on_internet: whether others on the internet can reach this node.
    """

    def __init__(self, is_on_internet: Callable[[], bool]) -> None:
        self._is_on_internet = is_on_internet
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

    def serves(self, protocol: str, host: str | None) -> bool:
        """Whether a peer at ``host`` is served; None: it is relayed, which counts as the internet."""
        return protocol in self._handlers and (protocol not in self._public_only or self._is_served(host))

    def protocols(self, host: str | None) -> list[str]:
        """All that a peer at ``host`` is served."""
        return [protocol for protocol in self._handlers if self.serves(protocol, host)]

    def _is_served(self, host: str | None) -> bool:
        return (host is not None and scope_of(host) is not Scope.GLOBAL) or self._is_on_internet()
