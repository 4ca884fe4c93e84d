"""A network that counts what a node sends and gets on the streams that it has opened itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from p2pchat.base.ids import Address, PeerId
from p2pchat.core.access import Access
from p2pchat.net.transport import (
    Link,
    Load,
    Network,
    PathWatcher,
    PeerWatcher,
    Source,
    Standing,
    Stream,
    StreamHandler,
    Told,
)


@dataclass(slots=True)
class Traffic:
    """Sums since the beginning. A request is one write: askers on these streams write each request at once."""

    requests: int = 0
    sent: int = 0
    received: int = 0


class CountingNetwork(Network):
    """Passes everything on to ``network``."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.traffic = Traffic()

    @property
    def peer_id(self) -> PeerId:
        return self._network.peer_id

    @property
    def standing(self) -> Standing:
        return self._network.standing

    @standing.setter
    def standing(self, standing: Standing) -> None:
        self._network.standing = standing

    async def restrict(self, access: Access) -> None:
        await self._network.restrict(access)

    def addresses(self) -> tuple[Address, ...]:
        return self._network.addresses()

    def circuits(self) -> tuple[Address, ...]:
        return self._network.circuits()

    def tell(self, source: Source, addresses: Sequence[Address]) -> None:
        self._network.tell(source, addresses)

    def handle(self, protocol: str, handler: StreamHandler, *, public_only: bool = False) -> None:
        self._network.handle(protocol, handler, public_only=public_only)

    def unhandle(self, protocol: str) -> None:
        self._network.unhandle(protocol)

    def watch(self, watcher: PeerWatcher) -> None:
        self._network.watch(watcher)

    def on_better_path(self, watcher: PathWatcher) -> None:
        self._network.on_better_path(watcher)

    async def dial_unknown(self, addresses: Sequence[Address]) -> PeerId:
        return await self._network.dial_unknown(addresses)

    async def adopt(self, stream: Stream, peer: PeerId | None) -> PeerId:
        return await self._network.adopt(stream, peer)

    def has_opened(self, host: str) -> bool:
        return self._network.has_opened(host)

    async def probe(self, peer: PeerId) -> float:
        return await self._network.probe(peer)

    async def check(self, within_s: float) -> None:
        await self._network.check(within_s)

    async def punch(
        self, peer: PeerId, addresses: Sequence[Address], *, leads: bool, within_s: float | None = None
    ) -> Address | None:
        return await self._network.punch(peer, addresses, leads=leads, within_s=within_s)

    async def confirm(self, peer: PeerId, address: Address) -> None:
        await self._network.confirm(peer, address)

    async def seen_by(self, peer: PeerId) -> Address | None:
        return await self._network.seen_by(peer)

    async def dial(
        self, peer: PeerId, addresses: Sequence[Address], told: Told | None = None, *, from_port: bool = False
    ) -> None:
        await self._network.dial(peer, addresses, told, from_port=from_port)

    async def open(self, peer: PeerId, protocol: str) -> Stream:
        return _CountingStream(await self._network.open(peer, protocol), self.traffic)

    async def disconnect(self, peer: PeerId) -> None:
        await self._network.disconnect(peer)

    def links(self) -> tuple[Link, ...]:
        return self._network.links()

    def load(self) -> Load:
        return self._network.load()

    async def learn(self, peer: PeerId) -> tuple[tuple[Address, ...], frozenset[str]]:
        return await self._network.learn(peer)


class _CountingStream(Stream):
    def __init__(self, stream: Stream, traffic: Traffic) -> None:
        self._stream = stream
        self._traffic = traffic

    @property
    def peer(self) -> PeerId:
        return self._stream.peer

    @property
    def remote_host(self) -> str | None:
        return self._stream.remote_host

    @property
    def relay(self) -> bytes | None:
        return self._stream.relay

    async def read(self, max_bytes: int) -> bytes:
        data = await self._stream.read(max_bytes)
        self._traffic.received += len(data)
        return data

    async def write(self, data: bytes) -> None:
        self._traffic.requests += 1
        self._traffic.sent += len(data)
        await self._stream.write(data)

    async def close(self) -> None:
        await self._stream.close()

    async def reset(self) -> None:
        await self._stream.reset()
