"""The half of the daemon that needs the database key: there while the node is unlocked, and nothing of it afterwards.

Rules:

- It is made in the order store, children, what others see (:mod:`p2pchat.services.life`), and ends in the opposite one,
  the store last: what was accepted is on disk, and the write-ahead log empty.
- The key is handed over, not passed on: nobody who opens the store keeps it. When the half has ended its context has
  forgotten every secret (:meth:`Context.forget`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog
import trio

from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import Corrupt, NetError, StoreError
from p2pchat.base.ids import Address
from p2pchat.control.dispatch import Methods
from p2pchat.core.crypto import Entropy
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.keys import load_identity
from p2pchat.core.params import PRODUCTION
from p2pchat.daemon.deriver import ChildDeriver
from p2pchat.daemon.miner import ChildMiner
from p2pchat.daemon.profile import Handover
from p2pchat.daemon.system import SystemEntropy, sd_notify
from p2pchat.net.addresses import parse_address
from p2pchat.net.dnsaddr import DnsName, Entry, Texts, system_texts
from p2pchat.net.libp2p_host import Libp2pHost
from p2pchat.net.socks import Proxy, Socks
from p2pchat.net.way import Straight, Way
from p2pchat.services import access, disk, index
from p2pchat.services.configure import Configuration
from p2pchat.services.context import Bus, Context, Health, Reach, no_names
from p2pchat.services.defects import cause
from p2pchat.services.device import replaced_by
from p2pchat.services.life import Life
from p2pchat.services.surroundings import Surroundings
from p2pchat.store import meta
from p2pchat.store.db import Database

_NO_WAY: Final = (
    ", and nothing goes around it; is it running, and does net.proxy say where? It is asked again and again"
)
_ANYWHERE: Final = ("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration with its addresses parsed. ``listen`` is empty where the user named none; ``box_ttl_s``: for
    how long boxes are left at mailboxes; ``proxy``: None: there is none."""

    listen: tuple[Address, ...]
    bootstrap: tuple[Entry, ...]
    box_ttl_s: int
    reach: Reach
    proxy: Proxy | None = None


@dataclass(slots=True)
class Unlocked:
    """What the daemon needs of this half.

    Attributes:
        locking: it ends because the node is locked, and the log shall say so.
    """

    context: Context
    methods: Methods
    locking: bool = False
    ending: trio.Event = field(default_factory=trio.Event)

    @property
    def state(self) -> str:
        """``running``, or ``replaced`` by a newer device."""
        return "running" if self.context.replaced_ms is None else "replaced"

    async def answers(self) -> None:
        """Returns when the store's thread has answered, be it that the disk refuses."""
        with suppress(StoreError):
            await self.context.db.run(lambda _: None)

    async def tell(self, kind: EventKind) -> None:
        """Write an event into the log, if the disk takes it."""
        try:
            await self.context.db.run(lambda tx: tx.emit(DomainEvent(kind)))
        except StoreError as error:
            log.warning("event.not_written", error=cause(error))


@asynccontextmanager
async def unlocked(
    paths: ProfilePaths,
    settings: Settings,
    key: Handover,
    started: float,
    configuration: Configuration | None = None,
) -> AsyncIterator[Unlocked]:
    """Everything that runs with a key; at the end of the block it is saved and gone.

    Args:
        started: when the daemon did, on the monotonic clock.
        configuration: what ``settings`` were made of.

    Raises:
        StoreError: the database cannot be opened, or not be closed in good order.
        NetError: the network could not be opened, at first or later.
    """
    context: Context | None = None
    try:
        async with (
            _opened(paths, key) as database,
            ChildMiner.running() as miner,
            ChildDeriver.running() as deriver,
        ):
            context = await _context(database, miner, deriver, settings)
            async with _living(context, paths, settings, started, configuration) as half:
                yield half
    finally:
        if context is not None:
            context.forget()


@asynccontextmanager
async def _opened(paths: ProfilePaths, key: Handover) -> AsyncIterator[Database]:
    if not paths.database.exists():  # opening would make an empty one
        raise Corrupt("The database is not in its place; see: p2pchat doctor --fix")
    database = Database.open(paths.database, key.take(), lambda: int(time.time() * 1000))
    try:
        yield database
    finally:
        with trio.CancelScope(shield=True):
            await database.close()


