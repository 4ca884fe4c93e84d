"""What a node makes of what others say of it: of those who tell the truth, and of those who do not."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import trio
from trio.testing import MockClock

from p2pchat.base.ids import Address
from p2pchat.core.autonat import DIAL_ERROR, OK, DialAnswer, decode_dial, encode_answer
from p2pchat.core.kad_wire import with_length
from p2pchat.net.addresses import from_socket
from p2pchat.net.autonat import AUTONAT, AutonatServer
from p2pchat.net.multistream import read_exactly, read_varint
from p2pchat.net.transport import Stream, StreamHandler
from p2pchat.services.charges import Charges
from p2pchat.services.context import Context
from p2pchat.services.standing import Survey
from p2pchat.testing.memnet import MemoryNetwork
from p2pchat.testing.memnode import MemoryNode

QUARTER_S = 1_000.0


@dataclass
class World:
    """One node that asks, and those whom it may ask, each of another prefix."""

    net: MemoryNetwork
    node: MemoryNode
    survey: Survey
    changes: list[str] = field(default_factory=list[str])
    others: list[MemoryNode] = field(default_factory=list[MemoryNode])

    def standing(self) -> str:
        return self.node.standing

    async def add(self, handler: StreamHandler | None = None, host: str = "", *, from_port: bool = False) -> MemoryNode:
        other = self.net.node(host=host or f"11.0.{len(self.others)}.1")
        other.handle(AUTONAT, handler or AutonatServer(other).serve)
        self.others.append(other)
        await self.node.dial(other.peer_id, other.addresses(), from_port=from_port)
        return other


@asynccontextmanager
async def world(host: str = "12.0.0.1", *, hidden: bool = False) -> AsyncGenerator[World]:
    async with MemoryNetwork.run(seed=5) as net:
        node = net.node(host=host)
        if hidden:
            net.hide(node)
        chance = random.Random(1)
        context = cast(Context, SimpleNamespace(network=node, jitter=chance.random, charges=Charges(trio.current_time)))
        changes: list[str] = []
        survey = Survey(context, lambda: changes.append(node.standing))
        async with trio.open_nursery() as nursery:
            await nursery.start(survey.run)
            yield World(net, node, survey, changes)
            nursery.cancel_scope.cancel()


def says(answer: DialAnswer | None) -> StreamHandler:
    """Answers without having tried; None: that it has reached the first address."""

    async def serve(stream: Stream) -> None:
        dial = decode_dial(await read_exactly(stream, await read_varint(stream, 4_096)))
        await stream.write(with_length(encode_answer(answer or DialAnswer(OK, dial.addresses[0]))))

    return serve


DENIES, CONFIRMS = says(DialAnswer(DIAL_ERROR)), says(None)


async def test_two_of_different_prefixes_make_it_public(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.add()
        await w.add(host="11.0.0.2")  # of the same prefix: no second voice
        await trio.sleep(60)
        assert w.standing() == "unknown"
        await w.add(host="11.0.9.1")
        await trio.sleep(60)
        assert w.standing() == "public"
        assert w.changes == ["public"]
        assert w.node.addresses() == (w.node.bound,)


async def test_who_comes_through_a_nat_that_was_opened_for_it_says_nothing_of_strangers(
    autojump_clock: MockClock,
) -> None:
    async with world() as w:
        relays = [await w.add(CONFIRMS, from_port=True) for _ in range(4)]
        await trio.sleep(QUARTER_S)
        assert w.standing() == "unknown"
        for number in range(2):
            await w.add(host=f"11.1.{number}.1")
        await trio.sleep(QUARTER_S)
        assert w.standing() == "public"
        for relay in relays:
            w.net.down(relay)


async def test_that_even_such_a_one_does_not_come_through_counts(autojump_clock: MockClock) -> None:
    async with world(hidden=True) as w:
        for _ in range(3):
            await w.add(from_port=True)
        await trio.sleep(QUARTER_S)
        assert w.standing() == "private"


async def test_the_first_peer_says_at_once_where_this_node_is_seen(autojump_clock: MockClock) -> None:
    """Whoever reaches it through a relay can be met only when that is known; the first round had nobody to ask."""
    async with world("192.168.1.2") as w:
        router = from_socket("12.0.0.9", 4001)
        w.net.translate(w.node, router, leads_in=False)
        for _ in range(2):
            await trio.sleep(3)
            assert w.survey.candidates() == ()
            other = await w.add(DENIES)
            await trio.sleep(1)
            assert w.survey.candidates() == (router,)
            w.net.down(other)
            w.survey.observations.clear()
            w.survey.hurry()


async def test_three_that_do_not_reach_it_make_it_private(autojump_clock: MockClock) -> None:
    async with world(hidden=True) as w:
        for _ in range(2):
            await w.add()
        await trio.sleep(60)
        assert w.standing() == "unknown"
        await w.add()
        await trio.sleep(60)
        assert w.standing() == "private"


async def test_who_is_seen_elsewhere_is_told_of_it_only_when_it_is_reached_there(autojump_clock: MockClock) -> None:
    """The node's own address is private; peers see its router, whose port leads to it, or does not."""
    for leads_here in (True, False):
        async with world("192.168.1.2") as w:
            router = from_socket("12.0.0.9", 4001)
            w.net.translate(w.node, router, leads_in=leads_here)
            for _ in range(4):
                await w.add()
            await trio.sleep(QUARTER_S)
            assert w.survey.candidates() == (router,)
            assert w.standing() == ("public" if leads_here else "private")
            assert (router in w.node.addresses()) is leads_here


