"""What is wrong with libp2p 0.8.1 where this node uses it, put right. The version is pinned.

Each guard has tests in ``tests/net/test_guards.py``; ``tests/net/test_upstream.py`` holds a test a defect that fails on
the day upstream mends it, so that the guard can go.

=====  ==============================================================================  =============================
guard  defect in 0.8.1                                                                 here
=====  ==============================================================================  =============================
1      without ``sec_opt`` plaintext is offered, and with it any PeerID                :class:`Upgrader`: Noise alone
2      an inbound slot is freed only when the swarm stops                              :mod:`~.admission`
3      an exception in a handler ends the swarm; a reset or loss looks like the end    host, :mod:`~.stream`
4      ``dial_peer`` tries an address a transport and blacklists; auto-connect dials   :class:`GuardedSwarm`, dialer
5      a vanished peer stays connected: its RTT pings drop nothing                     keep-alive in :mod:`~.tcp`
6      listening on a busy port is logged, and ports are shared (SO_REUSEPORT)         :func:`~.tcp.bind`
7-9    KadDHT                                                                          not used
10-12  mDNS writes from foreign threads; relay and hole punching need help             not used: own :mod:`~.circuits`
13     QUIC does not notice a dead server                                              not offered: TCP alone
14     GossipSub loses messages                                                        not used
15     logs name peers and addresses, some through the root logger                     :mod:`~.quiet`
16     idle sockets keep honest peers out for a while                                  :mod:`~.admission`
17     a window update a read, four locks a write                                      :mod:`~.stream`, Yamux
18     at a closed window Yamux polls and fails after 5 s; IPv6 peers have no address  :class:`WindowedStream`, tcp
20     a cancelled write breaks the connection, a cancelled read loses bytes           :mod:`~.tcp`, :mod:`~.stream`
21     a peer that ignores its window grows our memory without bound                   :class:`GuardedYamux`
22     two read loops that wait for their own full connections wait for each other     :class:`GuardedYamux`
23     identify names versions and interfaces, asks by itself and stores the answers   :mod:`~.identify`
24     six readers and two task switches a frame between TCP and its stream            :mod:`~.secured`, Yamux
25     streams and control frames without end, each of which costs ten times a read    :class:`GuardedYamux`
=====  ==============================================================================  =============================
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

import libp2p.stream_muxer.yamux.yamux as yamux
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519
from libp2p.custom_types import TProtocol
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.config import ConnectionConfig
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.protocol_muxer.exceptions import MultiselectError
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.security.secure_session import SecureSession
from libp2p.transport.exceptions import MuxerUpgradeFailure
from libp2p.transport.upgrader import TransportUpgrader

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import PeerId
from p2pchat.base.refusals import Refusal, Refusals
from p2pchat.core.allowance import Allowance
from p2pchat.net.secured import LeanSession
from p2pchat.net.unread import Unread

if TYPE_CHECKING:
    from libp2p.abc import IMuxedConn, IRawConnection, ISecureConn
    from libp2p.crypto.keys import KeyPair
    from libp2p.network.connection.swarm_connection import SwarmConn

YAMUX: Final = TProtocol(yamux.PROTOCOL_ID)
ANYBODY: Final = ID(b"")  # to dial whoever answers: its handshake says who that is
_HEADER: Final = struct.Struct(yamux.YAMUX_HEADER_FORMAT)
# What a frame that is left to upstream takes, in microseconds: a task, a negotiation and its end are in a stream's.
_STREAM_US: Final = 1_000.0
_CONTROL_US: Final = 100.0
_DROPPED_BYTES_A_US: Final = 16  # what was on its way to a stream that was reset: a window or two
_ANSWERS_BYTES: Final = 64 * yamux.HEADER_SIZE
_UNLIMITED: Final = 1_000_000  # InboundGate and the host bound connections; the library's own counting is switched off


class WindowedStream(yamux.YamuxStream):
    """A Yamux stream whose writer is woken by a window update or the end; upstream polls (guard 18)."""

    def __init__(self, stream_id: int, conn: yamux.Yamux, is_initiator: bool) -> None:
        self._window = 0
        self._ended = False
        self._change = trio.Event()
        super().__init__(stream_id, conn, is_initiator)

    @property
    def send_window(self) -> int:
        """Bytes that the peer still takes."""
        return self._window

    @send_window.setter
    def send_window(self, value: int) -> None:
        self._window = value
        self._change.set()

    @property
    def closed(self) -> bool:
        """Both directions have ended."""
        return self._ended

    @closed.setter
    def closed(self, value: bool) -> None:
        self._ended = value
        self._change.set()

    async def window_open(self) -> None:
        """Wait until there is a window or the stream has ended."""
        while self._window <= 0 and not self._ended:
            self._change = trio.Event()
            await self._change.wait()


# Yamux makes its streams by this name.
yamux.YamuxStream = WindowedStream  # type: ignore[misc]


class GuardedYamux(yamux.Yamux):
    """Yamux whose peer can end nothing but this connection (guards 3, 17, 20, 21, 22, 25).

    Args:
        refusals: where it is counted that the peer asked for too much.
        strangers: what is not read of them all.
    """

    def __init__(
        self, conn: ISecureConn, peer_id: ID, is_initiator: bool, refusals: Refusals, strangers: Unread
    ) -> None:
        super().__init__(conn, peer_id, is_initiator)
        self._refusals = refusals
        self._strangers = strangers
        self._allowance = Allowance(limits.MUX_BURST_US, limits.MUX_US_PER_S, trio.current_time())
        self._session = cast(LeanSession, conn)
        self._session.take = self._take_plain
        self._read_task: trio.lowlevel.Task | None = None
        self._answers = bytearray()
        self._adopted: set[int] = set()
        self.cut_off = False  # by this node, for what the peer has done
        self.idle_s = 0.0  # for which it has carried nothing, as far as that was looked at
        self.is_kept = False  # it leads to somebody whom this node wants, and makes room for nobody

    @property
    def lost(self) -> bool:
        """The connection has ended or is about to."""
        return self.event_shutting_down.is_set() or self.is_closed

    @property
    def has_own_streams(self) -> bool:
        """Whether this node has opened one of its streams: those of whoever has begun the connection are odd."""
        return any(number & 1 == self.is_initiator_value for number in self.streams)

    async def start(self) -> None:
        """Run the connection until its end; whatever the peer's frames provoke ends this connection only (guard 3)."""
        try:
            await super().start()
        except Exception:  # raised in the library by bytes of the peer; the swarm would stop for it
            await self._cleanup_on_error()
        finally:
            # Upstream skips its clean-up when the host is cancelled. These events are waited for.
            for event in (self.event_started, self.event_shutting_down, self.event_closed):
                event.set()
            await self.abort()

    async def open_stream(self) -> WindowedStream:
        """Open a stream. Upstream's leaves the stream and its slot behind when it is cancelled (guard 20).

        Raises:
            ConnectionClosedError: the connection has ended.
        """
        await self.stream_backlog_semaphore.acquire()
        stream = WindowedStream(self.next_stream_id, self, True)
        stream._owns_backlog_slot = True
        self.next_stream_id += 2
        self.streams[stream.stream_id] = stream
        self.stream_buffers[stream.stream_id] = bytearray()
        self.stream_events[stream.stream_id] = trio.Event()
        try:
            if self.lost:
                raise ConnectionClosedError("connection lost", transport="tcp")
            await self._write_frame(_HEADER.pack(0, yamux.TYPE_WINDOW_UPDATE, yamux.FLAG_SYN, stream.stream_id, 0))
        except BaseException:
            self._finalize_stream_locked(stream, fully_closed=True)
            raise
        return stream

    async def abort(self) -> None:
        """Close the socket; the read loop then cleans up. Never blocks: no frame is written."""
        with trio.CancelScope(shield=True):
            await self.secured_conn.close()

    async def _write_frame(self, data: bytes) -> None:
        # The read loop answers SYN and PING. If it waited here for a writer whom the peer keeps waiting, and the peer's
        # read loop did the same, nobody would read any more (guard 22): the writer takes its answers along.
        if self._write_lock.locked() and trio.lowlevel.current_task() is self._read_task:
            self._answers += data
            if len(self._answers) > _ANSWERS_BYTES:
                await self.abort()
            return
        # Behind the lock the write is atomic (TcpStream.write), so cancellation never tears a frame (guard 20). A free
        # lock is taken without letting other tasks run: MuxStream.write does (guard 24).
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._write_lock.acquire_nowait()
        except trio.WouldBlock:
            await self._write_lock.acquire()
        try:
            await self._write_now(data)
            while self._answers:
                answers, self._answers = bytes(self._answers), bytearray()
                await self._write_now(answers)
        finally:
            self._write_lock.release()

    async def _write_now(self, data: bytes) -> None:
        # A peer that takes nothing for so long blocks every stream of the connection: TcpStream.write gives it up.
        with trio.move_on_after(limits.WRITE_STALL_S) as scope:
            await self.secured_conn.write(data)
        if scope.cancelled_caught:
            raise ConnectionClosedError("stalled", transport="tcp")

    async def handle_incoming(self) -> None:
        """Upstream's read loop, which is known by its task (guard 22)."""
        self._read_task = trio.lowlevel.current_task()
        await super().handle_incoming()

    async def _read_data_body(self, length: int) -> bytes:
        # Upstream logs a peer that ignores its window and stores what it sends (guard 21). handle_incoming closes the
        # connection on exactly this exception.
        if not self._has_room(length):
            self._refusals.note(Refusal.CONNECTION_OVERFULL)
            raise trio.TooSlowError
        with trio.fail_after(yamux._yamux_data_read_timeout()):
            return await self._session.read_body(length)
        raise trio.TooSlowError  # never: fail_after has raised it

    @property
    def unread(self) -> int:
        """Bytes that have come and that nobody has read yet."""
        return sum(map(len, self.stream_buffers.values()))

    def _has_room(self, length: int) -> bool:
        held = self.unread + length
        if length > yamux.DEFAULT_WINDOW_SIZE or held <= limits.BUFFERED_FREE_BYTES:
            return length <= yamux.DEFAULT_WINDOW_SIZE
        held -= len(self._adopted & self.stream_buffers.keys()) * yamux.DEFAULT_WINDOW_SIZE
        if self.is_kept or self.has_own_streams:
            return held <= limits.BUFFERED_PER_CONNECTION_BYTES
        return held <= limits.BUFFERED_OF_STRANGER_BYTES and self._strangers.takes(self, held)

    def adopted(self, stream: WindowedStream) -> None:
        """It brings the room for its window along: many such streams, all with a slow reader behind, are no misuse."""
        self._adopted = {*(self._adopted & self.stream_buffers.keys()), stream.stream_id}

    def _take_plain(self, frames: bytearray) -> None:
        """Deliver the whole frames at the front that carry data or a window and no flag; upstream gets the others.

        Upstream takes two locks and formats six lines for its log for each (guard 24). Its locks order tasks between
        awaits; there is none in here.
        """
        while len(frames) >= yamux.HEADER_SIZE:
            _, kind, flags, stream_id, length = _HEADER.unpack_from(frames)
            stream = self.streams.get(stream_id)
            if flags or stream is None or stream.closed:
                self._charge(kind, flags, length)
                return
            if kind == yamux.TYPE_WINDOW_UPDATE:
                stream.send_window += length
                del frames[: yamux.HEADER_SIZE]
                continue
            end = yamux.HEADER_SIZE + length
            if kind != yamux.TYPE_DATA or len(frames) < end or not self._has_room(length):
                return
            self.stream_buffers[stream_id] += frames[yamux.HEADER_SIZE : end]
            stream.recv_window = max(stream.recv_window - length, 0)
            self.stream_events[stream_id].set()
            del frames[:end]

    def _charge(self, kind: int, flags: int, length: int) -> None:
        """Price the frame that upstream gets next; its read loop ends the connection on whatever this raises."""
        cost_us = _STREAM_US if flags & yamux.FLAG_SYN and kind != yamux.TYPE_PING else _CONTROL_US
        dropped = length if kind == yamux.TYPE_DATA else 0
        if not self._allowance.spend(cost_us + dropped / _DROPPED_BYTES_A_US, trio.current_time()):
            self._refusals.note(Refusal.CONNECTION_EXCESSIVE)
            self.cut_off = True
            raise ConnectionClosedError("asked for too much", transport="tcp")

    async def _measure_rtt_loop(self) -> None:
        # The round trip steers only upstream's window growth, which streams here do not use: no ping (guard 5).
        await trio.lowlevel.checkpoint()


