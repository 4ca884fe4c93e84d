"""The composition root: everything that runs, wired together under the only top nursery.

Order: store, the half that others see (:mod:`p2pchat.services.life`), and last the socket, so that whoever can connect
finds a node that works. It ends in the opposite order, and the store last: what was accepted is on disk.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

import p2pchat
from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import InternalError, NetError, P2PChatError, UsageError
from p2pchat.base.ids import Address
from p2pchat.control.dispatch import Dispatch
from p2pchat.control.server import Server
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.keys import load_identity
from p2pchat.core.params import PRODUCTION
from p2pchat.daemon.config import Config
from p2pchat.daemon.deriver import ChildDeriver
from p2pchat.daemon.miner import ChildMiner
from p2pchat.daemon.system import SystemEntropy, sd_notify, stop_on_signal
from p2pchat.net.addresses import parse_address
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.services.context import Bus, Context
from p2pchat.services.defects import report_defect
from p2pchat.services.join import NodeAddress
from p2pchat.services.life import Life
from p2pchat.store import meta
from p2pchat.store.db import Database

_ANYWHERE: Final = ("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration with its addresses parsed. ``listen`` is empty where the user named none."""

    listen: tuple[Address, ...]
    bootstrap: tuple[NodeAddress, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """What a node is started with. ``key``: the 32-byte database key."""

    paths: ProfilePaths
    socket: Path
    settings: Settings
    key: bytes = field(repr=False)


def parse(config: Config) -> Settings:
    """Raises: UsageError: an address that cannot be parsed, or a bootstrap node without its ``/p2p/…``."""
    bootstrap: list[NodeAddress] = []
    for text in config.bootstrap:
        address, peer = parse_address(text)
        if peer is None:
            raise UsageError(
                "A bootstrap address ends in /p2p/ and the node's PeerID, as `p2pchat net addrs` prints it.",
                data={"param": "bootstrap"},
            )
        bootstrap.append((peer, (address,)))
    return Settings(tuple(parse_address(text)[0] for text in config.listen), tuple(bootstrap))


def run(start: Start) -> None:
    """Run a node until it is told to stop.

    Raises:
        P2PChatError: why it could not start or go on; out of the groups that nurseries make.
    """
    try:
        trio.run(partial(_main, start), strict_exception_groups=True)
    except BaseExceptionGroup as group:
        declared = group.subgroup(P2PChatError)
        if declared is not None:
            raise _first(declared) from None
        raise InternalError(f"The node met a defect of its own; the log has it as {report_defect(group)}.") from None


def _first(group: BaseExceptionGroup[P2PChatError]) -> P2PChatError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, P2PChatError)  # noqa: S101  the group was split by that type
    return error


async def _main(start: Start) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(stop_on_signal, stop)
        database = Database.open(start.paths.database, start.key, lambda: int(time.time() * 1000))
        try:
            await _node(start, database, stop)
        finally:
            with trio.CancelScope(shield=True):
                await database.close()
        nursery.cancel_scope.cancel()


async def _node(start: Start, database: Database, stop: trio.Event) -> None:
    profile = await database.run(meta.load_profile)
    async with ChildMiner.running() as miner, ChildDeriver.running() as deriver:
        bus = Bus()
        database.listen(bus.committed)
        entropy = SystemEntropy()
        context = Context(
            db=database,
            miner=miner,
            deriver=deriver,
            entropy=entropy,
            params=PRODUCTION,
            now=time.time,
            identity=load_identity(profile.identity),
            bus=bus,
            message_prefix=entropy.bytes(8),
        )
        settings = start.settings
        life = Life(context, partial(_listening, settings, database), lambda: settings.bootstrap)
        dispatch = Dispatch(context, life.online, start.paths.profile, stop, start.paths.config_file)
        server = Server(dispatch, path=start.socket)
        async with trio.open_nursery() as services:
            await services.start(life.run)
            await services.start(server.serve)
            await database.run(lambda tx: tx.emit(DomainEvent(EventKind.NODE_STARTED)))
            log.info("node.ready", version=p2pchat.__version__)
            sd_notify("READY=1\nSTATUS=running")
            await stop.wait()
            sd_notify("STOPPING=1")
            await server.drain()
            await life.save()
            services.cancel_scope.cancel()


@asynccontextmanager
async def _listening(settings: Settings, database: Database, seed: bytes) -> AsyncIterator[Libp2pHost]:
    """The host, on the addresses asked for; a port that the system chose once is asked for again.

    Contacts remember the port (Reach). Where it was taken meanwhile and the user had named none, another one is better
    than no node; a port that the user named and that is busy is an error.
    """
    asked = settings.listen or tuple(parse_address(text)[0] for text in _ANYWHERE)
    remembered = await database.run(lambda tx: meta.load_listening(tx, asked))
    for addresses in (remembered, asked):
        if not addresses:
            continue
        try:
            async with Libp2pHost.listen(seed, addresses, now=time.time) as host:
                await database.run(lambda tx: meta.save_listening(tx, asked, host.listening()))
                yield host
                return
        except NetError as error:
            if error.error_name != "ADDRESS_IN_USE" or addresses is asked:
                raise
            log.warning("listen.port_was_taken")