async def test_a_lying_minority_turns_nothing(autojump_clock: MockClock) -> None:
    for hidden, liar, standing in ((False, DENIES, "public"), (True, CONFIRMS, "private")):
        async with world(hidden=hidden) as w:
            for _ in range(5):
                await w.add()
            await trio.sleep(QUARTER_S)
            assert w.standing() == standing
            for _ in range(3):
                await w.add(liar)
            for _ in range(8):
                await trio.sleep(QUARTER_S)
                assert w.standing() == standing


async def test_liars_see_it_where_they_like_and_nobody_is_told(autojump_clock: MockClock) -> None:
    victim = from_socket("13.0.0.1", 4001)
    async with world() as w:
        for _ in range(5):
            await w.add()
        for _ in range(3):
            (await w.add(CONFIRMS)).sees = lambda _: victim
        await trio.sleep(4 * QUARTER_S)
        assert w.standing() == "public"
        assert victim not in w.node.addresses()


async def test_it_is_noticed_within_the_hour_that_nobody_reaches_it_any_more(autojump_clock: MockClock) -> None:
    async with world() as w:
        for _ in range(4):
            await w.add()
        await trio.sleep(QUARTER_S)
        w.net.hide(w.node)
        await trio.sleep(2 * QUARTER_S)
        assert w.standing() == "private"
        w.net.hide(w.node, is_hidden=False)
        await trio.sleep(2 * QUARTER_S)
        assert w.standing() == "public"
        assert w.changes == ["public", "private", "public"]


async def test_another_address_is_asked_about_at_once(autojump_clock: MockClock) -> None:
    async with world() as w:
        for _ in range(4):
            await w.add()
        await trio.sleep(60)
        assert w.standing() == "public"
        w.net.move(w.node)  # to a private one
        for other in w.others:
            await w.node.dial(other.peer_id, other.addresses())
        w.survey.hurry()
        await trio.sleep(10)
        assert w.standing() == "unknown"
        assert w.node.addresses() == (w.node.bound,)


async def test_who_says_nothing_or_junk_is_passed_over(autojump_clock: MockClock) -> None:
    async def silent(stream: Stream) -> None:
        await trio.sleep_forever()

    async def junk(stream: Stream) -> None:
        await stream.write(b"\x05hello")

    async with world() as w:
        for handler in (silent, junk, says(DialAnswer(101)), None, None, None):
            await w.add(handler)
        await trio.sleep(QUARTER_S)
        assert w.standing() == "public"


async def test_a_node_among_neighbours_asks_nobody(autojump_clock: MockClock) -> None:
    asked: list[Address] = []

    async def note(stream: Stream) -> None:
        asked.append(Address(b""))

    async with world("192.168.1.2") as w:
        for number in range(4):
            await w.add(note, f"192.168.1.{number + 10}")
        await trio.sleep(QUARTER_S)
        assert w.standing() == "unknown"
    assert asked == []


async def test_a_node_that_nobody_can_tell_anything_goes_on_for_weeks(autojump_clock: MockClock) -> None:
    async with world() as w:
        await trio.sleep(14 * 86_400)
        assert w.standing() == "unknown"
        for _ in range(2):
            await w.add()
        await trio.sleep(60)
        assert w.standing() == "public"
