"""What is true whatever statement, or system call, of a disk has failed: of a text, and of a match.

A text that was accepted arrives once and in order, one that was refused is nowhere, no message key and no nonce serves
two envelopes, and what was told is what the log has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import trio

from p2pchat.base.errors import StoreError
from p2pchat.core.events import EventKind
from p2pchat.store import eventlog
from p2pchat.store.db import Database
from p2pchat.testing.cluster import Cluster, Node, eventually
from tests.sim.people import ALICE, BOB, is_matched, meet

ONCE: Final = (EventKind.MESSAGE_QUEUED, EventKind.MESSAGE_RECEIVED, EventKind.MESSAGE_DELIVERED)


class Faulty(Protocol):
    """The disk of one node."""

    @property
    def struck(self) -> str:
        """What failed last, since :meth:`arm`."""
        ...

    def arm(self, number: int) -> None:
        """Let the ``number``-th from now on fail, once; 0: none."""
        ...


class Surviving(Faulty, Protocol):
    """One that is there after its node has crashed."""

    async def crash(self, cluster: Cluster, node: Node) -> None:
        """End the node, so that what is on the disk is left alone."""
        ...


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
    cluster: Cluster, node: Node, disk: Surviving, is_over: Callable[[], bool], *, crashes: bool
) -> str:
    """What was struck until ten seconds after it was over. A node that ``crashes`` does so at once, and is back."""
    with trio.move_on_after(300):
        while not disk.struck and not is_over():  # noqa: ASYNC110  who asked the store would be struck
            await trio.sleep(0.5)
    if not (crashes and disk.struck):
        await trio.sleep(10)
    struck = disk.struck
    disk.arm(0)
    if struck and crashes:
        await disk.crash(cluster, node)
        await trio.sleep(1)
        await cluster.start(node)
    await trio.sleep(30)  # what a start does, or the end of a failure, is over
    return struck


async def every_one_of_a_text(under: Callable[[Database], Surviving], whose: str, *, crashes: bool) -> list[str]:
    """What was struck, one after the other until there is nothing left, each time while a text is sent.

    No two texts take exactly as many: it is over when two of them were spared.
    """
    async with Cluster.running() as cluster:
        alice, bob = await meet(cluster)
        await trio.sleep(100)  # what follows a match is over
        node = alice if whose == "sender" else bob
        disk = under(node.database)
        accepted: list[str] = []
        struck: list[str] = []
        while struck[-2:] != ["", ""]:
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
            await eventually(partial(settled, alice), within_s=2_000)
            assert await alice.texts_sent("Bob") == accepted
            assert await bob.received("Alice") == accepted
        for each in (alice, bob):
            await told_is_logged(each)
    return [each for each in struck if each]


async def one_of_a_match(under: Callable[[Database], Surviving], whose: str, number: int) -> str:
    """What was struck as the ``number``-th of one of two who look for each other; of every other one it crashes."""
    async with Cluster.running(seed=number) as cluster:  # two of one seed would seal alike
        await cluster.add("Carol")
        alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
        node = alice if whose == "first" else bob
        disk = under(node.database)
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
        await eventually(partial(settled, alice), within_s=2_000)
        await bob.send("Alice", "hello too")
        await eventually(partial(settled, bob), within_s=2_000)
        assert await bob.received("Alice") == ["hello"]
        assert await alice.received("Bob") == ["hello too"]
        for each in (alice, bob):
            await told_is_logged(each)
            assert sum(event.kind is EventKind.CONTACT_MATCHED for event in each.events) == 1
        return struck
