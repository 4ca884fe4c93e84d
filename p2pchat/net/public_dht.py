"""The public DHT of IPFS, as a client: who provides a key, and saying that this node does (PROTOCOL.md 7.6).

Rules:

- Everybody there is a stranger. Peers asked, time, bytes and what is kept of a walk are bounded; each peer is asked
  once, on a stream of its own, and left: a connection that was not there before is closed again.
- What is told of others passes the same rule as everywhere (:mod:`~.hearsay`): nobody on the internet has this node
  knock at its own machine or home network.
- The walk ends as any other does, when the k closest have answered, never with the first who names providers; of the
  providers those come first of whom most peers tell.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError, NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.dht_wire import ToldPeer
from p2pchat.core.kad_wire import with_length
from p2pchat.core.lookup import Lookup, position
from p2pchat.core.public_wire import (
    FIND_NODE,
    GET_PROVIDERS,
    PUBLIC_KAD,
    PublicReply,
    decode_reply,
    encode_add_provider,
    encode_request,
)
from p2pchat.net.dnsaddr import NodeAddress
from p2pchat.net.hearsay import network_of, network_to_dial, told_peer
from p2pchat.net.multistream import read_exactly, read_varint
from p2pchat.net.transport import Network, Stream

K: Final = 20
ALPHA: Final = 10
_LENGTH_MAX: Final = (1 << 21) - 1


@dataclass(slots=True)
class _Provider:
    """``tellers``: how many peers told of it."""

    addresses: tuple[Address, ...] = field(repr=False)
    tellers: int = 0


class PublicDht:
    """One client.

    Args:
        network: from where strangers are dialled, and what they learn of the asker.
        entries: where a walk begins.
    """

    def __init__(self, network: Network, entries: Sequence[NodeAddress]) -> None:
        self._network = network
        self._entries = entries

    async def providers(self, key: bytes) -> list[NodeAddress]:
        """Who provides ``key`` (a multihash), those of whom most peers tell first.

        Raises:
            NetError: nobody answered.
        """
        walk = _Walk(self._network, self._entries, key, GET_PROVIDERS)
        if not await walk.run():
            raise NetError("nobody of the public DHT answered")
        found = sorted(walk.providers.items(), key=lambda item: -item[1].tellers)
        return [(peer, provider.addresses) for peer, provider in found]

    async def provide(self, key: bytes, addresses: Sequence[Address]) -> int:
        """Have the peers closest to ``key`` say that this node provides it at ``addresses``; how many were told.

        Raises:
            NetError: nobody answered.
        """
        walk = _Walk(self._network, self._entries, key, FIND_NODE)
        closest = await walk.run()
        if not closest:
            raise NetError("nobody of the public DHT answered")
        message = with_length(encode_add_provider(key, self._network.peer_id, addresses))
        told = 0

        async def tell(peer: PeerId) -> None:
            nonlocal told

            async def say(stream: Stream) -> bool:
                await stream.write(message)
                await stream.close()
                with trio.move_on_after(limits.PUBLIC_SLOW_S), suppress(NetError):  # some reset where others end
                    while await stream.read(limits.STREAM_READ_BYTES):
                        pass  # nothing is to come; its end shows that the message was read, and no more than that
                return True

            if await visit(self._network, peer, walk.addresses[peer], say):
                told += 1

        async with trio.open_nursery() as nursery:
            for peer in closest:
                nursery.start_soon(tell, peer)
        return told


async def visit(
    network: Network, peer: PeerId, addresses: Sequence[Address], talk: Callable[[Stream], Awaitable[bool]]
) -> bool:
    """Dial a stranger, talk on one stream, and leave; what ``talk`` says, or False where it failed."""
    was_connected = any(link.peer == peer for link in network.links())
    try:
        with trio.move_on_after(limits.PUBLIC_HARD_S):
            await network.dial(peer, addresses)
            stream = await network.open(peer, PUBLIC_KAD)
            try:
                return await talk(stream)
            finally:
                await stream.reset()
    except (NetError, DecodeError):
        pass  # one of many strangers: False says so
    finally:
        if not was_connected:
            with trio.CancelScope(shield=True):
                await network.disconnect(peer)
    return False


class _Walk:
    """One walk toward ``key``, in which each peer is sent a request of ``kind``."""

    def __init__(self, network: Network, entries: Sequence[NodeAddress], key: bytes, kind: int) -> None:
        self.providers: dict[PeerId, _Provider] = {}
        self.addresses: dict[PeerId, tuple[Address, ...]] = {}
        self._network = network
        self._kind = kind
        self._request = with_length(encode_request(kind, key))
        self._bytes_left = limits.PUBLIC_TOTAL_BYTES
        self._machine = Lookup(position(key), k=K, alpha=ALPHA, max_asked=limits.PUBLIC_ASKED)
        self._news = trio.Event()
        for peer, addresses in entries:
            self._learn(peer, addresses, None)

    async def run(self) -> list[PeerId]:
        """Walk to the end; the closest that have answered."""
        with trio.move_on_after(limits.PUBLIC_TOTAL_S):
            async with trio.open_nursery() as nursery:
                while True:
                    while batch := self._machine.next():
                        for peer in batch:
                            nursery.start_soon(self._ask, peer, nursery)
                    if self._machine.done or self._bytes_left <= 0:
                        break
                    await self._news.wait()
                    self._news = trio.Event()
                nursery.cancel_scope.cancel()
        return self._machine.answered()

    async def _ask(self, peer: PeerId, nursery: trio.Nursery) -> None:
        nursery.start_soon(self._be_slow, peer)
        if not await visit(self._network, peer, self.addresses[peer], lambda stream: self._exchange(peer, stream)):
            self._machine.on_fail(peer)
        self._news.set()

    async def _be_slow(self, peer: PeerId) -> None:
        await trio.sleep(limits.PUBLIC_SLOW_S)
        self._machine.on_slow(peer)
        self._news.set()

    async def _exchange(self, peer: PeerId, stream: Stream) -> bool:
        await stream.write(self._request)
        length = await read_varint(stream, _LENGTH_MAX)
        part = min(length, limits.PUBLIC_REPLY_BYTES, max(self._bytes_left, 1))
        self._bytes_left -= part
        reply = decode_reply(await read_exactly(stream, part), is_whole=part == length)
        if reply.type != self._kind:
            raise DecodeError("an answer of another type")
        self._machine.on_reply(peer, prefix=network_of(stream.remote_host))
        self._take(peer, stream.remote_host, reply)
        return True

    def _take(self, teller: PeerId, host: str | None, reply: PublicReply) -> None:
        for peer, addresses in _believed(host, reply.closer):
            self._learn(peer, addresses, teller)
        for peer, addresses in dict(_believed(host, reply.providers)).items():
            if peer in self.providers or len(self.providers) < limits.PUBLIC_PROVIDERS:
                self.providers.setdefault(peer, _Provider(addresses)).tellers += 1

    def _learn(self, peer: PeerId, addresses: tuple[Address, ...], teller: PeerId | None) -> None:
        if addresses and peer != self._network.peer_id:
            self.addresses.setdefault(peer, addresses)
            self._machine.learn(peer, prefix=network_to_dial(addresses), teller=teller)


def _believed(host: str | None, told: Sequence[ToldPeer]) -> list[NodeAddress]:
    """The peers that can be dialled at addresses which may pass."""
    known = (told_peer(host, each) for each in told)
    return [each for each in known if each is not None and each[1]]
