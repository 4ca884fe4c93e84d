"""Invites (PROTOCOL.md 3.5): two become contacts without a number, and nobody else does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import Address, RootKey
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.invite import Invite, decode_invite, encode_invite
from p2pchat.net.dht import WalkResult
from p2pchat.services import block, invites
from p2pchat.services import contacts as book
from p2pchat.store import contact_peers, contacts
from p2pchat.store import invites as store
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.testing.cluster import Cluster, Node, eventually
from p2pchat.testing.schedule import fixed_schedule

HOUR_S = 3600
DAY_S = 24 * HOUR_S
WEEK_S = 7 * DAY_S


@pytest.fixture(autouse=True)
def _schedule() -> Iterator[None]:
    with fixed_schedule(31):
        yield


async def invite(node: Node, uses: int = 1, expires_s: int = WEEK_S, *, ask: bool = False) -> str:
    assert node.running is not None
    context = node.running.context
    row = await node.database.run(lambda tx: invites.create(tx, context, uses, expires_s, ask=ask))
    return invites.link(context, row)


async def redeem(node: Node, link: str, name: str | None = None) -> ContactRow:
    assert node.running is not None
    context = node.running.context
    return await node.database.run(lambda tx: invites.redeem(tx, context, link, name))


async def accept(node: Node, row: ContactRow) -> ContactRow:
    assert node.running is not None
    context = node.running.context
    return await node.database.run(lambda tx: invites.accept(tx, context, row))


async def everyone(node: Node, state: str | None = None) -> list[ContactRow]:
    return await node.database.run(lambda tx: contacts.everyone(tx, state))


def root_of(node: Node) -> RootKey:
    assert node.running is not None
    return RootKey(node.running.context.identity.root.public)


async def matched(*nodes: Node, count: int = 1) -> bool:
    return all([len(await everyone(node, "matched")) >= count for node in nodes])


def kinds(node: Node) -> list[EventKind]:
    return [event.kind for event in node.events]


async def test_two_without_numbers_are_matched_and_talk(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        row = await redeem(bob, await invite(alice), "Alice")
        assert (row.state, row.root, row.number) == ("pending", root_of(alice), None)
        assert await eventually(lambda: matched(alice, bob), within_s=60) < 30
        [met] = await everyone(alice)
        assert (met.root, met.name) == (root_of(bob), f"Contact {root_of(bob).hex()[:8]}")
        await bob.send("Alice", "found you")
        await eventually(lambda: said(alice, met.name, "found you"), within_s=60)
        assert EventKind.NODE_WARNING not in kinds(alice) + kinds(bob)  # a slot of an invite has no roles to pose in
        assert EventKind.CONTACT_KEY_CHANGED not in kinds(alice) + kinds(bob)
        [kept] = await alice.database.run(store.everyone)
        assert (kept.used, kept.closed) == (1, True)


async def said(node: Node, name: str, text: str) -> bool:
    return text in await node.received(name)


@pytest.mark.usefixtures("rare_checks")
@pytest.mark.parametrize("away_s", [HOUR_S, 3 * DAY_S])
async def test_the_inviter_may_be_away_when_it_is_used(away_s: int, autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        await cluster.add("Carol")
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        link = await invite(alice)
        await trio.sleep(60)
        await cluster.crash(alice)
        await redeem(bob, link)
        await trio.sleep(away_s)
        await cluster.start(alice)
        await eventually(lambda: matched(alice, bob), within_s=2 * DAY_S, step_s=10)


async def test_it_lets_in_as_many_as_it_says_and_no_more(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice")
        link = await invite(alice, uses=2)
        guests = [await cluster.add(name) for name in ("Bob", "Carol", "Dave")]
        for guest in guests:
            await redeem(guest, link, "Alice")
            await trio.sleep(HOUR_S)
        assert await matched(alice, count=2)
        assert len(await everyone(alice)) == 2
        states = [(await guest.contact("Alice")).state for guest in guests]
        assert states == ["matched", "matched", "pending"]
        late = guests[2]
        assert late.running is not None
        assert not await late.database.run(lambda tx: contact_peers.of_contact(tx, 1))  # not even where Alice is


async def test_one_that_asks_makes_requests_which_the_user_accepts_or_refuses(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice")
        link = await invite(alice, uses=2, ask=True)
        bob, eve = await cluster.add("Bob"), await cluster.add("Eve")
        for guest in (bob, eve):
            await redeem(guest, link, "Alice")
        await trio.sleep(HOUR_S)
        asked = {row.root: row for row in await everyone(alice, "request")}
        assert asked.keys() == {root_of(bob), root_of(eve)}
        assert kinds(alice).count(EventKind.CONTACT_REQUEST) == 2
        assert (await bob.contact("Alice")).state == "pending"
        with pytest.raises(UsageError, match="accept"):
            await alice.send(asked[root_of(bob)].name, "too early")
        await alice.database.run(lambda tx: invites.refuse(tx, asked[root_of(eve)]))
        assert EventKind.NODE_RENEWED not in kinds(alice)  # she was never told where this node is
        accepted = await accept(alice, asked[root_of(bob)])
        assert accepted.state == "pending"
        assert await eventually(lambda: matched(alice, bob), within_s=2 * DAY_S, step_s=5) < 60
        await trio.sleep(6 * HOUR_S)
        assert [row.root for row in await everyone(alice)] == [root_of(bob)]  # Eve is not asked about again
        assert (await eve.contact("Alice")).state == "pending"
        with pytest.raises(UsageError, match="request"):
            await accept(alice, (await everyone(alice))[0])


async def test_no_more_are_accepted_than_the_invite_says_and_a_blocked_request_stays_one(
    autojump_clock: MockClock,
) -> None:
    async with Cluster.running() as cluster:
        alice = await cluster.add("Alice")
        link = await invite(alice, uses=1, ask=True)
        for name in ("Bob", "Eve"):
            await redeem(await cluster.add(name), link, "Alice")
        await trio.sleep(HOUR_S)
        first, second = await everyone(alice, "request")
        assert alice.running is not None
        context = alice.running.context
        await alice.database.run(lambda tx: block.block(tx, context, second))
        [held] = await everyone(alice, "blocked")
        again = await alice.database.run(lambda tx: block.unblock(tx, context, held))
        assert again.state == "request"
        assert EventKind.NODE_RENEWED not in kinds(alice)
        await accept(alice, first)
        with pytest.raises(UsageError, match="used up"):
            await accept(alice, again)
        await trio.sleep(HOUR_S)
        assert [row.id for row in await everyone(alice, "matched")] == [first.id]


async def test_the_invited_one_answers_nobody_but_the_root_of_the_link(autojump_clock: MockClock) -> None:
    """Mallory has the link, too, and poses as the inviter with a root of her own: she does not even get a card."""
    async with Cluster.running() as cluster:
        alice, mallory, bob = [await cluster.add(name) for name in ("Alice", "Mallory", "Bob")]
        link = await invite(alice)
        await cluster.crash(alice)
        assert mallory.running is not None
        context, said_there = mallory.running.context, decode_invite(link)

        def pose(tx: Tx) -> None:
            row = store.add(tx, b"posing!!", said_there.secret, 5, False, said_there.expires_s)
            tx.emit(DomainEvent(EventKind.INVITE_CREATED, row.id, row.uid))

        await mallory.database.run(pose)
        await redeem(bob, link, "Alice")
        await trio.sleep(6 * HOUR_S)
        assert context.params.candidates_by_work > 1
        assert await everyone(mallory) == []  # no valid card was seen: she knows that somebody came, and not who
        assert (await bob.contact("Alice")).claimants == 0
        await cluster.start(alice)
        await eventually(lambda: matched(alice, bob), within_s=2 * DAY_S, step_s=10)


async def test_an_invite_that_was_closed_or_has_expired_lets_nobody_in(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob, carol = [await cluster.add(name) for name in ("Alice", "Bob", "Carol")]
        closed, short = await invite(alice), await invite(alice, expires_s=HOUR_S)
        [first, _] = await alice.database.run(store.everyone)
        await alice.database.run(lambda tx: invites.revoke(tx, first.uid.hex()))
        await redeem(bob, closed, "Alice")
        await redeem(carol, short, "Alice")
        await cluster.crash(carol)
        await trio.sleep(2 * HOUR_S)
        with pytest.raises(UsageError, match="expired"):
            await redeem(bob, short)
        await cluster.start(carol)
        await trio.sleep(6 * HOUR_S)
        assert await everyone(alice) == []
        assert kinds(alice).count(EventKind.INVITE_CLOSED) == 2
        assert [row.uid for row in await alice.database.run(store.everyone)] == [first.uid]


async def test_wrong_links_are_refused_in_words(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        link = await invite(alice)
        for wrong, why in (
            (link[:-9], "cut off|not one of an invite"),
            ("p2pchat:", "cut off"),
            ("https://example.org", "begins with p2pchat"),
            (link[:60] + ("b" if link[60] != "b" else "c") * 3 + link[63:], ""),
        ):
            if why:
                with pytest.raises(UsageError, match=why) as refused:
                    await redeem(bob, wrong)
                assert refused.value.error_name == "INVALID_PARAMS"
        with pytest.raises(UsageError, match="this profile has made"):
            await redeem(alice, link)
        assert await everyone(bob) == await everyone(alice) == []


async def test_whoever_is_blocked_stays_so_with_an_invite_in_hand(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        await redeem(bob, await invite(alice), "Alice")
        await eventually(lambda: matched(alice, bob), within_s=60)
        link = await invite(alice)
        assert alice.running is not None
        context = alice.running.context
        [met] = await everyone(alice)
        await alice.database.run(lambda tx: block.block(tx, context, met))
        assert bob.running is not None
        theirs = bob.running.context
        row = await bob.contact("Alice")
        await bob.database.run(lambda tx: book.remove(tx, theirs, row))
        await redeem(bob, link, "Alice")
        await trio.sleep(6 * HOUR_S)
        assert [row.state for row in await everyone(alice)] == ["blocked"]
        assert (await bob.contact("Alice")).state == "pending"
        # and who blocked cannot use one of theirs by accident
        theirs_link = await invite(bob)
        with pytest.raises(UsageError, match="blocked"):
            await redeem(alice, theirs_link)


@pytest.mark.slow
@pytest.mark.usefixtures("rare_checks")
async def test_an_invite_lasts_over_the_ends_of_epochs_and_of_an_era(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        await cluster.add("Carol")
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        params = alice.running.context.params if alice.running else None
        assert params is not None
        left_s = params.era_s - int(cluster.now()) % params.era_s
        await cluster.crash(alice)
        await trio.sleep(left_s - DAY_S)
        await cluster.start(alice)
        link = await invite(alice, expires_s=30 * DAY_S)
        await trio.sleep(2 * DAY_S)  # one in the old era, one in the new one
        await redeem(bob, link)
        assert await eventually(lambda: matched(alice, bob), within_s=DAY_S, step_s=5) < 60


async def test_a_link_whose_addresses_are_junk_harms_nobody_now_or_at_the_next_start(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        junk = (Address(b"\xff\xff\x01junk"), Address(b"\x04\x7f\x00\x00\x01\x06"))
        said_there = Invite(bytes(32), RootKey(bytes(32)), int(cluster.now()) + HOUR_S, bob.network.peer_id, junk)
        await redeem(alice, encode_invite(said_there), "Nobody")
        assert alice.running is not None
        alice.running.context.dht.add_peer(said_there.peer_id, said_there.addresses)
        await trio.sleep(60)
        await cluster.crash(alice)
        await cluster.crash(bob)
        await cluster.start(alice)  # with nobody to ask but the node of the link
        await trio.sleep(HOUR_S)
        await cluster.start(bob)
        await trio.sleep(HOUR_S)
        assert alice.running is not None
        assert alice.running.context.dht.peers() == 1


async def test_whoever_was_removed_is_not_let_in_again_by_a_link_that_it_has(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob, carol = [await cluster.add(name) for name in ("Alice", "Bob", "Carol")]
        link = await invite(alice, uses=5)
        await redeem(bob, link, "Alice")
        await eventually(lambda: matched(alice, bob), within_s=60)
        assert alice.running is not None
        context = alice.running.context
        [met] = await everyone(alice)
        await alice.database.run(lambda tx: book.remove(tx, context, met))
        await cluster.crash(bob)
        # begun anew, so that the card comes from a candidate that Alice has not seen
        await bob.database.run(lambda tx: tx.execute("DELETE FROM contact"))
        await bob.database.run(lambda tx: tx.execute("UPDATE idsec SET secret = randomblob(32)"))
        await cluster.start(bob)
        await redeem(bob, link, "Alice")
        await trio.sleep(6 * HOUR_S)
        assert await everyone(alice) == []
        await redeem(carol, link, "Alice")
        await eventually(lambda: matched(alice, carol), within_s=HOUR_S)


async def test_whoever_is_in_the_book_is_no_request(autojump_clock: MockClock) -> None:
    """Its Reach was given by number, it has not answered yet; then it comes with a link that asks."""
    numbers = {"Alice": "+821012345678", "Bob": "+821098765432"}
    async with Cluster.running() as cluster:
        alice, bob = [await cluster.add(name, number) for name, number in numbers.items()]
        link = await invite(alice, ask=True)
        row = await alice.add(numbers["Bob"], "Bob")
        await alice.send("Bob", "waits for you")
        await alice.database.run(lambda tx: contacts.set_root(tx, row.id, root_of(bob), 0))
        await redeem(bob, link, "Alice")
        await eventually(lambda: matched(alice, bob), within_s=HOUR_S)
        await eventually(lambda: said(bob, "Alice", "waits for you"), within_s=HOUR_S)
        assert EventKind.CONTACT_REQUEST not in kinds(alice)


async def test_a_contact_with_a_number_and_a_link_is_read_no_more_often_than_any(autojump_clock: MockClock) -> None:
    numbers = {"Alice": "+821012345678", "Bob": "+821098765432"}
    async with Cluster.running() as cluster:
        alice, bob = [await cluster.add(name, number) for name, number in numbers.items()]
        link = await invite(bob)
        row = await alice.add(numbers["Bob"], "Bob")
        await bob.add(numbers["Alice"], "Alice")
        await alice.database.run(lambda tx: contacts.set_root(tx, row.id, root_of(bob), 0))
        row = await redeem(alice, link)
        assert (row.number, row.invite_secret is not None) == (numbers["Bob"], True)
        await eventually(lambda: matched(alice, bob), within_s=HOUR_S)
        assert alice.running is not None
        dht, walked = alice.running.context.dht, list[float]()
        walk = dht.walk

        async def counted(loc: bytes, *, put: bytes | None = None, get: bool = True, watch_s: int = 0) -> WalkResult:
            walked.append(trio.current_time())
            if len(walked) > 200:
                await trio.sleep_forever()  # a loop that does not pause would stop this clock
            return await walk(loc, put=put, get=get, watch_s=watch_s)

        dht.walk = counted  # type: ignore[method-assign]
        await trio.sleep(HOUR_S)
        assert len(walked) < 100


async def test_an_invite_whose_guest_never_came_ends_after_28_days(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        await redeem(bob, await invite(alice), "Alice")

        async def is_let_in() -> bool:
            return bool(await everyone(alice))

        await eventually(is_let_in, within_s=60, step_s=0.01)
        await cluster.crash(bob)
        assert [row.state for row in await everyone(alice)] == ["pending"]
        await cluster.crash(alice)
        await trio.sleep(29 * DAY_S)
        await cluster.start(alice)
        await trio.sleep(HOUR_S)
        assert EventKind.CONTACT_EXPIRED in kinds(alice)
        assert await alice.database.run(store.everyone) == []


async def test_two_who_have_each_others_closed_links_still_meet_by_number(autojump_clock: MockClock) -> None:
    numbers = {"Alice": "+821012345678", "Bob": "+821098765432"}
    async with Cluster.running() as cluster:
        alice, bob = [await cluster.add(name, number) for name, number in numbers.items()]
        links = {node.name: await invite(node) for node in (alice, bob)}
        for node, other, name in ((alice, bob, "Bob"), (bob, alice, "Alice")):
            [kept] = await node.database.run(store.everyone)
            await node.database.run(partial(invites.revoke, uid=kept.uid.hex()))
            row = await node.add(numbers[name], name)
            await node.database.run(partial(contacts.set_root, contact=row.id, root=root_of(other), epoch_ms=0))
            await redeem(node, links[other.name])
        await eventually(lambda: matched(alice, bob), within_s=HOUR_S)


async def test_another_root_is_not_chosen_for_a_request(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        await redeem(bob, await invite(alice, ask=True), "Alice")
        await trio.sleep(HOUR_S)
        assert alice.running is not None
        context = alice.running.context
        [asked] = await everyone(alice, "request")
        with pytest.raises(UsageError, match="accept"):
            await alice.database.run(lambda tx: book.choose(tx, context, asked, "ab" * 32))
        assert await everyone(alice) == [asked]


async def test_what_is_published_no_more_hurries_no_poll(autojump_clock: MockClock) -> None:
    """The Reach of whoever was blocked is not renewed; when that was due nothing else comes sooner for it."""
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        await redeem(bob, await invite(alice, uses=5), "Alice")
        await eventually(lambda: matched(alice, bob), within_s=60)
        await trio.sleep(HOUR_S)
        [met] = await everyone(alice)
        assert alice.running is not None
        context = alice.running.context
        await alice.database.run(lambda tx: block.block(tx, context, met))
        await cluster.crash(bob)
        await trio.sleep(HOUR_S)
        dht, walked = context.dht, list[float]()
        walk = dht.walk

        async def counted(loc: bytes, *, put: bytes | None = None, get: bool = True, watch_s: int = 0) -> WalkResult:
            walked.append(trio.current_time())
            if len(walked) > 500:
                await trio.sleep_forever()  # a loop that does not pause would stop this clock
            return await walk(loc, put=put, get=get, watch_s=watch_s)

        dht.walk = counted  # type: ignore[method-assign]
        await trio.sleep(2 * DAY_S)
        assert len(walked) < 200


async def test_one_who_came_by_an_invite_and_is_unblocked_is_looked_for_there_again(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        link = await invite(alice)
        await redeem(bob, link, "Alice")
        await eventually(lambda: matched(alice, bob), within_s=60)
        assert alice.running is not None
        context = alice.running.context
        [met] = await everyone(alice)
        await alice.database.run(lambda tx: block.block(tx, context, met))
        assert bob.running is not None
        theirs = bob.running.context
        row = await bob.contact("Alice")
        await bob.database.run(lambda tx: book.remove(tx, theirs, row))  # for Bob Alice is gone
        await trio.sleep(60)
        await redeem(bob, link, "Alice")
        await trio.sleep(HOUR_S)
        assert (await bob.contact("Alice")).state == "pending"
        [held] = await everyone(alice, "blocked")
        await alice.database.run(lambda tx: block.unblock(tx, context, held))
        await eventually(lambda: matched(alice, bob), within_s=6 * HOUR_S, step_s=5)


@pytest.mark.usefixtures("rare_pings")
@pytest.mark.parametrize("was_contact", [True, False])
async def test_a_second_link_of_the_same_person_is_looked_for_at_once(
    was_contact: bool, autojump_clock: MockClock
) -> None:
    """Its slots have the epochs of the first link's, and what was found in those is of no use in them."""
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        assert alice.running is not None
        context = alice.running.context
        first = await invite(alice)
        if not was_contact:
            [row] = await alice.database.run(store.everyone)
            await alice.database.run(lambda tx: invites.revoke(tx, row.uid.hex()))
        await redeem(bob, first, "Alice")
        await trio.sleep(60)
        assert await matched(alice, bob) is was_contact
        for met in await everyone(alice):
            await alice.database.run(partial(book.remove, context=context, row=met))
        await trio.sleep(HOUR_S)
        await redeem(bob, await invite(alice))
        assert await eventually(lambda: matched(alice, bob), within_s=HOUR_S) < 300


@pytest.mark.usefixtures("rare_pings")
async def test_whoever_used_two_links_takes_one_use_of_each(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, bob = await cluster.add("Alice"), await cluster.add("Bob")
        first, second = await invite(alice, uses=20), await invite(alice, uses=20)
        await redeem(bob, first, "Alice")
        await eventually(lambda: matched(alice, bob), within_s=60)
        await redeem(bob, second)
        await trio.sleep(2 * DAY_S)
        assert [row.used for row in await alice.database.run(store.everyone)] == [1, 1]
        assert await matched(alice, bob)


async def test_whoever_was_refused_is_not_asked_about_again_for_another_link(autojump_clock: MockClock) -> None:
    async with Cluster.running() as cluster:
        alice, eve = await cluster.add("Alice"), await cluster.add("Eve")
        first, second = await invite(alice, ask=True), await invite(alice, ask=True)
        for link in (first, second):
            await redeem(eve, link, "Alice")
            await trio.sleep(2 * HOUR_S)
        assert kinds(alice).count(EventKind.CONTACT_REQUEST) == 2
        [asked] = await everyone(alice, "request")
        await alice.database.run(lambda tx: invites.refuse(tx, asked))
        await trio.sleep(DAY_S)
        assert await everyone(alice) == []
