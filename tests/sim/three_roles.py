"""Alice, Bob and those who hold for Bob, all of them whole nodes: for simulations of mailboxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from p2pchat.api import objects
from p2pchat.core.events import EventKind
from p2pchat.core.mailbox_link import Holder, encode_mailbox_link
from p2pchat.core.params import Params
from p2pchat.services import mailboxes
from p2pchat.store import eventlog, mailbox
from p2pchat.store.offer import Offer
from p2pchat.testing.cluster import CHEAP, Cluster, Node
from tests.sim.calling import explained
from tests.sim.mailboxes import context_of, offering
from tests.sim.people import meet
from tests.sim.test_withdraw import shown_id


@dataclass(frozen=True)
class World:
    cluster: Cluster
    alice: Node
    bob: Node
    holders: list[Node]


async def use(node: Node, *holders: Node) -> None:
    """As ``mailbox.use`` with the links of these holders."""
    context = context_of(node)
    links = [encode_mailbox_link(Holder(each.network.peer_id, each.network.addresses())) for each in holders]
    settled = await mailboxes.request(context, links, auto=False)
    await context.db.run(lambda tx: mailboxes.settle(tx, context, settled))
    assert settled.failure is None
    assert await mailboxes.publish(context) is None


@asynccontextmanager
async def world(holders: int = 2, params: Params = CHEAP, seed: int = 0) -> AsyncGenerator[World]:
    """The two, matched; Bob has that many mailboxes, and is down."""
    async with Cluster.running(params=params, seed=seed) as cluster:
        alice, bob = await meet(cluster)
        found = [await cluster.add(f"Holder {number}") for number in range(holders)]
        for each in found:
            await offering(each, Offer("anyone"))
        await cluster.add("Dave")  # who stays: presences are kept somewhere
        await trio.sleep(5)
        await use(bob, *found)
        await cluster.crash(bob)
        yield World(cluster, alice, bob, found)


async def states(node: Node, name: str) -> list[str]:
    """Of the messages that were sent to ``name``."""
    return [row.state for row in await node.conversation(name) if not row.incoming]


async def all_are(node: Node, name: str, state: str) -> bool:
    return set(await states(node, name)) == {state}


async def has(node: Node, name: str, texts: list[str]) -> bool:
    return await node.received(name) == texts


async def boxes(*nodes: Node) -> int:
    """How many these hold."""
    return sum([(await node.database.run(mailbox.total))[0] for node in nodes])


async def emptied(*nodes: Node) -> bool:
    return await boxes(*nodes) == 0


async def words(node: Node, name: str) -> objects.Explanation:
    """What is said of the last message of the conversation."""
    row = (await node.conversation(name))[-1]
    return await explained(node, shown_id(node, row))


async def told(node: Node) -> dict[EventKind, Counter[int]]:
    """How often each message was told of, by kind; no number of the log is missing."""
    rows = await node.database.run(lambda tx: eventlog.after(tx, 0, 100_000))
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    found: dict[EventKind, Counter[int]] = {}
    for row in rows:
        if row.kind.startswith("message."):
            found.setdefault(EventKind(row.kind), Counter())[row.subject or 0] += 1
    return found


def once_each(told_of: dict[EventKind, Counter[int]], count: int, *kinds: EventKind) -> bool:
    """Whether ``count`` messages were told of by these kinds, once each, and by no other."""
    return told_of.keys() == set(kinds) and all(
        len(each) == count and set(each.values()) == {1} for each in told_of.values()
    )
