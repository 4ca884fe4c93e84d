"""When a contact that is reached through a relay is tried, and what is left when nothing comes of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base import limits
from p2pchat.base.errors import NetError
from p2pchat.base.ids import Address, PeerId
from p2pchat.net.addresses import from_socket
from p2pchat.net.dcutr import DCUTR
from p2pchat.net.transport import Stream
from p2pchat.services.charges import Charges
from p2pchat.services.context import Context
from p2pchat.services.upgrade import Upgrader
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.memnode import MemoryNode

HOP, STOP = "/test/hop/1", "/test/stop/1"


async def pump(source: Stream, sink: Stream) -> None:
    try:
        while data := await source.read(limits.STREAM_READ_BYTES):
            await sink.write(data)
    except NetError:
        await sink.reset()


@dataclass
class Home:
    """A node behind a NAT, with what upgrades its connections."""

    node: MemoryNode
    is_seen: list[bool]
    upgrader: Upgrader = field(init=False)
    invited: list[float] = field(default_factory=list[float])
    met: list[tuple[PeerId, Address]] = field(default_factory=list[tuple[PeerId, Address]])

    async def note(self, peer: PeerId, address: Address) -> None:
        self.met.append((peer, address))


@dataclass
class World:
    net: MemoryNetwork
    a: Home
    b: Home
    relay: MemoryNode

    async def connect(self) -> None:
        """a to b, through the relay."""
        a, b = self.a.node, self.b.node
        await a.adopt(await a.open(self.relay.peer_id, HOP), b.peer_id)

    def paths(self) -> tuple[str, str]:
        one = {link.peer: link.path for link in self.a.node.links()}
        other = {link.peer: link.path for link in self.b.node.links()}
        return one[self.b.node.peer_id], other[self.a.node.peer_id]


@asynccontextmanager
async def world(friends: bool = True) -> AsyncGenerator[World]:
    async with MemoryNetwork.run(seed=3) as net, trio.open_nursery() as nursery:
        relay = net.node(host="13.0.0.1")
        homes: list[Home] = []
        for number in (1, 2):
            node = net.node(host=f"12.0.{number}.1")
            net.hide(node)

            async def run(_: object) -> bool:
                return friends

            charges = Charges(trio.current_time)
            context = cast(Context, SimpleNamespace(network=node, db=SimpleNamespace(run=run), charges=charges))
            is_seen = [True]
            own = partial(seen_at, node, is_seen)
            home = Home(node, is_seen)
            home.upgrader = Upgrader(context, own, home.note)
            homes.append(home)
        a, b = homes

        async def hop(stream: Stream) -> None:
            onward = await relay.open(b.node.peer_id, STOP)
            async with trio.open_nursery() as pumps:
                pumps.start_soon(pump, stream, onward)
                pumps.start_soon(pump, onward, stream)

        async def stop(stream: Stream) -> None:
            await b.node.adopt(stream, None)

        relay.handle(HOP, hop)
        b.node.handle(STOP, stop)
        for home in homes:
            await home.node.dial(relay.peer_id, relay.addresses())
            await nursery.start(home.upgrader.run)
            count_invitations(home)
        yield World(net, a, b, relay)
        nursery.cancel_scope.cancel()


def seen_at(node: MemoryNode, is_seen: list[bool]) -> tuple[Address, ...]:
    return node.addresses() if is_seen[0] else ()


def count_invitations(home: Home) -> None:
    handler = home.node._handlers.get(DCUTR)
    assert handler is not None

    async def serve(stream: Stream) -> None:
        home.invited.append(trio.current_time())
        await handler(stream)

    home.node.handle(DCUTR, serve)


async def test_they_meet_within_seconds(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.connect()
        assert w.paths() == ("relayed", "relayed")
        await trio.sleep(15)
        assert w.paths() == ("direct", "direct")
        assert len(w.a.invited) == 1
        assert w.b.invited == []
        assert w.a.met == [(w.b.node.peer_id, w.b.node.bound)]
        assert w.b.met == [(w.a.node.peer_id, w.a.node.bound)]
        await trio.sleep(7_200)
        assert len(w.a.invited) == 1


@pytest.mark.parametrize("who", ["a", "b"])
async def test_who_does_not_know_yet_where_it_is_seen_is_waited_for(autojump_clock: MockClock, who: str) -> None:
    async with world() as w:
        is_seen = (w.a if who == "a" else w.b).is_seen
        is_seen[0] = False
        await w.connect()
        await trio.sleep(limits.PUNCH_S + 1)  # it was tried where the other says that it listens
        assert w.paths() == ("relayed", "relayed")
        is_seen[0] = True
        await trio.sleep(3)
        assert w.paths() == ("direct", "direct")


async def test_who_listens_on_the_internet_is_simply_connected_to(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.net.hide(w.a.node, is_hidden=False)
        await w.connect()
        await trio.sleep(5)
        assert w.paths() == ("direct", "direct")
        assert w.a.invited == w.b.invited == []


async def test_where_nothing_comes_of_it_it_is_tried_ever_more_rarely(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.net.blocks_punching = True
        await w.connect()
        connected = trio.current_time()
        await trio.sleep(3 * 3_600)
        assert w.paths() == ("relayed", "relayed")
        for invited in (w.a.invited, w.b.invited):
            assert invited
            assert invited[0] - connected < 60
            late = [at for at in invited if at - connected > 3_600]
            assert len(late) <= 4 * 3 + 3
        w.net.blocks_punching = False
        w.b.upgrader.hurry()
        await trio.sleep(20)
        assert w.paths() == ("direct", "direct")


async def test_what_is_left_of_a_direct_connection_is_tried_again(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.connect()
        await trio.sleep(15)
        direct = next(c for c in w.a.node.connections_to(w.b.node.peer_id) if not c.carriers)
        w.net.break_connection(direct)
        assert w.paths() == ("relayed", "relayed")
        await trio.sleep(330)
        assert w.paths() == ("direct", "direct")


async def test_nobody_is_met_who_is_no_contact(autojump_clock: MockClock) -> None:
    async with world(friends=False) as w:
        await w.connect()
        await trio.sleep(3_600)
        assert w.paths() == ("relayed", "relayed")
        assert w.a.invited == w.b.invited == []


async def test_an_inviter_that_floods_makes_nobody_knock(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    punched: list[PeerId] = []
    async with world() as w:
        w.net.blocks_punching = True
        await w.connect()

        async def punch(peer: PeerId, addresses: object, *, leads: bool) -> None:
            punched.append(peer)
            raise NetError("nobody")

        monkeypatch.setattr(w.a.node, "punch", punch)
        victim = from_socket("14.0.0.1", 22)
        for _ in range(200):
            stream = await w.b.node.open(w.a.node.peer_id, DCUTR)
            data = bytes([8, 100, 18, len(victim)]) + bytes(victim)
            with suppress(NetError):  # while an attempt is under way the next one is refused before it has said a word
                await stream.write(bytes([len(data)]) + data + b"\x03\x08\xac\x02")
            await trio.sleep(0.1)
            await stream.reset()
        assert len(punched) <= 4 * limits.PUNCHES_PEER


async def test_a_peer_that_comes_and_goes_makes_nobody_knock_without_end(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    punched: list[PeerId] = []
    async with world() as w:

        async def punch(peer: PeerId, addresses: object, *, leads: bool) -> None:
            punched.append(peer)
            raise NetError("nobody")

        monkeypatch.setattr(w.b.node, "punch", punch)
        for _ in range(60):
            await w.connect()
            await trio.sleep(4.0)
            await w.a.node.disconnect(w.b.node.peer_id)
            await trio.sleep(6.0)
        assert 0 < len(punched) <= limits.PUNCHES_OWN + 601.0 * limits.PUNCHES_OWN_PER_S


async def test_a_peer_that_comes_and_goes_takes_one_place(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world() as w:
        under_way = most = 0

        async def learn(_: PeerId) -> tuple[tuple[Address, ...], frozenset[str]]:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await trio.sleep(limits.STREAM_OPEN_S)  # it does not answer
            under_way -= 1
            raise NetError("nothing")

        monkeypatch.setattr(w.b.node, "learn", learn)
        for _ in range(20):
            await w.connect()
            await trio.sleep(1.0)
            await w.a.node.disconnect(w.b.node.peer_id)
            await trio.sleep(6.0)
        assert most == 1