class Upgrader(TransportUpgrader):
    """Noise and Yamux, nothing else (guard 1). Upstream's makes a plain Yamux whatever class it is given."""

    def __init__(
        self,
        keys: KeyPair,
        refusals: Refusals | None = None,
        lets_stay: Callable[[PeerId, str | None], bool] = lambda _peer, _host: True,
    ) -> None:
        self._refusals = refusals or Refusals()
        self._strangers = Unread(limits.BUFFERED_OF_STRANGERS_BYTES, limits.BUFFERED_FREE_BYTES)
        self._lets_stay = lets_stay
        noise = NoiseTransport(keys, noise_privkey=create_x25519().private_key)
        super().__init__({NOISE: noise}, {YAMUX: GuardedYamux}, int(limits.HANDSHAKE_S))

    async def upgrade_security(
        self, raw_conn: IRawConnection, is_initiator: bool, peer_id: ID | None = None
    ) -> ISecureConn:
        """Shake hands by Noise, over a :class:`~.tcp.TcpStream`; ``peer_id``: :data:`ANYBODY` takes whoever answers.

        Raises what upstream's does, and:
            NetError: whoever is at the other end may not be connected.
        """
        if is_initiator and peer_id == ANYBODY:
            session = await self.security_multistream.secure_outbound(raw_conn, cast(ID, None))
        else:
            session = await super().upgrade_security(raw_conn, is_initiator, peer_id)
        lean = LeanSession(cast(SecureSession, session))
        if not self._lets_stay(PeerId(lean.get_remote_peer().to_bytes()), lean.host):
            raise NetError("This node keeps away from the peer.")
        return lean

    async def upgrade_connection(self, conn: ISecureConn, peer_id: ID) -> IMuxedConn:
        """Agree on Yamux.

        Raises:
            MuxerUpgradeFailure: the peer does not speak it.
        """
        try:
            await self.muxer_multistream.select_transport(conn)
        except MultiselectError as error:
            raise MuxerUpgradeFailure("no common muxer") from error
        peer = conn.get_remote_peer() if peer_id == ANYBODY else peer_id
        return GuardedYamux(conn, peer, conn.is_initiator, self._refusals, self._strangers)


