"""A network in memory: many nodes in one process, with delays and faults from one seed.

It keeps the contract of :mod:`p2pchat.net.transport` (tests/contract proves it for this and the libp2p host),
dials with the host's own :class:`~p2pchat.net.dialer.Dialer`, and needs no socket. Under trio's autojump clock and
:func:`~p2pchat.testing.schedule.fixed_schedule` a run is determined by its seed.

Faults: ``cut`` breaks the connections of two nodes and refuses new ones, ``stall`` keeps them and delivers nothing (the
silent death), ``heal`` ends both; ``kill_streams`` resets streams; ``down`` and ``up`` are a node's crash and return;
``drop_rate`` breaks a connection at a write; ``hide`` lets nobody dial a node, ``blocks_punching``
has two that are hidden not find each other either.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.addresses import endpoint, from_socket, peer_id_from_key
from p2pchat.testing.clock import sleep
from p2pchat.testing.memcircuit import Circuits
from p2pchat.testing.memlink import LOST, Connection
from p2pchat.testing.memnode import MemoryNode

_PORT: Final = 4001
_SYN_AGAIN_S: Final = 0.5
_OPEN_S: Final = 20.0  # for which a NAT lets in who was knocked at
_NOT_THE_PEER: Final = "The address did not answer as the peer."


class MemoryNetwork:
    """All nodes and what is between them. Make one with :meth:`run`.

    Args:
        seed: of delays, drops and the nodes' keys.
        delay_s: least and greatest one-way delay of a write in seconds.
        drop_rate: probability that a write breaks its connection, 0 to 1.
        now: the nodes' clock in unix seconds; trio's where omitted.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        seed: int = 0,
        delay_s: tuple[float, float] = (0.001, 0.005),
        drop_rate: float = 0.0,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.nursery = nursery
        self.now = now or trio.current_time
        self.drop_rate = drop_rate
        self.circuits = Circuits(self)
        self._random = random.Random(seed)
        self._delay_s = delay_s
        self._nodes: list[MemoryNode] = []
        self._by_address: dict[Address, MemoryNode] = {}
        self._cut: set[frozenset[PeerId]] = set()
        self._stalled: set[frozenset[PeerId]] = set()
        self._hidden: set[MemoryNode] = set()
        self.blocks_punching = False
        self._punching: dict[tuple[PeerId, PeerId], bool] = {}
        self._knocked: dict[tuple[PeerId, PeerId], float] = {}  # by whom that does not lead, and when last
        self._healed = trio.Event()
        self._moves = 0

    @classmethod
    @asynccontextmanager
    async def run(
        cls,
        *,
        seed: int = 0,
        delay_s: tuple[float, float] = (0.001, 0.005),
        drop_rate: float = 0.0,
        now: Callable[[], float] | None = None,
    ) -> AsyncGenerator[MemoryNetwork]:
        """A network for the life of the context; handlers that still run at its end are cancelled."""
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            try:
                yield cls(nursery, seed=seed, delay_s=delay_s, drop_rate=drop_rate, now=now)
            except Exception as error:  # raised again below, outside of the nursery
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def node(self, peer: PeerId | None = None, host: str | None = None) -> MemoryNode:
        """Add a node.

        Args:
            peer: its PeerID; one from the seed where omitted.
            host: the IP literal it is reached at; the next of 10.0.0.0/8, which counts as LAN, where omitted.
        """
        number = len(self._nodes) + 1
        address = from_socket(host or f"10.0.{number >> 8}.{number & 255}", _PORT)
        if address in self._by_address:
            raise ValueError("two nodes at one address")
        node = MemoryNode(self, peer or peer_id_from_key(self._random.randbytes(32)), address)
        self._nodes.append(node)
        self._by_address[address] = node
        return node

    def cut(self, a: MemoryNode, b: MemoryNode) -> None:
        """Break what connects two nodes and refuse new connections until :meth:`heal`."""
        self._cut.add(_edge(a, b))
        self._break_between(a, b)

    def stall(self, a: MemoryNode, b: MemoryNode) -> None:
        """Deliver nothing between two nodes until :meth:`heal`; neither is told."""
        self._stalled.add(_edge(a, b))

    def heal(self, a: MemoryNode, b: MemoryNode) -> None:
        """End :meth:`cut` and :meth:`stall`; what a stalled connection held is delivered."""
        self._cut.discard(_edge(a, b))
        self._stalled.discard(_edge(a, b))
        self._look_again()
        for node in self._nodes:
            for connection in node.connections():
                for _, opener in connection.streams:
                    opener.look_again()

    def kill_streams(self, a: MemoryNode, b: MemoryNode, protocol: str | None = None) -> int:
        """Reset the streams between two nodes, of one protocol or all; how many there were."""
        streams = [s for c in a.connections_to(b.peer_id) for s in c.streams]
        doomed = [end for name, end in streams if protocol in (None, name) and not end.is_over]
        for end in doomed:
            end.break_off("The stream was reset.")
        return len(doomed)

    def hide(self, node: MemoryNode, *, is_hidden: bool = True) -> None:
        """Put a node behind a NAT, or a firewall, that lets nobody in; it dials as before."""
        (self._hidden.add if is_hidden else self._hidden.discard)(node)

    def translate(self, node: MemoryNode, outside: Address, *, leads_in: bool = False) -> None:
        """Have others see a node at ``outside``, and, where the router was told to, reach it there as well."""
        node.outside = outside
        if leads_in:
            self._by_address[outside] = node

    def down(self, node: MemoryNode) -> None:
        """Crash a node: its connections break, its handlers end by that, nobody reaches it."""
        node.is_up = False
        for other in self._nodes:
            self._break_between(node, other)

    def up(self, node: MemoryNode) -> None:
        """Let it be reached again, under the same PeerID and address."""
        node.is_up = True

    def move(self, node: MemoryNode) -> None:
        """Give a node another address of 10.0.0.0/8: its connections break, and nobody is told."""
        self._moves += 1
        address = from_socket(f"10.1.{self._moves >> 8}.{self._moves & 255}", _PORT)
        for other in self._nodes:
            self._break_between(node, other)
        del self._by_address[node.bound]
        self._by_address[address] = node
        node.moved(address)

    # for nodes and connections

    def at(self, address: Address) -> MemoryNode | None:
        """Who has an address."""
        return self._by_address.get(address)

    def is_stalled(self, a: MemoryNode, b: MemoryNode) -> bool:
        """Whether nothing is delivered between two nodes."""
        return _edge(a, b) in self._stalled

    def delay_s(self) -> float:
        """A one-way delay."""
        return self._random.uniform(*self._delay_s)

    def drops(self) -> bool:
        """Whether this write breaks its connection."""
        return self.drop_rate > 0 and self._random.random() < self.drop_rate

    async def travel(self, way: Connection) -> None:
        """One round trip, as long as it may take."""
        await sleep(way.delay_s() + way.delay_s())
        while way.is_stalled and way.is_live:
            await self._healed.wait()

    async def reach(self, node: MemoryNode, peer: PeerId, address: Address, *, punching: bool = False) -> Connection:
        """The way from ``node`` to what answers at ``address``, if that is ``peer``; no end knows of it yet."""
        target = self._by_address.get(address)
        if target is None:
            await sleep(self.delay_s())
            raise NetError(_NOT_THE_PEER)
        connection = Connection(self, (node, target), self.now())
        await self.travel(connection)
        if self._by_address.get(address) is not target:
            raise NetError(_NOT_THE_PEER)  # it has moved meanwhile
        refuses = target.peer_id != peer or _edge(node, target) in self._cut
        if refuses or (target in self._hidden and not punching) or not (node.is_up and target.is_up):
            raise NetError(_NOT_THE_PEER)
        if not (target.lets_in(node.peer_id, node.host) and node.door.lets_stay(peer, endpoint(address).host)):
            raise NetError(_NOT_THE_PEER)
        return connection

    async def connect(self, node: MemoryNode, peer: PeerId, address: Address) -> None:
        """Connect ``node`` to what answers at ``address``, if that is ``peer``."""
        connection = await self.reach(node, peer, address)
        connection.other(node).reached_by(node)
        self._join_once(connection)

    async def punch(
        self, node: MemoryNode, peer: PeerId, addresses: Sequence[Address], within_s: float, *, leads: bool
    ) -> Address:
        """Connect ``node`` to ``peer``, which may be hidden if it punches toward ``node``, too; where that was."""
        self._punching[node.peer_id, peer] = leads
        before = node.connections_to(peer)
        try:
            with trio.move_on_after(within_s):
                while True:
                    for met in node.connections_to(peer):
                        if met not in before and not met.carriers:  # the other end was first
                            return met.other(node).outside or met.other(node).bound
                    other_leads = self._punching.get((peer, node.peer_id))
                    for address in addresses:
                        with suppress(NetError):  # another address may do, or this one when the other end punches
                            punching = other_leads is not None and other_leads != leads
                            punching |= leads and self._has_knocked(peer, node.peer_id)
                            punching &= not self.blocks_punching
                            self._join_once(await self.reach(node, peer, address, punching=punching))
                            return address
                    await trio.sleep(_SYN_AGAIN_S)
        finally:
            self._punching.pop((node.peer_id, peer), None)  # two attempts of one node may overlap
            if not leads:
                self._knocked[node.peer_id, peer] = trio.current_time()
        raise NetError(_NOT_THE_PEER)

    def _has_knocked(self, one: PeerId, other: PeerId) -> bool:
        """Whether the NAT of ``one`` still lets in ``other``."""
        return self._knocked.get((one, other), float("-inf")) + _OPEN_S > trio.current_time()

    def _join_once(self, connection: Connection) -> None:
        node, target = connection.ends
        if all(known.carriers for known in node.connections_to(target.peer_id)):
            self.join(connection)

    def join(self, connection: Connection) -> None:
        """Let both ends know of it."""
        for node in connection.ends:
            node.connected(connection)

    def named(self, peer: PeerId) -> MemoryNode | None:
        """Who has a PeerID."""
        return next((node for node in self._nodes if node.peer_id == peer), None)

    def break_connection(self, connection: Connection) -> None:
        """End a connection on both sides."""
        if not connection.is_live:
            return
        connection.is_live = False
        self._look_again()
        for carrier in connection.carriers:
            carrier.break_off(LOST)
        for _, opener in connection.streams:
            opener.break_off(LOST)
        for node in connection.ends:
            if connection in node.connections():  # not while only one end knows of it
                node.disconnected(connection)

    def _look_again(self) -> None:
        """Wake who waits for a connection that is stalled."""
        if self._healed.statistics().tasks_waiting:
            self._healed.set()
            self._healed = trio.Event()

    def _break_between(self, a: MemoryNode, b: MemoryNode) -> None:
        """What leads through a relay ends with its streams."""
        for connection in a.connections_to(b.peer_id):
            if not connection.carriers:
                self.break_connection(connection)


def _edge(a: MemoryNode, b: MemoryNode) -> frozenset[PeerId]:
    return frozenset((a.peer_id, b.peer_id))
