"""Connections over a stream that leads to a peer through a relay: what TCP is to the others (PROTOCOL.md 7.2).

Rules:

- A connection and its stream end together, whichever ends first.
- A message is written whole or not at all: it is handed to a task that alone writes the stream. Its writer waits while
  the one before is under way, so at most one is held; and before it is encrypted, since Noise counts every message.
- Whoever connects through relays has a gate of their own: relays, of which one could make up circuits without end, take
  no place from those who come directly. Who is cut off has whoever comes through that relay next wait, as elsewhere.
- A relay is dialled because somebody is said to be behind it, whoever says so: of the connections that were made for
  that, and carry none now, those beyond ``limits.RELAYS_DIALLED`` are closed, the oldest first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, cast

import trio
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from multiaddr import Multiaddr  # type: ignore[import-untyped]

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.net import circuits
from p2pchat.net.addresses import endpoint
from p2pchat.net.admission import Delays, InboundGate, InboundSlot
from p2pchat.net.connections import worth_of
from p2pchat.net.doorkeeper import Doorkeeper
from p2pchat.net.guard import GuardedSwarm, GuardedYamux
from p2pchat.net.hearsay import prefix_of
from p2pchat.net.stream import library_errors
from p2pchat.net.transport import Network, Stream

_MESSAGE_BYTES: Final = 65_535  # the longest Noise message
_NOWHERE: Final = Multiaddr("/ip4/0.0.0.0/tcp/0")  # upstream wants the listener's address for its log only
_NOT_THE_PEER: Final = "Nobody answered through the relay as the peer."


class RelayedLink(ReadWriteCloser):
    """What Noise and Yamux read and write, as :class:`~.tcp.TcpStream`. One task reads, one writes.

    Args:
        stream: nobody else uses it.

    ``relay``: the relay's prefix, for quotas.

    Concurrency: :meth:`run` has to run in a task of its own until the connection's end. A cancelled ``write`` has taken
    nothing; after :meth:`room` none is.
    """

    def __init__(self, stream: Stream) -> None:
        self.relay = prefix_of(stream.remote_host, stream.peer)
        self._stream = stream
        self._buffer = bytearray()
        self._message = b""
        self._is_over = False
        self._life = trio.CancelScope()
        self._change = trio.Event()

    async def run(self) -> None:
        """Write what is handed over until the connection ends or the stream does; then reset the stream."""
        try:
            with self._life:
                while True:
                    while not self._message:
                        await self._change.wait()
                    await self._stream.write(self._message)
                    self._message = b""
                    self._wake()
        except NetError:
            pass  # the stream has ended, which its reader is told as well
        finally:
            self.abort()
            await self._stream.reset()

    async def read(self, n: int | None = None) -> bytes:
        """Exactly ``n`` bytes (up to 65,535), or what is there if ``n`` is None.

        Raises:
            ConnectionClosedError: the stream ended, or a stranger announced a longer message.
        """
        if n == 0:
            return b""
        if n is not None and n > _MESSAGE_BYTES:
            raise ConnectionClosedError("announced more than a message", transport="relay")
        while len(self._buffer) < (n or 1):
            try:
                chunk = await self._stream.read(limits.STREAM_READ_BYTES)
            except NetError as error:
                raise ConnectionClosedError("connection lost", transport="relay") from error
            if not chunk:
                raise ConnectionClosedError("connection ended", transport="relay")
            self._buffer += chunk
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    async def write(self, data: bytes) -> None:
        """Hand over ``data``.

        Raises:
            ConnectionClosedError: the connection is closed or broke.
        """
        await self.room()
        if self._is_over:
            raise ConnectionClosedError("connection lost", transport="relay")
        self._message = data
        self._wake()

    async def room(self) -> None:
        """Wait until a message is taken at once, or the connection is over."""
        while self._message and not self._is_over:
            await self._change.wait()

    def abort(self) -> None:
        """End the connection now; whoever reads or writes gets the error."""
        self._is_over = True
        self._life.cancel()
        self._wake()

    async def close(self) -> None:
        """As :meth:`abort`."""
        self.abort()

    def get_remote_address(self) -> tuple[str, int] | None:
        """None: where the peer is only the relay sees."""
        return None

    def _wake(self) -> None:
        self._change.set()
        self._change = trio.Event()


class Adoption:
    """Makes connections of streams for one host.

    Args:
        nursery: where the connections live.
        swarm: what shakes hands, and is given the connections.
        delays: who has to wait.
        door: whether there are such connections, and with whom.
        refusals: where it is counted who was not let in.
    """

    def __init__(
        self, nursery: trio.Nursery, swarm: GuardedSwarm, delays: Delays, door: Doorkeeper, refusals: Refusals
    ) -> None:
        self._nursery = nursery
        self._door = door
        self._delays = delays
        self._swarm = swarm
        self._gate = InboundGate(
            limits.RELAYED_CONNECTIONS, limits.RELAYED_PER_RELAY, limits.RELAYED_HANDSHAKES, refusals
        )
        self._refusals = refusals
        self._dialled: dict[PeerId, None] = {}  # relays, oldest first
        self._carrying: Counter[PeerId] = Counter()

    @property
    def handshakes(self) -> int:
        """How many are under way with those who come."""
        return self._gate.handshakes

    async def adopt(self, stream: Stream, peer: PeerId | None) -> PeerId:
        """See :meth:`~p2pchat.net.transport.Network.adopt`."""
        return PeerId((await self._make(stream, peer)).peer_id.to_bytes())

    async def dial(self, network: Network, peer: PeerId | None, address: Address) -> GuardedYamux:
        """Connect to ``peer`` through the relay that ``address`` names.

        Raises:
            NetError: it cannot be reached or refuses, or nobody answers there as ``peer``; or None is looked for.
        """
        if peer is None:
            raise NetError("Whoever is reached through a relay has to be known.")
        self._door.check_relayed(peer)
        relay = endpoint(address).relay
        is_new = relay is not None and all(link.peer != relay for link in network.links())
        try:
            return await self._make(await circuits.lead_to(network, peer, address), peer)
        finally:
            if relay is not None and is_new:
                with trio.CancelScope(shield=True):
                    await self._leave_surplus(network, relay)

    async def _leave_surplus(self, network: Network, dialled: PeerId) -> None:
        connected = {link.peer for link in network.links()}
        self._dialled.pop(dialled, None)
        self._dialled = {relay: None for relay in (*self._dialled, dialled) if relay in connected}
        idle = [relay for relay in self._dialled if not self._carrying[relay] and relay != dialled]
        for relay in idle[: max(len(self._dialled) - limits.RELAYS_DIALLED, 0)]:
            del self._dialled[relay]
            await network.disconnect(relay)

    async def _make(self, stream: Stream, peer: PeerId | None) -> GuardedYamux:
        stream.adopt()
        link = RelayedLink(stream)
        self._nursery.start_soon(self._carry, link, stream.peer, name="relayed")
        try:
            with library_errors(_NOT_THE_PEER), trio.fail_after(limits.HANDSHAKE_S):
                self._door.check_relayed(peer)
                if peer is None:
                    with self._counted():
                        return await self._accept(link, stream.peer)
                conn = await self._swarm.upgrade_outbound_raw_conn(RawConnection(link, True), ID(bytes(peer)))
                return cast(GuardedYamux, conn.muxed_conn)
            raise NetError(_NOT_THE_PEER)
        except BaseException:
            link.abort()
            raise

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Around the handshake of one who comes; where it is too late it is cancelled from outside of this."""
        began = trio.current_time()
        try:
            yield
        except trio.Cancelled:
            if trio.current_time() >= began + limits.HANDSHAKE_S:
                self._refusals.note(Refusal.HANDSHAKE_LATE)
            raise
        except Exception:
            self._refusals.note(Refusal.HANDSHAKE_FAILED)
            raise

    async def _carry(self, link: RelayedLink, relay: PeerId) -> None:
        self._carrying[relay] += 1
        try:
            await link.run()
        finally:
            self._carrying[relay] -= 1
            if not self._carrying[relay]:
                del self._carrying[relay]

    async def _accept(self, link: RelayedLink, relay: PeerId) -> GuardedYamux:
        slot = self._gate.enter_through(relay)
        if slot is None:
            raise NetError("There are too many connections through this relay.")
        try:
            with slot.scope:
                await trio.sleep_until(self._delays.until(slot.origin))
                raw = await self._swarm.upgrade_inbound_raw_conn(RawConnection(link, False), _NOWHERE)
                mux = cast(GuardedYamux, raw)
                slot.scope = trio.CancelScope()  # from now on that of its life
                if self._gate.admit(slot, partial(worth_of, mux)):
                    self._nursery.start_soon(self._hold, slot, mux, name="relayed slot")
                    return mux
                await mux.abort()
        except BaseException:
            self._gate.leave(slot)
            raise
        self._gate.leave(slot)
        raise NetError("It had to make room for another connection through a relay.")

    async def _hold(self, slot: InboundSlot, mux: GuardedYamux) -> None:
        try:
            with slot.scope:
                await mux.event_closed.wait()
            if slot.scope.cancelled_caught:
                await mux.abort()
            if mux.cut_off:
                self._delays.cut_off(slot.origin, trio.current_time())
        finally:
            self._gate.leave(slot)
