"""``mailbox``: a node that holds boxes for a thousand owners, asked by several peers at once.

Each run makes a holder, with production parameters, in whose store the mailboxes stand already: a peer gets no more
than a few a day. The peers are in this process, on connections of their own; on each of their streams one thing is
asked after the other, as an owner and a depositor do. A box of 1 KiB holds a text of 256 bytes, unless a flight comes
with it.

- *Deposits, lone*: one stream. It holds a round trip and a commit each.
- *Deposits, fetches /s*: over all streams. A fetch is a box that was listed, fetched and acked.
- *Database*: what a box adds to the file, when the daemon has ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from bench import limits
from bench.daemons import Node
from bench.measure import Samples, each_s, quantile, rounds
from bench.procfs import resident_mb
from bench.report import Metric
from p2pchat.api.paths import ProfilePaths
from p2pchat.cli.reading import text
from p2pchat.cli.sandbox import Sandbox
from p2pchat.core.crypto import KeyPair, ed25519_pair
from p2pchat.core.mailbox import (
    LISTED,
    Ack,
    Acked,
    Custody,
    Deposit,
    Fetch,
    Fetched,
    List,
    Listed,
    token_hash,
)
from p2pchat.core.mailbox_link import Holder, decode_mailbox_link
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.mailbox import Visit, visit
from p2pchat.store import mailbox, meta
from p2pchat.store.db import Tx
from p2pchat.store.keyfile import read_key
from p2pchat.store.sqlite import Connection, checkpoint, connect

_BOX: Final = bytes(1_024)
_TTL_S: Final = 3_600
_AT_ONCE: Final = 16  # boxes fetched by one request
_NO_SIGNATURE: Final = bytes(64)

METRICS: Final = (
    Metric(
        "lone ms",
        "deposit, lone, p50",
        "ms",
        (("tcp p50 ms", "TCP echo"), ("fdatasync ms", "fdatasync"), ("commit p50 ms", "1 commit")),
    ),
    Metric("deposits /s", "deposits, all streams", "/s", (("rows /s", "SQLCipher rows"),), rising=True),
    Metric("fetches /s", "fetched and acked, all streams", "/s", (("rows /s", "SQLCipher rows"),), rising=True),
    Metric("empty MB", "RSS of the holder, before", "MB", (("libp2p MB", "import libp2p"),)),
    Metric("full MB", "RSS of the holder, full", "MB"),
    Metric("box bytes", "database, a text of 256 bytes", "B", (("box size", "the box itself"),)),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured in a run. ``boxes`` in each mailbox of ``owners``; ``streams`` of each of ``peers``."""

    owners: int = 1_000
    boxes: int = 10
    lone: int = 200
    peers: int = 8
    streams: int = 4


QUICK: Final = Scale(owners=20, boxes=2, lone=5, peers=2, streams=2)


@dataclass(frozen=True, slots=True)
class _Owner:
    pair: KeyPair
    token: bytes


def run(sandbox: Sandbox, folder: Path, runs: int, quick: bool, samples: Samples) -> None:
    """Add ``runs`` values of everything. A run before them warms files and caches up and is thrown away."""
    scale = QUICK if quick else Scale()
    for index, values in rounds(runs, samples, warm_up=not quick):
        _one(sandbox, folder / str(index), scale, values)


def _one(sandbox: Sandbox, folder: Path, scale: Scale, samples: Samples) -> None:
    holder = Node(sandbox, folder, "Holder", "+821012345678")
    holder.init()
    holder.ended()
    _raw(samples, folder, scale.lone)
    paths = ProfilePaths(environ=holder.environment)
    owners = [_Owner(ed25519_pair(os.urandom(32)), os.urandom(32)) for _ in range(scale.owners)]
    with _opened(paths) as connection:
        _make_mailboxes(connection, owners)
    empty_bytes = paths.database.stat().st_size
    holder.start()
    link = decode_mailbox_link(text(holder.client.call("mailbox.offer", **{"for": "anyone"}), "invite"), "invite")
    samples.add("empty MB", resident_mb(holder.process.pid)[0])
    trio.run(_fill, link, owners, scale, samples)
    samples.add("full MB", resident_mb(holder.process.pid)[0])
    holder.stop()
    with _opened(paths) as connection:
        boxes, _ = mailbox.total(Tx(connection, 0))
    samples.add("box bytes", (paths.database.stat().st_size - empty_bytes) / boxes)
    samples.add("box size", len(_BOX))
    holder.start()
    trio.run(
        _empty,
        decode_mailbox_link(text(holder.client.call("mailbox.offer"), "invite"), "invite"),
        owners,
        scale,
        samples,
    )
    holder.stop()


