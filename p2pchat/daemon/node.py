"""The composition root: the socket, and behind it a node that is locked or unlocked, under the only top nursery.

    locked ── node.unlock, or a start with the key ──▶ unlocked
    unlocked ── node.lock ──▶ locked

Rules:

- Whatever needs the key is one task (:mod:`p2pchat.daemon.unlocked`), begun when the node is unlocked. The socket
  outlives it: it comes last at the start, so that whoever can connect finds a node that works, and goes first at the
  end.
- Locking, once begun, goes on to its end, whoever asked for it and left. Before it ends no unlocking begins.
- One passphrase is tried at a time: each try takes 256 MiB, and half a second, be it right or wrong.
- Where the unlocked half cannot be begun the node stays as it was; where it fails later the daemon ends.
"""

from __future__ import annotations

import gc
import os
import socket as sockets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import structlog
import trio

import p2pchat
from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import InternalError, P2PChatError, UsageError, WrongPassphrase
from p2pchat.control.dispatch import Dispatch, Methods
from p2pchat.control.locked import locked
from p2pchat.control.places import places_of
from p2pchat.control.server import Server
from p2pchat.core.access import Mode
from p2pchat.core.events import EventKind
from p2pchat.daemon import logs, reaper, watchdog
from p2pchat.daemon import profile as profiles
from p2pchat.daemon.descriptors import raise_open_files
from p2pchat.daemon.profile import Handover
from p2pchat.daemon.scrub import overwrite_freed_chunks, overwrite_freed_objects
from p2pchat.daemon.system import SystemEntropy, sd_notify, stop_on_signal
from p2pchat.daemon.unlocked import Settings, Unlocked, unlocked
from p2pchat.net.addresses import parse_address
from p2pchat.net.dnsaddr import Entry, parse_entry
from p2pchat.services.behind_proxy import proxy_of
from p2pchat.services.config import HOUR_S, Config
from p2pchat.services.configure import Configuration
from p2pchat.services.context import Reach
from p2pchat.services.defects import report_defect
from p2pchat.services.examine import Files
from p2pchat.store.keyfile import needs_passphrase

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Start:
    """What a node is started with.

    Args:
        environment, flags: what ``config`` was made of beside its file.
        given: the listening socket at ``socket``, if systemd has made one.
    """

    paths: ProfilePaths
    socket: Path
    settings: Settings
    config: Config = field(default_factory=Config)
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    flags: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    given: sockets.socket | None = None


def parse(config: Config) -> Settings:
    """What is configured, so far as it may be: behind a proxy nothing that would go around it, or tell where this is.

    Raises:
        UsageError: an address that cannot be parsed, or a bootstrap node without its ``/p2p/…``; a proxy that cannot be
            parsed, or does not go together with the rest.
    """
    bootstrap = tuple(_entry(text, "bootstrap") for text in config.bootstrap)
    public_entry = tuple(_entry(text, "bootstrap.public_entry") for text in config.public_entry)
    listen = tuple(parse_address(text)[0] for text in config.listen)
    reach = Reach(
        lan=config.lan,
        relay_offer=config.relay_offer,
        public_dht=config.public_dht,
        announce=config.announce,
        mapping=config.mapping,
        public_entry=public_entry,
        relay_use=config.relay_use,
        mode=config.mode,
    )
    proxy = proxy_of(config, listen)
    if proxy is not None:
        reach = replace(
            reach, lan=False, relay_offer="off", public_dht=False, announce=False, mapping=False, proxy=True
        )
    return Settings(listen, bootstrap, config.mailbox_ttl_hours * HOUR_S, reach, proxy)


def _entry(text: str, param: str) -> Entry:
    try:
        return parse_entry(text)
    except UsageError as error:
        raise UsageError(error.message, data={"param": param}) from error


def run(start: Start, key: Handover | None) -> None:
    """Run a node until it is told to stop.

    Args:
        key: None starts it locked.

    Raises:
        P2PChatError: why it could not start or go on; out of the groups that nurseries make.
    """
    try:
        trio.run(partial(serve, start, key), strict_exception_groups=True)
    except BaseExceptionGroup as group:
        declared = _declared(group)
        if declared is not None:
            raise declared from None
        raise InternalError(f"The node met a defect of its own; the log has it as {report_defect(group)}.") from None


async def serve(start: Start, key: Handover | None) -> None:
    """:func:`run`, within trio; errors may come in groups."""
    stop, places = trio.Event(), places_of(raise_open_files())
    async with trio.open_nursery() as nursery:
        await nursery.start(stop_on_signal, stop)
        if os.getpid() == reaper.FIRST_PROCESS:
            nursery.start_soon(reaper.reap)
        node = Node(start, nursery)
        if key is not None:
            await node.open(key)
        files = Files(start.paths.data_dir, start.paths.config_file)
        dispatch = Dispatch(node, node.methods, start.paths.profile, node.started, stop, files, node.configuration)
        server = Server(dispatch, path=start.socket, joint=dispatch, given=start.given, places=places)
        async with trio.open_nursery() as serving:
            await serving.start(server.serve)
            log.info("node.ready", version=p2pchat.__version__)
            sd_notify(f"READY=1\nSTATUS={node.state}")
            serving.start_soon(watchdog.reassure, node.answers)
            await stop.wait()
            sd_notify("STOPPING=1")
            await server.drain()
            serving.cancel_scope.cancel()
        await node.close()
        nursery.cancel_scope.cancel()


