"""A disk that fails once, at every statement of a send, a receive and a match in turn; test_deposit_faults.py has the
fourth step. In half of the runs the node crashes after the failure, and only what is on the disk is left.

Whatever failed: a text that was accepted arrives once and in order, one that was refused is nowhere, no message key and
no nonce serves two envelopes, and what was told is what the log has.

A COMMIT that fails is an fsync that does: SQLite reports both in the same place, and what was written before it counts
as not written. Which bytes of a page reach the disk before a power cut is SQLite's own affair.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import StoreError
from p2pchat.core.events import EventKind
from p2pchat.store import eventlog
from p2pchat.testing.cluster import Cluster, Node, eventually
from tests.sim.faulty import FaultyConnection
from tests.sim.people import ALICE, BOB, is_matched, meet
from tests.sim.test_faults import Wire

WHOLE: Final = bool(os.environ.get("P2PCHAT_EVERY_FAULT"))
"""Every statement of a match, not a sample: some minutes."""

SAMPLE: Final = 8
ONCE: Final = (EventKind.MESSAGE_QUEUED, EventKind.MESSAGE_RECEIVED, EventKind.MESSAGE_DELIVERED)


async def settled(node: Node) -> bool:
    return await node.outbox() == 0


def delivered(node: Node, count: int) -> bool:
    return sum(event.kind is EventKind.MESSAGE_DELIVERED for event in node.events) == count


async def told_is_logged(node: Node) -> None:
    """No event without its effect, none that a crash took back, and of each message each once."""
    logged = await node.database.run(lambda tx: eventlog.after(tx, 0, 1_000_000))
    told = Counter((event.kind.value, event.subject) for event in node.events)
    assert told == Counter((row.kind, row.subject) for row in logged)
    assert not [each for each, count in told.items() if each[0] in ONCE and count > 1]


async def strike_and_crash(
    cluster: Cluster, node: Node, disk: FaultyConnection, is_over: Callable[[], bool], *, crashes: bool
) -> str:
    """What was struck until ten seconds after it was over; then the node has crashed and is back, if it ``crashes``."""
    with trio.move_on_after(300):
        while not disk.struck and not is_over():  # noqa: ASYNC110  who asked the store would be struck
            await trio.sleep(0.5)
    await trio.sleep(10)
    struck = disk.struck
    disk.arm(0)
    if struck and crashes:
        await cluster.crash(node)
        await trio.sleep(1)
        await cluster.start(node)
    await trio.sleep(30)  # what a start does, or the end of a failure, is over
    return struck


@pytest.mark.parametrize("crashes", [False, True], ids=["goes-on", "crashes"])
@pytest.mark.parametrize("whose", ["sender", "receiver"])
async def test_the_disk_fails_at_every_statement_of_a_text(
    whose: str, crashes: bool, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(monkeypatch)
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await trio.sleep(100)  # what follows a match is over
        node = alice if whose == "sender" else bob
        disk = FaultyConnection.under(node.database)
        accepted: list[str] = []
        struck: list[str] = []
        while not struck or struck[-1]:
            text = f"text {len(struck)}"
            await node.database.run(lambda tx: tx.now_ms)  # the store sees that the disk is well again
            await trio.sleep(10)  # and what that has begun is over
            disk.arm(len(struck) + 1)
            try:
                await alice.send("Bob", text)
            except StoreError:
                pass
            else:
                accepted.append(text)
            done = partial(delivered, alice, len(accepted))
            struck.append(await strike_and_crash(cluster, node, disk, done, crashes=crashes))
            await eventually(lambda: settled(alice), within_s=2_000)
            assert await alice.texts_sent("Bob") == accepted
            assert await bob.received("Alice") == accepted
        assert wire.reused == 0
        for each in (alice, bob):
            await told_is_logged(each)
    print(f"{len(struck) - 1} statements of {whose} were struck")
    parts = ("INSERT INTO message", "COMMIT", "UPDATE session" if whose == "receiver" else "INSERT INTO envelope")
    for part in parts:
        assert any(part in each for each in struck), part
    assert len(struck) > 15


async def a_match(number: int, whose: str) -> str:
    """What was struck as the ``number``-th statement of one of two who look for each other."""
    async with Cluster.running(seed=number) as cluster:  # two of one seed would seal alike
        await cluster.add("Carol")
        alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
        node = alice if whose == "first" else bob
        disk = FaultyConnection.under(node.database)
        await alice.add(BOB, "Bob")
        await bob.add(ALICE, "Alice")
        disk.arm(number)
        with trio.move_on_after(30):
            while not disk.struck:  # noqa: ASYNC110  a virtual clock
                await trio.sleep(0.1)
        struck = await strike_and_crash(cluster, node, disk, lambda: True, crashes=number % 2 == 0)
        await eventually(lambda: is_matched(alice, "Bob"), within_s=2_000)
        await eventually(lambda: is_matched(bob, "Alice"), within_s=2_000)
        await alice.send("Bob", "hello")
        await eventually(lambda: settled(alice), within_s=2_000)
        await bob.send("Alice", "hello too")
        await eventually(lambda: settled(bob), within_s=2_000)
        assert await bob.received("Alice") == ["hello"]
        assert await alice.received("Bob") == ["hello too"]
        for each in (alice, bob):
            await told_is_logged(each)
            matched = [event for event in each.events if event.kind is EventKind.CONTACT_MATCHED]
            assert len(matched) == 1
        return struck


@pytest.mark.parametrize("whose", ["first", "second"])
async def test_the_disk_fails_at_every_statement_of_a_match(
    whose: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(monkeypatch)
    struck: list[str] = []
    for number in range(1, 1_000) if WHOLE else sorted(random.Random(9).sample(range(1, 200), SAMPLE)):
        struck.append(await a_match(number, whose))
        if not struck[-1]:
            break
    print(f"{len([each for each in struck if each])} statements of {whose} were struck")
    assert wire.reused == 0
    assert any("COMMIT" in each for each in struck)
    assert len([each for each in struck if each]) > SAMPLE // 2
