"""Whoever gets hold of an invite can make as many roots as they like (PROTOCOL.md 3.5): it lets in no more for that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.ids import RootKey
from p2pchat.base.limits import REQUESTS_PER_INVITE
from p2pchat.core.events import EventKind
from p2pchat.core.invite import INVITER, decode_invite, invite_root
from p2pchat.core.keys import Identity, create_identity
from p2pchat.core.pair import CANDIDATES_MAX, load_pair
from p2pchat.core.slots import Slot, epoch
from p2pchat.services import invites
from p2pchat.store import contact_peers, contacts
from p2pchat.store import invites as store
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import CHEAP, Cluster, Node, eventually
from p2pchat.testing.entropy import SeededEntropy
from p2pchat.testing.schedule import fixed_schedule
from tests.sim.number_knower import CAROL, HOUR_S, Knower, Pose, meet_and_talk, talk
from tests.sim.people import ALICE, BOB

INVITED = 1 - INVITER
ROOTS = 20
pytestmark = pytest.mark.usefixtures("rare_pings")


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(59):
        yield


async def invite(node: Node, uses: int, *, ask: bool = False) -> str:
    assert node.running is not None
    context = node.running.context
    row = await node.database.run(lambda tx: invites.create(tx, context, uses, 7 * 24 * HOUR_S, ask=ask))
    return invites.link(context, row)


async def redeem(node: Node, link: str) -> ContactRow:
    assert node.running is not None
    context = node.running.context
    return await node.database.run(lambda tx: invites.redeem(tx, context, link, "Alice"))


def slot_of(cluster: Cluster, link: str) -> Slot:
    root = invite_root(decode_invite(link).secret)
    return Slot(root, epoch(root, int(cluster.now()), CHEAP))


async def of_invite(node: Node, state: str | None = None) -> list[ContactRow]:
    rows = await node.database.run(partial(contacts.everyone, state=state))
    return [row for row in rows if row.invite is not None]


def count(node: Node, kind: EventKind) -> int:
    return [event.kind for event in node.events].count(kind)


async def storm(cluster: Cluster, knower: Knower, slot: Slot, nodes: Sequence[Node]) -> dict[RootKey, Pose]:
    """Twenty roots with a hello and a card each, ten and ten: there is no room for more at a time."""
    entropy = SeededEntropy(99)
    identities: list[Identity] = [create_identity(entropy, int(cluster.now() * 1000)) for _ in range(ROOTS)]
    poses: list[Pose] = []
    for wave in range(2):
        for n in range(ROOTS // 2):
            writer = poses[n].writer if wave else None  # a newer record of a writer takes the place of the older
            pose = knower.pose(slot, INVITED, writer)
            poses.append(pose)
            assert await knower.hello(pose, nodes, prefix=n % 5) == [True] * len(nodes)
        [eph] = await knower.met(poses[-1], nodes[0])
        for pose, identity in list(zip(poses, identities, strict=False))[-ROOTS // 2 :]:
            await knower.show_card(pose, eph, nodes, identity)
        await trio.sleep(60)
    return {RootKey(who.root.public): pose for who, pose in zip(identities, poses, strict=True)}


async def test_twenty_roots_at_once_use_it_up_three_times_and_nobody_after_them(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, carol = await cluster.add("Alice", ALICE), await cluster.add("Carol", CAROL)
        link = await invite(alice, uses=3)
        await trio.sleep(30)
        knower = Knower(cluster, ALICE, BOB)
        poses = await storm(cluster, knower, slot_of(cluster, link), (alice, carol))
        await meet_and_talk(alice, carol)
        await trio.sleep(6 * HOUR_S)
        let_in = await of_invite(alice)
        assert [row.state for row in let_in] == ["pending"] * 3
        assert {row.root for row in let_in} < poses.keys()
        assert count(alice, EventKind.INVITE_USED) == 3
        assert count(alice, EventKind.INVITE_CLOSED) == 1
        [kept] = await alice.database.run(store.everyone)
        assert (kept.used, kept.closed) == (3, True)
        # three of them were told where Alice is, and seventeen were not
        [eph] = await knower.met(next(iter(poses.values())), carol)
        told = {
            root
            for root, pose in poses.items()
            if await knower.opened(knower.reach(pose, eph), carol, but=pose.writer.public)
        }
        assert told == {row.root for row in let_in}
        bob = await cluster.add("Bob", BOB)
        await redeem(bob, link)
        await trio.sleep(6 * HOUR_S)
        assert ((await bob.contact("Alice")).state, len(await of_invite(alice))) == ("pending", 3)
        assert not await bob.database.run(lambda tx: contact_peers.of_contact(tx, 1))
        await talk(alice, carol)


async def test_of_twenty_roots_sixteen_are_asked_about_at_most_and_none_gets_in_unasked(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, carol = await cluster.add("Alice", ALICE), await cluster.add("Carol", CAROL)
        link = await invite(alice, uses=3, ask=True)
        await trio.sleep(30)
        knower = Knower(cluster, ALICE, BOB)
        poses = await storm(cluster, knower, slot_of(cluster, link), (alice, carol))
        await meet_and_talk(alice, carol)
        await trio.sleep(6 * HOUR_S)
        assert len(await of_invite(alice, "request")) == len(await of_invite(alice)) == REQUESTS_PER_INVITE
        assert count(alice, EventKind.CONTACT_REQUEST) == REQUESTS_PER_INVITE
        assert count(alice, EventKind.INVITE_USED) == 0
        [eph] = await knower.met(next(iter(poses.values())), carol)
        for pose in poses.values():
            assert await knower.opened(knower.reach(pose, eph), carol, but=pose.writer.public) == []
        for row in await of_invite(alice):
            await alice.database.run(partial(invites.refuse, row=row))
        await trio.sleep(36 * HOUR_S)
        asked = {row.root for row in await of_invite(alice)}  # those who found no room, and nobody who was refused
        assert 0 < len(asked) <= ROOTS - REQUESTS_PER_INVITE
        assert asked < poses.keys()
        await talk(alice, carol)


@pytest.mark.slow
async def test_sixty_four_hellos_delay_whom_it_was_meant_for_and_fill_no_more_than_they_may(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice, carol = await cluster.add("Alice", ALICE), await cluster.add("Carol", CAROL)
        link = await invite(alice, uses=1)
        await trio.sleep(30)
        knower = Knower(cluster, ALICE, BOB)
        slot = slot_of(cluster, link)
        writers = [knower.writer() for _ in range(4)]
        for _ in range(CANDIDATES_MAX // 4):
            for writer in writers:
                assert await knower.hello(knower.pose(slot, INVITED, writer), (alice, carol)) == [True] * 2
            await trio.sleep(5)
        await meet_and_talk(alice, carol)

        def kept(tx: Tx) -> int:
            [(raw,)] = tx.all("SELECT state FROM invite_slot")
            return len(load_pair(bytes(raw), bytes(32), by_invite=True).candidates)

        assert CANDIDATES_MAX // 2 < await alice.database.run(kept) <= CANDIDATES_MAX
        bob = await cluster.add("Bob", BOB)
        await redeem(bob, link)

        async def met() -> bool:
            return (await bob.contact("Alice")).state == "matched"

        # four of the others at each poll, by chance: of eight runs some took a minute, one 126 hours
        await eventually(met, within_s=200 * HOUR_S, step_s=60)
        assert [row.state for row in await of_invite(alice)] == ["matched"]
        await talk(alice, carol)