class GuardedSwarm(Swarm):
    """A swarm that does nothing of its own accord: no auto-connect, no pruning, no identify (guards 4, 23).

    Args:
        seed: 32-byte Ed25519 seed of the node key.
        on_connection: called for each new connection, before ``add_conn`` returns and in the same step.
        refusals: where connections that were cut off are counted.
        lets_stay: whether the peer of a handshake that is done, at a host as Access.may_meet has it, may be connected.
    """

    def __init__(
        self,
        seed: bytes,
        on_connection: Callable[[SwarmConn], None],
        refusals: Refusals,
        lets_stay: Callable[[PeerId, str | None], bool],
    ) -> None:
        keys = create_new_key_pair(seed)
        peer_id = ID.from_pubkey(keys.public_key)
        peerstore = PeerStore()
        peerstore.add_key_pair(peer_id, keys)
        config = ConnectionConfig(
            max_connections=_UNLIMITED,
            max_connections_per_peer=_UNLIMITED,
            min_connections=0,
            low_watermark=0,
            high_watermark=_UNLIMITED,
            inbound_upgrade_timeout=limits.HANDSHAKE_S,
            outbound_upgrade_timeout=limits.HANDSHAKE_S,
        )
        super().__init__(peer_id, peerstore, Upgrader(keys, refusals, lets_stay), connection_config=config)
        self.notifees.clear()
        self._on_connection = on_connection

    async def run(self) -> None:
        """Keep the task manager alive; upstream starts its auto-connector here (guard 4) and closes in sequence."""
        await trio.sleep_forever()

    async def add_conn(self, muxed_conn: IMuxedConn, direction: str = "unknown") -> SwarmConn:
        """Register a connection. Not cancelled half-way, where upstream's clean-up would hold a dial race for 0.2 s."""
        with trio.CancelScope(shield=True):
            conn = await super().add_conn(muxed_conn, direction)
            self._on_connection(conn)
            return conn
        raise SwarmException("cut off")  # never: a shielded scope that nobody cancels swallows nothing

    def _schedule_auto_connect(self) -> None:
        """Upstream dials known peers whenever a connection ends (guard 4)."""

    def _schedule_prune(self) -> None:
        """Upstream closes connections by its own ranking; the host bounds them itself."""
