"""A node's end of no network: whose it is, and nothing else. It fulfils :class:`p2pchat.net.transport.Network`."""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.access import Access
from p2pchat.net.transport import Link, Load, PathWatcher, PeerWatcher, Source, Standing, Stream, StreamHandler, Told


class Unconnected:
    """Nobody reaches it, and it reaches nobody."""

    def __init__(self, peer_id: PeerId) -> None:
        self._peer_id = peer_id
        self.standing: Standing = "unknown"

    @property
    def peer_id(self) -> PeerId:
        """Under which the node was known."""
        return self._peer_id

    async def restrict(self, access: Access) -> None:
        """Nobody comes near."""

    def addresses(self) -> tuple[Address, ...]:
        """None."""
        return ()

    def circuits(self) -> tuple[Address, ...]:
        """None."""
        return ()

    def tell(self, source: Source, addresses: Sequence[Address]) -> None:
        """Nobody could use them."""

    def handle(self, protocol: str, handler: StreamHandler, *, public_only: bool = False) -> None:
        """No stream will come."""

    def unhandle(self, protocol: str) -> None:
        """None is served."""

    def watch(self, watcher: PeerWatcher) -> None:
        """No peer will come."""

    def on_better_path(self, watcher: PathWatcher) -> None:
        """There is none."""

    async def dial_unknown(self, addresses: Sequence[Address]) -> PeerId:  # noqa: ARG002
        """Raises: NetError."""
        raise _unconnected()

    async def adopt(self, stream: Stream, peer: PeerId | None) -> PeerId:  # noqa: ARG002
        """Raises: NetError."""
        raise _unconnected()

    def has_opened(self, host: str) -> bool:  # noqa: ARG002
        """It connects to nobody."""
        return False

    async def probe(self, peer: PeerId) -> float:  # noqa: ARG002
        """Raises: NetError."""
        raise _unconnected()

    async def check(self, within_s: float) -> None:
        """There is no connection."""

    async def punch(
        self,
        peer: PeerId,  # noqa: ARG002
        addresses: Sequence[Address],  # noqa: ARG002
        *,
        leads: bool,  # noqa: ARG002
        within_s: float | None = None,  # noqa: ARG002
    ) -> Address | None:
        """Raises: NetError."""
        raise _unconnected()

    async def confirm(self, peer: PeerId, address: Address) -> None:  # noqa: ARG002
        """Raises: NetError."""
        raise _unconnected()

    async def seen_by(self, peer: PeerId) -> Address | None:  # noqa: ARG002
        """Raises: NetError."""
        raise _unconnected()

    async def dial(
        self,
        peer: PeerId,  # noqa: ARG002
        addresses: Sequence[Address],  # noqa: ARG002
        told: Told | None = None,  # noqa: ARG002
        *,
        from_port: bool = False,  # noqa: ARG002
    ) -> None:
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

    def load(self) -> Load:
        """Nothing."""
        return Load()

    async def learn(self, peer: PeerId) -> tuple[tuple[Address, ...], frozenset[str]]:  # noqa: ARG002
        """Raises: NetError."""
        raise _unconnected()


def _unconnected() -> NetError:
    return NetError("this node is in no network")
