"""``websocket``: connections by WebSocket beside plain ones; both ends are hosts in this process, on loopback.

Bulk is one stream on which one end writes and the other reads; a round trip is one of 100 bytes each way; a connection
is one from its dial to its end, Noise included. CPU is that of both ends together.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

from bench.measure import Samples
from bench.report import Metric
from p2pchat.base import limits
from p2pchat.base.ids import Address
from p2pchat.cli.sandbox import Sandbox
from p2pchat.daemon import logs
from p2pchat.net.addresses import parse_address
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.transport import Stream

_ECHO: Final = "/bench/echo"
_SINK: Final = "/bench/sink"
_LISTEN: Final = tuple(parse_address(f"/ip4/127.0.0.1/tcp/0{end}")[0] for end in ("", "/ws"))
_CHUNK: Final = bytes(65_000)
_TEXT: Final = bytes(100)


def _row(name: str, title: str, unit: str, *, rising: bool = False) -> Metric:
    return Metric(name, title, unit, ((f"plain {name}", "plain TCP"),), rising=rising)


METRICS: Final = (
    _row("bulk", "bulk", "MB/s", rising=True),
    _row("bulk cpu", "CPU for bulk", "ms/MB"),
    _row("trip", "round trip", "µs"),
    _row("trip cpu", "CPU for a round trip", "µs"),
    _row("connect", "connection", "ms"),
    _row("connect cpu", "CPU for a connection", "ms"),
)


def run(_sandbox: Sandbox, _folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    """Add every row; plain and WebSocket by turns."""
    logs.configure("error", "json")
    trio.run(_measure, runs, 20 if quick else 1, samples)


async def _measure(runs: int, less: int, samples: Samples) -> None:
    async with (
        Libp2pHost.listen(b"\x01" * 32, (), now=time.time) as a,
        Libp2pHost.listen(b"\x02" * 32, _LISTEN, now=time.time) as b,
    ):
        b.handle(_ECHO, _echo)
        b.handle(_SINK, _sink)
        for turn in range(runs + 1):  # the first warms up
            for kind, address in zip(("plain ", ""), b.listening(), strict=True):
                found = await _one(a, b, address, less)
                if turn:
                    for name, value in found.items():
                        samples.add(f"{kind}{name}", value)


async def _one(a: Libp2pHost, b: Libp2pHost, address: Address, less: int) -> dict[str, float]:
    connections, trips, chunks = 100 // less, 4_000 // less, 3_000 // less

    async def connect() -> None:
        for _ in range(connections):
            await a.dial(b.peer_id, [address])
            await a.disconnect(b.peer_id)

    async def trip() -> None:
        stream = await a.open(b.peer_id, _ECHO)
        for _ in range(trips):
            await stream.write(_TEXT)
            left = len(_TEXT)
            while left:
                left -= len(await stream.read(left))
        await stream.reset()

    async def bulk() -> None:
        stream = await a.open(b.peer_id, _SINK)
        for _ in range(chunks):
            await stream.write(_CHUNK)
        await stream.close()
        await stream.read(1)

    connect_s, connect_cpu_s = await _timed(connect)
    await a.dial(b.peer_id, [address])
    trip_s, trip_cpu_s = await _timed(trip)
    bulk_s, bulk_cpu_s = await _timed(bulk)
    await a.disconnect(b.peer_id)
    megabytes = chunks * len(_CHUNK) / 1e6
    return {
        "bulk": megabytes / bulk_s,
        "bulk cpu": bulk_cpu_s * 1e3 / megabytes,
        "trip": trip_s * 1e6 / trips,
        "trip cpu": trip_cpu_s * 1e6 / trips,
        "connect": connect_s * 1e3 / connections,
        "connect cpu": connect_cpu_s * 1e3 / connections,
    }


async def _timed(work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """Seconds, and seconds of CPU."""
    began, began_cpu = time.perf_counter(), time.process_time()
    await work()
    return time.perf_counter() - began, time.process_time() - began_cpu


async def _echo(stream: Stream) -> None:
    while data := await stream.read(limits.STREAM_READ_BYTES):
        await stream.write(data)


async def _sink(stream: Stream) -> None:
    while await stream.read(limits.STREAM_READ_BYTES):
        pass
    await stream.write(b"!")
