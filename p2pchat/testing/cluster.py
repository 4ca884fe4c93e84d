"""Full nodes in one process: the real core and services, a store in memory, a network in memory, a virtual clock.

A node's database outlives its crash, as a disk would; everything else of it is gone. With trio's autojump clock and
:func:`p2pchat.testing.schedule.fixed_schedule` a run is determined by its seed, ML-KEM's own randomness apart:
:func:`p2pchat.testing.kem.counted_kem` stands in for that where a run is to be repeated to the byte.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from p2pchat.base.ids import PeerId
from p2pchat.core.backup import Record
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.events import DomainEvent
from p2pchat.core.keys import create_identity, dump_identity, load_identity
from p2pchat.core.params import PRODUCTION, Params
from p2pchat.core.slots import derive_root
from p2pchat.core.work import mine
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.net.dnsaddr import NodeAddress
from p2pchat.net.transport import Network
from p2pchat.services import contacts as book
from p2pchat.services import disk
from p2pchat.services.context import Bus, Context, Deriver, Reach
from p2pchat.services.life import Life
from p2pchat.services.send import Outbox
from p2pchat.services.surroundings import Surroundings
from p2pchat.store import messages, meta
from p2pchat.store.backup import read
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Database, Tx
from p2pchat.store.messages import MessageRow
from p2pchat.store.restore import Restoration
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.memnode import MemoryNode

CHEAP: Final = dataclasses.replace(PRODUCTION, work_bits=4, work_bits_max=8, argon2_ops=1, argon2_memory_bytes=8192)
"""The protocol with next to no work: for tests; no user can reach it."""

START_S: Final = 1_800_000_000


class InlineMiner:
    """Mines in this process: cheap parameters only."""

    async def mine(self, digest: bytes, bits: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return mine(digest, bits)


class InlineDeriver:
    """Derives in this process: cheap parameters only."""

    def __init__(self, params: Params) -> None:
        self._params = params

    async def derive(self, own: str, other: str, era: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return derive_root(own, other, era, self._params)


@dataclass(slots=True)
class Clock:
    """A node's clock in unix seconds: the virtual one, wrong by ``skew_s``."""

    right: Callable[[], float]
    skew_s: float = 0.0

    def __call__(self) -> float:
        """What it says now."""
        return self.right() + self.skew_s


@dataclass(slots=True)
class Node:
    """One person's node. ``running`` is None while it is down; ``seed``: of its node key in ``network``; ``now``: its
    clock, unix seconds, which tests may set wrong by ``now.skew_s``.
    """

    name: str
    number: str
    network: MemoryNode
    database: Database
    profile: meta.Profile
    entropy: SeededEntropy
    seed: bytes = field(repr=False)
    now: Clock
    reach: Reach = field(default_factory=Reach)
    events: list[DomainEvent] = field(default_factory=list[DomainEvent])
    running: Running | None = None

    async def add(self, number: str, name: str) -> ContactRow:
        """Put a number into the address book."""
        context = self._context()
        return await self.database.run(lambda tx: book.add(tx, context, number, name))

    async def send(self, to: str, text: str) -> MessageRow:
        """Queue a text for the contact ``to``."""
        context = self._context()

        def queue(tx: Tx) -> MessageRow:
            outbox = Outbox(tx, context)
            row = outbox.put(book.resolve(tx, context, to), text)
            outbox.commit()
            return row

        return await self.database.run(queue)

    async def contact(self, name: str) -> ContactRow:
        context = self._context()
        return await self.database.run(lambda tx: book.resolve(tx, context, name))

    async def conversation(self, name: str) -> list[MessageRow]:
        """All messages with the contact, oldest first."""
        contact = await self.contact(name)
        rows = await self.database.run(lambda tx: messages.page(tx, contact.id, None, 1_000_000))
        return rows[::-1]

    async def received(self, name: str) -> list[str]:
        """The texts that came from the contact, in the order in which they are shown."""
        return [row.text or "" for row in await self.conversation(name) if row.incoming]

    async def texts_sent(self, name: str) -> list[str]:
        """The texts that were queued for the contact, in order."""
        return [row.text or "" for row in await self.conversation(name) if not row.incoming]

    async def backup(self) -> list[Record]:
        """The records of a backup that is made now."""
        return await self.database.run(lambda tx: list(read(tx, b"")))

    async def outbox(self) -> int:
        """How many messages are not settled yet."""
        return await self.database.run(messages.outbox_size)

    def _context(self) -> Context:
        if self.running is None:
            raise RuntimeError("the node is down")
        return self.running.context


@dataclass(frozen=True, slots=True)
class Running:
    """What a crash takes away."""

    context: Context
    life: Life
    scope: trio.CancelScope
    gone: trio.Event


