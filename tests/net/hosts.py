"""Hosts on loopback, and a peer that speaks Noise and then whatever the test wants."""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID

from p2pchat.base.ids import Address
from p2pchat.net.addresses import endpoint, parse_address
from p2pchat.net.guard import GuardedYamux, Upgrader
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.tcp import TcpStream

if TYPE_CHECKING:
    from collections.abc import Generator

    from libp2p.abc import ISecureConn
    from libp2p.transport.upgrader import TransportUpgrader

LOOPBACK = parse_address("/ip4/127.0.0.1/tcp/0")[0]
WEBSOCKET = parse_address("/ip4/127.0.0.1/tcp/0/ws")[0]
NOWHERE = parse_address("/ip4/127.0.0.1/tcp/1")[0]
SYN, FIN, DATA, WINDOW_UPDATE, PING = 1, 4, 0, 1, 2


def now() -> float:
    return 1_700_000_000.0


@asynccontextmanager
async def two_hosts(*listen: Address) -> AsyncGenerator[tuple[Libp2pHost, Libp2pHost]]:
    """a and b on loopback, not connected; b listens on ``listen``."""
    async with (
        Libp2pHost.listen(b"\x01" * 32, [LOOPBACK], now=now) as a,
        Libp2pHost.listen(b"\x02" * 32, listen or [LOOPBACK], now=now) as b,
    ):
        yield a, b


def port_of(host: Libp2pHost) -> int:
    return endpoint(host.listening()[0]).port


def muxes(host: Libp2pHost) -> list[GuardedYamux]:
    return [connection.mux for connection in host._connections.all()]


async def connect_tcp(host: Libp2pHost) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", port_of(host))


@asynccontextmanager
async def rogue(host: Libp2pHost, seed: bytes = b"\x66" * 32) -> AsyncGenerator[ISecureConn]:
    """Connect to ``host`` as far as Yamux is agreed on; what follows is written by hand."""
    keys = create_new_key_pair(seed)
    upgrader: TransportUpgrader = Upgrader(keys)
    async with await connect_tcp(host) as stream:
        raw = RawConnection(TcpStream(stream), True)
        secured = await upgrader.upgrade_security(raw, True, ID(bytes(host.peer_id)))
        await upgrader.muxer_multistream.select_transport(secured)
        yield secured


def frame(kind: int, flags: int, stream_id: int, body: bytes = b"", length: int | None = None) -> bytes:
    """A Yamux frame."""
    return struct.pack("!BBHII", 0, kind, flags, stream_id, len(body) if length is None else length) + body


def negotiation(*protocols: str) -> bytes:
    """What an opener sends of multistream-select."""
    lines = [line.encode() + b"\n" for line in ("/multistream/1.0.0", *protocols)]
    return b"".join(bytes([len(line)]) + line for line in lines)


def descriptors() -> int:
    """Open files of this process."""
    return len(os.listdir("/proc/self/fd"))


def tasks() -> int:
    """Tasks of this trio run, its own included."""

    def count(task: trio.lowlevel.Task) -> int:
        return 1 + sum(count(child) for nursery in task.child_nurseries for child in nursery.child_tasks)

    root = trio.lowlevel.current_root_task()
    assert root is not None
    return count(root)


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope when the current task is about to take its n-th step: deterministic, whatever it awaits there."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self._scope = scope
        self._left = step
        self._task = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()


@contextmanager
def cancel_at_step(step: int) -> Generator[trio.CancelScope]:
    """Run the body, cancelled at its n-th step."""
    with trio.CancelScope() as scope:
        instrument = CancelAtStep(scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            yield scope
        finally:
            trio.lowlevel.remove_instrument(instrument)
