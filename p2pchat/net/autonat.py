"""AutoNAT, both sides: whether a node is reached, asked of others and answered to them (PROTOCOL.md 7.3).

Rules:

- Only the address from which the asker is seen is dialled, at the ports that it names, two at most: nobody can have
  this node knock at another's door. Who comes through a relay is seen from nowhere and is refused.
- Who is reached has shown its key; nothing is left of that connection.
- A peer, a prefix and all together may ask so often, and so many are dialled at a time; beyond that they are refused,
  which says nothing about them.
- An answer is one peer's word: what follows from several is :mod:`p2pchat.services.confirmations`'.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError, NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core.allowance import Allowance, Allowances
from p2pchat.core.autonat import (
    BAD_REQUEST,
    DIAL_ERROR,
    DIAL_REFUSED,
    MESSAGE_MAX_BYTES,
    OK,
    DialAnswer,
    decode_answer,
    decode_dial,
    encode_answer,
    encode_dial,
)
from p2pchat.core.kad_wire import with_length
from p2pchat.net.addresses import endpoint
from p2pchat.net.hearsay import passing, prefix_of
from p2pchat.net.multistream import read_exactly, read_varint
from p2pchat.net.transport import Network, Stream

AUTONAT: Final = "/libp2p/autonat/1.0.0"


async def ask(stream: Stream, own: PeerId, addresses: Sequence[Address]) -> Address | None:
    """Have the peer of a stream opened with :data:`AUTONAT` dial this node.

    Args:
        own: this node.
        addresses: where it may be reached.

    Returns:
        The one of ``addresses`` at which the peer says that it has; None: it says at none.

    Raises:
        NetError: it did not try, or said nothing within ``limits.AUTONAT_ANSWER_S``.
    """
    with trio.move_on_after(limits.AUTONAT_ANSWER_S):
        try:
            await stream.write(with_length(encode_dial(bytes(own), list(map(bytes, addresses)))))
            answer = decode_answer(await _read(stream))
        except DecodeError:
            raise NetError("The peer did not answer whether it reaches this node.") from None
        if answer.status == DIAL_ERROR:
            return None
        reached = Address(answer.address) if answer.address else next(iter(addresses))
        if answer.status == OK and reached in addresses:
            return reached
        raise NetError("The peer did not try to reach this node.")
    raise NetError("The peer did not answer in time.")


class AutonatServer:
    """Answers those who ask.

    Args:
        network: where they are dialled.
        refusals: where it is counted who was refused.
    """

    def __init__(self, network: Network, refusals: Refusals | None = None) -> None:
        now = trio.current_time()
        self._refusals = refusals or Refusals()
        self._network = network
        self._places = trio.CapacityLimiter(limits.AUTONAT_DIALS)
        self._of_peer = Allowances[PeerId](limits.AUTONAT_PEER, limits.AUTONAT_PEER_PER_S, limits.ALLOWANCES)
        self._of_prefix = Allowances[bytes](limits.AUTONAT_PREFIX, limits.AUTONAT_PREFIX_PER_S, limits.ALLOWANCES)
        self._of_all = Allowance(limits.AUTONAT_ALL, limits.AUTONAT_ALL_PER_S, now)

    async def serve(self, stream: Stream) -> None:
        """Answer one question.

        Raises:
            DecodeError: it is none.
            NetError: the stream is gone.
        """
        with trio.fail_after(limits.STREAM_OPEN_S):
            dial = decode_dial(await _read(stream))
        answer = await self._answer(stream, dial.peer, dial.addresses)
        if answer.status in (BAD_REQUEST, DIAL_REFUSED):
            self._refusals.note(Refusal.AUTONAT_REFUSED)
        await stream.write(with_length(encode_answer(answer)))

    async def _answer(self, stream: Stream, asks_for: bytes, told: Sequence[bytes]) -> DialAnswer:
        if asks_for not in (b"", bytes(stream.peer)):
            return DialAnswer(BAD_REQUEST)
        addresses = own_addresses(stream.remote_host, told)
        if not addresses or not self._may(stream):
            return DialAnswer(DIAL_REFUSED)
        borrower = object()
        try:
            self._places.acquire_on_behalf_of_nowait(borrower)
        except trio.WouldBlock:
            return DialAnswer(DIAL_REFUSED)
        try:
            reached = await self._dial(stream.peer, addresses)
        finally:
            self._places.release_on_behalf_of(borrower)
        return DialAnswer(DIAL_ERROR) if reached is None else DialAnswer(OK, bytes(reached))

    def _may(self, stream: Stream) -> bool:
        now = trio.current_time()
        return (
            self._of_peer.spend(stream.peer, 1.0, now)
            and self._of_prefix.spend(prefix_of(stream.remote_host, stream.peer), 1.0, now)
            and self._of_all.spend(1.0, now)
        )

    async def _dial(self, peer: PeerId, addresses: Sequence[Address]) -> Address | None:
        reached: list[Address] = []

        async def one(address: Address) -> None:
            with suppress(NetError):  # that it is not reached is what was asked about
                await self._network.confirm(peer, address)
                reached.append(address)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for address in addresses:
                nursery.start_soon(one, address)
        return reached[0] if reached else None


def own_addresses(host: str | None, told: Sequence[bytes]) -> tuple[Address, ...]:
    """The addresses, at most two, that are the asker's own, by the IP literal ``host`` from which it is seen."""
    if host is None:
        return ()
    seen = _plain(host)
    return tuple(dict.fromkeys(a for a in passing(host, told) if _plain(endpoint(a).host) == seen))[
        : limits.AUTONAT_ADDRESSES
    ]


def _plain(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    ip = ipaddress.ip_address(host.partition("%")[0])
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


async def _read(stream: Stream) -> bytes:
    return await read_exactly(stream, await read_varint(stream, MESSAGE_MAX_BYTES))
