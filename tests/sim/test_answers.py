"""Acks for what came in boxes: who is slow, and what is old, holds up nobody else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.params import DAY_S
from p2pchat.core.wire import Ack
from p2pchat.services import answers
from p2pchat.services.answers import CONTACTS, ENTRIES, REPEATS, Answers
from p2pchat.services.context import Context
from p2pchat.services.unbox import Due
from p2pchat.testing.cluster import Cluster, eventually
from tests.sim.box_holder import BoxHolder
from tests.sim.leaving import leave_all, running, waiting
from tests.sim.people import meet
from tests.sim.test_collector import emptied, use

Entries = list[tuple[bytes, bytes]]
ACK = bytes(16)
pytestmark = pytest.mark.usefixtures("rare_pings")


def eids(start: int, count: int) -> dict[bytes, bytes]:
    return {number.to_bytes(16, "big"): ACK for number in range(start, start + count)}


class Post:
    """What was left in boxes, by contact; those in ``tarpits`` never take it, those ``online`` have a stream."""

    def __init__(self) -> None:
        self.left: list[tuple[int, Entries]] = []
        self.sent: list[tuple[int, Entries]] = []
        self.tarpits: set[int] = set()
        self.online: set[int] = set()
        self.stalled: set[int] = set()

    async def leave(self, _: Context, contact: int, acks: Entries) -> None:
        if contact in self.tarpits:
            await trio.sleep_forever()
        self.left.append((contact, acks))

    async def live(self, contact: int, ack: Ack) -> bool:
        if contact in self.stalled:
            await trio.sleep_forever()
        if contact in self.online:
            self.sent.append((contact, list(ack.entries)))
        return contact in self.online

    def count(self, contact: int) -> int:
        return sum(len(acks) for each, acks in self.left if each == contact)


@asynccontextmanager
async def posting(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[tuple[Post, Answers]]:
    post = Post()
    monkeypatch.setattr(answers, "leave_acks", post.leave)
    async with Cluster.running() as cluster, trio.open_nursery() as nursery:
        sender = Answers(running(await cluster.add("Bob")), post.live)
        nursery.start_soon(sender.run)
        yield post, sender
        nursery.cancel_scope.cancel()


async def test_contacts_that_take_nothing_hold_up_only_themselves(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with posting(monkeypatch) as (post, sender):
        post.stalled, post.tarpits = set(range(1, 20)), {20, 21, 22}
        for contact in (*post.stalled, *post.tarpits, 30):
            sender.put(contact, Due(eids(0, 1)))
        await trio.sleep(1)
        assert post.left == [(30, [*eids(0, 1).items()])]


async def test_what_had_come_before_goes_into_a_box_once_a_day_and_on_a_stream_whenever_it_comes(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with posting(monkeypatch) as (post, sender):
        post.online = {2}
        sender.put(1, Due(eids(0, 2)))
        for _ in range(47):
            sender.put(1, Due({}, eids(0, 3)))
            sender.put(2, Due({}, eids(0, 3)))
            await trio.sleep(1_800)
        assert post.count(1) == 3
        assert sum(len(acks) for _, acks in post.sent) == 47 * 3
        await trio.sleep(3_600)
        sender.put(1, Due({}, eids(0, 3)))
        await trio.sleep(1)
        assert post.count(1) == 6


async def test_so_many_repeats_go_into_boxes_within_a_day_and_what_is_new_always_does(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with posting(monkeypatch) as (post, sender):
        for start in range(0, 3 * REPEATS, ENTRIES):
            sender.put(1, Due({}, eids(start, ENTRIES)))
            await trio.sleep(1)
        assert post.count(1) == REPEATS
        sender.put(1, Due(eids(1 << 32, 5), eids(1 << 33, 5)))
        await trio.sleep(1)
        assert post.count(1) == REPEATS + 5
        await trio.sleep(DAY_S + 3_600)
        sender.put(1, Due({}, eids(1 << 33, 5)))
        await trio.sleep(1)
        assert post.count(1) == REPEATS + 10


async def test_what_waits_is_bounded_and_an_eid_stands_there_once(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with posting(monkeypatch) as (post, sender):
        for _ in range(3):
            sender.put(1, Due(eids(0, 4), eids(2, 4)))
        sender.put(2, Due(eids(10_000, ENTRIES), eids(20_000, ENTRIES)))
        for contact in range(3, CONTACTS + 10):
            sender.put(contact, Due(eids(0, 1)))
        await trio.sleep(1)
        assert post.count(1) == 6
        assert post.count(2) == ENTRIES
        assert {contact for contact, _ in post.left} == set(range(1, CONTACTS + 1))


async def test_a_holder_may_delete_while_a_mailbox_of_the_sender_does_not_answer(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = Post()
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await cluster.add("Dave")
        holder = BoxHolder(cluster, 1)
        await use(bob, holder)
        post.tarpits.add((await bob.contact("Alice")).id)
        await cluster.crash(bob)
        await alice.send("Bob", "one")
        await leave_all(alice, "Bob", await waiting(alice, "Bob"))
        await cluster.crash(alice)
        monkeypatch.setattr(answers, "leave_acks", post.leave)
        await cluster.start(bob)
        await eventually(lambda: emptied(holder), within_s=5)