def _raw(samples: Samples, folder: Path, count: int) -> None:
    """What the disk can do."""
    limits.disk(samples, folder, count)
    path = folder / "synced"
    with path.open("wb", buffering=0) as file:

        def sync() -> None:
            file.write(_BOX)
            os.fdatasync(file.fileno())

        samples.add("fdatasync ms", quantile(each_s(sync, count), 0.5) * 1000)
    path.unlink()
    limits.trips(samples, count)
    limits.imported(samples)


@contextmanager
def _opened(paths: ProfilePaths) -> Iterator[Connection]:
    connection = connect(paths.database, read_key(paths.key_file, None))
    try:
        yield connection
        checkpoint(connection)
    finally:
        connection.close()


def _make_mailboxes(connection: Connection, owners: Sequence[_Owner]) -> None:
    connection.execute("BEGIN")
    tx = Tx(connection, int(time.time() * 1000))
    mailbox.is_anew(tx, peer_id_from_key(ed25519_pair(meta.load_profile(tx).node_seed).public))
    for owner in owners:
        made = mailbox.make(tx, owner.pair.public)
        mailbox.renew(tx, made.id, [token_hash(owner.token)], os.urandom(2_500))
    connection.execute("COMMIT")


@asynccontextmanager
async def _visits(holder: Holder, peers: int, streams: int) -> AsyncGenerator[list[Visit]]:
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(Libp2pHost.listen(os.urandom(32), (), now=time.time)) for _ in range(peers)
        ]
        yield [
            await stack.enter_async_context(visit(host, holder.peer_id, holder.addresses))
            for host in hosts
            for _ in range(streams)
        ]


async def _fill(holder: Holder, owners: Sequence[_Owner], scale: Scale, samples: Samples) -> None:
    async with _visits(holder, scale.peers, scale.streams) as visits:
        lone: list[float] = []
        for owner in owners[: scale.lone]:
            began = time.perf_counter()
            await _leave(visits[0], owner)
            lone.append(time.perf_counter() - began)
        samples.add("lone ms", quantile(lone, 0.5) * 1000)
        took_s = await _each(visits, [owner for _ in range(scale.boxes) for owner in owners], _leave)
        samples.add("deposits /s", scale.boxes * len(owners) / took_s)


async def _empty(holder: Holder, owners: Sequence[_Owner], scale: Scale, samples: Samples) -> None:
    found: list[int] = []
    async with _visits(holder, scale.peers, scale.streams) as visits:
        took_s = await _each(visits, owners, partial(_collect, found=found))
    samples.add("fetches /s", sum(found) / took_s)


async def _each(
    visits: Sequence[Visit], owners: Sequence[_Owner], what: Callable[[Visit, _Owner], Awaitable[None]]
) -> float:
    """Do ``what`` for every owner, over all visits; the seconds that it takes."""
    left = iter(owners)

    async def work(at: Visit) -> None:
        for owner in left:
            await what(at, owner)

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for each in visits:
            nursery.start_soon(work, each)
    return time.perf_counter() - began


async def _leave(at: Visit, owner: _Owner) -> None:
    await at.ask(Deposit(owner.token, _TTL_S, _BOX), Custody)


async def _collect(at: Visit, owner: _Owner, found: list[int]) -> None:
    key = owner.pair.public
    listed = await at.ask_as(owner.pair, List(key, 0, 0, _NO_SIGNATURE), Listed)
    numbers = tuple(each.number for each in listed.boxes[:LISTED])
    for begin in range(0, len(numbers), _AT_ONCE):
        await at.ask_as(owner.pair, Fetch(key, numbers[begin : begin + _AT_ONCE], _NO_SIGNATURE), Fetched)
    found.append((await at.ask_as(owner.pair, Ack(key, numbers, _NO_SIGNATURE), Acked)).deleted)
