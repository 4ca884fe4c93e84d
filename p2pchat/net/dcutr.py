"""DCUtR, both sides: two nodes with a relay between them dial each other at one moment (PROTOCOL.md 7.4).

Rules:

- Who was connected to through the relay *invites*; who has connected *joins*, and leads the handshake.
- Both tell the other where they are. That is for those whom the user wants to reach: a stranger who came through a
  relay learns nothing here.
- Such a peer may have this node knock at a few addresses: of each kind those of one host, two ports of it, global ones
  alone, none of WebSocket. Whether they are its own is not known, so it may do that seldom, whoever of the two began.
- Nothing is given up for an attempt: the relayed connection stays as it was.
- Where two have met is told: without a relay they may meet there again (:mod:`p2pchat.services.knock`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError, NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core.allowance import Allowances
from p2pchat.core.holepunch import ADDRESSES, CONNECT, MESSAGE_MAX_BYTES, SYNC, decode, encode
from p2pchat.core.kad_wire import with_length
from p2pchat.net.addresses import Kind, endpoint
from p2pchat.net.hearsay import passing
from p2pchat.net.multistream import read_exactly, read_varint
from p2pchat.net.transport import Network, Stream

DCUTR: Final = "/libp2p/dcutr"

Believe = Callable[[Iterable[bytes]], tuple[Address, ...]]
IsFriend = Callable[[PeerId], Awaitable[bool]]
Met = Callable[[PeerId, Address], Awaitable[None]]


def believed(told: Iterable[bytes]) -> tuple[Address, ...]:
    """At which of the addresses that a peer tells of itself this node knocks."""
    hosts: dict[Kind, str] = {}
    chosen: list[Address] = []
    for address in passing(None, told):
        end = endpoint(address)
        if end.ws:
            continue
        of_kind = sum(endpoint(each).kind == end.kind for each in chosen)
        if hosts.setdefault(end.kind, end.host) == end.host and of_kind < limits.PUNCH_PORTS and address not in chosen:
            chosen.append(address)
    return tuple(chosen)


class Dcutr:
    """The attempts of one node.

    Args:
        network: where peers are met.
        own: where this node may be met.
        is_friend: whether a peer is one whom the user wants to reach; nobody else joins.
        met: called with a peer that was met half way, and the address of the other end.
        believe: see :func:`believed`.
        refusals: where it is counted whom this node did not join.
    """

    def __init__(
        self,
        network: Network,
        own: Callable[[], tuple[Address, ...]],
        is_friend: IsFriend,
        met: Met,
        believe: Believe = believed,
        refusals: Refusals | None = None,
    ) -> None:
        self._refusals = refusals or Refusals()
        self._network = network
        self._own = own
        self._is_friend = is_friend
        self._met = met
        self._believe = believe
        self._inviting: set[PeerId] = set()
        self._joining: set[PeerId] = set()
        self._of_peer = Allowances[PeerId](limits.PUNCHES_PEER, limits.PUNCHES_PEER_PER_S, limits.ALLOWANCES)
        self._of_own = Allowances[PeerId](limits.PUNCHES_OWN, limits.PUNCHES_OWN_PER_S, limits.ALLOWANCES)

    async def reverse(self, peer: PeerId) -> None:
        """Connect to a peer that is reached through a relay where it says that it listens.

        Raises:
            NetError: that did not work.
        """
        said, _ = await self._network.learn(peer)
        addresses = self._believe(map(bytes, said))
        if not addresses:
            raise NetError("The peer does not say where it could be reached.")
        self._spend(peer)
        await self._meet(peer, addresses, leads=True)  # the other end may just be inviting: that is half way, too

    async def invite(self, peer: PeerId) -> None:
        """One attempt to meet ``peer`` half way.

        Raises:
            UnsupportedProtocol: it does not know how to.
            NetError: it did not work.

        Concurrency: one at a time for each peer.
        """
        if peer in self._inviting or peer in self._joining:
            raise NetError("An attempt is under way.")
        self._spend(peer)
        self._inviting.add(peer)
        try:
            addresses, rtt_s = await self._agree(peer)
            await trio.sleep(rtt_s / 2)
            await self._meet(peer, addresses, leads=False)
        finally:
            self._inviting.discard(peer)

    def _met_at(self) -> list[Address]:
        return [address for address in self._own() if not endpoint(address).ws][:ADDRESSES]

    async def _meet(self, peer: PeerId, addresses: tuple[Address, ...], *, leads: bool) -> None:
        at = await self._network.punch(peer, addresses, leads=leads)
        if at is not None:
            await self._met(peer, at)

    def _spend(self, peer: PeerId) -> None:
        if not self._of_own.spend(peer, 1.0, trio.current_time()):
            raise NetError("It was tried too often.")

    async def _agree(self, peer: PeerId) -> tuple[tuple[Address, ...], float]:
        own = self._met_at()
        if not own:
            raise NetError("It is not known where this node could be met.")
        stream = await self._network.open(peer, DCUTR)
        try:
            with trio.fail_after(limits.STREAM_OPEN_S):
                started = trio.current_time()
                await stream.write(with_length(encode(CONNECT, list(map(bytes, own)))))
                addresses = self._believe(await _read(stream, CONNECT))
                rtt_s = trio.current_time() - started
                if not addresses:
                    raise NetError("The peer does not say where it could be met.")
                await stream.write(with_length(encode(SYNC)))
            await stream.close()
        except (trio.TooSlowError, DecodeError):
            await stream.reset()
            raise NetError("The peer did not agree to meet half way.") from None
        except BaseException:
            await stream.reset()
            raise
        return addresses, rtt_s

    async def serve(self, stream: Stream) -> None:
        """Join an attempt to which the peer of ``stream`` invites.

        Raises:
            DecodeError: it did not keep to the protocol.
            NetError: the stream is gone, or there is no reason to join.
        """
        peer = stream.peer
        # a stranger takes no place, either
        if stream.remote_host is not None or not await self._is_friend(peer) or not self._has_place(peer):
            self._refusals.note(Refusal.PUNCH_REFUSED)
            raise NetError("There is no reason to meet half way.")
        if peer in self._inviting and self._network.peer_id < peer:
            raise NetError("The peer was invited itself.")  # both were; it joins, and this node goes on
        self._joining.add(peer)
        try:
            await self._join(stream)
        finally:
            self._joining.discard(peer)

    def _has_place(self, peer: PeerId) -> bool:
        return peer not in self._joining and len(self._joining) < limits.PUNCHES

    async def _join(self, stream: Stream) -> None:
        with trio.fail_after(limits.STREAM_OPEN_S):
            addresses = self._believe(await _read(stream, CONNECT))
            own = self._met_at()
            if not addresses or not own or not self._of_peer.spend(stream.peer, 1.0, trio.current_time()):
                self._refusals.note(Refusal.PUNCH_REFUSED)
                raise NetError("There is no way to meet half way.")
            await stream.write(with_length(encode(CONNECT, list(map(bytes, own)))))
            await _read(stream, SYNC)
        await self._meet(stream.peer, addresses, leads=True)


async def _read(stream: Stream, kind: int) -> tuple[bytes, ...]:
    return decode(await read_exactly(stream, await read_varint(stream, MESSAGE_MAX_BYTES)), kind)
