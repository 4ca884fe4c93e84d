"""A relay for others: who may be reached through this node, and the bytes between them (PROTOCOL.md 7.2).

Rules:

- Offering it costs a known amount at most: so many reservations and circuits in all and of one prefix, so many bytes a
  second for all circuits together, two windows of Yamux a circuit. Bytes are read only when those before have left.
- A circuit is counted from the moment it is asked for. It ends, by a reset of both streams, at the limits that both
  ends were told, when nothing has gone through it for a while, with either end, and with the offer.
- A reservation lasts as long as the connection over which it was made.
- Nothing is relayed over a relayed connection. What passes is sealed: only PeerIDs, sizes and times are seen here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from p2pchat.base import limits
from p2pchat.base.errors import DecodeError, NetError
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core import circuit_wire as wire
from p2pchat.core.allowance import Allowances
from p2pchat.net.addresses import decode_peer_id, encode_endpoint, endpoint, is_global, visible_to
from p2pchat.net.circuits import HOP, STOP, is_reached_directly, read_message, write_message
from p2pchat.net.hearsay import prefix_of
from p2pchat.net.relay_pump import Meter, Overdrawn, carry
from p2pchat.net.transport import Network, Stream

_CIRCUIT_CODE_BYTES: Final = 2  # of /p2p-circuit, with which a relay's own addresses do not end in its answer


@dataclass(frozen=True, slots=True)
class _Reserved:
    prefix: bytes = field(repr=False)
    until: float


class RelayServer:
    """Relays while :meth:`run` runs, and not before or after.

    Args:
        now: unix seconds, for what reservers are told; all else is on trio's clock.
        refusals: where it is counted who was refused.
    """

    def __init__(self, network: Network, now: Callable[[], float], refusals: Refusals) -> None:
        self._network = network
        self._now = now
        self._refusals = refusals
        self._reserved: dict[PeerId, _Reserved] = {}
        self._asks = Allowances[bytes](limits.RELAY_ASKS, limits.RELAY_ASKS_PER_S, limits.ALLOWANCES)
        self._circuits = 0
        self._to: Counter[PeerId] = Counter()
        self._from: Counter[bytes] = Counter()
        self._running: dict[trio.CancelScope, tuple[PeerId, PeerId]] = {}
        self._limit = wire.Limit(limits.RELAY_CIRCUIT_S, limits.RELAY_CIRCUIT_BYTES)
        self._meter = Meter(limits.RELAY_BYTES_PER_S, limits.RELAY_BURST_S)
        self._nursery: trio.Nursery | None = None
        network.watch(self._peer_changed)

    @property
    def reservations(self) -> int:
        """How many nodes are reached through this one."""
        return len(self._reserved)

    @property
    def circuits(self) -> int:
        """How many circuits there are, those that are just being made among them."""
        return self._circuits

    async def run(self) -> None:
        """Until cancelled, which ends all circuits and reservations."""
        async with trio.open_nursery() as self._nursery:
            self._network.handle(HOP, self._serve)
            try:
                await trio.sleep_forever()
            finally:
                self._network.unhandle(HOP)
                self._reserved.clear()
                self._nursery = None

    def _peer_changed(self, peer: PeerId, connected: bool) -> None:
        if connected:
            return
        self._reserved.pop(peer, None)
        for scope, ends in self._running.items():
            if peer in ends:  # a circuit whose other end takes nothing would not notice
                scope.cancel()

    async def _serve(self, stream: Stream) -> None:
        """One request. A stream that becomes a circuit outlives this."""
        prefix = prefix_of(stream.remote_host, stream.peer)
        if not self._asks.spend(prefix, 1.0, trio.current_time()):
            self._refusals.note(Refusal.RELAY_TOO_OFTEN)
            raise NetError("A peer asks its relay too often.")
        with trio.fail_after(limits.STREAM_OPEN_S):
            data = await read_message(stream)
        try:
            asked = wire.decode_hop_request(data)
            target = None if asked is None else decode_peer_id(asked)
        except DecodeError:
            self._refusals.note(Refusal.RELAY_MALFORMED)
            await _answer(stream, wire.HopStatus(wire.MALFORMED_MESSAGE))
            return
        answer: wire.HopStatus | None
        if stream.remote_host is None or self._nursery is None:  # or the offer has ended while it was asked
            answer = wire.HopStatus(wire.PERMISSION_DENIED)
        elif target is None:
            answer = self._reserve(stream, prefix)
        else:
            answer = await self._connect(stream, prefix, target)
        if answer is not None:
            if answer.status != wire.OK:
                self._refusals.note(Refusal.RELAY_REFUSED)
            await _answer(stream, answer)

    # reservations

    def _reserve(self, stream: Stream, prefix: bytes) -> wire.HopStatus:
        now = trio.current_time()
        for peer in [peer for peer, reserved in self._reserved.items() if reserved.until <= now]:
            del self._reserved[peer]
        others = [reserved.prefix for peer, reserved in self._reserved.items() if peer != stream.peer]
        addresses = self._own_addresses(stream.remote_host)
        is_full = len(others) >= limits.RELAY_RESERVATIONS
        if is_full or others.count(prefix) >= limits.RELAY_RESERVATIONS_PER_PREFIX or not addresses:
            return wire.HopStatus(wire.RESERVATION_REFUSED)
        self._reserved[stream.peer] = _Reserved(prefix, now + limits.RELAY_RESERVATION_S)
        expire_s = int(self._now()) + limits.RELAY_RESERVATION_S
        return wire.HopStatus(wire.OK, wire.Reservation(expire_s, addresses), self._limit)

    def _own_addresses(self, host: str | None) -> tuple[bytes, ...]:
        """Where others reach this node: on the internet, or, where it is not there, as near as the reserver is."""
        own = self._network.addresses()
        reached = tuple(filter(is_global, own)) or (() if host is None else visible_to(host, own))
        circuits = (encode_endpoint(replace(endpoint(each), relay=self._network.peer_id)) for each in reached)
        return tuple(bytes(each[:-_CIRCUIT_CODE_BYTES]) for each in circuits)[: wire.RELAY_ADDRESSES]

    # circuits

    async def _connect(self, stream: Stream, prefix: bytes, target: PeerId) -> wire.HopStatus | None:
        """Make a circuit; None once it is there, else what is wrong."""
        reserved = self._reserved.get(target)
        if reserved is None or reserved.until <= trio.current_time() or not is_reached_directly(self._network, target):
            return wire.HopStatus(wire.NO_RESERVATION)
        if target == stream.peer:
            return wire.HopStatus(wire.CONNECTION_FAILED)
        is_crowded = self._to[target] >= limits.RELAY_CIRCUITS_TO or self._from[prefix] >= limits.RELAY_CIRCUITS_FROM
        if is_crowded or self._circuits >= limits.RELAY_CIRCUITS:
            return wire.HopStatus(wire.RESOURCE_LIMIT_EXCEEDED)
        with ExitStack() as place:
            self._count(prefix, target, 1)
            place.callback(self._count, prefix, target, -1)
            onward = await self._reach(target, stream.peer)
            if onward is None:
                return wire.HopStatus(wire.CONNECTION_FAILED)
            try:
                await _answer(stream, wire.HopStatus(wire.OK, limit=self._limit))
            except BaseException:
                await onward.reset()
                raise
            if self._nursery is None:  # the offer has ended meanwhile
                await onward.reset()
                raise NetError("Nothing is relayed any more.")
            stream.adopt()
            onward.adopt()
            self._nursery.start_soon(self._carry, stream, onward, place.pop_all(), name="circuit")
        return None

    async def _reach(self, target: PeerId, asker: PeerId) -> Stream | None:
        """A stream to ``target`` that has taken the circuit; None: it has not."""
        with trio.move_on_after(limits.RELAY_CONNECT_S):
            onward: Stream | None = None
            try:
                onward = await self._network.open(target, STOP)
                await write_message(onward, wire.encode_stop_connect(bytes(asker), self._limit))
                if wire.decode_stop_status(await read_message(onward)) == wire.OK:
                    return onward
            except BaseException as error:
                if onward is not None:
                    await onward.reset()
                if isinstance(error, NetError | DecodeError):
                    return None
                raise
            await onward.reset()
        return None

    async def _carry(self, stream: Stream, onward: Stream, place: ExitStack) -> None:
        with place, trio.CancelScope() as scope:
            self._running[scope] = (stream.peer, onward.peer)
            place.callback(self._running.pop, scope)
            try:
                await carry(stream, onward, self._meter)
            except Overdrawn:
                self._refusals.note(Refusal.RELAY_OVERDRAWN)

    def _count(self, prefix: bytes, target: PeerId, by: int) -> None:
        self._circuits += by
        self._from[prefix] += by
        self._to[target] += by
        if not self._from[prefix]:
            del self._from[prefix]
        if not self._to[target]:
            del self._to[target]


async def _answer(stream: Stream, status: wire.HopStatus) -> None:
    with trio.fail_after(limits.STREAM_OPEN_S):
        await write_message(stream, wire.encode_hop_status(status))
