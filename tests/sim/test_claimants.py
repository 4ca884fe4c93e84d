"""Several claim to be one contact (PROTOCOL.md 3.3): nobody is trusted, until the user chooses one of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import UsageError
from p2pchat.core.events import EventKind
from p2pchat.services import contacts as book
from p2pchat.store import contact_peers, contacts, sessions
from p2pchat.store.contacts import ContactRow
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule

ALICE, BOB = "+821012345678", "+821098765432"


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(11):
        yield


def root_of(node: Node) -> str:
    assert node.running is not None
    return node.running.context.identity.root.public.hex()


async def choose(node: Node, name: str, claimant: str | None) -> ContactRow:
    assert node.running is not None
    context = node.running.context
    return await node.database.run(
        lambda tx: book.choose(tx, context, book.resolve(tx, context, name), claimant),
    )


async def claimed(node: Node, count: int) -> bool:
    return (await node.contact("Bob")).claimants == count


async def is_matched(node: Node, name: str) -> bool:
    return (await node.contact(name)).state == "matched"


async def two_claim_at_once(cluster: Cluster) -> tuple[Node, Node, Node]:
    """Bob, and Mallory who has entered Bob's number as her own, both look for Alice before she looks for Bob."""
    alice = await cluster.add("Alice", ALICE)
    bob, mallory = await cluster.add("Bob", BOB), await cluster.add("Mallory", BOB)
    await bob.add(ALICE, "Alice")
    await mallory.add(ALICE, "Alice")
    await trio.sleep(60)
    await alice.add(BOB, "Bob")
    await eventually(lambda: claimed(alice, 2), within_s=600)
    return alice, bob, mallory


async def test_two_claimants_get_nothing_until_one_is_chosen(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob, mallory = await two_claim_at_once(cluster)
        await alice.send("Bob", "only for Bob")
        await trio.sleep(3600)
        assert not await is_matched(alice, "Bob")
        row = await alice.contact("Bob")
        assert row.root is None
        assert await alice.database.run(lambda tx: contact_peers.of_contact(tx, row.id)) == []
        # both of them warn that somebody else uses their number, or are too young to know
        chosen = await choose(alice, "Bob", root_of(bob)[:8].upper())
        assert chosen.root is not None
        assert chosen.root.hex() == root_of(bob)
        await eventually(lambda: is_matched(alice, "Bob"), within_s=600)

        async def arrived() -> bool:
            return await bob.received("Alice") == ["only for Bob"]

        await eventually(arrived, within_s=60)
        await trio.sleep(3600)
        assert await mallory.received("Alice") == []
        assert not await is_matched(mallory, "Alice")


async def test_who_sees_another_in_the_own_role_is_warned_once_but_not_right_after_an_install(
    autojump_clock: MockClock,
) -> None:
    def warnings(node: Node) -> int:
        return [event.kind for event in node.events].count(EventKind.NODE_WARNING)

    async with Cluster.running() as cluster:
        await cluster.add("Alice", ALICE)
        bob = await cluster.add("Bob", BOB)
        await trio.sleep(73 * 3600)
        mallory = await cluster.add("Mallory", BOB)
        await bob.add(ALICE, "Alice")
        await mallory.add(ALICE, "Alice")
        await trio.sleep(3 * 3600)
        assert (warnings(bob), warnings(mallory)) == (1, 0)  # an install may see its earlier self


async def test_what_cannot_be_chosen_is_refused(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, _, _ = await two_claim_at_once(cluster)
        assert alice.running is not None
        context = alice.running.context
        with pytest.raises(UsageError, match="Several claim") as several:
            await choose(alice, "Bob", None)
        assert several.value.error_name == "AMBIGUOUS"
        found = await alice.database.run(lambda tx: contacts.claimants(tx, book.resolve(tx, context, "Bob").id))
        assert several.value.data == {"claimants": [claimant.root.hex() for claimant in found]}
        with pytest.raises(UsageError, match="No claimant") as nobody:
            await choose(alice, "Bob", "0000")
        assert nobody.value.error_name == "INVALID_PARAMS"
        await alice.add("+821055554444", "Nobody")
        with pytest.raises(UsageError, match="Nobody has claimed") as unclaimed:
            await choose(alice, "Nobody", None)
        assert unclaimed.value.error_name == "CONTACT_NOT_FOUND"
        assert (await alice.contact("Bob")).root is None


async def test_an_impostor_who_came_first_is_replaced_when_the_user_says_so(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, mallory = await cluster.add("Alice", ALICE), await cluster.add("Mallory", BOB)
        await mallory.add(ALICE, "Alice")
        await alice.add(BOB, "Bob")
        await eventually(lambda: is_matched(alice, "Bob"), within_s=60)
        await alice.send("Bob", "to whoever it is")

        async def fooled() -> bool:
            return await mallory.received("Alice") == ["to whoever it is"]

        await eventually(fooled, within_s=60)
        bob = await cluster.add("Bob", BOB)
        await bob.add(ALICE, "Alice")
        await eventually(lambda: claimed(alice, 2), within_s=9 * 86_400)
        assert EventKind.CONTACT_KEY_CHANGED in [event.kind for event in alice.events]
        # sending to the matched one goes on until the user has decided
        await alice.send("Bob", "still to the first")

        async def still_fooled() -> bool:
            return len(await mallory.received("Alice")) == 2

        await eventually(still_fooled, within_s=60)
        await cluster.crash(mallory)
        await alice.send("Bob", "for the right one")
        await trio.sleep(120)
        await choose(alice, "Bob", root_of(bob))
        row = await alice.contact("Bob")
        assert (row.state, row.trust, row.heard_ms) == ("pending", "claimed", 0)
        assert await alice.database.run(lambda tx: sessions.of_contact(tx, row.id)) == []
        await cluster.start(mallory)
        await eventually(lambda: is_matched(alice, "Bob"), within_s=2 * 86_400)

        async def arrived() -> bool:
            return await bob.received("Alice") == ["for the right one"]

        await eventually(arrived, within_s=600)
        await trio.sleep(3600)
        assert len(await mallory.received("Alice")) == 2
        assert await choose(alice, "Bob", root_of(bob)) == await alice.contact("Bob")  # again: no change
        assert await is_matched(alice, "Bob")