async def _context(database: Database, miner: ChildMiner, deriver: ChildDeriver, settings: Settings) -> Context:
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
        identity=load_identity((await database.run(meta.load_profile)).identity),
        bus=bus,
        message_prefix=entropy.bytes(8),
        reach=settings.reach,
        texts=_names(settings),
        box_ttl_s=settings.box_ttl_s,
    )
    if settings.proxy is None:
        context.stranger = partial(_stranger, context)
    return context


@asynccontextmanager
async def _living(
    context: Context, paths: ProfilePaths, settings: Settings, started: float, configuration: Configuration | None
) -> AsyncIterator[Unlocked]:
    bootstrap = _askable(settings)
    life = Life(context, partial(_listening, settings, context), lambda: bootstrap, Surroundings())
    methods = Methods(
        context, life.online, paths.profile, started, paths.config_file, paths.data_dir, configuration=configuration
    )
    half = Unlocked(context, methods)
    async with trio.open_nursery() as network:
        await network.start(disk.watch, context)
        await network.start(life.run)
        context.bus.hook(_tell_systemd)
        network.start_soon(index.run, context)
        yield half
        await half.methods.finish()
        await life.save()
        network.cancel_scope.cancel()
    if half.locking:
        await half.tell(EventKind.NODE_LOCKED)
        await half.methods.end_subscriptions()


def _tell_systemd(event: DomainEvent) -> None:
    if replaced_by(event) is not None:
        sd_notify("STATUS=replaced")


def _askable(settings: Settings) -> tuple[Entry, ...]:
    """Without the names of which a name server would have to tell: none is asked where there is a proxy."""
    entries = settings.bootstrap
    if settings.proxy is not None:
        entries = tuple(each for each in entries if not isinstance(each, DnsName))
        if len(entries) < len(settings.bootstrap):
            log.warning("bootstrap.names_passed_over", count=len(settings.bootstrap) - len(entries))
    return entries


@asynccontextmanager
async def _listening(settings: Settings, context: Context, seed: bytes) -> AsyncIterator[Libp2pHost]:
    """The host, on the addresses asked for; a port that the system chose once is asked for again.

    Contacts remember the port (Reach). Where it was taken meanwhile and the user had named none, another one is better
    than no node; a port that the user named and that is busy is an error. Behind a proxy nothing is listened on but
    what the user named.
    """
    asked = settings.listen or tuple(parse_address(text)[0] for text in _ANYWHERE)
    if settings.proxy is not None:
        asked = settings.listen
    refusals = context.charges.refusals
    remembered, allowed = await disk.patiently(
        context, lambda tx: (meta.load_listening(tx, asked), access.load(tx, settings.reach))
    )
    for addresses in (remembered, asked) if remembered else (asked,):
        try:
            way = _way(settings.proxy, context.health, context.entropy)
            async with Libp2pHost.listen(
                seed, addresses, now=time.time, refusals=refusals, way=way, access=allowed
            ) as host:
                if asked:  # else what was, without a proxy, is asked for again without one
                    await _remember(context, asked, host.listening())
                yield host
                return
        except NetError as error:
            if error.error_name != "ADDRESS_IN_USE" or addresses is asked:
                raise
            log.warning("listen.port_was_taken")


async def _remember(context: Context, asked: Sequence[Address], listening: Sequence[Address]) -> None:
    try:
        await context.db.run(lambda tx: meta.save_listening(tx, tuple(asked), tuple(listening)))
    except StoreError as error:  # a full disk: the next start listens elsewhere, this one goes on
        log.warning("listen.not_remembered", error=cause(error))


def _names(settings: Settings) -> Texts:
    """Who tells of names: nobody beyond the local network, or around a proxy."""
    return no_names if settings.reach.is_local or settings.proxy is not None else system_texts


def _way(proxy: Proxy | None, health: Health, entropy: Entropy) -> Way:
    if proxy is None:
        return Straight()

    def told(trouble: str) -> None:
        health.proxy = f"{trouble[0].lower()}{trouble[1:].rstrip('.')}{_NO_WAY}" if trouble else ""

    return Socks(proxy, entropy.bytes(32), told)


@asynccontextmanager
async def _stranger(context: Context, *, listens: bool = False) -> AsyncIterator[Libp2pHost]:
    """A host that nobody can tell from any other: a key of its own, and no listener but one of the moment. The user's
    rules are its, too."""
    where = tuple(parse_address(text)[0] for text in _ANYWHERE) if listens else ()
    async with Libp2pHost.listen(SystemEntropy().bytes(32), where, now=time.time, access=context.access) as host:
        yield host