class Cluster:
    """Several nodes on one memory network. Made by :meth:`running`.

    Attributes:
        deriver: of every node started from now on; None: their own, which takes no time.
        introduces: whether whoever is started from now on is told of all others.
        entries: names of those of whom alone it is told then; None: of all.
        reach, surroundings: of every node started from now on.
    """

    def __init__(self, network: MemoryNetwork, nursery: trio.Nursery, params: Params, seed: int) -> None:
        self.network = network
        self.nodes: dict[str, Node] = {}
        self._nursery = nursery
        self._params = params
        self._seed = seed
        self._made = 0
        self._epoch_s = START_S - trio.current_time()
        self.deriver: Deriver | None = None
        self.introduces = True
        self.entries: Sequence[str] | None = None
        self.reach = Reach()
        self.surroundings: Callable[[Node], Surroundings] | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls, *, params: Params = CHEAP, seed: int = 0, drop_rate: float = 0.0) -> AsyncGenerator[Cluster]:
        """A cluster without nodes; whatever runs in it ends with the context."""
        async with MemoryNetwork.run(seed=seed, drop_rate=drop_rate) as network, trio.open_nursery() as nursery:
            yield cls(network, nursery, params, seed)
            nursery.cancel_scope.cancel()

    def now(self) -> float:
        """The virtual clock in unix seconds."""
        return self._epoch_s + trio.current_time()

    async def add(
        self,
        name: str,
        number: str = "",
        *,
        skew_s: float = 0.0,
        host: str | None = None,
        is_hidden: bool = False,
        reach: Reach | None = None,
    ) -> Node:
        """A new node with a new identity, started; its clock goes wrong by ``skew_s``. One of that name stays as it is.

        Args:
            host, is_hidden: see :class:`MemoryNetwork`.
            reach: what its user allows.
        """
        now = Clock(self.now, skew_s)
        entropy = SeededEntropy(self._seed * 1000 + self._made)
        self._made += 1
        profile = meta.Profile(
            name=name,
            number=number,
            region="",
            identity=dump_identity(create_identity(entropy, int(now() * 1000))),
            node_seed=entropy.bytes(32),
            ask=entropy.bytes(32),
            store_id=entropy.bytes(8),
        )
        database = Database.open(None, bytes(32), lambda: int(now() * 1000), threaded=False)
        network = self.network.node(_peer_id(profile.node_seed), host)
        self.network.hide(network, is_hidden=is_hidden)
        node = Node(name, number, network, database, profile, entropy, profile.node_seed, now, reach or self.reach)
        await database.run(lambda tx: meta.save_profile(tx, profile))
        database.listen(node.events.extend)
        self.nodes[name] = node
        await self.start(node)
        return node

    async def restore(self, lost: Node, records: Sequence[Record], *, skew_s: float = 0.0) -> Node:
        """The person of ``lost`` on a new device that is made from a backup, started; ``lost`` stays as it is."""
        now = Clock(self.now, skew_s)
        database = Database.open(None, bytes(32), lambda: int(now() * 1000), threaded=False)

        def write(tx: Tx) -> meta.Profile:
            restoration = Restoration(tx, lost.entropy)
            for record in records:
                restoration.put(record)
            return meta.load_profile(tx)

        profile = await database.run(write)
        network = self.network.node(_peer_id(profile.node_seed))
        node = Node(lost.name, lost.number, network, database, profile, lost.entropy, profile.node_seed, now)
        database.listen(node.events.extend)
        self.nodes[node.name] = node
        await self.start(node)
        return node

    async def start(self, node: Node) -> None:
        """Start a node that is new or was stopped."""
        await self._nursery.start(self._live, node)

    async def crash(self, node: Node) -> None:
        """End a node at once; what its store has committed stays."""
        if node.running is None:
            return
        self.network.down(node.network)
        node.running.scope.cancel()
        await node.running.gone.wait()
        node.running = None

    async def _live(self, node: Node, task_status: trio.TaskStatus[None]) -> None:
        bus = Bus()
        unlisten = node.database.listen(bus.committed)
        context = Context(
            db=node.database,
            miner=InlineMiner(),
            deriver=self.deriver or InlineDeriver(self._params),
            entropy=node.entropy,
            params=self._params,
            now=node.now,
            identity=load_identity(node.profile.identity),
            bus=bus,
            message_prefix=node.entropy.bytes(8),
            reach=node.reach,
        )
        around = None if self.surroundings is None else self.surroundings(node)
        life = Life(context, partial(self._listening, node), partial(self._others, node), around)
        gone = trio.Event()
        try:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(disk.watch, context)
                    await nursery.start(life.run)
                    node.running = Running(context, life, scope, gone)
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            unlisten()
            gone.set()

    @asynccontextmanager
    async def _listening(self, node: Node, seed: bytes) -> AsyncGenerator[Network]:
        if seed != node.seed:
            node.seed = seed
            node.network = self.network.node(_peer_id(seed))
        self.network.up(node.network)
        try:
            yield node.network
        finally:
            self.network.down(node.network)

    def _others(self, node: Node) -> list[NodeAddress]:
        if not self.introduces:
            return []
        return [
            (other.network.peer_id, other.network.addresses())
            for other in self.nodes.values()
            if other is not node and (self.entries is None or other.name in self.entries)
        ]


def _peer_id(seed: bytes) -> PeerId:
    return peer_id_from_key(ed25519_pair(seed).public)


async def eventually(
    condition: Callable[[], Awaitable[bool]], *, within_s: float = 600.0, step_s: float = 0.05
) -> float:
    """Wait on the virtual clock until ``condition`` holds; the seconds that it took.

    Raises:
        trio.TooSlowError: it did not.
    """
    started = trio.current_time()
    with trio.fail_after(within_s):
        while not await condition():  # noqa: ASYNC110  any state of any node, on a virtual clock
            await trio.sleep(step_s)
    return trio.current_time() - started
