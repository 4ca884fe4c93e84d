"""Two people with nothing but each other's number: match, talk, crash, talk on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule

ALICE, BOB = "+821012345678", "+821098765432"


async def matched(*sides: tuple[Node, str]) -> bool:
    return all([(await node.contact(name)).state == "matched" for node, name in sides])


async def meet(alice: Node, bob: Node) -> float:
    await alice.add(BOB, "Bob")
    await bob.add(ALICE, "Alice")
    return await eventually(lambda: matched((alice, "Bob"), (bob, "Alice")))


async def test_two_nodes_alone_match_and_talk(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
        took = await meet(alice, bob)
        assert took < 30
        for number in range(10):
            await alice.send("Bob", f"a{number}")
            await bob.send("Alice", f"b{number}")

        async def all_there() -> bool:
            return len(await alice.received("Bob")) == len(await bob.received("Alice")) == 10

        await eventually(all_there, within_s=30)
        assert await bob.received("Alice") == [f"a{n}" for n in range(10)]
        assert await alice.received("Bob") == [f"b{n}" for n in range(10)]


async def test_messages_wait_for_the_match_and_survive_crashes_of_both(autojump_clock: MockClock) -> None:
    async with Cluster.running(seed=1) as cluster:
        alice, bob = await cluster.add("Alice", ALICE), await cluster.add("Bob", BOB)
        await alice.add(BOB, "Bob")
        sent = [f"m{n}" for n in range(40)]
        for text in sent[:10]:
            await alice.send("Bob", text)
        await bob.add(ALICE, "Alice")
        await eventually(lambda: matched((alice, "Bob"), (bob, "Alice")))
        for text in sent[10:20]:
            await alice.send("Bob", text)
        await cluster.crash(bob)
        for text in sent[20:30]:
            await alice.send("Bob", text)
        await trio.sleep(100)
        await cluster.crash(alice)
        await cluster.start(bob)
        await trio.sleep(100)
        await cluster.start(alice)
        for text in sent[30:]:
            await alice.send("Bob", text)

        async def all_there() -> bool:
            return len(await bob.received("Alice")) >= len(sent)

        await eventually(all_there, within_s=1000)
        assert await bob.received("Alice") == sent
        states = {row.state for row in await alice.conversation("Bob") if not row.incoming}
        assert states <= {"delivered", "sent"}

        async def all_settled() -> bool:
            return {row.state for row in await alice.conversation("Bob")} == {"delivered"}

        await eventually(all_settled, within_s=100)


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(7):
        yield