class Node:
    """Fulfils :class:`p2pchat.control.keeping.Keeper`.

    Args:
        nursery: the top one; the unlocked half runs in it.
    """

    def __init__(self, start: Start, nursery: trio.Nursery) -> None:
        self._start = start
        self._nursery = nursery
        self.configuration = Configuration(
            start.paths.config_file, start.environment, start.flags, running=start.config, apply=self._configure
        )
        self.started = time.monotonic()
        self._half: Unlocked | None = None
        self._begun = False
        self._closing = False
        self._gone = trio.Event()  # set while there is nothing of an unlocked half, not even in free memory
        self._gone.set()
        self._changing = trio.Lock()
        self._trying = trio.Lock()

    @property
    def state(self) -> str:
        """``locked``, ``running`` or ``replaced``, as systemd shows it."""
        return "locked" if self._half is None else self._half.state

    @property
    def mode(self) -> Mode:
        return self._start.settings.reach.mode

    def methods(self) -> Methods | None:
        """What an unlocked node answers; None while it is locked, and from when that begins."""
        return None if self._half is None or self._half.ending.is_set() else self._half.methods

    async def answers(self) -> None:
        """Returns when what runs has answered: the loop, which runs this, and the store while the node is unlocked."""
        half = self._half
        if half is not None:
            await half.answers()

    async def open(self, key: Handover, *told: EventKind) -> None:
        """Begin the unlocked half, and write ``told`` into the log, after ``node.started`` if it is the first.

        Raises:
            P2PChatError: it cannot be begun; maybe in a group.
        """
        self._gone = trio.Event()
        await self._nursery.start(self._live, key, told if self._begun else (EventKind.NODE_STARTED, *told))
        self._begun = True

    async def close(self) -> None:
        """End the unlocked half, if there is one; for the end of the daemon."""
        self._closing = True
        async with self._changing:
            await self._end()

    async def lock(self) -> None:
        async with self._changing:
            if self._half is None or self._half.ending.is_set():
                raise locked()  # meanwhile
            if not needs_passphrase(self._start.paths.key_file):
                raise UsageError(
                    "Without a passphrase whoever has the disk has the keys, so there is nothing to lock; "
                    "set one with: p2pchat passphrase",
                    name="FORBIDDEN",
                )
            self._half.locking = True
            await self._end()

    async def unlock(self, passphrase: bytes) -> None:
        paths = self._start.paths
        async with self._trying:
            if not needs_passphrase(paths.key_file):
                raise WrongPassphrase("This profile has no passphrase.")
            key = await trio.to_thread.run_sync(profiles.unlock, paths, passphrase)
            async with self._changing:
                if self.methods() is None:
                    await self._gone.wait()
                    await self._reopen(key)

    async def change_passphrase(self, old: bytes | None, new: bytes | None) -> None:
        async with self._trying, self._changing:
            if self.methods() is None:  # a locked profile whose passphrase is taken away could not be unlocked
                raise locked()
            await trio.to_thread.run_sync(profiles.change_passphrase, self._start.paths, old, new, SystemEntropy())
        log.info("passphrase.changed")

    def _configure(self, config: Config) -> None:
        """Have the settings that apply at once take effect, now and when it is unlocked next."""
        logs.configure(config.log_level, config.log_format)
        box_ttl_s = config.mailbox_ttl_hours * HOUR_S
        self._start = replace(self._start, settings=replace(self._start.settings, box_ttl_s=box_ttl_s))
        if self._half is not None:
            self._half.context.box_ttl_s = box_ttl_s

    async def _reopen(self, key: Handover) -> None:
        try:
            await self.open(key, EventKind.NODE_UNLOCKED)
        except BaseExceptionGroup as group:
            declared = _declared(group)
            if declared is None:
                raise
            raise declared from None
        sd_notify(f"STATUS={self.state}")
        log.info("node.unlocked")

    async def _end(self) -> None:
        if self._half is not None:
            self._half.ending.set()
        await self._gone.wait()

    async def _live(self, key: Handover, told: Iterable[EventKind], task_status: trio.TaskStatus[None]) -> None:
        locking = False
        try:
            locking = await self._live_unlocked(key, told, task_status)
        finally:
            self._half = None
            if not self._closing:
                await _scrub()
            if locking:  # whoever asked for it may have left
                sd_notify("STATUS=locked")
                log.info("node.locked")
            self._gone.set()

    async def _live_unlocked(
        self, key: Handover, told: Iterable[EventKind], task_status: trio.TaskStatus[None]
    ) -> bool:
        """Returns: whether it ended because the node is locked."""
        start = self._start
        async with unlocked(start.paths, start.settings, key, self.started, self.configuration) as half:
            for kind in told:
                await half.tell(kind)
            self._half = half
            task_status.started()
            await half.ending.wait()
        return half.locking


async def _scrub() -> None:
    """Leave no key in free memory, as far as that can be reached."""
    gc.collect()  # what refers to itself in a circle would be kept until there is much other garbage
    overwrite_freed_objects()
    overwrite_freed_chunks()
    with trio.CancelScope(shield=True):
        await trio.to_thread.run_sync(overwrite_freed_chunks)  # where passphrases are tried


def _declared(group: BaseExceptionGroup[BaseException]) -> P2PChatError | None:
    """The first error that was raised on purpose."""
    error: BaseException | None = group.subgroup(P2PChatError)
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert error is None or isinstance(error, P2PChatError)  # noqa: S101  the group was split by that type
    return error
