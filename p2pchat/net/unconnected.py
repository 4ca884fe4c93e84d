"""A node's end of no network: whose it is, and nothing else. It fulfils :class:`p2pchat.net.transport.Network`."""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.transport import Link, PeerWatcher, Stream, StreamHandler, Told


class Unconnected:
    """Nobody reaches it, and it reaches nobody."""

    def __init__(self, peer_id: PeerId) -> None:
        self._peer_id = peer_id

    @property
    def peer_id(self) -> PeerId:
        """Under which the node was known."""
        return self._peer_id

    def addresses(self) -> tuple[Address, ...]:
        """None."""
        return ()

    def handle(self, protocol: str, handler: StreamHandler) -> None:
        """No stream will come."""

    def unhandle(self, protocol: str) -> None:
        """None is served."""

    def watch(self, watcher: PeerWatcher) -> None:
        """No peer will come."""

    async def dial(self, peer: PeerId, addresses: Sequence[Address], told: Told | None = None) -> None:  # noqa: ARG002
        """Raises: NetError."""
        raise _unconnected()

    async def open(self, peer: PeerId, protocol: str) -> Stream:  # noqa: ARG002
        """Raises: NetError."""
        raise _unconnected()

    async def disconnect(self, peer: PeerId) -> None:
        """There is no connection."""

    def links(self) -> tuple[Link, ...]:
        """None."""
        return ()

    async def learn(self, peer: PeerId) -> tuple[tuple[Address, ...], frozenset[str]]:  # noqa: ARG002
        """Raises: NetError."""
        raise _unconnected()


def _unconnected() -> NetError:
    return NetError("this node is in no network")
